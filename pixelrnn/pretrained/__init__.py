"""The bundled models: a folder each, with model.safetensors, config.json, a few test images, and a card, README.md.

A card begins with facts in YAML between two lines of "---": the model, its training and the results of `pixelrnn evaluate`.
Text follows, with a picture and what the model cannot do.
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
    """The names of the bundled models, sorted. pixelrnn.load and checkpoint= take them in place of a folder."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def _folder(name: str) -> Path:
    return FOLDER / lookup("bundled model", name, {known: known for known in names()})


def card(name: str) -> tuple[str, str]:
    """A bundled model's card: its facts as YAML, and its text."""
    _, facts, text = (_folder(name) / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return facts, text.strip()


def examples(name: str) -> Tensor:
    """Sixteen test images of a bundled model: uint8 levels (16, channels, height, width).

    Raises UserError for a name that is not a bundled model's.
    """
    folder = _folder(name)
    arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))["arguments"]
    side_by_side = to_tensor(open_picture(folder / "examples.png"))
    return requantise(torch.stack(side_by_side.split(arguments["shape"][2], -1)), 256, arguments["levels"])
