// Pictures to choose from: a click tells the number of the picture, and the one that was chosen has a frame.
const mark = () => {
  for (const button of element.querySelectorAll("[data-number]"))
    button.setAttribute("aria-pressed", button.dataset.number === String(props.value));
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-number]");
  if (!button) return;
  props.value = Number(button.dataset.number);
  trigger("input");
  setTimeout(mark); // after the template is rendered again
});
watch(["value", "pictures"], mark);
mark();
