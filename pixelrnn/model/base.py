"""The contract of all models: p(x) = ∏_t p(x_t | x_<t) along an order, and the two calls of the sampler, begin and step."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError, printable
from pixelrnn.likelihood import LIKELIHOODS, Likelihood
from pixelrnn.model.orders import OrderCursor, Path, best_orders, observed_ahead
from pixelrnn.options import LONGEST, as_plain, check_type, configure
from pixelrnn.pixels import check_hidden, check_images, check_levels, to_sequence

Shape = tuple[int, int, int]  # (channels, height, width)


def check_form(shape: Sequence[int], levels: int) -> tuple[Shape, int]:
    """The shape as a tuple, and the levels; UserError unless a model can be made for images of this shape and number of levels."""
    sizes = tuple(shape) if isinstance(shape, Iterable) else shape
    are_whole = isinstance(sizes, tuple) and all(isinstance(size, Integral) and size >= 1 for size in sizes)
    if not are_whole or len(sizes) != 3 or sizes[0] not in (1, 3):
        raise UserError(f"shape={sizes}: it is (channels, height, width) with 1 or 3 channels")
    check_levels(levels)
    return (int(sizes[0]), int(sizes[1]), int(sizes[2])), int(levels)


def check_model(model: Any, name: str = "model") -> None:
    """UserError for what is no model; name is the argument's."""
    if not isinstance(model, Model):
        raise UserError(
            f"{name} is a {type(model).__name__}; give a model, such as pixelrnn.SequenceRNN(…) or pixelrnn.load(…)"
        )


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options of every model, with their defaults; conf/model/ has the same for the command line.

    A constructor takes them as keywords, model.options holds them, and config.json of a saved model lists them.
    """

    ordering: str | Mapping[str, Any] | Tensor = "raster"  # a name, {"name": …, option: value}, or the order itself
    orders: str | Sequence[Any] | None = None  # "symmetries" or a list of orderings: a p(x) for each, shared weights
    likelihood: str | Mapping[str, Any] = "categorical"  # a name, or {"name": …, option: value}

    def __post_init__(self) -> None:
        """UserError unless each number of units, layers, … is at least 1, and dropout in [0, 1). A window may be 0: none."""
        for field in fields(self):
            object.__setattr__(self, field.name, as_plain(getattr(self, field.name)))
            if not isinstance(field.default, str):  # names are looked up later
                check_type(field.name, getattr(self, field.name), field.default)
            if field.type is int and getattr(self, field.name) < 1 and field.name != "window":
                raise UserError(f"{field.name}={getattr(self, field.name)}: it is at least 1")
            if field.name == "dropout" and not 0 <= getattr(self, field.name) < 1:
                raise UserError(f"dropout={getattr(self, field.name)}: it is in [0, 1)")

    def build_orders(self, shape: Shape) -> Tensor:
        """The orders, int64 (orders, pixels), each once; the first is the default."""
        return orderings.build_all(self.ordering, self.orders, shape[1], shape[2])

    def build_likelihood(self, features: int, shape: Shape, levels: int) -> Likelihood:
        """A likelihood of one pixel given a number of features."""
        return configure("likelihood", self.likelihood, LIKELIHOODS)(features, shape[0], levels)


class Model(nn.Module, ABC):
    """An autoregressive model of images of one shape and number of levels, along one order or several.

    The likelihood turns the network's features into the parameters of each pixel's distribution. Parameters stand in the
    order of the visit: parameters[:, t] belong to the pixel order[t]. A model of several orders has one p(x) for each, with
    shared weights. All methods use the current order: the first, or the one selected by `along`.

    Several threads may use one model: each waits until the other is done. A thread that calls begin() and step() itself
    must do so inside `evaluating` or `along`. The weights must not change meanwhile.
    """

    Options: ClassVar[type[ModelOptions]] = ModelOptions  # a subclass names its own
    orders: Tensor  # int64 (orders, pixels), a buffer, so that saved weights hold it
    likelihood: Likelihood
    position_as_tensor = False  # whether step() also takes t as a tensor (1,), and its kind, which a CUDA graph needs
    fixed_training = False  # whether training runs the same operations for each batch, which a CUDA graph needs
    reads_observed = True  # whether the steps of observed pixels change the state
    sees_ahead = False  # whether the distribution of a hidden pixel depends on observed pixels that come later

    def __init_subclass__(cls) -> None:
        """Let inspect.signature(cls), and so help(cls), show each option in place of **options."""
        super().__init_subclass__()
        _, *given, last = inspect.signature(cls.__init__).parameters.values()
        if last.kind is last.VAR_KEYWORD:
            options = inspect.signature(cls.Options).parameters.values()
            cls.__signature__ = inspect.Signature([*given, *options])  # type: ignore[attr-defined]

    def __init__(self, shape: Shape, levels: int, options: ModelOptions, paths: Sequence[Path]):
        super().__init__()
        self.shape, self.levels, self.options = shape, levels, options
        # Plain values that make the same model again, for config.json. An order tensor is among the weights.
        ordering = {"name": "custom"} if isinstance(options.ordering, Tensor) else options.ordering
        self.arguments = {"shape": list(shape), "levels": levels, **vars(options), "ordering": ordering}
        # If it was trained, the configuration of its training data, and in "before" that of all data it has seen before.
        self.trained_on: dict[str, Any] = {}
        self.train_digests: Tensor | None = None  # of all its training images, if they are known: uint8 (images, 16)
        self._knows_images = True  # whether train_digests leave none out
        self.cursor = OrderCursor(paths)
        self.register_buffer("orders", torch.stack([path.order for path in paths]))

    @property
    def order(self) -> Tensor:
        """int64 (pixels,): order[t] is the raster index of the pixel visited at step t."""
        return self.orders[self.cursor.index]

    @property
    def visits(self) -> list[int]:
        """The order as a list, for loops in Python: no copy from the device."""
        return self.cursor.visits

    def along(self, index: int) -> AbstractContextManager[None]:
        """Context manager: orders[index] is the current order, and other threads wait."""
        return self.cursor.along(index)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Context manager: the model is in evaluation mode without gradients, in full float32, and other threads wait."""
        with self.cursor.alone(), torch.autocast(self.orders.device.type, enabled=False):
            was_training = self.training
            self.eval()
            try:
                with torch.inference_mode():
                    yield
            finally:
                self.train(was_training)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """forward(), along one order from beginning to end."""
        with self.cursor.alone():
            return super().__call__(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Refuse weights of other orders: much of the model was built for its own."""
        given = state_dict.get(f"{prefix}orders")
        if given is not None and not torch.equal(given.to(self.orders), self.orders):
            raise UserError(
                f"{prefix}orders: these weights are of a model that visits the pixels in another order than this one, whose "
                f"ordering is {printable(self.arguments['ordering'], LONGEST)}; make the model with their ordering and orders, or "
                "load a saved one with pixelrnn.load"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def broken_weight(self) -> str | None:
        """The name of the first weight that is not finite everywhere, or None."""
        weights = self.state_dict().items()
        return next((name for name, weight in weights if not bool(torch.isfinite(weight).all())), None)

    @property
    def data_seen(self) -> list[dict[str, Any]]:
        """The configurations of all data that it was trained on, as far as they are known: the last ones are its own."""
        own = self.trained_on.get("data")
        return [*self.trained_on.get("before", []), *([own] if own else [])]

    def remember(self, digests: Tensor | None) -> None:
        """Add digests of training images, uint8 (images, 16), to train_digests. None stands for images that are not known:
        train_digests are then None, and stay None."""
        if digests is None:
            self.train_digests, self._knows_images = None, False
        elif self._knows_images:
            known = digests if self.train_digests is None else torch.cat([self.train_digests, digests])
            self.train_digests = known.unique(dim=0)

    def inherit(self, other: "Model") -> None:
        """Count as seen what another model was trained on, from which this one learns: its data and the digests of its images."""
        before = self.trained_on.get("before", [])
        before = [*before, *(data for data in other.data_seen if data not in before)]
        self.trained_on = {**self.trained_on, **({"before": before} if before else {})}
        self.remember(other.train_digests)

    @property
    def pixels(self) -> int:
        return self.shape[1] * self.shape[2]

    @property
    def dimensions(self) -> int:
        """The number of values in an image. bits_per_dim divides by it."""
        return self.shape[0] * self.pixels

    @property
    def parts(self) -> dict[str, Tensor]:
        """Masks, bool (height, width), for which evaluate reports log p(hidden | observed) of this kind of model, by name."""
        return {}

    @abstractmethod
    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Parameters of every pixel's distribution given the pixels before it, teacher-forced.

        images uint8 (batch, channels, height, width) -> (batch, pixels, parameters). A model that sees ahead takes hidden,
        bool (batch, height, width), or None if everything is hidden; its parameters of observed pixels mean nothing. Other
        models ignore hidden.
        """

    @abstractmethod
    def begin(self, canvas: Tensor, hidden: Tensor) -> Any:
        """The state before the first hidden pixel's step. The observed pixels before it are read in one parallel pass.

        canvas uint8 (batch, channels, height, width), the images that are being filled, hidden bool (batch, height, width)
        -> a state: nested lists and tuples of tensors, batch first in each, or None.
        """

    @abstractmethod
    def step(self, canvas: Tensor, t: int, state: Any) -> tuple[Tensor, Any]:
        """Parameters (batch, parameters) of pixel order[t], given those before it on the canvas, and the next state.

        The given state may be overwritten: copy it first to branch.
        """

    def kind(self, t: int) -> Any:
        """The kind of step t. Steps of one kind run the same operations and share a CUDA graph; None: this step has none."""
        return "step" if t > 0 else None

    def read(self, canvas: Tensor, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        """Steps start to stop over pixels that are on the canvas already: parameters (batch, steps, K), and the state.

        Runs step by step unless the model has a faster way.
        """
        outputs = []
        for t in range(start, stop):
            parameters, state = self.step(canvas, t, state)
            outputs.append(parameters)
        return torch.stack(outputs, 1), state

    def pixel_log_probs(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x_t | everything known at step t) of every pixel: (batch, pixels) nats, in the order of the visit.

        Images and masks of this and the next two methods may be on another device than the model.
        """
        images = check_images(images, self.shape, self.levels)
        return self._pixel_log_probs(*self._here(images, None if hidden is None else check_hidden(hidden, images)))

    def _pixel_log_probs(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """pixel_log_probs of images and masks that were checked and are on the model's device: it never waits for a GPU."""
        with self.cursor.alone():
            return self.likelihood.log_prob(self(images, hidden), to_sequence(images, self.order))

    def log_prob(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x), or with `hidden` log p(x_hidden | x_observed), exactly: (batch,) nats.

        The conditional is exact if the model sees ahead, or if no observed pixel comes after a hidden one in the order. A
        model of several orders takes each image's best one. Otherwise there is no closed form, and this raises UserError
        with the way out.
        """
        if hidden is None:
            return self.pixel_log_probs(images).sum(1)
        images = check_images(images, self.shape, self.levels)
        images, hidden = self._here(images, check_hidden(hidden, images))
        parts, places = [], []
        for index, rows in self.by_best_order(hidden):
            with self.along(index):
                unseen = int(self.unseen_count(hidden[rows]).max())
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
        """log-probability (batch,) nats with which the ancestral fill draws the hidden pixels along the current order.

        It equals log p(x_hidden | x_observed) if unseen_count is 0.
        """
        hidden = check_hidden(hidden, images)
        with self.cursor.alone():
            log_probs = self.pixel_log_probs(images, hidden)
            return log_probs.where(self.in_order(hidden.to(log_probs.device)), 0.0).sum(1)

    def _here(self, *given: Any) -> Any:
        """The tensors among these on the model's device."""
        return tree_map_only(Tensor, lambda tensor: tensor.to(self.orders.device), given)

    def training_log_prob(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The objective of training: log p(x), or with `hidden` fill_log_prob, (batch,) nats. A model may add to its gradient.

        Both must be on the model's device, and nothing is checked: a look at their values would wait for a GPU.
        """
        log_probs = self._pixel_log_probs(images, hidden)
        return (log_probs if hidden is None else log_probs.where(self.in_order(hidden), 0.0)).sum(1)

    def in_order(self, hidden: Tensor) -> Tensor:
        """The mask in the order of the visit: bool (batch, height, width) -> (batch, pixels)."""
        return hidden.flatten(1)[:, self.order]

    def observed_ahead(self, hidden: Tensor) -> Tensor:
        """Count the observed pixels that come after the first hidden one: int64 (batch,)."""
        return observed_ahead(hidden, self.order)

    def unseen_count(self, hidden: Tensor) -> Tensor:
        """Count the observed pixels on which no hidden pixel's distribution depends: int64 (batch,). If it is 0, the
        ancestral fill is exact."""
        ahead = self.observed_ahead(hidden)
        return torch.zeros_like(ahead) if self.sees_ahead else ahead

    def best_orders(self, hidden: Tensor) -> Tensor:
        """For each mask, the index of the order with the fewest observed pixels ahead, the first if several: (batch,)."""
        return best_orders(hidden, self.orders)

    def by_best_order(self, hidden: Tensor) -> Iterator[tuple[int, Tensor]]:
        """The indices that occur in best_orders, each with the images (rows of the batch) that have it."""
        best = self.best_orders(hidden)
        for index in best.unique().tolist():
            yield index, (best == index).nonzero()[:, 0]


@dataclass(frozen=True)
class Shared:
    """A tensor that several members of a batch share: member i has row index[i]. No step changes it."""

    rows: Tensor  # (images, …)
    index: Tensor  # int64 (batch,)


def pick(state: Any, index: Tensor) -> Any:
    """Select batch members of a state by index, int64 (new batch,); an index may repeat."""

    def select(part: Tensor | Shared) -> Tensor | Shared:
        return Shared(part.rows, part.index[index]) if isinstance(part, Shared) else part.index_select(0, index)

    return tree_map_only((Tensor, Shared), select, state)


def leaves(state: Any) -> list[Tensor]:
    """List the tensors of a state that change from step to step."""
    return [leaf for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]


def detached(state: Any) -> Any:
    """The same state with its changing tensors detached, so that no gradient flows back through them."""
    return tree_map_only(Tensor, Tensor.detach, state)
