"""The models that the page offers."""

import threading
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pixelrnn import checkpoint, pretrained
from pixelrnn.completion.describe import describe, describe_model, describe_order
from pixelrnn.errors import UserError
from pixelrnn.model import Model


@dataclass(frozen=True, eq=False)
class Offer:
    """A model, and what is known of it without running it; the lock is held during a draw, so that others can do without
    its model instead of waiting for it."""

    name: str
    model: Model
    examples: Tensor  # uint8 levels (images, channels, height, width)
    source: str  # of the examples
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.model.shape[1], self.model.shape[2]

    @property
    def orders(self) -> Tensor:
        return self.model.orders.cpu()

    @property
    def order_names(self) -> list[str]:
        return [describe_order(self.model, index) for index in range(len(self.model.orders))]

    @property
    def window(self) -> int:
        return int(self.model.arguments.get("window") or 0)

    @property
    def words(self) -> str:
        return f"{describe_model(self.model)}; {describe(self.model.shape, self.model.levels)}"


class Shelf:
    """The bundled models, loaded when they are first asked for, and perhaps one of the user's own."""

    def __init__(self, own: Offer | None = None, first: str = "mnist_binary", device: str | torch.device = "cpu"):
        self._offers = {own.name: own} if own else {}
        self._device, self._lock = device, threading.Lock()
        self.names = [*self._offers, *(name for name in pretrained.names() if name not in self._offers)]
        self.first = own.name if own else first

    def __getitem__(self, name: object) -> Offer:
        """The model of a name; UserError for another name, which a browser may send."""
        if name not in self.names:
            raise UserError(f"there is no model '{name}' here; choose one of {', '.join(self.names)}")
        with self._lock:
            if name not in self._offers:
                model = checkpoint.load(name, self._device)
                self._offers[name] = Offer(name, model, pretrained.examples(name), "of its test data")
            return self._offers[name]
