"""The second tab: images from scratch."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import torch

from pixelrnn.ui import html
from pixelrnn.ui.answers import ONE_BY_ONE, QUICK, begin, end, shown
from pixelrnn.ui.draws import Request
from pixelrnn.ui.plan import MOST, Choice
from pixelrnn.ui.shelf import Shelf
from pixelrnn.ui.watch import Errand, watch


def sample_tab(shelf: Shelf) -> None:
    errand = gr.State(Errand())
    with gr.Row():
        name = gr.Dropdown(shelf.names, value=shelf.first, label="Model", elem_id="sample-model")
        count = gr.Slider(1, MOST, value=16, step=1, label="Images", elem_id="sample-count")
        temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature")
        seed = gr.Number(0, precision=0, label="Seed", min_width=90)
    with gr.Row():
        go = gr.Button("Sample", variant="primary", elem_id="draw")
        stop = gr.Button("Cancel", elem_id="sample-cancel")
    line = gr.HTML(html.line("Draws images from scratch: everything is hidden."), elem_id="sample-line")
    pictures = gr.HTML(elem_id="samples")
    files = gr.DownloadButton("Download the PNGs and the JSON", interactive=False, size="sm", elem_id="sample-files")

    def sample(name: str, chores: Errand, count: Any, temperature: Any, seed: Any) -> Iterator[dict[Any, Any]]:
        def request() -> Request:
            offer = shelf[name]
            everything = torch.ones(offer.size, dtype=torch.bool)
            return Request(offer, None, everything, Choice.of(count, temperature, seed))

        for view in watch(request, chores):
            yield shown(view, line, pictures, files)

    begun = go.click(begin, errand, [line, pictures, files], **QUICK)
    begun.then(sample, [name, errand, count, temperature, seed], [line, pictures, files], **ONE_BY_ONE)
    stop.click(end, errand, **QUICK)
