"""Orderings as a list of pixels: drawn at random, or written out by the user."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pixelrnn.errors import UserError


def random(height: int, width: int, seed: int = 0) -> Tensor:
    """A uniformly random permutation; the same seed gives the same permutation on every machine."""
    return torch.randperm(height * width, generator=torch.Generator().manual_seed(seed), device="cpu")


def permutation(height: int, width: int, order: Sequence[int] = ()) -> Tensor:
    """The user's own order: raster indices, row · width + column, in the order of the visit, for one size of image."""
    if len(order) != height * width:
        raise UserError(
            f"ordering 'permutation' lists {len(order)} pixels; an image of {height}x{width} has {height * width}: "
            "list each once in ordering.order, or set data.size to the size it was made for"
        )
    if not all(isinstance(index, int) for index in order):
        raise UserError("ordering 'permutation': ordering.order is a list of raster indices, whole numbers")
    return torch.tensor(list(order), device="cpu")
