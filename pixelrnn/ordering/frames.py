"""The eight symmetries of an image, and orders as paths through one of them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Frame:
    """An image turned or mirrored: its pixel i, in raster order over rows × columns, is the image's pixel pixels[i]."""

    pixels: Tensor  # int64 (rows · columns,)
    rows: int
    columns: int


@dataclass(frozen=True)
class Path:
    """An order, frame.pixels[places], as the places of a frame in the order of the visit."""

    frame: Frame
    places: Tensor  # int64 (pixels,)


def symmetries(height: int, width: int) -> list[Frame]:
    """The image itself, mirrored and turned in all ways: eight frames, of which four are width × height."""
    raster = torch.arange(height * width, device="cpu").view(height, width)
    turned = [image.flip(flips) for image in (raster, raster.t()) for flips in ((), (0,), (1,), (0, 1))]
    return [Frame(image.flatten(), *image.shape) for image in turned]


def path_like(order: Tensor, base: Tensor, height: int, width: int) -> Path | None:
    """`order` as the path `base`, int64 (pixels,), through a symmetry of the image; None if it is not that in any."""
    for frame in symmetries(height, width):
        if torch.equal(frame.pixels[base], order):
            return Path(frame, base)
    return None
