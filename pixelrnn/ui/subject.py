"""What is to be completed: an example, or a picture that a visitor sends."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pixelrnn.own_picture.picture import OwnPicture, from_file
from pixelrnn.pixels import requantise
from pixelrnn.ui.masks import LARGEST
from pixelrnn.ui.shelf import Offer


@dataclass(frozen=True, eq=False)
class Subject:
    """What is to be completed: an image in the levels of the model of this name, and the visitor's picture if it is one."""

    model: str
    image: Tensor  # uint8 (channels, height, width)
    own: OwnPicture | None = None
    mask: Tensor | None = None  # bool, of the picture's own size: its mask file, or its transparent part

    def own_hidden(self, hidden: Tensor) -> Tensor:
        """What is hidden, at the picture's own size: of what the visitor painted over a mask file's pixels, these alone."""
        return self.own.refine(hidden, self.mask) if self.own else hidden

    def finished(self, completed: Tensor, hidden: Tensor, levels: int) -> Tensor:
        """A completion (channels, height, width) in 8 bits, at the size of the visitor's picture if there is one."""
        if self.own:
            return self.own.paste(completed, self.own_hidden(hidden))
        return requantise(completed, levels, 256)


def example(offer: Offer, number: int) -> Subject:
    return Subject(offer.name, offer.examples[number % len(offer.examples)])


def upload(offer: Offer, path: str | Path) -> Subject:
    """A visitor's picture for this model; UserError where it cannot serve."""
    own, mask = from_file(path, offer.model, max_pixels=LARGEST)
    return Subject(offer.name, own.image, own, mask)
