// The frame on the screen. Picture and box are painted together, so the box fits its frame.

const BOX_COLOURS = { tracked: "#3cdc50", uncertain: "#ffbe00", lost: "#ff4d42", drawn: "#4db8ff" };
const LEAST_WIDTH = 960; // px of the canvas; in a smaller one the lines would be blurred
export const view = document.getElementById("view");
const context = view.getContext("2d");

// bitmap, header: the newest frame. box: drawn by hand. finger: where a finger draws. Boxes are [x, y, width, height];
// all places are pixels of the frame.
export const shown = { bitmap: null, header: null, box: null, finger: null };

export async function showPicture(header, jpeg) {
  const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  if (shown.bitmap) shown.bitmap.close();
  Object.assign(shown, { bitmap, header });
  const scale = Math.max(1, Math.ceil(LEAST_WIDTH / bitmap.width));
  if (view.width !== scale * bitmap.width || view.height !== scale * bitmap.height) {
    [view.width, view.height] = [scale * bitmap.width, scale * bitmap.height];
  }
  paint();
}

export function paint() {
  context.drawImage(shown.bitmap, 0, 0, view.width, view.height);
  const { header, box, finger } = shown;
  if (header.box && !box) outline(header.box, BOX_COLOURS[header.status || "tracked"]);
  if (box) outline(box, BOX_COLOURS.drawn);
  if (box && finger) magnify(finger);
}

// Where the picture is on the screen: the canvas can have black borders.
export function fitted() {
  const area = view.getBoundingClientRect(), ratio = view.width / view.height;
  const width = Math.min(area.width, area.height * ratio), height = width / ratio;
  return { left: area.left + (area.width - width) / 2, top: area.top + (area.height - height) / 2, width, height };
}

const screenPixel = () => view.width / fitted().width; // px of the canvas for one px on the screen
const frameScale = () => view.width / shown.header.size[0]; // px of the canvas for one px of the frame

function outline(box, colour) {
  const [x, y, w, h] = box.map((value) => value * frameScale()), width = 2.5 * screenPixel();
  for (const [style, line] of [["#000a", 2.2 * width], [colour, width]]) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.strokeRect(x, y, w, h);
  }
}

// A finger hides what is under it, so the place is shown four times larger in a corner.
function magnify(place) {
  const [x, y] = place.map((value) => value * frameScale()), side = view.width / 3, part = side / 4;
  const left = x < view.width / 2 ? view.width - side : 0, middle = left + side / 2;
  context.fillStyle = "#000";
  context.fillRect(left, 0, side, side);
  const scale = shown.bitmap.width / view.width;
  context.drawImage(
    shown.bitmap, (x - part / 2) * scale, (y - part / 2) * scale, part * scale, part * scale, left, 0, side, side);
  context.lineWidth = 1.5 * screenPixel();
  context.strokeStyle = BOX_COLOURS.drawn;
  context.strokeRect(left, 0, side, side);
  context.beginPath();
  context.moveTo(middle, side / 4);
  context.lineTo(middle, 3 * side / 4);
  context.moveTo(left + side / 4, side / 2);
  context.lineTo(left + 3 * side / 4, side / 2);
  context.stroke();
}
