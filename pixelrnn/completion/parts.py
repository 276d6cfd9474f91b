"""What is drawn at a time, which bounds the memory: which completions, which steps, how much noise; and what they make."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Generator, Tensor

from pixelrnn.completion.particles import ENOUGH, Particles
from pixelrnn.model import Model
from pixelrnn.model.orders import hidden_span

ROW_STEPS = 1 << 17  # of observed pixels that are read in one pass, at most
NOISE = 1 << 22  # numbers that are drawn in one call, at most


@dataclass(frozen=True)
class Part:
    """Completions that are drawn together: the steps first to last of some images, along one order."""

    order: int
    rows: Tensor  # which images
    completions: range  # which of each image's completions
    particles: int  # for each; 0 is the plain fill
    first: int
    last: int

    @property
    def steps(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class Completions:
    """Completions, and how each image's were drawn; batch first in everything."""

    images: Tensor  # uint8 (batch, count, channels, height, width)
    orders: list[int]  # the index of the order that was followed
    strategies: list[str]  # "ancestral" or "particles"
    exact: list[bool]  # whether they are draws from p(hidden | observed)
    particles: Tensor  # int64 (batch, count), on the CPU; 0 where none were used
    # Both float64 (batch, count), on the CPU; nan where no particles were used, the second also at a temperature other than 1.
    effective: Tensor  # the least effective number of particles on the way
    log_observed: Tensor  # the estimate of log p(observed)
    # At another temperature nothing is an exact draw.
    temperature: float = 1.0

    @classmethod
    def of(cls, images: Tensor, count: int, temperature: float) -> "Completions":
        """The place for so many completions of each of these images, (batch, channels, height, width)."""
        many, nan = len(images), torch.full((len(images), count), torch.nan, dtype=torch.float64)
        blank, none = images.new_empty((many, count, *images.shape[1:])), torch.zeros(many, count, dtype=torch.long)
        how = [0] * many, ["ancestral"] * many, [False] * many
        return cls(blank, *how, none, nan, nan.clone(), temperature)

    def keep(self, part: Part, images: Tensor, cloud: Particles | None, sees: Tensor) -> Tensor:
        """Takes in what was drawn, of images all of whose observed pixels were taken in where `sees`; returns which of the
        images are worth more particles, bool (images,)."""
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


def all_parts(
    model: Model, hidden: Tensor, count: int, particles: int, order: int | None, batch_size: int
) -> Iterator[Part]:
    """All that is to be drawn, with particles where the plain fill is blind to observed pixels."""
    everything = torch.arange(len(hidden), device=hidden.device)
    for chosen, rows in model.by_best_order(hidden) if order is None else [(order, everything)]:
        with model.along(chosen):
            weighed = (model.unseen_count(hidden[rows]) > 0) & (particles > 0)
            for some, few in ((rows[~weighed], 0), (rows[weighed], particles)):
                yield from parts(model, hidden, some, range(count), few, batch_size)


def parts(
    model: Model, hidden: Tensor, rows: Tensor, completions: range, particles: int, batch_size: int
) -> Iterator[Part]:
    """These completions of these images along the order that the model follows, up to batch_size of them at a time."""
    each = max(1, batch_size // max(1, particles))
    for some in rows.split(max(1, min(each // len(completions), ROW_STEPS // model.pixels))) if len(rows) else ():
        first, last = hidden_span(hidden[some], model.order)
        if particles:
            last = model.pixels  # what comes after the last hidden pixel weighs as well
        for start in range(0, len(completions), each):
            yield Part(model.cursor.index, some, completions[start : start + each], particles, first, last)


def spans(some: list[bool], first: int, last: int, longest: int) -> Iterator[tuple[int, int]]:
    """The steps from first to last, those that draw one by one, and of the others as many as lie together up to longest."""
    for draws, run in groupby(range(first, last), some.__getitem__):
        steps, length = list(run), 1 if draws else longest
        for start in steps[::length]:
            yield start, min(start + length, steps[-1] + 1)


def noises(model: Model, batch: int, steps: int, generator: Generator | None = None) -> Iterator[Tensor]:
    """The chance of so many steps that draw, of each (batch, noise_size): drawn for many of them in one call."""
    size = model.likelihood.noise_size
    like = next(model.likelihood.parameters())
    for part in torch.arange(steps).split(max(1, NOISE // (batch * size))):
        yield from model.likelihood.fill_noise(like.new_empty(len(part), batch, size), generator)
