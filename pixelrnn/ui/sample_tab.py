"""The second tab: draw images from scratch, each beside the nearest training image."""

from dataclasses import replace
from typing import Any

import gradio as gr
import torch

from pixelrnn.completion.fill import Progress
from pixelrnn.evaluation.neighbours import nearest
from pixelrnn.ui.catalog import ModelCatalog
from pixelrnn.ui.drawn import Answer, Drawn, draw
from pixelrnn.ui.events import DrawPanel
from pixelrnn.ui.request import MAX_IMAGES, Request, Target

HINT = "Draws images from scratch: everything is hidden."


class SampleTab:
    """The components of the tab, and the answers to a visitor's events."""

    def __init__(self, models: ModelCatalog, target: gr.State):
        self.models = models
        with gr.Row():
            count = gr.Slider(1, MAX_IMAGES, value=16, step=1, label="Images", elem_id="sample-count")
            temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature")
            seed = gr.Number(0, precision=0, label="Seed", min_width=90)
        self.panel = DrawPanel("Sample", "sample-")
        self.panel.add_results(HINT)
        self.panel.draw(self.panel.go, self.request, [target, count, temperature, seed], draw_samples)

    def request(self, target: Target, *choices: Any) -> Request:
        """The request for images of the model that is chosen."""
        loaded = self.models[target.model]
        blank = Target.blank(loaded)
        assert blank.mask is not None
        return Request(loaded, blank, blank.mask, "auto", "best", *choices)


def draw_samples(request: Request, progress: Progress) -> Drawn:
    """Draw images from scratch, and find the nearest training image of each if the training images are at hand."""
    drawn, training, levels = draw(request, progress), request.loaded.training_images, request.loaded.model.levels
    if request.loaded.any_size:
        return replace(drawn, note="")  # which is about completions
    if training is None:
        words = "The training images are not on this machine, so the nearest ones are not shown."
        return replace(drawn, words=[*drawn.words, words])
    images = torch.stack([answer.image for answer in drawn.answers])
    indices, squares = nearest(images, training)
    answers, size = list[Answer](), images[0].numel()
    for answer, index, square in zip(drawn.answers, indices.tolist(), squares.tolist(), strict=True):
        differs = f"{square:,} pixels differ" if levels == 2 else f"differs by {(square / size) ** 0.5:.1f} levels"
        words = f"nearest training image: {differs if square else 'the same'}"
        answers.append(replace(answer, beside=(training[index], words)))
    note = f"{drawn.note} Beside it: the nearest of the {len(training):,} training images"
    note += "." if levels == 2 else "; the levels are root mean squares."
    return replace(drawn, rows={"": answers}, note=note)
