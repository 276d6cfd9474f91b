"""The orders of a model: paths through frames, which order is current, and which one suits a mask (docs/orders.md).

An order is int64 (pixels,): order[t] is the raster index of the pixel visited at step t. A mask, `hidden`, is bool (batch,
height, width), True on the pixels to complete.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelrnn.model.precision import full_float32


@dataclass(frozen=True)
class Frame:
    """An image turned or mirrored: its pixel i, in raster order over rows × columns, is the image's pixel pixels[i]."""

    pixels: Tensor  # int64 (rows · columns,)
    rows: int
    columns: int


@dataclass(frozen=True)
class Path:
    """An order as places in a frame. Orders with the same places in different frames can share all weights."""

    frame: Frame
    places: Tensor  # int64 (pixels,): the place of each step's pixel in the frame

    @property
    def order(self) -> Tensor:
        return self.frame.pixels[self.places]


def symmetries(height: int, width: int) -> list[Frame]:
    """The image itself, then mirrored and turned in all ways: eight frames, of which four are width × height."""
    raster = torch.arange(height * width, device="cpu").view(height, width)
    turned = [image.flip(flips) for image in (raster, raster.t()) for flips in ((), (0,), (1,), (0, 1))]
    return [Frame(image.flatten(), *image.shape) for image in turned]


def path_like(order: Tensor, base: Tensor, height: int, width: int) -> Path | None:
    """`order` as the places `base`, int64 (pixels,), in one of the image's eight frames; None if there is no such frame."""
    for frame in symmetries(height, width):
        if torch.equal(frame.pixels[base], order):
            return Path(frame, base)
    return None


class OrderCursor:
    """A model's paths and which of them is current. The model and its modules share one such object.

    A thread holds the lock while the current order, the mode or the packed products must not change. It may take the lock
    again. `alone` also keeps TF32 out of all that is computed meanwhile.
    """

    def __init__(self, paths: Sequence[Path], index: int = 0):
        self.paths, self.index, self.lock = list(paths), index, threading.RLock()
        self._visits: list[list[int]] = [path.order.tolist() for path in paths]

    def __reduce__(self) -> tuple[type["OrderCursor"], tuple[list[Path], int]]:
        """A copy has a lock of its own."""
        return OrderCursor, (self.paths, self.index)

    @property
    def visits(self) -> list[int]:
        """The current order as a list."""
        return self._visits[self.index]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Context manager: other threads wait, and computation is in full float32."""
        with self.lock, full_float32():
            yield

    @contextmanager
    def along(self, index: int) -> Iterator[None]:
        """Context manager: paths[index] is current, and other threads wait."""
        with self.alone():
            before, self.index = self.index, index
            try:
                yield
            finally:
                self.index = before


def hidden_span(hidden: Tensor, order: Tensor) -> tuple[int, int]:
    """The first step at which a pixel of any image is hidden, and the step after the last one."""
    steps = hidden.flatten(1)[:, order].any(0).nonzero()
    return int(steps[0]), int(steps[-1]) + 1


def paths_of(orders: Tensor, height: int, width: int) -> list[Path]:
    """The path of each order, (orders, pixels). If an order is a symmetry of the first one, its frame lets both share all
    weights; other orders visit the image as it is."""
    image = symmetries(height, width)[0]
    return [path_like(order, orders[0], height, width) or Path(image, order) for order in orders]


def observed_ahead(hidden: Tensor, order: Tensor) -> Tensor:
    """Count the observed pixels that come after the first hidden one: int64 (batch,)."""
    visited = hidden.flatten(1)[:, order]
    return ((visited.cumsum(1) > 0) & ~visited).sum(1)


def best_orders(hidden: Tensor, orders: Tensor) -> Tensor:
    """For each mask, the index of the order with the fewest observed pixels ahead, the first if several: (batch,)."""
    ahead = torch.stack([observed_ahead(hidden, order) for order in orders], 1)
    return ahead.argmin(1)


def match_to_order(hidden: Tensor, orders: Tensor, order: Tensor) -> Tensor:
    """Permute each mask so that it relates to `order` as the original does to its best one of `orders`.

    For symmetries this turns each mask into one that `order` suits best: a half into the half that is visited last.
    """
    along = hidden.flatten(1).gather(1, orders[best_orders(hidden, orders)])
    return torch.empty_like(along).scatter_(1, order.expand_as(along), along).view_as(hidden)
