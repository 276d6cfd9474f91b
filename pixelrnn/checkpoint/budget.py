"""A limit on what torch may make while a model is built as a stranger's configuration says.

A few numbers can ask for gigabytes. Every operation is looked at before it is done: by its arguments, which bound what most
can make, else by torch's meta tensors, which have shapes and no memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from pixelrnn.errors import UserError

SPARE = 64 * 2**20  # bytes that a model's weights may take while it is built, beside four times those of its file
ROOM = 2**30  # the same of what is computed, such as which pixels a wide window knows along many orders
SMALL = 2**20  # values that a call may make unasked


@contextmanager
def within(weights: dict[str, Tensor]) -> Iterator[None]:
    """While it holds, torch makes tensors within what a model of these weights needs."""
    size = sum(weight.numel() * 8 for weight in weights.values())
    with _Budget(SPARE + 4 * size, ROOM + 4 * size, 3000 + 300 * (len(weights) + len(weights["orders"]))):
        yield


class _Budget(TorchDispatchMode):
    """Raises UserError before torch makes more tensors than it may: bytes of weights, bytes of what is computed, and calls."""

    def __init__(self, weights: int, tables: int, calls: int):
        super().__init__()
        self.weights, self.tables, self.calls = weights, tables, calls
        self.largest = tables // 4  # bytes of one tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, made = kwargs or {}, None
        self.calls -= 1
        if not func.is_view and not func._schema.is_mutable:
            if _most(func, args) <= SMALL:  # most calls, and sooner done than asked
                made = func(*args, **kwargs)
            size = _to_be_made(func, args, kwargs) if made is None else _bytes(made)
            if any(isinstance(arg, Tensor) for arg in tree_iter(args)):
                self.tables -= size if size <= self.largest else self.tables + 1
            else:  # made from sizes alone
                self.weights -= size
        if min(self.weights, self.tables, self.calls) < 0:
            raise UserError("the options ask for a model far larger than its weights")
        return func(*args, **kwargs) if made is None else made


def _most(func: Any, args: Any) -> int:
    """No fewer values than what is made of these arguments has: tensors broadcast, and sizes are numbers."""
    if torch.Tag.pointwise in func.tags:
        shapes = [reversed(arg.shape) for arg in args if isinstance(arg, Tensor)]
        return prod(max(sizes) for sizes in zip_longest(*shapes, fillvalue=1))
    joins = func.overloadpacket in (torch.ops.aten.cat, torch.ops.aten.stack)
    return sum(tensor.numel() for tensor in args[0]) if joins else _product(args)


def _product(args: Any) -> int:
    total = 1
    for arg in args:
        if isinstance(arg, Tensor):
            total *= arg.numel() or 1
        elif isinstance(arg, int):
            total *= abs(arg) or 1
        elif isinstance(arg, list | tuple):
            total *= _product(arg)
    return total


def _to_be_made(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """The bytes that a call will make: asked of torch's meta tensors, which have shapes and no memory."""
    args, kwargs = tree_map_only(Tensor, lambda tensor: torch.empty_like(tensor, device="meta"), (args, kwargs))
    if "device" in kwargs:
        kwargs["device"] = torch.device("meta")
    try:
        return _bytes(func(*args, **kwargs))
    except (NotImplementedError, RuntimeError):  # it depends on values, and makes no more than it is given
        return _bytes((args, kwargs))


def _bytes(made: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tree_iter(made) if isinstance(tensor, Tensor))
