"""The contract of all models: p(x) = ∏_t p(x_t | x_<t) along an ordering, and the sampler's two calls."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood import Likelihood
from pixelrnn.pixels import MAX_LEVELS, check_hidden, check_images, to_sequence

Shape = tuple[int, int, int]  # (channels, height, width)


def check_form(shape: Sequence[int], levels: int) -> Shape:
    """The shape as a tuple; UserError unless it is one of images that a model can be made for."""
    if len(shape) != 3 or min(shape) < 1 or shape[0] not in (1, 3):
        raise UserError(f"shape={tuple(shape)}: it is (channels, height, width) with 1 or 3 channels")
    if not 2 <= levels <= MAX_LEVELS:
        raise UserError(f"levels={levels}: an image has 2 to {MAX_LEVELS} levels")
    return (int(shape[0]), int(shape[1]), int(shape[2]))


def check_sizes(**sizes: int) -> None:
    """UserError unless each of these numbers of units, layers, … is at least 1."""
    for name, value in sizes.items():
        if value < 1:
            raise UserError(f"{name}={value}: it is at least 1")


class Model(nn.Module, ABC):
    """An autoregressive model of images of one shape and number of levels, in one ordering.

    Parameters, of pixels' distributions, are what the likelihood makes of the features; along dimension 1 they stand
    in the order of the visit: parameters[:, t] belong to the pixel order[t].
    """

    order: Tensor  # int64 (pixels,), a buffer: it travels with the weights
    likelihood: Likelihood

    def __init__(self, shape: Shape, levels: int, order: Tensor, arguments: dict[str, Any]):
        super().__init__()
        self.shape, self.levels = shape, levels
        # Plain values that make the same model again, for config.json; an order tensor is in the weights.
        custom = {"ordering": {"name": "custom"}} if isinstance(arguments["ordering"], Tensor) else {}
        self.arguments = {"shape": list(shape), "levels": levels, **arguments, **custom}
        self.trained_on: dict[str, Any] = {}  # the configuration of its data, if it was trained
        self.register_buffer("order", order.clone())
        self.visits: list[int] = order.tolist()  # the same for Python's loops, without a copy from the device

    @property
    def pixels(self) -> int:
        return self.shape[1] * self.shape[2]

    @property
    def dimensions(self) -> int:
        """The number of values of an image, by which bits_per_dim divides."""
        return self.shape[0] * self.pixels

    @property
    def parts(self) -> dict[str, Tensor]:
        """Hidden regions, bool (height, width), whose likelihood given the rest is a property of the model worth a report."""
        return {}

    @abstractmethod
    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Parameters of every pixel's distribution given the pixels before it, teacher-forced.

        images uint8 (batch, channels, height, width) -> (batch, pixels, parameters). `hidden` makes a difference only
        to models that see observed pixels ahead.
        """

    @abstractmethod
    def begin(self, canvas: Tensor, hidden: Tensor) -> Any:
        """The state before the first hidden pixel's step; the observed pixels before it are read in one parallel pass.

        canvas uint8 (batch, channels, height, width), hidden bool (batch, height, width). The state is a tree of lists
        and tuples of tensors, batch first in each.
        """

    @abstractmethod
    def step(self, canvas: Tensor, t: int, state: Any) -> tuple[Tensor, Any]:
        """Parameters (batch, parameters) of pixel order[t], given those before it on the canvas, and the next state.

        The state that it is given may be overwritten: to branch, copy it first.
        """

    def pixel_log_probs(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x_t | what is known at t) of every pixel: (batch, pixels) nats, in the order of the visit."""
        check_images(images, self.shape, self.levels)
        return self.likelihood.log_prob(self(images, hidden), to_sequence(images, self.order))

    def log_prob(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x), or with `hidden` log p(x_hidden | x_observed), exactly: (batch,) nats.

        The conditional is exact where no observed pixel comes after a hidden one in the order. Elsewhere a plain
        autoregressive model has no closed form for it, and this raises UserError with the way out.
        """
        if hidden is None:
            return self.pixel_log_probs(images).sum(1)
        hidden = check_hidden(hidden, images)
        ahead = int(self.observed_ahead(hidden).max())
        if ahead:
            raise UserError(
                f"log p(hidden | observed) is not exact here: up to {ahead} observed pixels come after the first hidden "
                "one in this model's ordering, where it cannot see them; hide a region that the ordering visits last, "
                "or use a model whose ordering does (ordering.transforms=[flip_rows], [reverse], …)"
            )
        return self.fill_log_prob(images, hidden)

    def fill_log_prob(self, images: Tensor, hidden: Tensor) -> Tensor:
        """log-probability (batch,) nats with which the plain, ancestral fill draws the hidden pixels.

        It equals log p(x_hidden | x_observed) where no observed pixel lies ahead of a hidden one.
        """
        hidden = check_hidden(hidden, images)
        return (self.pixel_log_probs(images, hidden) * self.in_order(hidden)).sum(1)

    def in_order(self, hidden: Tensor) -> Tensor:
        """hidden (batch, height, width) along the order: (batch, pixels)."""
        return hidden.flatten(1)[:, self.order]

    def observed_ahead(self, hidden: Tensor) -> Tensor:
        """How many observed pixels come after the first hidden one: int64 (batch,). 0 makes the plain fill exact."""
        visited = self.in_order(hidden)
        return ((visited.cumsum(1) > 0) & ~visited).sum(1)

    def hidden_span(self, hidden: Tensor) -> tuple[int, int]:
        """The first step at which a pixel of any image is hidden, and the step after the last one."""
        steps = self.in_order(hidden).any(0).nonzero()
        return int(steps[0]), int(steps[-1]) + 1
