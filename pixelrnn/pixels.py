"""Images, their levels, and the sequences that models read.

images    uint8 (batch, channels, height, width), integers in [0, levels)
order     int64 (pixels,): order[t] is the raster index, row · width + column, of the pixel visited at step t
sequence  int64 (batch, pixels, channels): the images' values gathered along an order
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelrnn.errors import UserError, note
from pixelrnn.files.arrays import are_pictures, as_images, as_masks, as_tensor
from pixelrnn.options import MAX_LEVELS, as_plain


def to_sequence(images: Tensor, order: Tensor) -> Tensor:
    """images (batch, channels, height, width) along order (pixels,) -> int64 (batch, pixels, channels)."""
    return images.flatten(2)[:, :, order].transpose(1, 2).long()


def to_images(sequence: Tensor, order: Tensor, height: int, width: int) -> Tensor:
    """The inverse of to_sequence, for any trailing size: (batch, pixels, channels) -> (batch, channels, height, width)."""
    raster = torch.empty_like(sequence)
    raster[:, order] = sequence
    return raster.transpose(1, 2).unflatten(2, (height, width))


def send(values: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device; one of the CPU without waiting for a GPU."""
    # From other memory than this, CUDA copies once it is done with all that it was given before.
    pinned = values.pin_memory() if values.device.type == "cpu" and torch.device(device).type == "cuda" else values
    return pinned.to(device, non_blocking=True)


def requantise(images: Tensor | np.ndarray, levels: int, new_levels: int) -> Tensor:
    """Map [0, levels) to the nearest of [0, new_levels), black to black and white to white: uint8 of the same shape.

    From few levels to more and back gives the same image, so requantise(x, levels, 256) shows a picture. Raises UserError for
    images that are not uint8 or hold a value above their levels, and for levels that no image has.
    """
    images = as_tensor("images", images, "a tensor or a NumPy array of levels")
    check_levels(levels)
    check_levels(new_levels)
    _check_dtype(images, levels)
    if levels < MAX_LEVELS and images.numel() and int(images.max()) >= levels:
        raise UserError(
            f"images hold the value {int(images.max())}, and {levels} levels are 0 to {levels - 1}; 8-bit images have 256"
        )
    if levels == new_levels:
        return images
    steps = levels - 1
    nearest = (2 * images.long() * (new_levels - 1) + steps) // (2 * steps)  # integer rounding, halves upwards
    return nearest.to(torch.uint8)


def check_levels(levels: Any) -> None:
    """UserError for a number of levels that no image has."""
    if not isinstance(as_plain(levels), int) or not 2 <= levels <= MAX_LEVELS:
        raise UserError(f"levels={levels}: an image has 2 to {MAX_LEVELS} levels")


def in_8_bits(values: Tensor, white: float) -> Tensor:
    """Show values between levels, such as means: from 0, black, to `white` -> uint8 of the same shape."""
    return (values * (255 / white)).round().to(torch.uint8)


def check_images(images: Any, shape: tuple[int, int, int], levels: int, hidden: Tensor | None = None) -> Tensor:
    """The images as uint8 (batch, *shape), contiguous, with values in [0, levels); they may be given as as_images takes them.

    PIL pictures are requantised to the levels, with a note. UserError for images that do not fit; of these, hidden pixels may
    hold other values.
    """
    given, images = images, as_images(images, shape)
    _check_dtype(images, levels)
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(shape):
        raise UserError(
            f"images have shape {tuple(images.shape)}; this model takes (batch, {shape[0]}, {shape[1]}, {shape[2]}), "
            "i.e. (batch, channels, height, width), or the channels last"
        )
    if levels < MAX_LEVELS and are_pictures(given):
        if bool(((images > 0) & (images < MAX_LEVELS - 1)).any()):
            note(f"the pictures have 256 levels; they are reduced to the {levels} of this model")
        images = requantise(images, MAX_LEVELS, levels)
    seen = images if hidden is None else images.masked_fill(check_hidden(hidden, images)[:, None], 0)
    if seen.numel() and int(seen.max()) >= levels:
        raise UserError(
            f"images hold the value {int(seen.max())}; this model has {levels} levels, 0 to {levels - 1}: for 8-bit images, "
            f"pixelrnn.requantise(images, 256, {levels})"
        )
    return images.contiguous()


def _check_dtype(images: Tensor, levels: int) -> None:
    if images.dtype != torch.uint8:
        kind = str(images.dtype).removeprefix("torch.")
        hint = (
            f": for values from 0 to 1, (images * {levels - 1}).round(), as uint8" if images.is_floating_point() else ""
        )
        raise UserError(f"images are {kind}; they must be uint8 levels in [0, {levels}){hint}")


def check_hidden(hidden: Any, images: Tensor) -> Tensor:
    """The mask as bool (batch, height, width) on the images' device; it may be given as (height, width) for all images, and in
    any of the forms of as_masks.

    UserError for others.
    """
    hidden = as_masks(hidden)
    batch, _, height, width = images.shape
    if batch == 0:
        raise UserError("there are no images; give at least one")
    if hidden.dtype != torch.bool:
        kind = str(hidden.dtype).removeprefix("torch.")
        raise UserError(f"hidden is {kind}; it must be bool, True where a pixel is to be completed, such as mask > 127")
    hidden = hidden.to(images.device)
    if tuple(hidden.shape) == (height, width):
        hidden = hidden.expand(batch, height, width)
    if tuple(hidden.shape) != (batch, height, width):
        raise UserError(
            f"hidden has shape {tuple(hidden.shape)}; the images need ({height}, {width}) or ({batch}, {height}, {width})"
        )
    if not bool(hidden.flatten(1).any(1).all()):
        raise UserError(
            "a mask hides nothing; it must be True (white, in a mask file) on at least one pixel of each image"
        )
    return hidden
