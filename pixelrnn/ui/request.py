"""A visitor's request: a model, a target image, what is painted on it, and the choices for a draw."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pixelrnn import occlusion as occlusions
from pixelrnn.completion.describe import ORDINALS, in_words, manner
from pixelrnn.completion.parts import Options
from pixelrnn.errors import UserError, note, notes_to
from pixelrnn.files.pictures import check_mask_size, read_mask, to_picture, to_tensor, with_channels
from pixelrnn.model import InpaintingRNN
from pixelrnn.model.orders import observed_ahead
from pixelrnn.own_picture.any_size import with_channels_as, with_channels_of
from pixelrnn.own_picture.picture import OwnPicture, frame, from_file, read
from pixelrnn.own_picture.typical import Typical
from pixelrnn.pixels import requantise
from pixelrnn.ui import painted
from pixelrnn.ui.catalog import LoadedModel

MAX_PIXELS = 24_000_000  # of a picture or a mask that a visitor sends
MAX_DRAWN = 1_000_000  # hidden pixels times completions, for a model of pictures of any size
MAX_IMAGES = 64  # of one draw
SHOWN = 1280  # pixels of the larger side: a larger picture is painted on, and shown, reduced to this

EXAMPLE = "an example"  # the words of a target that is one
MAX_SEED = 2**31 - 1
STANDARD = {**occlusions.STANDARD, "everything": {"name": "all"}}  # on buttons
NOTHING = "Nothing is hidden yet: paint over what is to be completed, or choose one of the occlusions."


class NothingHidden(UserError):
    """The visitor has not hidden anything yet, which is no mistake."""


def standard_mask(name: str, height: int, width: int, seed: int) -> Tensor:
    """One of STANDARD: bool (height, width)."""
    spec = STANDARD[name]
    if occlusions.takes_seed(spec["name"]):
        check_number("seed", seed, 0, MAX_SEED)
        spec = {**spec, "seed": seed}
    return occlusions.build(spec, height, width)


def reduced(picture: Tensor) -> Tensor:
    """A picture, uint8 (channels, height, width), with at most SHOWN pixels on its larger side."""
    image = to_picture(picture)
    image.thumbnail((SHOWN, SHOWN))
    return to_tensor(image)


@dataclass(frozen=True, eq=False)
class Target:
    """The image to complete, for the model of this name, and the visitor's picture if it shows one.

    For a model of pictures of any size, `own` is always given, and `image` is `own.picture`, reduced if it is large.
    """

    model: str
    image: Tensor  # uint8 levels (channels, height, width): what is shown and painted on
    own: OwnPicture | None = None
    mask: Tensor | None = None  # bool, at the picture's own size: the pixels that the target came with as hidden
    words: str = EXAMPLE  # what it is
    path: str = ""  # the file that a visitor sent
    said: tuple[str, ...] = ()  # the notes on how it is shown to the model

    @classmethod
    def example(cls, loaded: LoadedModel, number: int) -> "Target":
        image = loaded.examples[number]
        return cls.at_own_size(loaded, image) if loaded.any_size else cls(loaded.name, image)

    @classmethod
    def blank(cls, loaded: LoadedModel) -> "Target":
        """An empty canvas, all of it hidden."""
        image = torch.zeros(loaded.model.shape, dtype=torch.uint8)
        empty = cls.at_own_size(loaded, image) if loaded.any_size else cls(loaded.name, image)
        return replace(empty, mask=torch.ones(image.shape[1:], dtype=torch.bool), words="your drawing")

    @classmethod
    def at_own_size(cls, loaded: LoadedModel, picture: Tensor, own: OwnPicture | None = None) -> "Target":
        """A picture, uint8 (channels, height, width), for a model of any size. own: the file it is from."""
        shown = reduced(picture)
        own = replace(own, picture=picture, image=shown) if own else OwnPicture(picture, shown, loaded.model.levels)
        return cls(loaded.name, shown, own)

    @classmethod
    def upload(cls, loaded: LoadedModel, path: str) -> "Target":
        """Read a visitor's picture for this model; its transparent part is hidden. Raise UserError if that is impossible."""
        if not loaded.any_size:
            said = list[str]()
            with notes_to(said.append):
                own, mask = from_file(path, loaded.model, max_pixels=MAX_PIXELS)
            for text in said:
                note(text)
            return cls(loaded.name, own.image, own, mask, "your picture", path, tuple(said))
        own, mask = read(path, loaded.model.levels, max_pixels=MAX_PIXELS)
        assert own.file
        with_channels(own.file.colours, loaded.model.shape[0], own.file.name)  # refuses colour for a grey model
        return replace(cls.at_own_size(loaded, own.picture, own), mask=mask, words="your picture", path=path)

    def with_mask_file(self, path: str, loaded: LoadedModel) -> "Target":
        """Return the target with the mask of a file. Raise UserError if their sizes differ."""
        if self.own:
            return self.hiding(self.own.mask(path, MAX_PIXELS), loaded)
        mask = read_mask(path, MAX_PIXELS)
        check_mask_size(mask, path, *self.image.shape[1:])
        return replace(self, mask=mask)

    def hiding(self, mask: Tensor | None, loaded: LoadedModel) -> "Target":
        """Return the target for this model with another mask, bool at the picture's own size.

        A visitor's picture is framed again, without the pixels that the mask hides. Notes say how it is changed.
        """
        target, typical = replace(self, model=loaded.name, mask=mask), Typical.of_model(loaded.model)
        if loaded.any_size or not self.own or not self.own.file or not typical or typical.ground is None:
            return target
        own = frame(self.own, loaded.model, [mask] if mask is not None and bool(mask.any()) else [])
        return replace(target, own=own, image=own.image)

    def with_image(self, image: Tensor, whole: Tensor, words: str) -> "Target":
        """Return the target with another image in the model's levels, of which nothing is hidden. whole: the same in 8 bits at
        the picture's own size."""
        own = replace(self.own, picture=whole, image=image) if self.own else None
        return replace(self, image=image, own=own, mask=None, words=words, path="")

    @property
    def is_example(self) -> bool:
        """Whether it is one of the model's examples, so that the original is known."""
        return self.words == EXAMPLE

    @property
    def size(self) -> tuple[int, int]:
        """Height and width at the picture's own size."""
        _, height, width = (self.own.picture if self.own else self.image).shape
        return height, width

    @property
    def painted(self) -> str | None:
        """The mask as the painter shows it, at the image's size; None if there is none."""
        if self.mask is None:
            return None
        return painted.to_text(self.own.reduce(self.mask) if self.own else self.mask)

    def after_painting(self, states: Tensor, loaded: LoadedModel) -> tuple["Target", Tensor]:
        """Return the target with what was painted on it, see painted.from_text, and the hidden pixels, bool (height, width).

        A pixel of which any part is hidden in the visitor's picture is hidden, as for a mask file.
        """
        hidden, ink = states == painted.STATES.index("h"), states > 1
        if self.own and not bool(ink.any()):
            if not bool(hidden.any()):
                return replace(self, mask=None), hidden
            mask = self.own.refine(hidden, self.mask)
            target = self.hiding(mask, loaded)
            assert target.own
            return target, target.own.reduce(mask)
        white = states == painted.STATES.index("w")
        image = self.image.masked_fill(ink, 0).masked_fill(white, loaded.model.levels - 1)
        return replace(self, image=image, words="your drawing" if bool(ink.any()) else self.words), hidden

    def at_full_size(self, hidden: Tensor) -> Tensor:
        """The hidden pixels at the picture's own size, bool. Where a mask file hides part of a pixel, only that part."""
        return self.own.refine(hidden, self.mask) if self.own else hidden


