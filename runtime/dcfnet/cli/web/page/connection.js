// The connection to the program: each request gets exactly one answer, and the next request waits for it.

const REPLACED = 4000; // close code: the page was opened in another window
const socket = new WebSocket(`ws://${location.host}/viewer`);
socket.binaryType = "arraybuffer";
let resolveAnswer = null, turn = Promise.resolve();

socket.onmessage = ({ data }) => resolveAnswer(typeof data === "string" ? JSON.parse(data) : readFrame(data));

export function connect(opened, closed) {
  socket.onopen = opened;
  if (socket.readyState === WebSocket.OPEN) opened();
  socket.onclose = ({ code }) => closed(code === REPLACED);
}

// The answer: an object of the program, or a frame { header, response, jpeg }.
export function ask(request) {
  const answer = turn.then(() => new Promise((resolve) => {
    resolveAnswer = resolve;
    socket.send(JSON.stringify(request));
  }));
  turn = answer;
  return answer;
}

// Length of the header, header (JSON), length of the response map, response map (PNG), JPEG. Lengths: 4 bytes.
function readFrame(data) {
  const lengths = new DataView(data);
  const headerEnd = 4 + lengths.getUint32(0), responseStart = headerEnd + 4;
  const jpegStart = responseStart + lengths.getUint32(headerEnd);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, headerEnd - 4)));
  return { header, response: data.slice(responseStart, jpegStart), jpeg: data.slice(jpegStart) };
}
