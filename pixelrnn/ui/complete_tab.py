"""The first tab: paint the hidden region, and watch it being completed."""

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from pixelrnn.completion.describe import describe, describe_model
from pixelrnn.figures.strips import as_rgb
from pixelrnn.model import InpaintingRNN
from pixelrnn.ui.events import DrawPanel, answer_at_once
from pixelrnn.ui.own_size import OwnSize
from pixelrnn.ui.request import (
    STANDARD,
    LoadedModel,
    ModelCatalog,
    Request,
    Target,
    check_number,
    mask_from_text,
    mask_to_text,
    standard_mask,
)
from pixelrnn.ui.views import url

HERE = Path(__file__).parent
STRATEGIES = [("exact, else particles", "auto"), ("particles", "particles"), ("plain fill", "ancestral")]
HINT = "Paint over the pixels to complete, or choose one of the occlusions."


class CompleteTab:
    """The components of the tab, and the answers to a visitor's events."""

    def __init__(self, models: ModelCatalog):
        self.models, first = models, models[models.first]
        target = first_target(first)
        self.target = gr.State(target)
        any_size = isinstance(first.model, InpaintingRNN)
        self.name = gr.Dropdown(models.names, value=first.name, label="Model", elem_id="model")
        with gr.Row(visible=not any_size) as self.one_size_row:
            with gr.Column(scale=5, min_width=320):
                self._add_image_column(first, target)
            with gr.Column(scale=6, min_width=320):
                self._add_drawing_column(first)
        with gr.Row(visible=any_size) as self.own_size_row:
            self.own_size = OwnSize(models, first if any_size else None)
        self._connect()

    def _add_image_column(self, first: LoadedModel, target: Target) -> None:
        self.examples = gr.HTML(
            value="",
            strip=example_buttons(first),
            html_template="${strip}",
            js_on_load=(HERE / "choices.js").read_text(encoding="utf-8"),
            elem_id="examples",
        )
        with gr.Row():
            self.picture = gr.UploadButton("Your own picture", size="sm", elem_id="own-picture")
            self.mask_file = gr.UploadButton("Mask file (white is hidden)", size="sm", elem_id="mask-file")
        self.painter = gr.HTML(
            **painter_props(first, target),
            html_template=(HERE / "painter.html").read_text(encoding="utf-8"),
            js_on_load=(HERE / "painter.js").read_text(encoding="utf-8"),
            elem_id="painter",
        )
        with gr.Row(elem_classes="occlusions"):
            self.occlusions = {title: gr.Button(title.capitalize(), size="sm") for title in STANDARD}

    def _add_drawing_column(self, first: LoadedModel) -> None:
        with gr.Row():
            strategy = gr.Dropdown(STRATEGIES, value="auto", label="Strategy", elem_id="strategy", min_width=220)
            self.order = gr.Dropdown(order_choices(first), value="best", label="Order", elem_id="order", min_width=220)
        with gr.Row():
            count = gr.Slider(1, 16, value=6, step=1, label="Completions", elem_id="count")
            temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature")
            seed = gr.Number(0, precision=0, label="Seed", min_width=90)
        self.choices = [strategy, self.order, count, temperature, seed]
        # A slider takes a value in its range when its box is left: a change event, and no input event.
        self.choice_events = [strategy.input, self.order.input, count.change, temperature.change, seed.input]
        self.panel = DrawPanel("Complete", HINT)

    def _connect(self) -> None:
        on = partial(answer_at_once, self.panel.line)
        shown = [self.target, self.painter, self.panel.pictures]
        rows = [self.one_size_row, self.own_size_row, *self.own_size.outputs]
        on(self.name.input, self.choose_model, [self.name], [*shown, self.examples, self.order, *rows])
        on(self.examples.input, self.choose_example, [self.examples, self.target], shown)
        on(self.picture.upload, self.choose_picture, [self.picture, self.target], shown)
        on(self.mask_file.upload, self.choose_mask, [self.mask_file, self.target, *self.choices], shown[:2])
        for title, button in self.occlusions.items():
            on(button.click, partial(self.choose_occlusion, title), [self.target, *self.choices], [self.painter])
        asked = [self.target, self.painter, *self.choices]
        on([self.painter.input, *self.choice_events], self.forecast, asked, [])
        self.panel.draw(self.request, asked)

    def choose_model(self, name: str) -> dict[Any, Any]:
        loaded = self.models[name]
        any_size = isinstance(loaded.model, InpaintingRNN)
        rows = {self.one_size_row: gr.Row(visible=not any_size), self.own_size_row: gr.Row(visible=any_size)}
        if any_size:
            return {**rows, **self.own_size.begin(loaded), self.panel.line: ""}
        return {
            **rows,
            **self._show(loaded, first_target(loaded)),
            self.examples: gr.HTML(strip=example_buttons(loaded)),
            self.order: gr.Dropdown(choices=order_choices(loaded), value="best"),
        }

    def choose_example(self, number: Any, target: Target) -> dict[Any, Any]:
        loaded = self.models[target.model]
        check_number("number of the example", number, 0, len(loaded.examples) - 1)
        return self._show(loaded, Target(loaded.name, loaded.examples[number]))

    def choose_picture(self, file: dict[str, Any], target: Target) -> dict[Any, Any]:
        loaded = self.models[target.model]
        return self._show(loaded, Target.upload(loaded, file["path"]))

    def _show(self, loaded: LoadedModel, target: Target) -> dict[Any, Any]:
        """Show a new target, and its mask if it has one."""
        size = describe(loaded.model.shape, loaded.model.levels)
        words = f"{loaded.name}: {describe_model(loaded.model)}; {size}."
        if target.own and target.own.changed:
            height, width = target.own.picture.shape[1:]
            words = f"Your picture of {width}x{height} pixels is brought to the model's {size}; "
            words += "the completions are pasted back into it."
        painter = gr.HTML(**painter_props(loaded, target))
        return {self.target: target, self.painter: painter, self.panel.line: words, self.panel.pictures: ""}

    def choose_mask(self, file: dict[str, Any], target: Target, *choices: Any) -> dict[Any, Any]:
        target = target.with_mask_file(file["path"])
        answer = self.forecast(target, target.painted, *choices)
        return {self.target: target, self.painter: target.painted, **answer}

    def choose_occlusion(self, title: str, target: Target, *choices: Any) -> dict[Any, Any]:
        mask = mask_to_text(standard_mask(title, *self.models[target.model].model.shape[1:], choices[-1]))
        return {self.painter: mask, **self.forecast(target, mask, *choices)}

    def forecast(self, target: Target, mask: object, *choices: Any) -> dict[Any, Any]:
        """Say how the painted mask will be completed."""
        hidden = mask_from_text(mask, *target.image.shape[1:])
        painted = bool(hidden.any())
        return {self.panel.line: self.request(target, mask, *choices).forecast if painted else HINT}

    def request(self, target: Target, mask: object, *choices: Any) -> Request:
        """The request to complete the target under a mask of the painter."""
        hidden = mask_from_text(mask, *target.image.shape[1:])
        return Request(self.models[target.model], target, hidden, *choices)


def first_target(loaded: LoadedModel) -> Target:
    """The first example, with its bottom half hidden."""
    return Target(loaded.name, loaded.examples[0], mask=standard_mask("bottom half", *loaded.model.shape[1:], seed=0))


def example_buttons(loaded: LoadedModel) -> str:
    """The examples as a row of buttons, see choices.js."""
    buttons = (
        f'<button type="button" data-number="{i}">'
        f'<img src="{url(as_rgb(image, loaded.model.levels))}" alt="example {i + 1}"></button>'
        for i, image in enumerate(loaded.examples)
    )
    return f'<div class="choices" role="group" aria-label="examples {loaded.source}">{"".join(buttons)}</div>'


def painter_props(loaded: LoadedModel, target: Target) -> dict[str, Any]:
    """The properties of the painter, see painter.js. Its mask does not change if the target has none."""
    rows, columns = loaded.model.shape[1:]
    props = {"picture": url(as_rgb(target.image, loaded.model.levels)), "rows": rows, "columns": columns}
    return props if target.mask is None else {**props, "value": target.painted}


def order_choices(loaded: LoadedModel) -> list[tuple[str, Any]]:
    return [("best for the mask", "best"), *((name, index) for index, name in enumerate(loaded.order_names))]
