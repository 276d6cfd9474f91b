"""The models that the page can use."""

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelrnn import checkpoint, pretrained
from pixelrnn.completion.describe import describe_order
from pixelrnn.errors import UserError
from pixelrnn.model import Model


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model under its name, and examples to complete."""

    name: str
    model: Model
    examples: Tensor  # uint8 levels (images, channels, height, width)
    source: str  # where the examples come from

    @property
    def order_names(self) -> list[str]:
        return [describe_order(self.model, index) for index in range(len(self.model.orders))]


class ModelCatalog:
    """The bundled models, each loaded when it is first asked for, and perhaps one of the user's own."""

    def __init__(self, own: LoadedModel | None = None, first: str = "mnist_binary", device: str | torch.device = "cpu"):
        self._loaded = {own.name: own} if own else {}
        self._device, self._lock = device, threading.Lock()
        self.names = [*self._loaded, *(name for name in pretrained.names() if name not in self._loaded)]
        self.first = own.name if own else first

    def __getitem__(self, name: object) -> LoadedModel:
        """Return the model of this name. Raise UserError for another name, which a browser may send."""
        if name not in self.names:
            raise UserError(f"there is no model '{name}' here; choose one of {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                model = checkpoint.load(name, self._device)
                self._loaded[name] = LoadedModel(name, model, pretrained.examples(name), "from its test data")
            return self._loaded[name]
