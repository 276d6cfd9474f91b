"""Occlusions: functions (height, width) -> hidden, bool (height, width), True where a pixel is hidden.

occlusions.py  one mask at a time
batch.py       the masks of a training batch

OCCLUSIONS is the only registry: a new occlusion is one function, one name here and one file in conf/occlusion/.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.occlusion import occlusions
from pixelrnn.occlusion.batch import draw_mixed, mixed
from pixelrnn.options import check_size, configure, lookup, option_defaults
from pixelrnn.pixels import send

OCCLUSIONS: dict[str, Callable[..., Tensor]] = {
    "half": occlusions.half,
    "box": occlusions.box,
    "centre": occlusions.centre,
    "random_pixels": occlusions.random_pixels,
    "random_boxes": occlusions.random_boxes,
    "strokes": occlusions.strokes,
    "mixed": mixed,
    "damage": occlusions.damage,
    "mask": occlusions.mask_file,
    "all": occlusions.everything,
}

STANDARD: dict[str, dict[str, Any]] = {  # the nine that models are evaluated on
    **{f"{side} half": {"name": "half", "side": side} for side in ("top", "left", "bottom", "right")},
    "centre": {"name": "centre"},
    **{f"random {percent} %": {"name": "random_pixels", "fraction": percent / 100} for percent in (25, 50, 75)},
    "strokes": {"name": "strokes"},
}
PICTURES: dict[str, dict[str, Any]] = {  # and for pictures of another size than the model's
    **{kind: {"name": "damage", "kind": kind} for kind in ("scratches", "text", "boxes", "pixels")},
    "centre": {"name": "centre", "fraction": 0.25},
}


def build(occlusion: str | Mapping[str, Any], height: int, width: int) -> Tensor:
    """Build hidden, bool (height, width), from an occlusion's name or {"name": …, option: value}.

    Raises UserError for an unknown name or option, a value out of range, and an occlusion that hides nothing.
    """
    check_size(height, width)
    hidden = configure("occlusion", occlusion, OCCLUSIONS)(height, width)
    if not bool(hidden.any()):
        raise UserError(f"occlusion {occlusion} hides nothing of an image of {height}x{width}; hide at least one pixel")
    return hidden


def describe(spec: Mapping[str, Any]) -> str:
    """Its name among STANDARD, such as "bottom half", or its own name and options, such as "box (rows 3, columns 5)"."""

    def with_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
        return {**option_defaults(lookup("occlusion", spec["name"], OCCLUSIONS)), **spec}

    full = with_defaults(spec)
    for name, standard in STANDARD.items():
        if with_defaults(standard) == full:
            return name
    options = ", ".join(f"{key} {value}" for key, value in spec.items() if key != "name")
    return f"{spec['name']} ({options})" if options else spec["name"]


def takes_seed(name: str) -> bool:
    """Whether the occlusion of this name is drawn at random, from an option `seed`."""
    return "seed" in option_defaults(lookup("occlusion", name, OCCLUSIONS))


def draw(
    occlusion: str,
    count: int,
    height: int,
    width: int,
    generator: torch.Generator | None = None,
    alike: bool = False,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw `count` masks of an occlusion, bool (count, height, width) on the device, another for each image if it is random.

    generator: one of the CPU; None: torch's. alike: those of damage are all of one kind, so that about as many pixels are
    hidden in each. The masks of mixed are computed together on the device, those of other random occlusions one by one on the CPU.
    """
    if count == 0:
        return torch.zeros(0, height, width, dtype=torch.bool, device=device)
    if not takes_seed(occlusion):
        return send(build(occlusion, height, width), device).expand(count, -1, -1)
    if occlusion == "mixed":
        return draw_mixed(count, height, width, generator=generator, device=device)
    seeds = torch.randint(2**31, (count,), generator=generator).tolist()
    spec: dict[str, Any] = {"name": occlusion}
    if alike and occlusion == "damage":
        spec["kind"] = Random(seeds[0]).choices(list(occlusions.DAMAGE), list(occlusions.DAMAGE.values()))[0]
    return send(torch.stack([build({**spec, "seed": seed}, height, width) for seed in seeds]), device)
