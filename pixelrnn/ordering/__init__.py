"""Orderings: the order in which pixels are visited. Each is a function (height, width) -> order, a permutation, in orderings.py.

This table is the only registry: a new ordering is one function, one name here and one file in conf/ordering/.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.options import as_options, check_size, configure, lookup
from pixelrnn.ordering import orderings
from pixelrnn.ordering.orderings import check_order

ORDERINGS: dict[str, Callable[..., Tensor]] = {
    "raster": orderings.raster,
    "column": orderings.column,
    "snake": orderings.snake,
    "diagonal": orderings.diagonal,
    "spiral": orderings.spiral,
    "hilbert": orderings.hilbert,
    "centre_out": orderings.centre_out,
    "random": orderings.random,
    "permutation": orderings.permutation,
}
TRANSFORMS: dict[str, Callable[[orderings.Ordering], orderings.Ordering]] = {
    "reverse": orderings.reverse,
    "transpose": orderings.transpose,
    "flip_rows": orderings.flip_rows,
    "flip_columns": orderings.flip_columns,
}


def build(ordering: str | Mapping[str, Any] | Tensor, height: int, width: int) -> Tensor:
    """The order, int64 (pixels,), for a name, for {"name": …, "transforms": […], option: value}, or the given order itself.

    Transforms apply from left to right. Raises UserError for an unknown name or option, with the nearest one, and for an
    ordering that does not fit the size.
    """
    check_size(height, width)
    if isinstance(ordering, Tensor):
        check_order(ordering, height * width)
        return ordering.cpu()
    spec = _as_spec(ordering)
    transforms = spec.pop("transforms", ())
    if not isinstance(transforms, list | tuple):
        example = transforms if isinstance(transforms, str) else "reverse"
        raise UserError(f"ordering.transforms={transforms}: it is a list; write ordering.transforms=[{example}]")
    visit: orderings.Ordering = configure("ordering", spec, ORDERINGS)
    for transform in transforms:
        visit = lookup("ordering transform", transform, TRANSFORMS)(visit)
    order = visit(height, width)
    check_order(order, height * width)
    return order


def _as_spec(ordering: Any) -> dict[str, Any]:
    """As options.as_options. A list or an array of pixels is refused with the way to say it."""
    if isinstance(ordering, list | tuple | np.ndarray):
        raise UserError(
            f"ordering is a {type(ordering).__name__}; give an order as a tensor, torch.tensor([3, 1, 0, 2]), or as "
            "{name: permutation, order: [3, 1, 0, 2]}"
        )
    return as_options("ordering", ordering)


def build_all(
    ordering: str | Mapping[str, Any] | Tensor, orders: str | Sequence[Any] | None, height: int, width: int
) -> Tensor:
    """The orders of a model, int64 (orders, pixels), each once; the first is the default.

    orders None: `ordering` alone. "symmetries": the eight orders that mirroring and turning the image make of `ordering`.
    A list: these orderings instead of `ordering`. A tensor `ordering` of two dimensions holds all the orders.
    """
    listed = ordering if isinstance(ordering, Tensor) and ordering.ndim == 2 else specs(ordering, orders)
    distinct = {tuple(order.tolist()): order for order in (build(spec, height, width) for spec in listed)}
    return torch.stack(list(distinct.values()))


def specs(ordering: Any, orders: str | Sequence[Any] | None) -> list[Any]:
    """List the orderings that build_all builds: names or {"name": …}."""
    if orders is None:
        return [ordering]
    if orders != "symmetries":
        if isinstance(orders, str) or not isinstance(orders, Sequence) or not orders:
            raise UserError(f"orders={orders}: it is symmetries, or a list of orderings such as [raster, column]")
        if any(isinstance(one, Tensor) for one in orders):
            raise UserError(
                "orders holds a tensor; give all orders as one tensor, ordering=torch.stack([…]), without orders"
            )
        return list(orders)
    if isinstance(ordering, Tensor):
        raise UserError(
            "orders=symmetries needs an ordering with a name; instead of a tensor, give a tensor of all orders"
        )
    spec = _as_spec(ordering)
    before = list(spec.get("transforms") or ())
    turns = [
        [*turn, *flips]
        for turn in ([], ["transpose"])
        for flips in ([], ["flip_rows"], ["flip_columns"], ["flip_rows", "flip_columns"])
    ]
    return [{**spec, "transforms": [*before, *turn]} for turn in turns]


def describe_first(ordering: Any, orders: str | Sequence[Any] | None) -> str:
    """Describe the first of the orderings that build_all builds."""
    return describe(specs(ordering, orders)[0])


def describe(ordering: Any) -> str:
    """Describe an ordering of a configuration in words, such as "raster, flip_rows"."""
    spec = _as_spec(ordering)
    return ", ".join([str(spec["name"]), *(spec.get("transforms") or ())])
