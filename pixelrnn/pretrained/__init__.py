"""The bundled models: a folder each, with model.safetensors, config.json, a few test images, and a card, README.md.

A card begins with facts in YAML between two lines of "---": the model, its training and the results of `pixelrnn evaluate`.
Text follows, with a picture and what the model cannot do.
"""

from __future__ import annotations  # Tensor is not imported when this module is

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelrnn.errors import UserError, nearest, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.options import lookup

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the bundled models, sorted. pixelrnn.load and checkpoint= take them in place of a folder."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def find(checkpoint: str | Path) -> Path:
    """The folder of a bundled model by its name, else the folder `checkpoint` itself; UserError if there is none."""
    folder = FOLDER / checkpoint if str(checkpoint) in names() else expanded(checkpoint)
    if not os.path.isdir(folder):  # which is no error if the name is too long for a file
        raise UserError(
            f"checkpoint {printable(folder)}: no such folder{nearest(str(checkpoint), names())}; give the folder of a run "
            f"(outputs/train/…) or of a saved model, or a bundled one: {', '.join(names())}"
        )
    return folder


def placed(checkpoint: Any) -> Any:
    """The same checkpoint, or list of them, for any working folder: a path becomes an absolute one. A bundled model's name stays
    as it is, and so does None."""
    if isinstance(checkpoint, list | tuple):
        return [placed(one) for one in checkpoint]
    return os.path.abspath(expanded(checkpoint)) if checkpoint and checkpoint not in names() else checkpoint


def _folder(name: str) -> Path:
    return FOLDER / lookup("bundled model", name, {known: known for known in names()})


def card(name: str) -> tuple[str, str]:
    """A bundled model's card: its facts as YAML, and its text."""
    _, facts, text = (_folder(name) / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return facts, text.strip()


def facts(name: str) -> dict[str, Any]:
    """The facts of a bundled model's card, such as its title."""
    import yaml

    return dict(yaml.safe_load(card(name)[0]))


def examples(name: str) -> Tensor:
    """Sixteen test images of a bundled model: uint8 levels (16, channels, height, width).

    Raises UserError for a name that is not a bundled model's.
    """
    import torch

    from pixelrnn.files.pictures import open_picture, to_tensor
    from pixelrnn.pixels import requantise

    folder = _folder(name)
    arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))["arguments"]
    side_by_side = to_tensor(open_picture(folder / "examples.png"))
    return requantise(torch.stack(side_by_side.split(arguments["shape"][2], -1)), 256, arguments["levels"])
