"""Facts about the images of a model: how probable they are, and whether they are strokes on a plain ground, like digits."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pixelrnn.errors import note
from pixelrnn.evaluation.likelihoods import log_probs
from pixelrnn.model import Model
from pixelrnn.own_picture.framing import INK
from pixelrnn.pixels import requantise

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
PLAIN = 0.6  # the ground is plain if one level has this share of the border's pixels; MNIST has 1.0, CIFAR-10 0.02


@dataclass(frozen=True)
class Typical:
    """Measured on test images, or on validation images at the end of training. Saved in the model's config.json."""

    images: int
    log_prob_per_pixel: tuple[float, ...]  # nats, at QUANTILES
    ground: int | None  # the 8-bit value of a plain ground; None if the ground is not plain
    extent: float  # the longer side of the ink's bounding box, as a share of the image's side; the median of the images

    @classmethod
    def of(cls, images: Tensor, levels: int, log_probs: Tensor) -> "Typical":
        """Measure images, uint8 (N, channels, height, width), whose log p is log_probs, (N,) nats."""
        pixels = images.shape[2] * images.shape[3]
        quantiles = torch.quantile(log_probs.double() / pixels, torch.tensor(QUANTILES, dtype=torch.float64))
        values = requantise(images, levels, 256)
        border = torch.cat([values[:, :, 0], values[:, :, -1], values[..., 0], values[..., -1]], -1).flatten()
        ground = int(border.mode().values)
        plain = float((border == ground).float().mean()) >= PLAIN
        extent = float(ink_extent(values, ground).median())
        return cls(
            len(images), tuple(round(float(q), 5) for q in quantiles), ground if plain else None, round(extent, 3)
        )

    @classmethod
    def of_model(cls, model: Model) -> "Typical | None":
        """The facts saved with a model; None if there are none, or if they make no sense."""
        try:
            found = cls(**model.trained_on["typical"])
            sound = sorted(map(float, found.log_prob_per_pixel)) == list(found.log_prob_per_pixel)
            sound &= len(found.log_prob_per_pixel) == len(QUANTILES) and 0 < found.extent <= 1
            return found if sound and found.ground in (None, *range(256)) else None
        except (KeyError, TypeError, ValueError):
            return None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "log_prob_per_pixel": list(self.log_prob_per_pixel)}


def ink_extent(values: Tensor, ground: int) -> Tensor:
    """The longer side of each image's ink as a share of its side: 8-bit (N, channels, height, width) -> (N,)."""
    ink = ((values.int() - ground).abs() >= INK).any(1)
    sides = [ink.any(dim).float() for dim in (2, 1)]  # which rows, and which columns, have ink
    spans = [(_last(side) - side.argmax(1) + 1) * side.any(1) / side.shape[1] for side in sides]
    return torch.maximum(*spans)


def _last(side: Tensor) -> Tensor:
    return side.shape[1] - 1 - side.flip(1).argmax(1)


def say_if_unlike(model: Model, name: str, completed: Tensor) -> None:
    """Tell the user if a picture is far less (or far more) probable than the images the model was trained on.

    completed, uint8 (count, channels, height, width), are completions of the picture. Their mean log p(x) is far off if it is
    more than twice as far from the median as the 1 % and 99 % quantiles of the model's test images.
    """
    if not (typical := Typical.of_model(model)):
        return
    low, median, high = (typical.log_prob_per_pixel[i] for i in (1, 3, 5))
    found = float(log_probs(model, completed).mean()) / model.pixels
    if not 2 * low - median <= found <= 2 * high - median:
        note(
            f"{name} is unlike what the model was trained on: completed, its log p is {found:.3g} nats per pixel, and that of "
            f"98 of 100 test images {low:.3g} to {high:.3g}; do not trust the completion"
        )
