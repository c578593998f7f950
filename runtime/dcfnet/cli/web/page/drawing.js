// Drawing a box with the mouse, a finger or the keyboard. Boxes are [x, y, width, height] in pixels of the frame.

import { describeBox } from "./panel.js";
import { fitted, paint, shown, view } from "./picture.js";

const CORNER = 24, LEAST_SIDE = 4; // px on the screen around a corner; px of the frame
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const limit = (value, most) => Math.min(Math.max(value, 0), most);
let drag = null;

// active: whether a box can be drawn now. changed: is called after each change. done: the user pressed Enter.
export function enableDrawing(active, changed, done) {
  view.onpointerdown = (event) => { if (active() && !drag && !event.button) startDrag(event); };
  view.onpointermove = (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    moveDrag(place(event));
    changed();
  };
  view.onpointerup = view.onpointercancel = (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    endDrag();
    changed();
  };
  view.onkeydown = (event) => {
    if (!active()) return;
    if (event.key === "Enter") done();
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    moveByKey(ARROWS[event.key], event);
    changed();
  };
}

function place(event) {
  const area = fitted(), [width, height] = shown.header.size;
  return [limit((event.clientX - area.left) / area.width * width, width),
    limit((event.clientY - area.top) / area.height * height, height)];
}

function startDrag(event) {
  const from = place(event), corner = oppositeCorner(from);
  const moves = !corner && shown.box && inside(from, shown.box);
  view.setPointerCapture(event.pointerId);
  const touch = event.pointerType === "touch";
  drag = { pointer: event.pointerId, touch, from, box: shown.box, moves, fixed: corner || from };
}

function moveDrag([x, y]) {
  shown.finger = drag.touch ? [x, y] : null;
  const [fixedX, fixedY] = drag.fixed;
  if (drag.moves) setBox([drag.box[0] + x - drag.from[0], drag.box[1] + y - drag.from[1], drag.box[2], drag.box[3]]);
  else setBox([Math.min(x, fixedX), Math.min(y, fixedY), Math.abs(x - fixedX), Math.abs(y - fixedY)]);
}

function endDrag() {
  const { box } = shown;
  if (box && (box[2] < LEAST_SIDE || box[3] < LEAST_SIDE)) shown.box = drag.box; // a tap, not a box
  drag = shown.finger = null;
  describeBox(shown.box || shown.header.box);
  paint();
}

// If the place is at a corner of the drawn box: the opposite corner, which stays where it is.
function oppositeCorner([x, y]) {
  if (!shown.box) return null;
  const [left, top, w, h] = shown.box, reach = CORNER * shown.header.size[0] / fitted().width;
  const near = Math.min(reach, Math.max(w, h) / 3); // a small box can still be moved
  for (const [cornerX, oppositeX] of [[left, left + w], [left + w, left]]) {
    for (const [cornerY, oppositeY] of [[top, top + h], [top + h, top]]) {
      if (Math.hypot(x - cornerX, y - cornerY) < near) return [oppositeX, oppositeY];
    }
  }
  return null;
}

const inside = ([x, y], [left, top, w, h]) => x > left && x < left + w && y > top && y < top + h;

function moveByKey(arrow, { shiftKey, ctrlKey }) {
  const [width, height] = shown.header.size, step = ctrlKey ? 1 : Math.max(width / 100, 1);
  const [x, y, w, h] = shown.box || shown.header.box || [width * 0.375, height * 0.375, width / 4, height / 4];
  const [dx, dy] = shown.box ? arrow.map((part) => part * step) : [0, 0]; // the first key only shows the box
  if (shiftKey) setBox([x, y, Math.max(w + dx, LEAST_SIDE), Math.max(h + dy, LEAST_SIDE)]);
  else setBox([x + dx, y + dy, w, h]);
}

function setBox([x, y, w, h]) {
  const [width, height] = shown.header.size;
  [w, h] = [Math.min(w, width), Math.min(h, height)];
  shown.box = [limit(x, width - w), limit(y, height - h), w, h];
  describeBox(shown.box);
  paint();
}
