// The states of the page: choose a video, draw a box, track, pause, end.

import { ask, connect } from "./connection.js";
import { enableDrawing } from "./drawing.js";
import { clearPanel, describe, setMeanings } from "./panel.js";
import { paint, shown, showPicture, view } from "./picture.js";

const element = (id) => document.getElementById(id);
const LONGEST_WAIT = 2000; // ms between two frames, if a video has a gap
const STATES = {
  choose: "Choose a video.",
  opening: "Opening …",
  draw: "Draw a box around the target.",
  running: "Tracking.",
  pausing: "Pausing …",
  paused: "Paused.",
  ended: "The video has ended.",
  closed: "Not connected.",
};
let uploadLimit = Infinity;

connect(async () => greet((await ask({ request: "hello" })).hello), (replaced) => {
  setState("closed");
  showError(replaced ? "The page was opened in another window. Reload this page to use it here."
    : "The program has ended or cannot be reached. Start dcfnet-run --web again, then reload this page.");
});

function greet({ given, cameras, upload_limit: limit, meanings }) {
  setMeanings(meanings);
  uploadLimit = limit;
  element("upload-limit").textContent = megabytes(limit);
  element("no-camera").hidden = cameras.length > 0;
  for (const camera of cameras) {
    const button = document.createElement("button");
    button.className = "button";
    button.textContent = camera;
    button.onclick = () => openSource({ source: camera }, camera);
    element("cameras").append(button);
  }
  setState("choose");
  if (given) openSource({ given: true }, given);
}

// --- states

const isState = (...states) => states.includes(document.body.dataset.state);
const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;

function setState(state, text = STATES[state]) {
  document.body.dataset.state = state;
  element("state").textContent = text;
  const choosing = isState("choose", "opening"), started = Boolean(shown.header && shown.header.box);
  element("choose").hidden = !choosing;
  element("choose").inert = state === "opening";
  element("work").hidden = choosing || !shown.header;
  const visible = {
    start: isState("draw"),
    newer: isState("draw") && Boolean(shown.header.preview && shown.box),
    pause: isState("running", "pausing"),
    continue: isState("paused"),
    redraw: isState("paused"),
    cancel: isState("draw") && started,
    another: isState("draw", "paused", "ended"),
    hint: isState("draw"),
    downloads: started,
  };
  for (const [id, show] of Object.entries(visible)) element(id).hidden = !show;
  element("pause").disabled = isState("pausing");
  element("start").disabled = !shown.box;
  element("start").textContent = started ? "Use this box" : "Start tracking";
}

function showError(text) {
  element("error").hidden = !text;
  element("error").textContent = text || "";
}

function backToChoice(error = "") {
  Object.assign(shown, { box: null, header: null });
  setState("choose");
  showError(error);
}

// --- choose a video

async function openSource(source, name) {
  showError("");
  setState("opening", `Opening ${name} …`);
  const answer = await ask({ request: "open", ...source });
  if (answer.error) { backToChoice(answer.error); return; }
  clearPanel();
  shown.box = null;
  await show(answer);
  setState("draw");
  view.focus({ preventScroll: true });
  preview();
}

// Before a box is drawn, a live source is shown as it is now.
let previewing = false;

async function preview() {
  if (previewing) return;
  previewing = true;
  while (isState("draw") && shown.header.preview && !shown.box) {
    const answer = await ask({ request: "preview" });
    if (answer.ended || answer.error) finish(answer);
    else await show(answer);
  }
  previewing = false;
}

element("path-form").onsubmit = (event) => {
  event.preventDefault();
  const path = element("path").value.trim();
  if (path) openSource({ source: path }, path);
};
element("file").onchange = ({ target }) => { if (target.files.length) upload(target.files[0]); };
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  if (isState("choose") && event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
};

function upload(file) {
  if (file.size > uploadLimit) {
    backToChoice(`${file.name}: has ${megabytes(file.size)}; the limit is ${megabytes(uploadLimit)}. `
      + "Choose a shorter video, give its path, or start the program with a larger --upload-limit.");
    return;
  }
  showError("");
  setState("opening", `Uploading ${file.name} …`);
  const request = new XMLHttpRequest(), progress = element("upload-progress"); // fetch reports no progress
  progress.hidden = false;
  request.upload.onprogress = ({ loaded, total }) => { progress.value = total ? loaded / total : 0; };
  request.onerror = () => backToChoice(`${file.name}: the upload was interrupted. Try again.`);
  request.onload = () => {
    if (request.status === 200) openSource({ upload: true }, file.name);
    else backToChoice(errorOf(request, file.name));
  };
  request.onloadend = () => { progress.hidden = true; element("file").value = ""; };
  request.open("PUT", `/upload?name=${encodeURIComponent(file.name)}`);
  request.send(file);
}

function errorOf(request, name) {
  try { return JSON.parse(request.responseText).error; } catch { return `${name}: the upload failed (${request.status}).`; }
}

// --- track

let clock = 0; // ms of performance.now() at the time 0 of the video

async function play() {
  clock = performance.now() - 1000 * shown.header.time;
  setState("running");
  while (isState("running")) {
    const answer = await ask({ request: "next", response: element("with-response").checked });
    if (answer.ended || answer.error) { finish(answer); return; }
    if (answer.header.age === undefined) await due(answer.header.time); // a live source has its own pace
    await show(answer);
  }
  if (isState("pausing")) setState("paused");
}

async function show({ header, response, jpeg }) {
  await showPicture(header, jpeg);
  describe(header, response);
}

// Waits until the time of the frame, so that a video plays at most at its own speed.
async function due(time) {
  const now = performance.now(), wait = clock + 1000 * time - now;
  if (wait > 0 && !element("fast").checked) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(wait, LONGEST_WAIT)));
  } else clock = now - 1000 * time;
}

function finish({ ended, error }) {
  setState("ended", ended && `${STATES.ended} ${ended.summary}.`);
  showError(error || ended.problems.join(" "));
}

async function start() {
  if (!shown.box) return;
  showError("");
  const answer = await ask({ request: "start", box: shown.box });
  if (answer.error) { showError(answer.error); return; }
  shown.box = null;
  await show(answer);
  play();
}

element("start").onclick = start;
element("newer").onclick = () => { shown.box = null; setState("draw"); preview(); };
element("pause").onclick = () => setState("pausing");
element("continue").onclick = play;
element("redraw").onclick = () => { setState("draw"); view.focus(); };
element("cancel").onclick = () => { shown.box = null; paint(); setState("paused"); };
element("another").onclick = () => backToChoice();
enableDrawing(() => isState("draw"), () => setState("draw"), start);

document.onkeydown = (event) => { // the space bar pauses, except on controls that use it
  if (event.key !== " " || ["INPUT", "BUTTON", "A"].includes(event.target.tagName)) return;
  if (!isState("running", "paused")) return;
  event.preventDefault();
  if (isState("running")) setState("pausing"); else play();
};
