"""Options and results of completions, and the parts in which they are drawn so that the memory is bounded."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Generator, Tensor

from pixelrnn.completion.particles import ENOUGH, Particles
from pixelrnn.errors import UserError
from pixelrnn.model import Model
from pixelrnn.model.orders import hidden_span
from pixelrnn.options import check_fields

ROW_STEPS = 1 << 17  # observed pixels that are read in one pass, at most
NOISE = 1 << 22  # random numbers that are drawn in one call, at most


@dataclass(frozen=True)
class Options:
    """How to draw completions: see completion.complete. Raises UserError for a value that is out of range."""

    count: int = 1
    strategy: str = "auto"
    temperature: float = 1.0
    particles: int | str = "auto"
    order: int | None = None
    batch_size: int = 4096

    def __post_init__(self) -> None:
        check_fields(self)


def check_progress(progress: Any) -> None:
    """UserError for a progress that cannot be called."""
    if progress and not callable(progress):
        raise UserError(f"progress={progress!r} is no function; give one that takes (done, total, images), or None")


def check_generator(generator: Generator | None, device: torch.device) -> None:
    """UserError if the generator is on another device than the model. One without an index is on the current one of its kind."""
    if generator is not None and not isinstance(getattr(generator, "device", None), torch.device):
        raise UserError(
            f"generator={generator!r} is no generator; use torch.Generator(model.order.device).manual_seed(0)"
        )
    if generator and _indexed(generator.device) != _indexed(device):
        raise UserError(
            f"the generator is on {generator.device} and the model on {device}; use torch.Generator(model.order.device)"
        )


def _indexed(device: torch.device) -> tuple[str, int]:
    """The kind and index of a device: torch.Generator("cuda") has no index, and the tensors of its card have one."""
    if device.index is not None:
        return device.type, device.index
    return device.type, torch.cuda.current_device() if device.type == "cuda" else 0


@dataclass(frozen=True)
class Part:
    """Completions that are drawn together: steps of some images, along one order."""

    order: int
    rows: Tensor  # which images
    completions: range  # which of each image's completions
    particles: int  # for each completion; 0 is the ancestral fill
    steps: range


@dataclass(frozen=True, eq=False)
class Completions:
    """Completions, and how each image's were drawn. The batch comes first in everything."""

    images: Tensor  # uint8 (batch, count, channels, height, width)
    hidden: Tensor  # bool (batch, height, width)
    orders: list[int]  # the index of the order that was followed
    strategies: list[str]  # "ancestral" or "particles"
    exact: list[bool]  # whether they are samples of p(hidden | observed)
    particles: Tensor  # int64 (batch, count), on the CPU; 0 if none were used
    # Both float64 (batch, count), on the CPU; nan if no particles were used, the second also at a temperature other than 1.
    effective: Tensor  # the smallest effective number of particles along the order
    log_observed: Tensor  # the estimate of log p(observed)
    temperature: float  # at another one than 1, no draw is exact
    model: Model  # that drew them

    def __repr__(self) -> str:
        count, *shape = self.images.shape[1:]
        return f"Completions({count} of each of {len(self.images)} images {tuple(shape)}; exact for {sum(self.exact)} of them)"

    @cached_property
    def log_probs(self) -> Tensor:
        """log p(hidden | observed) of each completion: float64 (batch, count) nats, on the CPU.

        It is exact if the draws are. With particles it is log p(x) - log p(observed), whose second term is estimated from all
        completions of the image. Otherwise, and at another temperature, it is the log-probability with which the ancestral
        fill at temperature 1 draws the completion. It is computed when it is first asked for, and the model must still have
        the weights that it had.
        """
        found = []
        for i, images in enumerate(self.images):
            with self.model.evaluating(), self.model.along(self.orders[i]):
                log_observed = self.log_observed[i].logsumexp(0) - math.log(len(images))
                blind, batches = bool(log_observed.isnan()), images.split(max(1, ROW_STEPS // self.model.pixels))
                hidden = self.hidden[i].expand(len(images), -1, -1)
                nats = [
                    self.model.fill_log_prob(batch, hidden[: len(batch)]) if blind else self.model.log_prob(batch)
                    for batch in batches
                ]
                found.append(torch.cat(nats).cpu().double() - (0 if blind else log_observed))
        return torch.stack(found)

    @property
    def best(self) -> Tensor:
        """The most probable completion of each image: uint8 (batch, channels, height, width)."""
        every = torch.arange(len(self.images), device=self.images.device)
        return self.images[every, self.log_probs.argmax(1).to(every)]

    @property
    def mean(self) -> Tensor:
        """The average of each image's completions: float (batch, channels, height, width), from 0 to levels - 1.

        pixelrnn.uncertainty estimates the expected values better, from the distributions that the completions were drawn
        from.
        """
        return self.images.float().mean(1)

    @classmethod
    def blank(cls, model: Model, images: Tensor, hidden: Tensor, asked: Options) -> "Completions":
        """Room for the completions of images (batch, channels, height, width)."""
        many, size = len(images), (len(images), asked.count)
        nan, none = torch.full(size, torch.nan, dtype=torch.float64), torch.zeros(size, dtype=torch.long)
        how = [0] * many, ["ancestral"] * many, [False] * many
        drawn = images.new_empty((*size, *images.shape[1:]))
        return cls(drawn, hidden, *how, none, nan, nan.clone(), asked.temperature, model)

    def keep(self, part: Part, images: Tensor, cloud: Particles | None, sees: Tensor) -> Tensor:
        """Store a part that was drawn. Return which of its images are worth more particles, bool (images,).

        sees, bool (images,), is True if the ancestral fill takes in all observed pixels of the image.
        """
        rows, some = part.rows.cpu(), slice(part.completions.start, part.completions.stop)
        self.images[part.rows, some] = images
        for row, exact in zip(rows.tolist(), sees.tolist(), strict=True):
            self.orders[row], self.strategies[row] = part.order, "particles" if cloud else "ancestral"
            self.exact[row] = exact and self.temperature == 1
        if not cloud:
            return torch.zeros_like(sees)
        before, now = self.effective[rows, some].amin(1), cloud.effective.view(len(rows), -1).cpu().double()
        self.particles[rows, some], self.effective[rows, some] = part.particles, now
        if self.temperature == 1:
            self.log_observed[rows, some] = cloud.log_observed.view(len(rows), -1).cpu().double()
        least = now.amin(1)
        return ((least < ENOUGH) & ~(least < 2 * before)).to(sees.device)  # before is nan if there was nothing


def all_parts(model: Model, hidden: Tensor, asked: Options, particles: int) -> Iterator[Part]:
    """Everything there is to draw; with particles if the ancestral fill would ignore observed pixels."""
    particles = 0 if asked.strategy == "ancestral" else particles
    everything = torch.arange(len(hidden), device=hidden.device)
    for order, rows in model.by_best_order(hidden) if asked.order is None else [(asked.order, everything)]:
        with model.along(order):
            blind = (model.unseen_count(hidden[rows]) > 0) & (particles > 0)
            for some, few in ((rows[~blind], 0), (rows[blind], particles)):
                yield from parts(model, hidden, some, range(asked.count), few, asked)


def parts(
    model: Model, hidden: Tensor, rows: Tensor, completions: range, particles: int, asked: Options
) -> Iterator[Part]:
    """These completions of these images along the current order, up to batch_size of them at a time."""
    each = max(1, asked.batch_size // max(1, particles))
    for some in rows.split(max(1, min(each // len(completions), ROW_STEPS // model.pixels))) if len(rows) else ():
        first, last = hidden_span(hidden[some], model.order)
        if particles:
            last = model.pixels  # pixels after the last hidden one change the weights as well
        for start in range(0, len(completions), each):
            yield Part(model.cursor.index, some, completions[start : start + each], particles, range(first, last))


def spans(steps: range, some: list[bool], longest: int) -> Iterator[tuple[int, int]]:
    """Split the steps: one by one if they draw (some[t]), others in stretches of up to `longest`."""
    for draws, run in groupby(steps, some.__getitem__):
        stretch, length = list(run), 1 if draws else longest
        for start in stretch[::length]:
            yield start, min(start + length, stretch[-1] + 1)


def noises(model: Model, batch: int, steps: int, generator: Generator | None = None) -> Iterator[Tensor]:
    """The random numbers of each step that draws, (batch, noise_size); those of many steps are drawn in one call."""
    size = model.likelihood.noise_size
    like = next(model.parameters())
    dtype = torch.promote_types(like.dtype, torch.float32)  # half precision has too few numbers near 0
    for part in torch.arange(steps).split(max(1, NOISE // (batch * size))):
        yield from model.likelihood.fill_noise(like.new_empty(len(part), batch, size, dtype=dtype), generator)
