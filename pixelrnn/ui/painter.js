// The painter: an image, enlarged or reduced, and what is painted over it, whole pixels at a time.
// props.picture is the address of a PNG of props.columns x props.rows pixels; props.value is what is painted, see painted.py;
// props.draws says whether white and black can be drawn; props.tool is the tool that a new image begins with.
const find = (selector) => element.querySelector(selector);
const canvas = find("canvas");
const view = find(".view");
const pen = canvas.getContext("2d");
const picture = new Image();
const sheet = document.createElement("canvas"); // what is painted, at the size of the image
const COLOURS = [[0, 0, 0, 0], [237, 140, 51, 219], [255, 255, 255, 255], [0, 0, 0, 255]]; // by the indices in STATES
const STATES = ".hwb";
const SMALL = 64; // images of up to so many pixels have a grid and small brushes
const undone = [];
const before = []; // paintings to go back to, as text, which is short even for a large picture
let painted = new Uint8Array(0); // indices in STATES
let known = ""; // the text of what is painted, as it last came or went
let brush = 3;
let tool = "1";
let zoom = 1;
let at = null; // [column, row] under the pointer
let painting = false;
let side = 1; // of a pixel's square on the canvas, in the screen's pixels
let grabbed = null; // where the view is moved from

const size = () => [Number(props.columns), Number(props.rows)];
const small = () => Math.max(...size()) <= SMALL;

function asText() {
  let text = "";
  for (let i = 0, begin = 0; i < painted.length; i++)
    if (i + 1 === painted.length || painted[i + 1] !== painted[i]) {
      text += i + 1 - begin + STATES[painted[i]];
      begin = i + 1;
    }
  return text;
}

function fromText(text) {
  const found = new Uint8Array(size()[0] * size()[1]);
  let i = 0;
  for (const [, length, state] of (text || "").matchAll(/(\d+)(.)/g)) {
    found.fill(STATES.indexOf(state), i, i + Number(length));
    i += Number(length);
  }
  return found;
}

function load() {
  const [columns, rows] = size();
  const fresh = picture.src !== props.picture;
  if (fresh || props.value !== known || painted.length !== columns * rows) {
    if (fresh || painted.length !== columns * rows) before.length = undone.length = 0;
    else remember();
    known = props.value;
    painted = fromText(known);
  }
  if (fresh) {
    picture.src = props.picture;
    zoom = 1;
    tool = props.tool || "1";
    const sizes = small() ? [1, 2, 3, 5] : [4, 8, 16, 32, 64];
    brush = tool === "2" ? sizes[1] : sizes[2];
    find(".sizes").innerHTML = `brush ${sizes.map((n) => `<button type="button" data-brush="${n}" title="${n} pixels wide">${n}</button>`).join("")}`;
    for (const button of element.querySelectorAll("[data-tool='2'], [data-tool='3']")) button.hidden = !props.draws;
    for (const button of element.querySelectorAll("[data-tool=move], [data-do=closer], [data-do=farther]")) button.hidden = small();
  }
  press();
  fit();
}

function fit() {
  const [columns, rows] = size();
  const room = Math.min(view.clientWidth || 320, 560) * devicePixelRatio * zoom;
  const scale = room / Math.max(columns, rows);
  side = scale >= 1 ? Math.floor(scale) : 1; // whole squares; a larger image is reduced by the browser
  [canvas.width, canvas.height] = [columns * side, rows * side];
  canvas.style.width = `${Math.min(columns * scale, canvas.width) / devicePixelRatio}px`; // whole pixels of the screen
  canvas.style.imageRendering = scale >= 1 ? "pixelated" : "auto";
  paintAll();
}

function paintAll() {
  const [columns, rows] = size();
  [sheet.width, sheet.height] = [columns, rows];
  const values = new ImageData(columns, rows);
  painted.forEach((state, i) => { if (state) values.data.set(COLOURS[state], 4 * i); });
  sheet.getContext("2d").putImageData(values, 0, 0);
  draw();
}

