"""The page and its three tabs, of which two are here: draw images from scratch, and follow an ordering."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from pixelrnn import figures
from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError
from pixelrnn.ui import views
from pixelrnn.ui.complete_tab import CompleteTab
from pixelrnn.ui.events import KEPT, QUICK, QUIET, DrawPanel, answer_at_once
from pixelrnn.ui.request import MAX_IMAGES, LoadedModel, ModelCatalog, Request, Target, check_number

# System fonts: the page asks no other host for anything.
THEME = gr.themes.Base(
    primary_hue="orange", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(  # the contrast of words with their background is at least 4.5 to 1
    body_text_color_subdued="*neutral_500",
    color_accent="*primary_700",
    slider_color_dark="*primary_500",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)
FRAMES = 60  # of an ordering that is played
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def build(models: ModelCatalog) -> gr.Blocks:
    """Build the page for these models."""
    with gr.Blocks(title="pixelrnn", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(
            "# pixelrnn\nPaint over a part of an image. The network draws it again, pixel by pixel, from the pixels that it "
            "can see. Nothing leaves this machine.",
            elem_classes="intro",
        )
        with gr.Tab("Complete", id="complete"):
            CompleteTab(models)
        with gr.Tab("Sample", id="sample"):
            sample_tab(models)
        with gr.Tab("Orderings", id="orderings"):
            OrderingsTab(models)
    return page


def sample_tab(models: ModelCatalog) -> None:
    with gr.Row():
        name = gr.Dropdown(models.names, value=models.first, label="Model", elem_id="sample-model")
        count = gr.Slider(1, MAX_IMAGES, value=16, step=1, label="Images", elem_id="sample-count")
        temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature")
        seed = gr.Number(0, precision=0, label="Seed", min_width=90)
    panel = DrawPanel("Sample", "Draws images from scratch: everything is hidden.", "sample-")

    def request(name: str, *choices: Any) -> Request:
        blank = Target(name, torch.zeros(models[name].model.shape, dtype=torch.uint8))
        return Request(
            models[name], blank, torch.ones(blank.image.shape[1:], dtype=torch.bool), "auto", "best", *choices
        )

    panel.draw(request, [name, count, temperature, seed])


class OrderingsTab:
    """The third tab: the path of an ordering through an image, and what a model has seen at a step."""

    def __init__(self, models: ModelCatalog):
        self.models, first = models, models[models.first]
        pixels = first.model.pixels
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                self.name = gr.Dropdown(models.names, value=first.name, label="Model", elem_id="ordering-model")
                self.number = gr.Slider(1, len(first.examples), value=1, step=1, label="Example")
                self.ordering = gr.Dropdown(ordering_choices(first), value=0, label="Ordering", elem_id="ordering")
                self.transforms = gr.CheckboxGroup(
                    list(orderings.TRANSFORMS), label="Transforms (not for the model's own orderings)"
                )
                self.step = gr.Slider(0, pixels, value=pixels // 2, step=1, label="Step t", elem_id="step")
                with gr.Row():
                    play = gr.Button("Play", variant="primary", elem_id="play")
                    pause = gr.Button("Pause", elem_id="pause")
            with gr.Column(scale=6, min_width=320):
                words, picture = step_view(first, 1, 0, [], pixels // 2)
                self.line = gr.HTML(views.line(words), elem_id="ordering-line")
                self.picture = gr.HTML(picture, elem_id="step-picture")
        chosen: list[Any] = [self.name, self.number, self.ordering, self.transforms, self.step]
        outputs = [self.picture, self.number, self.ordering, self.step]
        answer_at_once(self.line, self.name.input, self.choose_model, [self.name], outputs)
        inputs = [component.input for component in chosen[1:]]
        answer_at_once(self.line, inputs, self.show, chosen, [self.picture])
        options = {**QUIET, "trigger_mode": "once", "concurrency_limit": 4}
        playing = play.click(self.play, chosen, [self.step, self.line, self.picture], **options)
        pause.click(None, cancels=[playing], **QUICK)

    def show(self, name: str, *chosen: Any) -> dict[Any, Any]:
        words, picture = step_view(self.models[name], *chosen)
        return {self.line: words, self.picture: picture}

    def choose_model(self, name: str) -> dict[Any, Any]:
        loaded = self.models[name]
        pixels = loaded.model.pixels
        return {
            **self.show(name, 1, 0, [], pixels // 2),
            self.number: gr.Slider(maximum=len(loaded.examples), value=1),
            self.ordering: gr.Dropdown(choices=ordering_choices(loaded), value=0),
            self.step: gr.Slider(maximum=pixels, value=pixels // 2),
        }

    def play(self, name: str, number: Any, ordering: Any, transforms: Any, at: Any) -> Iterator[dict[Any, Any]]:
        """Show the steps after this one, or all of them if it is the last."""
        try:
            last = self.models[name].model.pixels
            check_number("step", at, 0, last)
            for step in [*range(at if at < last else 0, last, max(1, last // FRAMES)), last]:
                words, picture = step_view(self.models[name], number, ordering, transforms, step)
                yield {self.step: step, self.line: views.line(words), self.picture: picture}
                time.sleep(0.05)
        except UserError as error:
            yield {self.line: views.line(str(error), "wrong")}


def ordering_choices(loaded: LoadedModel) -> list[tuple[str, Any]]:
    own = [(f"the model's: {name}", index) for index, name in enumerate(loaded.order_names)]
    return [*own, *((name, name) for name in orderings.ORDERINGS if name != "permutation")]


def step_view(
    loaded: LoadedModel, number: Any, ordering: int | str, transforms: Sequence[str], step: Any
) -> tuple[str, str]:
    """Show what the model has seen of an example at a step: words, and HTML of a picture.

    ordering is an index of the model's own orders, or the name of an ordering, which the transforms change. Raises
    UserError for a value out of range.
    """
    check_number("number of the example", number, 1, len(loaded.examples))
    check_number("step", step, 0, loaded.model.pixels)
    image = loaded.examples[number - 1]
    if isinstance(ordering, int):
        check_number("order", ordering, 0, len(loaded.model.orders) - 1)
        order = loaded.model.orders[ordering].cpu()
    else:
        order = orderings.build({"name": ordering, "transforms": transforms}, *loaded.model.shape[1:])
    words = f"Step {step} of {len(order)}: the model has seen {step} pixels."
    if step < len(order):
        row, column = divmod(int(order[step]), loaded.model.shape[2])
        words += f" The next one is in row {row + 1}, column {column + 1}."
        p = pixel_probability(loaded, image, ordering, step) if isinstance(ordering, int) else None
        if p is not None:
            words += f" The model gives its true value a probability of {p:.1%}, which is {-math.log2(p):.2f} bits."
    window = int(loaded.model.arguments.get("window") or 0)
    picture = figures.as_png(figures.seen(image, loaded.model.levels, order, step, window))
    return words, views.figure(picture, words)


def pixel_probability(loaded: LoadedModel, image: Tensor, order: int, step: int) -> float | None:
    """p(x_t | x_<t) of the image's value at a step. None while another thread uses the model: it may draw for minutes."""
    model = loaded.model
    if not model.cursor.lock.acquire(blocking=False):
        return None
    try:
        with model.evaluating(), model.along(order):
            log_p = model.pixel_log_probs(image[None].to(model.order.device))[0, step]
        return max(math.exp(float(log_p)), 1e-30)
    finally:
        model.cursor.lock.release()
