// What the program says about the target: status, reason, numbers, the confidence over time, the response map.

const CHART_FRAMES = 200;
const element = (id) => document.getElementById(id);
let meanings = {}, confidences = [];

export function setMeanings(byReason) { meanings = byReason; }

export function clearPanel() {
  confidences = [];
  element("response").hidden = true;
}

export function describe(header, response) {
  element("status").textContent = header.status || (header.box ? "box drawn" : "no box yet");
  element("status").className = `badge ${header.status || ""}`;
  element("reason").textContent = meanings[header.reason] || "";
  element("frame").textContent = header.frame;
  element("time").textContent = `${header.time.toFixed(2)} s`;
  element("psr").textContent = header.psr === undefined ? "–" : header.psr.toFixed(1);
  element("live").hidden = header.age === undefined; // only live sources have it
  if (header.age !== undefined) element("age").textContent = `${Math.round(1000 * header.age)} ms, ${header.skipped}`;
  const { confidence } = header;
  element("confidence").textContent = confidence === undefined ? "–" : `${Math.round(100 * confidence)} %`;
  describeBox(header.box);
  if (header.status) confidences.push({ confidence, status: header.status });
  confidences = confidences.slice(-CHART_FRAMES);
  paintChart();
  if (response.byteLength) showResponse(response);
}

export function describeBox(box) {
  if (box) element("status").textContent = element("status").textContent.replace("no box yet", "box drawn");
  element("box").textContent = box ? box.map(Math.round).join(", ") : "–";
}

function paintChart() {
  const chart = element("chart"), pen = chart.getContext("2d"), style = getComputedStyle(document.documentElement);
  const place = (index) => [
    index * chart.width / (CHART_FRAMES - 1), 4 + (1 - confidences[index].confidence) * (chart.height - 8)];
  pen.clearRect(0, 0, chart.width, chart.height);
  pen.lineWidth = 4;
  for (let index = 1; index < confidences.length; index += 1) {
    if (confidences[index].confidence === undefined || confidences[index - 1].confidence === undefined) continue;
    pen.strokeStyle = style.getPropertyValue(`--${confidences[index].status}`);
    pen.beginPath();
    pen.moveTo(...place(index - 1));
    pen.lineTo(...place(index));
    pen.stroke();
  }
}

function showResponse(png) {
  const image = element("response"), before = image.src;
  image.src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  image.hidden = false;
  if (before) URL.revokeObjectURL(before);
}