function draw() {
  pen.imageSmoothingEnabled = false;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (picture.complete && picture.naturalWidth) pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.drawImage(sheet, 0, 0, canvas.width, canvas.height);
  if (small()) {
    pen.fillStyle = "rgba(128, 128, 128, 0.35)";
    for (let x = side; x < canvas.width; x += side) pen.fillRect(x, 0, 1, canvas.height);
    for (let y = side; y < canvas.height; y += side) pen.fillRect(0, y, canvas.width, 1);
  }
  if (at && tool !== "move") {
    const [left, top] = corner(at);
    const unit = canvas.width / (parseFloat(canvas.style.width) || canvas.width); // so that the frame is seen if all is reduced
    for (const [width, colour] of [[4, "white"], [2, tool === "1" ? "#b3261e" : "#1e6fb3"]]) { // seen on whatever lies below
      pen.lineWidth = width * unit;
      pen.strokeStyle = colour;
      pen.strokeRect(left * side, top * side, brush * side, brush * side);
    }
  }
}

const corner = ([column, row]) => [column - Math.floor((brush - 1) / 2), row - Math.floor((brush - 1) / 2)];

function dab(place, values, first, above) { // values are those of a part whose corner is at (first, above)
  const [columns, rows] = size();
  const [left, top] = corner(place);
  for (let row = Math.max(0, top); row < Math.min(rows, top + brush); row++)
    for (let column = Math.max(0, left); column < Math.min(columns, left + brush); column++) {
      const [x, y] = [column - left + 0.5 - brush / 2, row - top + 0.5 - brush / 2];
      if (brush > 5 && x * x + y * y > (brush * brush) / 4) continue; // large brushes are round
      painted[row * columns + column] = Number(tool);
      values.data.set(COLOURS[Number(tool)], 4 * ((row - above) * values.width + column - first));
    }
}

function stroke(from, to) {
  const [first, above] = [0, 1].map((axis) => Math.max(0, Math.min(from[axis], to[axis]) - brush));
  const [last, below] = [0, 1].map((axis) => Math.min(size()[axis], Math.max(from[axis], to[axis]) + brush + 1));
  if (last <= first || below <= above) return; // outside the picture
  const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
  const pen = sheet.getContext("2d", { willReadFrequently: true });
  const values = pen.getImageData(first, above, last - first, below - above);
  const each = Math.max(1, Math.floor(brush / 4)); // large brushes overlap anyway
  for (let i = 0; i < steps; i += each)
    dab([0, 1].map((axis) => Math.round(from[axis] + ((to[axis] - from[axis]) * i) / steps)), values, first, above);
  dab(to, values, first, above);
  pen.putImageData(values, first, above);
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  const [columns, rows] = size();
  return [
    Math.floor(((event.clientX - box.left) / box.width) * columns),
    Math.floor(((event.clientY - box.top) / box.height) * rows),
  ];
}

function remember() {
  before.push(known);
  if (before.length > 100) before.shift();
  undone.length = 0;
}

function send() { // what was painted, if that changed anything
  const text = asText();
  if (text === known) return;
  remember();
  tell(text);
}

function tell(text) {
  known = props.value = text;
  press();
  trigger("input");
}

function go(from, to) {
  if (!from.length) return;
  to.push(known);
  const text = from.pop();
  painted = fromText(text);
  paintAll();
  tell(text);
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  if (tool === "move") {
    grabbed = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
    return;
  }
  painting = true;
  at = place(event);
  stroke(at, at);
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (grabbed) view.scrollTo(grabbed[0] - event.clientX, grabbed[1] - event.clientY);
  const to = place(event);
  if (painting) stroke(at, to);
  at = to;
  draw();
});
const lift = () => {
  grabbed = null;
  if (!painting) return;
  painting = false;
  send();
};
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);
const middle = () => size().map((n) => n >> 1);
const WORDS = ["seen", "hidden", "white", "black"]; // by the indices in STATES

function where() { // says where the brush of the keyboard is
  const [column, row] = at || middle();
  find(".where").textContent = `row ${row + 1}, column ${column + 1}: ${WORDS[painted[row * size()[0] + column]]}`;
}

