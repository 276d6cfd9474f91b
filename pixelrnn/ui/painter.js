// The painter: an image whose every pixel is a square on the screen, and a mask painted over it, whole pixels at a time.
// props.picture is the address of a PNG of props.columns x props.rows pixels; props.value the mask, see mask_to_text in request.py.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d");
const picture = new Image();
const before = []; // masks to go back to
let mask = [];
let brush = 3;
let hides = true;
let at = null; // [column, row] under the pointer
let painting = false;
let side = 1; // of a pixel's square

const asText = () => mask.map((hidden) => (hidden ? "1" : "0")).join("");

function load() {
  const next = Array.from(props.value || "", (character) => character === "1");
  if (mask.length === next.length && asText() !== props.value) before.push(mask);
  if (mask.length !== next.length) before.length = 0;
  mask = next;
  if (picture.src !== props.picture) picture.src = props.picture;
  fit();
}

function fit() {
  const [columns, rows] = [Number(props.columns), Number(props.rows)];
  const room = Math.min(canvas.parentElement.clientWidth || 320, 560) * devicePixelRatio;
  side = Math.max(1, Math.floor(room / Math.max(columns, rows)));
  canvas.width = columns * side;
  canvas.height = rows * side;
  canvas.style.width = `${canvas.width / devicePixelRatio}px`; // whole pixels of the screen
  draw();
}

function draw() {
  const columns = Number(props.columns);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.fillStyle = "rgba(237, 140, 51, 0.86)";
  mask.forEach((hidden, i) => {
    if (hidden) pen.fillRect((i % columns) * side, Math.floor(i / columns) * side, side, side);
  });
  pen.fillStyle = "rgba(128, 128, 128, 0.35)";
  for (let x = side; x < canvas.width; x += side) pen.fillRect(x, 0, 1, canvas.height);
  for (let y = side; y < canvas.height; y += side) pen.fillRect(0, y, canvas.width, 1);
  if (at) {
    const [left, top] = corner(at);
    for (const [width, colour] of [[4, "white"], [2, hides ? "#b3261e" : "#1e6fb3"]]) { // seen on whatever lies below
      pen.lineWidth = width * devicePixelRatio;
      pen.strokeStyle = colour;
      pen.strokeRect(left * side, top * side, brush * side, brush * side);
    }
  }
}

const corner = ([column, row]) => [column - Math.floor((brush - 1) / 2), row - Math.floor((brush - 1) / 2)];

function dab(place) {
  const [left, top] = corner(place);
  for (let row = Math.max(0, top); row < Math.min(Number(props.rows), top + brush); row++)
    for (let column = Math.max(0, left); column < Math.min(Number(props.columns), left + brush); column++)
      mask[row * Number(props.columns) + column] = hides;
}

function stroke(from, to) {
  const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
  for (let i = 0; i <= steps; i++)
    dab([0, 1].map((axis) => Math.round(from[axis] + ((to[axis] - from[axis]) * i) / steps)));
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    Math.floor(((event.clientX - box.left) / box.width) * Number(props.columns)),
    Math.floor(((event.clientY - box.top) / box.height) * Number(props.rows)),
  ];
}

function send() {
  props.value = asText();
  trigger("input");
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  before.push([...mask]);
  painting = true;
  at = place(event);
  dab(at);
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  const to = place(event);
  if (painting) stroke(at, to);
  at = to;
  draw();
});
const lift = () => {
  if (!painting) return;
  painting = false;
  send();
};
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);
const focused = () => canvas.matches(":focus-visible"); // with the keyboard, which then has the brush
canvas.addEventListener("pointerleave", () => {
  if (!painting && !focused()) at = null;
  draw();
});
canvas.addEventListener("focus", () => {
  if (focused()) at ??= [0, 0];
  draw();
});
canvas.addEventListener("blur", () => {
  at = null;
  draw();
});
canvas.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in moves) {
    const [column, row] = at || [0, 0];
    const [right, down] = moves[event.key];
    at = [
      Math.min(Math.max(column + right, 0), Number(props.columns) - 1),
      Math.min(Math.max(row + down, 0), Number(props.rows) - 1),
    ];
  } else if (event.key === " ") {
    before.push([...mask]);
    dab(at || [0, 0]);
    send();
  } else return;
  event.preventDefault();
  draw();
});

element.addEventListener("click", (event) => {
  const { brush: size, hides: hide, undo, whole } = event.target.dataset || {};
  if (size) brush = Number(size);
  if (hide) hides = hide === "1";
  if (undo && before.length) {
    mask = before.pop();
    send();
  }
  if (whole) {
    before.push([...mask]);
    mask = mask.map((hidden) => (whole === "invert" ? !hidden : false));
    send();
  }
  for (const button of element.querySelectorAll("[data-brush]"))
    button.setAttribute("aria-pressed", Number(button.dataset.brush) === brush);
  for (const button of element.querySelectorAll("[data-hides]"))
    button.setAttribute("aria-pressed", (button.dataset.hides === "1") === hides);
  draw();
});

picture.onload = draw;
new ResizeObserver(fit).observe(canvas.parentElement);
watch(["value", "picture", "columns", "rows"], load);
load();
