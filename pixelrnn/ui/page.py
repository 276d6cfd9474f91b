"""The page: three tabs."""

from pathlib import Path

import gradio as gr

from pixelrnn.ui.answers import KEPT
from pixelrnn.ui.complete_tab import complete_tab
from pixelrnn.ui.orderings_tab import orderings_tab
from pixelrnn.ui.sample_tab import sample_tab
from pixelrnn.ui.shelf import Shelf

# System fonts: the page asks no other host for anything.
THEME = gr.themes.Base(
    primary_hue="orange", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(  # words stand out from what is behind them by at least 4.5 to 1
    body_text_color_subdued="*neutral_500",
    color_accent="*primary_700",
    slider_color_dark="*primary_500",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def build(shelf: Shelf) -> gr.Blocks:
    """The page, of the models on the shelf."""
    with gr.Blocks(title="pixelrnn", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(
            "# pixelrnn\nPaint over what is to be completed; the network draws it anew, pixel by pixel, from all that it is "
            "given. Nothing leaves this machine.",
            elem_classes="intro",
        )
        with gr.Tab("Complete", id="complete"):
            complete_tab(shelf)
        with gr.Tab("Sample", id="sample"):
            sample_tab(shelf)
        with gr.Tab("Orderings", id="orderings"):
            orderings_tab(shelf)
    return page
