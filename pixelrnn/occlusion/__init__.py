"""Occlusions: which pixels are hidden. Each is a function (height, width) -> hidden, bool, True where hidden.

This table is the only registry: a new occlusion is one function, one name here and one file in conf/occlusion/.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files.masks import check_size, read_mask
from pixelrnn.occlusion.mixed import mixed
from pixelrnn.occlusion.regions import box, centre, everything, half
from pixelrnn.occlusion.scattered import random_boxes, random_pixels, strokes
from pixelrnn.registry import configure, lookup, option_defaults


def mask_file(height: int, width: int, path: str = "") -> Tensor:
    """White pixels of a picture file of exactly this size."""
    if not path:
        raise UserError("occlusion=mask needs a file: occlusion.path=mask.png")
    hidden = read_mask(path)
    check_size(hidden, path, height, width)
    return hidden


OCCLUSIONS: dict[str, Callable[..., Tensor]] = {
    "half": half,
    "box": box,
    "centre": centre,
    "random_pixels": random_pixels,
    "random_boxes": random_boxes,
    "strokes": strokes,
    "mixed": mixed,
    "mask": mask_file,
    "all": everything,
}

HALVES_AND_CENTRE: dict[str, dict[str, Any]] = {  # the standard ones, by what people call them
    **{f"{side} half": {"name": "half", "side": side} for side in ("top", "left", "bottom", "right")},
    "centre": {"name": "centre"},
}


def build(occlusion: str | Mapping[str, Any], height: int, width: int) -> Tensor:
    """hidden, bool (height, width), of an occlusion's name or of {"name": …, option: value}.

    Raises UserError for an unknown name or option, a value out of range, and an occlusion that hides nothing.
    """
    hidden = configure("occlusion", occlusion, OCCLUSIONS)(height, width)
    if not bool(hidden.any()):
        raise UserError(f"occlusion {occlusion} hides nothing of an image of {height}x{width}; hide at least one pixel")
    return hidden


def draw(occlusion: str, count: int, height: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """`count` masks of an occlusion, bool (count, height, width), each with a seed of its own where it has one."""
    options = option_defaults(lookup("occlusion", occlusion, OCCLUSIONS))
    if "seed" not in options:
        return build(occlusion, height, width).expand(count, -1, -1)
    seeds = torch.randint(2**31, (count,), generator=generator).tolist()
    return torch.stack([build({"name": occlusion, "seed": seed}, height, width) for seed in seeds])
