"""Figures: completions beside originals, grids of samples, learning curves, orderings.

strips.py     sheets of images
plots.py      curves, bars and paths
animation.py  completions that are filled pixel by pixel
"""

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path

if "matplotlib" not in sys.modules:
    # matplotlib cannot be imported if MPLBACKEND, inherited from a notebook, names a backend that is not installed here.
    _backend = os.environ.pop("MPLBACKEND", "")
    import matplotlib

    if _backend:
        os.environ["MPLBACKEND"] = _backend
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = _backend

from matplotlib.figure import Figure

from pixelrnn.figures.animation import save_animation, times_of, times_of_rounds
from pixelrnn.figures.plots import compare, curves, draw_ordering, likelihoods, seen
from pixelrnn.figures.strips import around_holes, beside_others, by_occlusion, completions, grid, maps
from pixelrnn.files.atomic import expanded, write_whole

__all__ = [
    "around_holes",
    "as_png",
    "beside_others",
    "by_occlusion",
    "compare",
    "completions",
    "curves",
    "draw_ordering",
    "grid",
    "likelihoods",
    "maps",
    "save_animation",
    "save_figure",
    "seen",
    "times_of",
    "times_of_rounds",
]


def as_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    file = io.BytesIO()
    _write(figure, file, "png")
    return file.getvalue()


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a PNG, SVG or PDF file, by the path's suffix."""
    path = expanded(path)
    kind = path.suffix.lstrip(".") or "png"
    write_whole(path, lambda temporary: _write(figure, temporary, kind))


def _write(figure: Figure, place: Path | io.BytesIO, kind: str) -> None:
    with warnings.catch_warnings():  # a data set's name may contain letters that the font lacks: they become boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(place, format=kind, bbox_inches="tight", pad_inches=0.05)
