"""Trained models that ship: a folder each, with model.safetensors, config.json, a few test images, and its card, README.md.

A card opens with YAML between two lines of "---": what the model is, how it was trained, and what `pixelrnn evaluate`
measured; what it cannot do, in words, and a picture follow.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from pixelrnn.files.pictures import open_picture, to_tensor
from pixelrnn.pixels import requantise
from pixelrnn.registry import lookup

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The bundled models, sorted: what pixelrnn.load and checkpoint= take in place of a folder."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def _folder(name: str) -> Path:
    return FOLDER / lookup("bundled model", name, {known: known for known in names()})


def card(name: str) -> tuple[str, str]:
    """A bundled model's card: its facts as YAML, and the words that follow."""
    _, facts, words = (_folder(name) / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return facts, words.strip()


def examples(name: str) -> Tensor:
    """Sixteen images of a bundled model's test data: uint8 levels (16, channels, height, width).

    Raises UserError for another name than a bundled model's.
    """
    folder = _folder(name)
    form = json.loads((folder / "config.json").read_text(encoding="utf-8"))["arguments"]
    side_by_side = to_tensor(open_picture(folder / "examples.png"))
    return requantise(torch.stack(side_by_side.split(form["shape"][2], -1)), 256, form["levels"])
