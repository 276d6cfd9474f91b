// A row of pictures to choose from: a click tells the number of the picture.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-number]");
  if (!button) return;
  props.value = Number(button.dataset.number);
  trigger("input");
});