def check_number(name: str, value: Any, least: float, most: float, kind: Any = int) -> None:
    """Raise UserError unless the value, which may be anything that a browser sends, is a number in this range."""
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        number = "whole number" if kind is int else "number"
        given = "empty" if value is None else value
        raise UserError(f"the {name} is {given}; it must be a {number} from {least:,} to {most:,}")


@dataclass(frozen=True, eq=False)
class Request:
    """Complete the hidden region of a target. If everything is hidden, this draws images from scratch.

    The choices may be anything that a browser sends: raises UserError if one is invalid, or asks for too much work, and
    NothingHidden. A model of pictures of any size has one strategy and one order.
    """

    loaded: LoadedModel
    target: Target
    hidden: Tensor  # bool (height, width), at the size of the target's image
    strategy: str = "auto"
    order: int | str = "best"  # an index; "best" has the fewest observed pixels after the first hidden one
    count: int = 6
    temperature: float = 1.0
    seed: int = 0
    notes: Sequence[str] = ()  # sentences on how the model sees the target, as far as the hidden region decides it

    def __post_init__(self) -> None:
        Options(strategy=self.strategy)  # raises UserError for an unknown one
        if self.order != "best":
            check_number("order", self.order, 0, len(self.loaded.model.orders) - 1)
        check_number("number of images", self.count, 1, MAX_IMAGES)
        check_number("temperature", self.temperature, 0.05, 5, int | float)
        check_number("seed", self.seed, 0, MAX_SEED)
        if not bool(self.hidden.any()):
            raise NothingHidden(NOTHING)
        pixels = int(self.full_size_mask.sum())
        if self.loaded.any_size and pixels * self.count > MAX_DRAWN:
            raise UserError(
                f"{pixels:,} hidden pixels, {self.count} times, would take too long: the page draws up to {MAX_DRAWN:,}; hide "
                "less, ask for fewer completions, or use pixelrnn complete, which has no limit"
            )

    def is_like(self, other: "Request") -> bool:
        """Whether it has the same answers."""
        choices = ("strategy", "order", "count", "temperature", "seed")
        return (
            self.loaded.name == other.loaded.name
            and all(getattr(self, name) == getattr(other, name) for name in choices)
            and torch.equal(self.hidden, other.hidden)
            and torch.equal(self.target.image, other.target.image)
        )

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
        """A sentence that says how much is drawn, and how."""
        mask, sees_ahead = self.full_size_mask, self.loaded.model.sees_ahead
        ahead = 0 if self.loaded.any_size else int(observed_ahead(self.hidden[None], self.visits))
        how = in_words(manner(ahead, sees_ahead, self.strategy, self.temperature), ahead, self.temperature)
        hidden, along = f"{int(mask.sum()):,} of {mask.numel():,} pixels are hidden", ""
        if len(self.loaded.model.orders) > 1 and not self.loaded.any_size:
            number, of = self.order_index, len(self.loaded.model.orders)
            along = f"along the {ORDINALS[number] if number < len(ORDINALS) else f'{number + 1}th'} of {of} orders, "
        if self.from_scratch:
            return f"Everything is drawn: {along}{how.replace('p(hidden | observed)', 'p(x)')}."
        return " ".join([f"{hidden}: {along}{how}.", *self.notes])

    @cached_property
    def full_size_mask(self) -> Tensor:
        """The hidden region at the target's own size, bool."""
        return self.target.at_full_size(self.hidden)

    @property
    def given(self) -> Tensor:
        """The target's picture at its own size, in 8 bits (channels, height, width)."""
        return (
            self.target.own.picture if self.target.own else requantise(self.target.image, self.loaded.model.levels, 256)
        )

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of the colours of the visitor's picture, if it has one."""
        return self.target.own.profile if self.target.own else None

    @property
    def picture(self) -> Tensor:
        """The target's own picture with the channels of a model of pictures of any size."""
        assert isinstance(self.loaded.model, InpaintingRNN)
        return with_channels_of(self.loaded.model, self.given)

    def full_size(self, image: Tensor) -> Tensor:
        """A drawn image (channels, height, width) in 8 bits, pasted into the visitor's picture if there is one."""
        if self.loaded.any_size:
            return with_channels_as(len(self.given), image)
        if self.target.own:
            return self.target.own.paste(image, self.full_size_mask)
        return requantise(image, self.loaded.model.levels, 256)

    @property
    def command(self) -> str:
        """The command that draws the same, from the files picture.png and mask.png of the archive if there is something to see."""
        # Without a picture of the visitor's there is nothing to see: the strategy does not matter, and sample draws the same.
        sampled = self.from_scratch and self.order == "best" and not self.target.own
        options: dict[str, Any] = {} if sampled else {"image": "picture.png", "mask": "mask.png"}
        options |= {"count": self.count, "seed": self.seed}
        if self.temperature != 1:
            options["temperature"] = self.temperature
        if not sampled and not self.loaded.any_size:
            options |= {"strategy": self.strategy} if self.strategy != "auto" else {}
            options |= {"order": self.order} if self.order != "best" else {}
        words = ["pixelrnn", "sample" if sampled else "complete", f"checkpoint={self.loaded.name}"]
        return shlex.join([*words, *(f"{name}={value}" for name, value in options.items())])
