"""The page and its three tabs, of which the second is here: draw images from scratch."""

from pathlib import Path
from typing import Any

import gradio as gr
import torch

from pixelrnn.ui.complete_tab import CompleteTab
from pixelrnn.ui.events import KEPT, DrawPanel
from pixelrnn.ui.models import ModelCatalog
from pixelrnn.ui.orderings_tab import OrderingsTab
from pixelrnn.ui.request import MAX_IMAGES, Request, Target

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
