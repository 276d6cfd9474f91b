// The player: an answer is drawn again, pixel by pixel, at a pace that one can follow.
// props.before and props.after are addresses of PNGs of one size; props.steps is one whose red, green and blue are the bytes of
// the step at which a pixel is drawn, 0 for an observed one, see steps_url in views.py.
const find = (selector) => element.querySelector(selector);
const canvas = find("canvas");
const pen = canvas.getContext("2d");
const slider = find("[type=range]");
const sheet = new OffscreenCanvas(1, 1); // at the size of the picture
let before, after, steps, order; // pixels; the raster indices of the drawn pixels by step
let timer = null;
let loads = 0;

async function pixels(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(image, 0, 0);
  return pen.getImageData(0, 0, image.width, image.height);
}

async function load() {
  stop();
  if (!props.after) return;
  const mine = ++loads;
  const [first, last, bytes] = await Promise.all([props.before, props.after, props.steps].map(pixels));
  if (mine !== loads) return; // another answer was chosen meanwhile
  [before, after] = [first, last];
  steps = Uint32Array.from({ length: bytes.width * bytes.height }, (_, i) =>
    bytes.data[4 * i] * 65536 + bytes.data[4 * i + 1] * 256 + bytes.data[4 * i + 2]);
  order = [...steps.keys()].filter((i) => steps[i]).sort((a, b) => steps[a] - steps[b]);
  slider.max = steps.reduce((most, step) => Math.max(most, step), 0);
  slider.value = slider.max;
  name();
  find(".words").textContent = props.words;
  find("code").textContent = props.command;
  find(".command").hidden = !props.command;
  find("[name=path]").parentElement.hidden = Math.max(bytes.width, bytes.height) > 64;
  fit();
  if (props.value !== "play") element.scrollIntoView({ behavior: "smooth", block: "nearest" }); // it was clicked
  if (props.value === "play") {
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  }
}

function fit() {
  if (!after) return;
  const room = Math.min(canvas.parentElement.clientWidth || 320, 400) * devicePixelRatio;
  const side = room / Math.max(after.width, after.height);
  const scale = side >= 1 ? Math.floor(side) : 1; // whole squares; a larger picture is reduced by the browser
  [canvas.width, canvas.height] = [after.width * scale, after.height * scale];
  canvas.style.width = `${Math.min(after.width * side, canvas.width) / devicePixelRatio}px`;
  canvas.style.imageRendering = side >= 1 ? "pixelated" : "auto";
  draw();
}

function draw() {
  if (!after) return;
  const now = Number(slider.value);
  find("output").textContent = `${now}/${slider.max}`;
  const shown = new ImageData(Uint8ClampedArray.from(find("[name=before]").checked ? before.data : after.data), after.width);
  if (!find("[name=before]").checked)
    for (const i of order) if (steps[i] > now) shown.data.set([237, 140, 51, 255], 4 * i);
  [sheet.width, sheet.height] = [shown.width, shown.height];
  sheet.getContext("2d").putImageData(shown, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, 0, 0, canvas.width, canvas.height);
  if (find("[name=path]").checked && !find("[name=path]").parentElement.hidden) drawPath(now, canvas.width / shown.width);
}

function drawPath(now, side) {
  const past = order.filter((i) => steps[i] <= now);
  pen.lineJoin = "round";
  pen.strokeStyle = "rgba(30, 111, 179, 0.8)";
  pen.lineWidth = Math.max(1, side / 8);
  pen.beginPath();
  past.forEach((i, k) => {
    const place = [((i % after.width) + 0.5) * side, (Math.floor(i / after.width) + 0.5) * side];
    if (k) pen.lineTo(...place);
    else pen.moveTo(...place);
  });
  pen.stroke();
}

function play() {
  stop();
  if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
  const whole = Number(find("select").value) * 1000; // milliseconds from the first step to the last
  const pace = Math.max(1, Number(slider.max)) / whole;
  let then = performance.now();
  let at = Number(slider.value);
  const tick = (time) => {
    at += Math.max(0, time - then) * pace;
    then = time;
    slider.value = Math.floor(at);
    draw();
    timer = Number(slider.value) < Number(slider.max) ? requestAnimationFrame(tick) : null;
    name();
  };
  timer = requestAnimationFrame(tick);
  name();
}

function stop() {
  if (timer !== null) cancelAnimationFrame(timer);
  timer = null;
  name();
}

const name = () => {
  const [now, most] = [Number(slider.value), Number(slider.max)];
  find("[data-do=play]").textContent = timer !== null ? "Pause" : now > 0 && now < most ? "Play on" : "Replay";
};

element.addEventListener("click", async (event) => {
  const what = event.target.dataset?.do;
  if (what === "play") timer === null ? play() : stop();
  if (what === "back" || what === "on") {
    stop();
    slider.value = Number(slider.value) + (what === "on" ? 1 : -1);
    draw();
    name();
  }
  if (what === "copy") {
    await navigator.clipboard.writeText(props.command);
    event.target.textContent = "Copied";
    setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
  }
});
slider.addEventListener("input", () => { stop(); draw(); name(); });
for (const box of element.querySelectorAll("[type=checkbox]")) box.addEventListener("input", draw);
find("select").addEventListener("input", () => { if (timer !== null) play(); });
new ResizeObserver(fit).observe(canvas.parentElement);
watch(["value", "after", "steps"], load);
load();
