"""The contract of all models: p(x) = ∏_t p(x_t | x_<t) along an ordering, and the sampler's two calls."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood import Likelihood
from pixelrnn.pixels import MAX_LEVELS, check_hidden, check_images, observed_ahead, to_sequence
from pixelrnn.registry import LONGEST, printable

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


class Followed:
    """Which of a model's orders it follows now: one such object is shared by the model and its modules.

    The lock is held while that, the mode or what is packed must stay as it is. One thread may take it again.
    """

    def __init__(self, index: int = 0):
        self.index, self.lock = index, threading.RLock()

    def __reduce__(self) -> tuple[type["Followed"], tuple[int]]:
        """A copy has a lock of its own."""
        return Followed, (self.index,)


class Model(nn.Module, ABC):
    """An autoregressive model of images of one shape and number of levels, in one ordering or in several.

    Parameters, of pixels' distributions, are what the likelihood makes of the features; along dimension 1 they stand
    in the order of the visit: parameters[:, t] belong to the pixel order[t]. With several orders there is one p(x) for
    each, of shared weights; all methods speak of the order that is followed, the first one unless `along` says another.

    Several threads may use one model: each waits until the other is done. A thread that calls begin() and step() itself
    does so within `evaluating` or `along`. The weights must not change meanwhile.
    """

    orders: Tensor  # int64 (orders, pixels), a buffer: it travels with the weights
    likelihood: Likelihood
    position_as_tensor = False  # whether step() takes its position as a tensor (1,) too, as a CUDA graph needs it
    sees_ahead = False  # whether a hidden pixel's distribution takes in the observed pixels that come later

    def __init__(self, shape: Shape, levels: int, orders: Tensor, arguments: dict[str, Any]):
        super().__init__()
        self.shape, self.levels = shape, levels
        # Plain values that make the same model again, for config.json; an order tensor is in the weights.
        custom = {"ordering": {"name": "custom"}} if isinstance(arguments["ordering"], Tensor) else {}
        self.arguments = {"shape": list(shape), "levels": levels, **arguments, **custom}
        self.trained_on: dict[str, Any] = {}  # the configuration of its data, if it was trained
        self.train_digests: Tensor | None = None  # of the images it was trained on, if known: uint8 (images, 16)
        self.register_buffer("orders", orders.clone())
        self.followed = Followed()
        self._visits: list[list[int]] = orders.tolist()

    @property
    def order(self) -> Tensor:
        """int64 (pixels,): order[t] is the raster index of the pixel visited at step t."""
        return self.orders[self.followed.index]

    @property
    def visits(self) -> list[int]:
        """The same for Python's loops, without a copy from the device."""
        return self._visits[self.followed.index]

    @contextmanager
    def along(self, index: int) -> Iterator[None]:
        """Context manager: the model follows orders[index], and other threads wait."""
        with self.followed.lock:
            before, self.followed.index = self.followed.index, index
            try:
                yield
            finally:
                self.followed.index = before

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Context manager: the model is in evaluation mode, no gradients are kept, and other threads wait."""
        with self.followed.lock:
            was_training = self.training
            self.eval()
            try:
                with torch.inference_mode():
                    yield
            finally:
                self.train(was_training)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """forward(), along one order from its beginning to its end."""
        with self.followed.lock:
            return super().__call__(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """As in all modules, for weights of the same orders: much of the model is made of the orders it was built with."""
        orders = state_dict.get(f"{prefix}orders")
        if orders is not None and not torch.equal(orders.to(self.orders), self.orders):
            raise UserError(
                f"{prefix}orders: these weights are of a model that visits the pixels in another order than this one, whose "
                f"ordering is {printable(self.arguments['ordering'], LONGEST)}; make the model with their ordering and orders, or "
                "load a saved one with pixelrnn.load"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def broken_weight(self) -> str | None:
        """The name of a weight that holds a value that is not finite, if there is one."""
        weights = self.state_dict().items()
        return next((name for name, weight in weights if not bool(torch.isfinite(weight).all())), None)

    def remember(self, digests: Tensor | None) -> None:
        """Adds the digests of training images, uint8 (images, 16), to those that the model has."""
        if digests is not None:
            known = digests if self.train_digests is None else torch.cat([self.train_digests, digests])
            self.train_digests = known.unique(dim=0)

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

        images uint8 (batch, channels, height, width) -> (batch, pixels, parameters). A model that sees ahead takes
        hidden, bool (batch, height, width), None for everything; what it gives for observed pixels has no meaning. To
        others it makes no difference.
        """

    @abstractmethod
    def begin(self, canvas: Tensor, hidden: Tensor) -> Any:
        """The state before the first hidden pixel's step; the observed pixels before it are read in one parallel pass.

        canvas uint8 (batch, channels, height, width), hidden bool (batch, height, width). The state is a tree
        (pixelrnn/states.py).
        """

    @abstractmethod
    def step(self, canvas: Tensor, t: int, state: Any) -> tuple[Tensor, Any]:
        """Parameters (batch, parameters) of pixel order[t], given those before it on the canvas, and the next state.

        The state that it is given may be overwritten: to branch, copy it first.
        """

    def read(self, canvas: Tensor, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        """Steps start to stop over pixels that are on the canvas already: parameters (batch, steps, K), and the state.

        Step by step, unless a model has a faster way.
        """
        outputs = []
        for t in range(start, stop):
            parameters, state = self.step(canvas, t, state)
            outputs.append(parameters)
        return torch.stack(outputs, 1), state

    def pixel_log_probs(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x_t | what is known at t) of every pixel: (batch, pixels) nats, in the order of the visit."""
        check_images(images, self.shape, self.levels)
        with self.followed.lock:
            return self.likelihood.log_prob(self(images, hidden), to_sequence(images, self.order))

    def log_prob(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x), or with `hidden` log p(x_hidden | x_observed), exactly: (batch,) nats.

        The conditional is exact where every observed pixel is seen: in a model that sees ahead, or where none comes
        after a hidden one in the order; of several orders, each image takes its best_orders. Elsewhere an autoregressive
        model has no closed form for it, and this raises UserError with the way out.
        """
        if hidden is None:
            return self.pixel_log_probs(images).sum(1)
        check_images(images, self.shape, self.levels)
        hidden = check_hidden(hidden, images)
        parts, places = [], []
        for index, rows in self.by_best_order(hidden):
            with self.along(index):
                unseen = int(self.unseen(hidden[rows]).max())
                if unseen:
                    raise UserError(
                        f"log p(hidden | observed) is not exact here: up to {unseen} observed pixels come after the first "
                        "hidden one in this model's ordering, where it cannot see them; hide a region that the ordering "
                        "visits last, use a model whose ordering does (ordering.transforms=[flip_rows], [reverse], …), "
                        "one of several orders (model.orders=symmetries), or a bidirectional one"
                    )
                parts.append(self.fill_log_prob(images[rows], hidden[rows]))
                places.append(rows)
        return torch.cat(parts)[torch.cat(places).argsort()]

    def fill_log_prob(self, images: Tensor, hidden: Tensor) -> Tensor:
        """log-probability (batch,) nats with which the ancestral fill draws the hidden pixels, in the order followed.

        It equals log p(x_hidden | x_observed) where no observed pixel is unseen.
        """
        hidden = check_hidden(hidden, images)
        with self.followed.lock:
            return self.pixel_log_probs(images, hidden).where(self.in_order(hidden), 0.0).sum(1)

    def in_order(self, hidden: Tensor) -> Tensor:
        """hidden (batch, height, width) along the order: (batch, pixels)."""
        return hidden.flatten(1)[:, self.order]

    def observed_ahead(self, hidden: Tensor) -> Tensor:
        """How many observed pixels come after the first hidden one: int64 (batch,)."""
        return observed_ahead(hidden, self.order)

    def unseen(self, hidden: Tensor) -> Tensor:
        """How many of them no hidden pixel's distribution takes in: int64 (batch,). 0 makes the ancestral fill exact."""
        ahead = self.observed_ahead(hidden)
        return torch.zeros_like(ahead) if self.sees_ahead else ahead

    def best_orders(self, hidden: Tensor) -> Tensor:
        """Of each image, the index of the order with the fewest observed pixels ahead, the first of those: (batch,)."""
        ahead = torch.stack([observed_ahead(hidden, order) for order in self.orders], 1)
        return ahead.sort(dim=1, stable=True).indices[:, 0]

    def by_best_order(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The indices of best_orders that occur, each with the images (rows of the batch) that have it."""
        best = self.best_orders(hidden)
        for index in best.unique().tolist():
            yield index, (best == index).nonzero()[:, 0]

    def laid_along(self, hidden: Tensor) -> Tensor:
        """Masks (batch, height, width) that lie along the order followed as these lie along their best_orders.

        Of symmetries, that is each mask turned into what this order is the best one for: a half into its last half.
        """
        along = hidden.flatten(1).gather(1, self.orders[self.best_orders(hidden)])
        return torch.empty_like(along).scatter_(1, self.order.expand_as(along), along).view_as(hidden)

    def hidden_span(self, hidden: Tensor) -> tuple[int, int]:
        """The first step at which a pixel of any image is hidden, and the step after the last one."""
        steps = self.in_order(hidden).any(0).nonzero()
        return int(steps[0]), int(steps[-1]) + 1
