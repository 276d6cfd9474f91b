"""Pictures: completions beside originals, grids of samples, learning curves, orderings."""

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pixelrnn.figures.plots import compare, curves, draw_ordering, likelihoods, seen
from pixelrnn.figures.strips import by_occlusion, completions, grid, maps
from pixelrnn.files import write_whole

MARGIN: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05}

__all__ = [
    "as_png",
    "by_occlusion",
    "compare",
    "completions",
    "curves",
    "draw_ordering",
    "grid",
    "likelihoods",
    "maps",
    "save_figure",
    "seen",
]


def as_png(figure: Figure) -> bytes:
    """A PNG file of the figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", **MARGIN)
    return file.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes PNG, SVG or PDF by the path's suffix."""
    path = Path(path)
    kind = path.suffix.lstrip(".") or "png"
    write_whole(path, lambda temporary: figure.savefig(temporary, format=kind, **MARGIN))
