"""The third tab: an ordering on its way, and what a model has seen at a step."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pixelrnn.ordering import ORDERINGS, TRANSFORMS
from pixelrnn.ui.answers import QUICK, QUIET, told
from pixelrnn.ui.html import View
from pixelrnn.ui.plan import check_number
from pixelrnn.ui.seen import seen
from pixelrnn.ui.shelf import Offer, Shelf
from pixelrnn.ui.subject import example

FRAMES = 60  # of an ordering that is played


def orderings_tab(shelf: Shelf) -> None:
    first = shelf[shelf.first]
    with gr.Row():
        with gr.Column(scale=4, min_width=320):
            name = gr.Dropdown(shelf.names, value=first.name, label="Model", elem_id="ordering-model")
            number = gr.Slider(1, len(first.examples), value=1, step=1, label="Example")
            ordering = gr.Dropdown(_ordering_choices(first), value="0", label="Ordering", elem_id="ordering")
            transforms = gr.CheckboxGroup(list(TRANSFORMS), label="Transforms, of an ordering by name")
            step = gr.Slider(
                0, first.model.pixels, value=first.model.pixels // 2, step=1, label="Step t", elem_id="step"
            )
            with gr.Row():
                play, pause = gr.Button("Play", variant="primary", elem_id="play"), gr.Button("Pause", elem_id="pause")
        with gr.Column(scale=6, min_width=320):
            view = _seen(shelf, first.name, 1, "0", [], first.model.pixels // 2)
            line = gr.HTML(view.line, elem_id="ordering-line")
            picture = gr.HTML(view.pictures, elem_id="seen")

    line_tells = told(line)

    @line_tells
    def show(*chosen: Any) -> dict[Any, Any]:
        view = _seen(shelf, *chosen)
        return {line: view.line, picture: view.pictures}

    @line_tells
    def choose_model(name: str) -> dict[Any, Any]:
        offer = shelf[name]
        middle = offer.model.pixels // 2
        view = _seen(shelf, name, 1, "0", [], middle)
        return {
            line: view.line,
            picture: view.pictures,
            number: gr.Slider(maximum=len(offer.examples), value=1),
            ordering: gr.Dropdown(choices=_ordering_choices(offer), value="0"),
            step: gr.Slider(maximum=offer.model.pixels, value=middle),
        }

    def run(name: str, number: Any, ordering: str, transforms: list[str], at: Any) -> Iterator[dict[Any, Any]]:
        begun = show(name, number, ordering, transforms, at)
        yield begun
        if picture not in begun:  # the line says what is wrong
            return
        last = shelf[name].model.pixels
        stride = max(1, last // FRAMES)
        for now in [*range(int(at) if at < last else 0, last, stride), last]:
            yield {step: now, **show(name, number, ordering, transforms, now)}
            time.sleep(0.05)

    chosen = [name, number, ordering, transforms, step]
    name.input(choose_model, name, [line, picture, number, ordering, step], **QUICK)
    changed = [number.input, ordering.input, transforms.input, step.input]
    gr.on(changed, show, chosen, [line, picture], **QUICK)
    playing = play.click(run, chosen, [step, line, picture], concurrency_limit=4, **{**QUIET, "trigger_mode": "once"})
    pause.click(None, cancels=[playing], **QUICK)


def _ordering_choices(offer: Offer) -> list[tuple[str, str]]:
    own = [(f"the model's: {name}", str(i)) for i, name in enumerate(offer.order_names)]
    return own + [(name, name) for name in ORDERINGS if name != "permutation"]


def _seen(shelf: Shelf, name: str, number: Any, ordering: str, transforms: list[str], step: Any) -> View:
    offer = shelf[name]
    number = check_number("number of the example", number, 1, len(offer.examples))
    step = check_number("step", step, 0, offer.model.pixels)
    return seen(offer, example(offer, int(number) - 1).image, str(ordering), transforms, int(step))
