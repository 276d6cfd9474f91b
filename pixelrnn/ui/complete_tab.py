"""The first tab: paint what is hidden, and watch it being completed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from pixelrnn.figures.strips import as_rgb
from pixelrnn.ui import html, masks
from pixelrnn.ui.answers import ONE_BY_ONE, QUICK, begin, end, received, shown, told
from pixelrnn.ui.draws import Request
from pixelrnn.ui.plan import Choice, check_number, plan
from pixelrnn.ui.shelf import Offer, Shelf
from pixelrnn.ui.subject import Subject, example, upload
from pixelrnn.ui.watch import Errand, watch

HERE = Path(__file__).parent
STRATEGIES = [("exact, else particles", "auto"), ("particles", "particles"), ("plain fill", "ancestral")]
HINT = "Paint over the pixels to complete, or take one of the occlusions."
BEST = "best"  # the order with the fewest observed pixels after the first hidden one


def complete_tab(shelf: Shelf) -> None:
    first = shelf[shelf.first]
    start = example(first, 0)
    half = masks.to_text(masks.standard("bottom half", *first.size, seed=0))
    subject, errand = gr.State(start), gr.State(Errand())
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            name = gr.Dropdown(shelf.names, value=first.name, label="Model", elem_id="model")
            examples = gr.HTML(
                value="",
                strip=_choices(first),
                html_template="${strip}",
                js_on_load=(HERE / "choices.js").read_text(encoding="utf-8"),
                elem_id="examples",
            )
            with gr.Row():
                picture = gr.UploadButton("Own picture", size="sm", elem_id="own-picture")
                mask_file = gr.UploadButton("Mask file (white is hidden)", size="sm", elem_id="mask-file")
            painter = gr.HTML(
                **_canvas(first, start, half),
                html_template=(HERE / "painter.html").read_text(encoding="utf-8"),
                js_on_load=(HERE / "painter.js").read_text(encoding="utf-8"),
                elem_id="painter",
            )
            with gr.Row(elem_classes="occlusions"):
                standard = [gr.Button(title.capitalize(), size="sm") for title in masks.STANDARD]
                invert, clear = gr.Button("Invert", size="sm"), gr.Button("Clear", size="sm")
        with gr.Column(scale=6, min_width=320):
            with gr.Row():
                strategy = gr.Dropdown(STRATEGIES, value="auto", label="Strategy", elem_id="strategy", min_width=220)
                order = gr.Dropdown(_order_choices(first), value=BEST, label="Order", elem_id="order", min_width=220)
            with gr.Row():
                count = gr.Slider(1, 16, value=6, step=1, label="Completions", elem_id="count")
                temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature")
                seed = gr.Number(0, precision=0, label="Seed", min_width=90)
            with gr.Row():
                go = gr.Button("Complete", variant="primary", elem_id="complete")
                stop = gr.Button("Cancel", elem_id="cancel")
            line = gr.HTML(html.line(HINT), elem_id="line")
            pictures = gr.HTML(elem_id="pictures")
            files = gr.DownloadButton("Download the PNGs and the JSON", interactive=False, size="sm", elem_id="files")

    line_tells = told(line)
    choice = [strategy, order, count, temperature, seed]

    def show(offer: Offer, chosen: Subject, notes: Sequence[str] = ()) -> dict[Any, Any]:
        words = f"{offer.name}: {offer.words}."
        if chosen.own and chosen.own.changed:
            height, width = chosen.own.picture.shape[1:]
            words = f"Your picture of {width}x{height} pixels is brought to the model's {offer.words.split('; ')[-1]}; "
            words += "the completions are pasted back into it."
        mask = masks.to_text(chosen.own.reduce(chosen.mask)) if chosen.own and chosen.mask is not None else None
        canvas = gr.HTML(**_canvas(offer, chosen, mask))
        return {subject: chosen, painter: canvas, line: html.line(" ".join([words, *notes])), pictures: ""}

    @line_tells
    def choose_model(name: str) -> dict[Any, Any]:
        offer = shelf[name]
        chosen = example(offer, 0)
        half = masks.to_text(masks.standard("bottom half", *offer.size, seed=0))
        return {
            **show(offer, chosen),
            painter: gr.HTML(**_canvas(offer, chosen, half)),
            examples: gr.HTML(strip=_choices(offer)),
            order: gr.Dropdown(choices=_order_choices(offer), value=BEST),
        }

    @line_tells
    def choose_example(number: Any, name: str) -> dict[Any, Any]:
        offer = shelf[name]
        check_number("number of the example", number, 0, len(offer.examples) - 1)
        return show(offer, example(offer, int(number)))

    @line_tells
    def choose_picture(file: dict[str, Any], name: str) -> dict[Any, Any]:
        offer = shelf[name]
        with received(file) as (path, notes):
            chosen = upload(offer, path)
        return show(offer, chosen, notes)

    def foreseen(offer: Offer, hidden: torch.Tensor, chosen: tuple[Any, ...]) -> dict[Any, Any]:
        return {line: html.line(plan(offer, hidden, _choice(offer, *chosen)).words)}

    def lay(offer: Offer, hidden: torch.Tensor, chosen: tuple[Any, ...]) -> dict[Any, Any]:
        """A mask on the painter, and what completing it will be."""
        return {painter: masks.to_text(hidden), **foreseen(offer, hidden, chosen)}

    @line_tells
    def choose_mask(file: dict[str, Any], current: Subject, name: str, *chosen: Any) -> dict[Any, Any]:
        offer = shelf[name]
        with received(file) as (path, notes):
            hidden, fine = masks.from_file(path, *offer.size, current.own)
        laid = lay(offer, hidden, chosen)
        if notes:
            laid[line] = html.line(" ".join(notes))
        return {**laid, subject: replace(current, mask=fine)}

    def hide(title: str, name: str, *chosen: Any) -> dict[Any, Any]:
        offer = shelf[name]
        return lay(offer, masks.standard(title, *offer.size, _choice(offer, *chosen).seed), chosen)

    @line_tells
    def turn_over(text: str, name: str, *chosen: Any) -> dict[Any, Any]:
        offer = shelf[name]
        return lay(offer, ~masks.from_text(text, *offer.size), chosen)

    @line_tells
    def uncover(name: str) -> dict[Any, Any]:
        return {painter: masks.to_text(torch.zeros(shelf[name].size)), line: html.line(HINT)}

    @line_tells
    def forecast(text: str, name: str, *chosen: Any) -> dict[Any, Any]:
        offer = shelf[name]
        return foreseen(offer, masks.from_text(text, *offer.size), chosen)

    def complete(chosen: Subject, text: str, chores: Errand, *wanted: Any) -> Iterator[dict[Any, Any]]:
        def request() -> Request:
            offer = shelf[chosen.model]
            return Request(offer, chosen, masks.from_text(text, *offer.size), _choice(offer, *wanted))

        for view in watch(request, chores):
            yield shown(view, line, pictures, files)

    changes = [subject, painter, line, pictures, examples, order]
    name.input(choose_model, name, changes, **QUICK)
    examples.input(choose_example, [examples, name], changes, **QUICK)
    picture.upload(choose_picture, [picture, name], changes, **QUICK)
    mask_file.upload(choose_mask, [mask_file, subject, name, *choice], [painter, line, subject], **QUICK)
    for button, title in zip(standard, masks.STANDARD, strict=True):
        button.click(line_tells(partial(hide, title)), [name, *choice], [painter, line], **QUICK)
    invert.click(turn_over, [painter, name, *choice], [painter, line], **QUICK)
    clear.click(uncover, name, [painter, line], **QUICK)
    # A slider's box takes a value in its range when it is left, which is a change, and no input.
    asked = [painter.input, strategy.input, order.input, count.change, temperature.change, seed.input]
    gr.on(asked, forecast, [painter, name, *choice], line, **QUICK)
    begun = go.click(begin, errand, [line, pictures, files], **QUICK)
    begun.then(complete, [subject, painter, errand, *choice], [line, pictures, files], **ONE_BY_ONE)
    stop.click(end, errand, **QUICK)


def _choices(offer: Offer) -> str:
    """The examples as a row of buttons, see choices.js."""
    pictures = [html.url(html.png(as_rgb(image, offer.model.levels))) for image in offer.examples]
    buttons = (
        f'<button type="button" data-number="{i}"><img src="{picture}" alt="example {i + 1}"></button>'
        for i, picture in enumerate(pictures)
    )
    return f'<div class="choices" role="group" aria-label="examples {offer.source}">{"".join(buttons)}</div>'


def _canvas(offer: Offer, subject: Subject, mask: str | None = None) -> dict[str, Any]:
    """What the painter is given of an image, and of a mask if it is to change."""
    given: dict[str, Any] = {"picture": html.url(html.png(as_rgb(subject.image, offer.model.levels)))}
    given["rows"], given["columns"] = offer.size
    return given if mask is None else {**given, "value": mask}


def _order_choices(offer: Offer) -> list[tuple[str, Any]]:
    if len(offer.order_names) == 1:
        return [(offer.order_names[0], BEST)]
    return [("best for the mask", BEST), *((name, i) for i, name in enumerate(offer.order_names))]


def _choice(offer: Offer, strategy: Any, order: Any, count: Any, temperature: Any, seed: Any) -> Choice:
    chosen = None if order == BEST else order
    return Choice.of(count, temperature, seed, strategy, chosen, len(offer.order_names))
