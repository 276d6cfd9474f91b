"""The models of the page: the bundled ones, and perhaps one of the user's own."""

import threading
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pixelrnn import checkpoint, datasets, pretrained
from pixelrnn.completion.describe import describe, describe_order
from pixelrnn.errors import UserError
from pixelrnn.model import Model
from pixelrnn.own_picture.any_size import any_size
from pixelrnn.pixels import requantise


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model under its name, and examples to complete."""

    name: str
    model: Model
    examples: Tensor  # uint8 levels (images, channels, height, width)
    source: str  # where the examples come from

    @property
    def any_size(self) -> bool:
        """Whether it completes pictures of any size at their own size."""
        return any_size(self.model)

    @property
    def form(self) -> str:
        """The form of its images in words."""
        return "any size" if self.any_size else describe(self.model.shape, self.model.levels)

    @cached_property
    def training_images(self) -> Tensor | None:
        """The images it was trained on, uint8 levels (images, channels, height, width); None if they are not on this machine.

        Those that are binarised anew at each use are binarised by threshold here.
        """
        spec = self.model.trained_on.get("data")
        found = datasets.at_hand(spec) if spec and not self.any_size else None
        fits = found is not None and (found.shape, found.levels) == (self.model.shape, self.model.levels)
        if not found or not fits or not isinstance(found.train, Tensor):
            return None
        return requantise(found.train, 256, found.levels) if found.dynamic else found.train

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

    @property
    def titles(self) -> list[tuple[str, str]]:
        """For the menu: the title of each model, which says what it completes, and its name."""
        known = {name: pretrained.facts(name)["title"] for name in pretrained.names()}
        return [(f"{name}: {known[name]}" if name in known else f"{name}: your own model", name) for name in self.names]
