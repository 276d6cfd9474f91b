"""Orderings: which pixel is visited when. Each is a function (height, width) -> order, a permutation of the pixels.

This table is the only registry: a new ordering is one function, one name here and one file in conf/ordering/.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.ordering.combinators import Ordering, flip_columns, flip_rows, reverse, transpose
from pixelrnn.ordering.hilbert import hilbert
from pixelrnn.ordering.listed import permutation, random
from pixelrnn.ordering.radial import centre_out
from pixelrnn.ordering.scans import column, diagonal, raster, snake
from pixelrnn.ordering.spiral import spiral
from pixelrnn.plugins import configure, lookup

ORDERINGS: dict[str, Callable[..., Tensor]] = {
    "raster": raster,
    "column": column,
    "snake": snake,
    "diagonal": diagonal,
    "spiral": spiral,
    "hilbert": hilbert,
    "centre_out": centre_out,
    "random": random,
    "permutation": permutation,
}
TRANSFORMS: dict[str, Callable[[Ordering], Ordering]] = {
    "reverse": reverse,
    "transpose": transpose,
    "flip_rows": flip_rows,
    "flip_columns": flip_columns,
}


def build(ordering: str | Mapping[str, Any] | Tensor, height: int, width: int) -> Tensor:
    """The order, int64 (pixels,), of an ordering's name, of {"name": …, "transforms": […], option: value}, or of itself.

    Transforms apply from left to right. Raises UserError for an unknown name or option, with the nearest one, and for
    an ordering that cannot serve the size.
    """
    if isinstance(ordering, Tensor):
        check_order(ordering, height * width)
        return ordering
    spec = {"name": ordering} if isinstance(ordering, str) else dict(ordering)
    transforms = spec.pop("transforms", None) or ()
    if isinstance(transforms, str):
        raise UserError(f"ordering.transforms={transforms}: it is a list; write ordering.transforms=[{transforms}]")
    visit: Ordering = configure("ordering", spec, ORDERINGS)
    for transform in transforms:
        visit = lookup("ordering transform", transform, TRANSFORMS)(visit)
    order = visit(height, width)
    check_order(order, height * width)
    return order


def check_order(order: Tensor, pixels: int) -> None:
    """UserError unless order (int64) visits each of `pixels` pixels exactly once."""
    if (
        order.dtype != torch.int64
        or order.shape != (pixels,)
        or not torch.equal(order.sort().values, torch.arange(pixels, device=order.device))
    ):
        raise UserError(
            f"an ordering must visit each of the {pixels} pixels (int64, 0 to {pixels - 1}) once; this one does not"
        )
