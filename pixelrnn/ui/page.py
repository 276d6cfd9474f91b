"""The page and its three tabs, of which one is here: follow an ordering."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from pixelrnn import figures
from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError
from pixelrnn.ui import views
from pixelrnn.ui.catalog import LoadedModel, ModelCatalog
from pixelrnn.ui.complete_tab import CompleteTab, first_target
from pixelrnn.ui.drawn import Drawn
from pixelrnn.ui.events import KEPT, QUICK, QUIET, answer_at_once
from pixelrnn.ui.request import Target, check_number
from pixelrnn.ui.sample_tab import SampleTab

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
    """Build the page for these models. The tabs share the model and the picture."""
    first = models[models.first]
    with gr.Blocks(title="pixelrnn", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(
            "# pixelrnn\nPaint over a part of an image. The network draws it again, pixel by pixel, from the pixels that it "
            "can see. Nothing leaves this machine.",
            elem_classes="intro",
        )
        model = gr.Dropdown(models.titles, value=first.name, label="Model", elem_id="model")
        target = gr.State(first_target(first))
        with gr.Tabs() as tabs:
            with gr.Tab("Complete", id="complete"):
                complete = CompleteTab(models, model, target)
            with gr.Tab("Sample", id="sample"):
                sample = SampleTab(models, target)
            with gr.Tab("Orderings", id="orderings") as tab:
                orderings_tab = OrderingsTab(models, target)

        def take(drawn: Drawn, chosen: int) -> dict[Any, Any]:
            return {**complete.go_on(drawn, chosen), tabs: gr.Tabs(selected="complete")}

        taken = [*complete.shown, tabs]
        answer_at_once(complete.panel.line, sample.panel.further.click, take, sample.panel.state, taken)
        model.change(sample.panel.show_nothing, None, sample.panel.shown, **QUICK)
        answer_at_once(orderings_tab.line, tab.select, orderings_tab.choose, [target], orderings_tab.outputs)
        answer_at_once(orderings_tab.line, model.change, orderings_tab.choose, [target], orderings_tab.outputs)
    return page


class OrderingsTab:
    """The third tab: the path of an ordering through an image, and what a model has seen at a step."""

    def __init__(self, models: ModelCatalog, target: gr.State):
        self.models, first = models, models[models.first]
        pixels = first.model.pixels
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                self.ordering = gr.Dropdown(ordering_choices(first), value=0, label="Ordering", elem_id="ordering")
                self.transforms = gr.CheckboxGroup(
                    [(name.replace("_", " "), name) for name in orderings.TRANSFORMS],
                    label="Transforms",
                    info="mirror or turn the ordering",
                    elem_id="transforms",
                    visible=False,
                )
                self.step = gr.Slider(0, pixels, value=pixels // 2, step=1, label="Step t", elem_id="step")
                with gr.Row():
                    play = gr.Button("Play", variant="primary", elem_id="play")
                    pause = gr.Button("Pause", elem_id="pause")
            with gr.Column(scale=6, min_width=320):
                words, picture = step_view(first, first.examples[0], 0, [], pixels // 2)
                self.line = gr.HTML(views.line(words), elem_id="ordering-line")
                self.picture = gr.HTML(picture, elem_id="step-picture")
        chosen: list[Any] = [target, self.ordering, self.transforms, self.step]
        self.outputs = [self.picture, self.ordering, self.transforms, self.step]
        self.ordering.input(
            lambda chosen: gr.CheckboxGroup(visible=isinstance(chosen, str)), self.ordering, self.transforms, **QUICK
        )
        inputs = [component.input for component in chosen[1:]]
        answer_at_once(self.line, inputs, self.show, chosen, [self.picture, self.transforms])
        options = {**QUIET, "trigger_mode": "once", "concurrency_limit": 4}
        playing = play.click(self.play, chosen, [self.step, self.line, self.picture], **options)
        pause.click(None, cancels=[playing], **QUICK)

    def show(self, target: Target, *chosen: Any) -> dict[Any, Any]:
        words, picture = step_view(*self._seen(target), *chosen)
        transforms = gr.CheckboxGroup(visible=isinstance(chosen[0], str))  # the model's own orders are as they are
        return {self.line: words, self.picture: picture, self.transforms: transforms}

    def _seen(self, target: Target) -> tuple[LoadedModel, Tensor]:
        """The target's model, and the target in the size of the model's images: of a larger picture the middle, of a smaller one
        the model's first example in its place."""
        loaded = self.models[target.model]
        (_, height, width), image = loaded.model.shape, target.image
        top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
        if top < 0 or left < 0 or len(image) != loaded.model.shape[0]:
            return loaded, loaded.examples[0]
        return loaded, image[:, top : top + height, left : left + width]

    def choose(self, target: Target) -> dict[Any, Any]:
        """Show the target that was chosen in the first tab."""
        loaded = self.models[target.model]
        pixels = loaded.model.pixels
        return {
            **self.show(target, 0, [], pixels // 2),
            self.ordering: gr.Dropdown(choices=ordering_choices(loaded), value=0),
            self.transforms: gr.CheckboxGroup(value=[], visible=False),
            self.step: gr.Slider(maximum=pixels, value=pixels // 2),
        }

    def play(self, target: Target, ordering: Any, transforms: Any, at: Any) -> Iterator[dict[Any, Any]]:
        """Show the steps after this one, or all of them if it is the last."""
        try:
            loaded, image = self._seen(target)
            last = loaded.model.pixels
            check_number("step", at, 0, last)
            for step in [*range(at if at < last else 0, last, max(1, last // FRAMES)), last]:
                words, picture = step_view(loaded, image, ordering, transforms, step)
                yield {self.step: step, self.line: views.line(words), self.picture: picture}
                time.sleep(0.05)
        except UserError as error:
            yield {self.line: views.mistake(error)}


def ordering_choices(loaded: LoadedModel) -> list[tuple[str, Any]]:
    own = [(f"the model's: {name}", index) for index, name in enumerate(loaded.order_names)]
    return [*own, *((name, name) for name in orderings.ORDERINGS if name != "permutation")]


def step_view(
    loaded: LoadedModel, image: Tensor, ordering: int | str, transforms: Sequence[str], step: Any
) -> tuple[str, str]:
    """Show what the model has seen of an image at a step: words, and HTML of a picture.

    ordering is an index of the model's own orders, or the name of an ordering, which the transforms change. Raises
    UserError for a value out of range.
    """
    check_number("step", step, 0, loaded.model.pixels)
    if isinstance(ordering, int):
        check_number("order", ordering, 0, len(loaded.model.orders) - 1)
        order = loaded.model.orders[ordering].cpu()
    else:
        order = orderings.build({"name": ordering, "transforms": transforms}, *loaded.model.shape[1:])
    own, window = isinstance(ordering, int), int(loaded.model.arguments.get("window") or 0)
    words = (
        f"Step {step} of {len(order)}: {'the model has seen' if own else 'this ordering has visited'} {step} pixels."
    )
    if step < len(order):
        row, column = divmod(int(order[step]), loaded.model.shape[2])
        words += f" The next one, in the red frame, is in row {row + 1}, column {column + 1}."
        p = pixel_probability(loaded, image, ordering, step) if isinstance(ordering, int) else None
        if p is not None:
            value = "true value" if loaded.model.shape[0] == 1 else "true colour"
            chance = f"{100 * p:.1f} %" if p >= 0.001 else f"1 in {1 / p:,.0f}"
            words += f" The model gives its {value} a probability of {chance}, which is {-math.log2(p):.2f} bits."
        if own and window:
            words += " The white frame is its window onto the pixels nearby."
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