const focused = () => canvas.matches(":focus-visible"); // with the keyboard, which then has the brush
canvas.addEventListener("pointerleave", () => {
  if (!painting && !focused()) at = null;
  draw();
});
canvas.addEventListener("focus", () => {
  if (focused()) at ??= middle();
  draw();
});
canvas.addEventListener("blur", () => {
  at = null;
  draw();
});
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    const [column, row] = at || middle();
    const [right, down] = moves[event.key].map((way) => way * (small() ? 1 : brush));
    at = [Math.min(Math.max(column + right, 0), size()[0] - 1), Math.min(Math.max(row + down, 0), size()[1] - 1)];
    where();
  } else if (event.key === " ") {
    if (tool === "move") return;
    stroke(at || middle(), at || middle());
    send();
    where();
  } else return;
  event.preventDefault();
  draw();
});

function press() {
  for (const button of element.querySelectorAll("[data-brush]")) button.setAttribute("aria-pressed", Number(button.dataset.brush) === brush);
  for (const button of element.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === tool);
  find("[data-do=undo]").disabled = !before.length;
  find("[data-do=redo]").disabled = !undone.length;
  canvas.style.cursor = tool === "move" ? "grab" : "crosshair";
}

element.addEventListener("click", (event) => {
  const { brush: wide, tool: chosen, do: what } = event.target.dataset || {};
  if (wide) brush = Number(wide);
  if (chosen) tool = chosen;
  if (what === "undo") go(before, undone);
  if (what === "redo") go(undone, before);
  if (what === "invert" || what === "clear") {
    painted = painted.map((state) => (state > 1 ? state : what === "invert" ? 1 - state : 0));
    paintAll();
    send();
  }
  if (what === "closer" || what === "farther") {
    const middle = [view.scrollLeft + view.clientWidth / 2, view.scrollTop + view.clientHeight / 2].map((x) => x / zoom);
    zoom = Math.min(8, Math.max(1, what === "closer" ? 2 * zoom : zoom / 2));
    fit();
    view.scrollTo(middle[0] * zoom - view.clientWidth / 2, middle[1] * zoom - view.clientHeight / 2);
  }
  press();
  draw();
});

// Anywhere on the page: Ctrl+Z and Ctrl+Y; a picture that is pasted or dropped, which goes to the button of its kind; and a
// message about a mistake, which is brought into view.
const shown = () => element.isConnected && element.checkVisibility();

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (!shown() || !(event.ctrlKey || event.metaKey) || !"zy".includes(key) || event.target.matches("input, textarea")) return;
  event.preventDefault();
  key === "z" && !event.shiftKey ? go(before, undone) : go(undone, before);
});

function receive(files, button) {
  const picture = [...files].find((file) => file.type.startsWith("image/"));
  let input = document.querySelector(button); // Gradio puts the input for the file before its button
  while (input && !input.matches("input[type=file]")) input = input.previousElementSibling;
  if (!picture || !input) return false;
  const sent = new DataTransfer();
  sent.items.add(picture);
  input.files = sent.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

document.addEventListener("paste", (event) => {
  if (shown() && receive(event.clipboardData.files, "#own-picture")) event.preventDefault();
});
document.addEventListener("dragover", (event) => {
  if (!shown() || !event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  element.classList.add("waiting");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) element.classList.remove("waiting");
});
document.addEventListener("drop", (event) => {
  element.classList.remove("waiting");
  if (!shown() || !event.dataTransfer.files.length) return;
  event.preventDefault();
  receive(event.dataTransfer.files, event.target.closest("#mask-file") ? "#mask-file" : "#own-picture");
});

new MutationObserver((changes) => {
  for (const { target } of changes) // Gradio changes the paragraph that is there
    (target.closest ? target : target.parentElement)?.closest(".line.wrong")?.scrollIntoView({ block: "nearest" });
}).observe(document.body, { subtree: true, childList: true, characterData: true, attributeFilter: ["class"] });

picture.onload = draw;
new ResizeObserver(fit).observe(view);
watch(["value", "picture", "columns", "rows"], load);
load();
