"""A visitor's request: a model, a target image, its hidden region, and the choices for a draw."""

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pixelrnn import checkpoint, pretrained
from pixelrnn import occlusion as occlusions
from pixelrnn.completion.describe import describe_order, in_words, manner
from pixelrnn.completion.parts import Options
from pixelrnn.errors import UserError
from pixelrnn.files.pictures import check_size, read_mask
from pixelrnn.model import Model
from pixelrnn.model.orders import observed_ahead
from pixelrnn.own_picture.picture import OwnPicture, from_file
from pixelrnn.pixels import requantise

MAX_PIXELS = 4_000_000  # of a picture or a mask that a visitor sends
MAX_IMAGES = 64  # of one draw

STANDARD = {**occlusions.STANDARD, "everything": {"name": "all"}}  # on buttons


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


def standard_mask(name: str, height: int, width: int, seed: int) -> Tensor:
    """One of STANDARD: bool (height, width)."""
    spec = STANDARD[name]
    return occlusions.build({**spec, "seed": seed} if occlusions.takes_seed(spec["name"]) else spec, height, width)


def mask_to_text(hidden: Tensor) -> str:
    """Write a mask, bool (height, width), as the painter does: row by row, "1" for a hidden pixel, "0" for another."""
    return "".join("01"[pixel] for pixel in hidden.flatten().int().tolist())


def mask_from_text(text: object, height: int, width: int) -> Tensor:
    """Invert mask_to_text. Raise UserError unless the text, which may be anything, is a mask of this size."""
    if not isinstance(text, str) or len(text) != height * width or set(text) - {"0", "1"}:
        raise UserError(f"the painted mask does not have {height}x{width} pixels; choose the image again")
    return torch.tensor([character == "1" for character in text]).view(height, width)


@dataclass(frozen=True, eq=False)
class Target:
    """The image to complete, in the levels of the model of this name, and the visitor's picture if it shows one."""

    model: str
    image: Tensor  # uint8 (channels, height, width)
    own: OwnPicture | None = None
    mask: Tensor | None = None  # bool, at the picture's own size: the pixels that the target came with as hidden

    @classmethod
    def upload(cls, loaded: LoadedModel, path: str) -> "Target":
        """Read a visitor's picture for this model; its transparent part is hidden. Raise UserError if that is impossible."""
        own, mask = from_file(path, loaded.model, max_pixels=MAX_PIXELS)
        return cls(loaded.name, own.image, own, mask)

    def with_mask_file(self, path: str, max_pixels: int = MAX_PIXELS) -> "Target":
        """Return the target with the mask of a file. Raise UserError if their sizes differ."""
        if self.own:
            return replace(self, mask=self.own.mask(path, max_pixels))
        mask = read_mask(path, max_pixels)
        check_size(mask, path, *self.image.shape[1:])
        return replace(self, mask=mask)

    @property
    def painted(self) -> str | None:
        """The mask as the painter shows it, at the model's size; None if there is none."""
        if self.mask is None:
            return None
        return mask_to_text(self.own.reduce(self.mask) if self.own else self.mask)


def check_number(name: str, value: Any, least: float, most: float, kind: Any = int) -> None:
    """Raise UserError unless the value, which may be anything that a browser sends, is a number in this range."""
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        number = "whole number" if kind is int else "number"
        given = "empty" if value is None else value
        raise UserError(f"the {name} is {given}; it must be a {number} from {least:,} to {most:,}")


def check_choices(count: Any, temperature: Any, seed: Any) -> None:
    """Raise UserError unless a draw can be made with these choices."""
    check_number("number of images", count, 1, MAX_IMAGES)
    check_number("temperature", temperature, 0.05, 5, int | float)
    check_number("seed", seed, 0, 2**31 - 1)


@dataclass(frozen=True, eq=False)
class Request:
    """Complete the hidden region of a target. If everything is hidden, this draws images from scratch.

    The choices may be anything that a browser sends: raises UserError if one is invalid, or if nothing is hidden.
    """

    loaded: LoadedModel
    target: Target
    hidden: Tensor  # bool (height, width)
    strategy: str = "auto"
    order: int | str = "best"  # an index; "best" has the fewest observed pixels after the first hidden one
    count: int = 6
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        Options(strategy=self.strategy)  # raises UserError for an unknown one
        if self.order != "best":
            check_number("order", self.order, 0, len(self.loaded.model.orders) - 1)
        check_choices(self.count, self.temperature, self.seed)
        if not bool(self.hidden.any()):
            raise UserError("nothing is hidden: paint over the pixels to complete, or choose one of the occlusions")

    @property
    def from_scratch(self) -> bool:
        return bool(self.hidden.all())

    @cached_property
    def order_index(self) -> int:
        if self.order != "best":
            return int(self.order)
        return int(self.loaded.model.best_orders(self.hidden[None].to(self.loaded.model.orders.device)))

    @cached_property
    def visits(self) -> Tensor:
        """The raster indices of the pixels in this order: int64 (pixels,)."""
        return self.loaded.model.orders[self.order_index].cpu()

    @cached_property
    def forecast(self) -> str:
        """A sentence that says how the region will be drawn."""
        ahead, sees_ahead = int(observed_ahead(self.hidden[None], self.visits)), self.loaded.model.sees_ahead
        how = manner(ahead, sees_ahead, self.strategy, self.temperature)
        return (
            f"{int(self.hidden.sum())} of {self.hidden.numel()} pixels are hidden. Along "
            f"{self.loaded.order_names[self.order_index]}{', with the encoder' if sees_ahead else ''}: "
            f"{in_words(how, ahead, self.temperature)}."
        )

    @property
    def full_size_mask(self) -> Tensor:
        """The hidden region at the target's own size, bool. Where a mask file hides part of a pixel, only that part."""
        if self.target.own:
            return self.target.own.refine(self.hidden, self.target.mask)
        return self.hidden

    def full_size(self, image: Tensor) -> Tensor:
        """A drawn image (channels, height, width) in 8 bits, pasted into the visitor's picture if there is one."""
        if self.target.own:
            return self.target.own.paste(image, self.full_size_mask)
        return requantise(image, self.loaded.model.levels, 256)
