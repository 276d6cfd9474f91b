"""A user's own picture of any size: reduced to the model's, and the completion pasted back into it."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pixelrnn.model.contract import Shape
from pixelrnn.pictures import MAX_PIXELS, open_picture, to_tensor, with_channels
from pixelrnn.pixels import requantise


@dataclass(frozen=True)
class OwnPicture:
    """picture: 8 bits (channels, height, width), at its own size; image: what the model sees of it, in its levels."""

    picture: Tensor
    image: Tensor
    levels: int

    @property
    def resized(self) -> bool:
        return self.picture.shape != self.image.shape

    @property
    def changed(self) -> bool:
        """Whether the model sees another picture than this: of another size, or in fewer levels."""
        return self.resized or not torch.equal(requantise(self.image, self.levels, 256), self.picture)

    def reduce(self, hidden: Tensor) -> Tensor:
        """A mask, bool (height, width), at the model's size: a pixel is hidden if any part of it is."""
        return _any_part(hidden, self.image.shape[1:])

    def enlarge(self, hidden: Tensor) -> Tensor:
        """A mask of the model's size at the picture's own: a pixel of a smaller picture is hidden if any part of it is."""
        size = self.picture.shape[1:]
        if size[0] < hidden.shape[0] or size[1] < hidden.shape[1]:
            return _any_part(hidden, size)
        return F.interpolate(hidden.float()[None, None], size, mode="nearest-exact")[0, 0] > 0

    def paste(self, completed: Tensor, hidden: Tensor) -> Tensor:
        """The picture with its hidden pixels, bool at its own size, taken from a completion in the model's levels."""
        values = requantise(completed, self.levels, 256)
        if self.resized:
            values = F.interpolate(values[None].float(), self.picture.shape[1:], mode="nearest-exact")[0].to(
                values.dtype
            )
        return values.where(hidden, self.picture)


def _any_part(hidden: Tensor, size: torch.Size) -> Tensor:
    """A mask at another size, hidden where any part of a pixel is."""
    return F.adaptive_max_pool2d(hidden.float()[None], size)[0] > 0


def from_file(path: str | Path, shape: Shape, levels: int, max_pixels: int = MAX_PIXELS) -> OwnPicture:
    """Reads a picture for a model of this shape and levels; UserError where it cannot serve (see pictures.py)."""
    picture = with_channels(open_picture(path, max_pixels), shape[0], path)
    reduced = (
        picture if picture.size == (shape[2], shape[1]) else picture.resize((shape[2], shape[1]), Image.Resampling.BOX)
    )
    return OwnPicture(to_tensor(picture), requantise(to_tensor(reduced), 256, levels), levels)
