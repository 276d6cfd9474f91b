"""Pieces of the page that Gradio has no component for, as HTML: pixel-sharp pictures with words below them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image

from pixelrnn.figures.strips import heat


def png(values: np.ndarray) -> bytes:
    """A PNG file of colours (height, width, 3) in [0, 1]."""
    file = io.BytesIO()
    Image.fromarray((values * 255).round().astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def url(file: bytes) -> str:
    """A picture file as an address that holds it: the page asks no server for it."""
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def tile(picture: np.ndarray, words: str, kind: str = "") -> str:
    """One picture, colours (height, width, 3) in [0, 1], and the words below it."""
    image = f'<img src="{url(png(picture))}" alt="{escape(words)}">'
    return f'<figure class="{kind}">{image}<figcaption>{escape(words)}</figcaption></figure>'


def tiles(row: Sequence[str]) -> str:
    return f'<div class="tiles">{"".join(row)}</div>' if row else ""


def heat_bar(most: float, unit: str) -> str:
    """The colours of an entropy map, from 0 to `most`."""
    stops = ", ".join(f"rgb({r:.0%} {g:.0%} {b:.0%})" for r, g, b in heat(np.linspace(0, 1, 9)))
    return (
        f'<div class="heat-bar"><i style="background: linear-gradient(to right, {stops})"></i>'
        f"<span>0</span><span>{escape(unit)}</span><span>{most:.2g}</span></div>"
    )


def drawn(file: bytes, words: str) -> str:
    """A figure, as a PNG file."""
    return f'<figure class="drawn"><img src="{url(file)}" alt="{escape(words)}"></figure>'


def line(words: str, kind: str = "told") -> str:
    """What the program has to say: kind "told", "working" or "wrong"."""
    return f'<p class="line {kind}" role="{"alert" if kind == "wrong" else "status"}">{escape(words)}</p>'


def note(words: str) -> str:
    return f'<p class="note">{escape(words)}</p>'


def bar(words: str, share: float) -> str:
    """How far a draw is."""
    return f'{line(words, "working")}<div class="bar"><i style="width: {share:.1%}"></i></div>'


@dataclass(frozen=True)
class View:
    """What the page shows: a line, pictures, and at last the pictures as files in a zip archive."""

    line: str
    pictures: str = ""
    archive: bytes | None = None
