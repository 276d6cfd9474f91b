"""The one sampling loop: fill the hidden pixels of an image in the model's order. Sampling hides them all."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Generator, Tensor

from pixelrnn import graphs
from pixelrnn.errors import UserError, nearest
from pixelrnn.model import Model
from pixelrnn.packing import packed
from pixelrnn.particles import Particles
from pixelrnn.pixels import check_hidden, check_images
from pixelrnn.states import pick

STRATEGIES = ("auto", "ancestral", "particles")
ROW_STEPS = 1 << 17  # of observed pixels that are read in one pass, at most: bounds its memory
NOISE = 1 << 22  # numbers that are drawn in one call, at most

# Called after each part of the way: pixels done, pixels to do, and the images so far, uint8 (batch · count, channels,
# height, width), a view that goes on changing; 0 where nothing is drawn yet.
Progress = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Completions:
    """Completions, and how each image's were drawn; batch first in everything."""

    images: Tensor  # uint8 (batch, count, channels, height, width)
    orders: list[int]  # the index of the order that was followed
    strategies: list[str]  # "ancestral" or "particles"
    exact: list[bool]  # whether they are draws from p(hidden | observed)
    # Both float64 (batch, count), on the CPU; nan where no particles were used, the second also at a temperature other than 1.
    effective: Tensor  # the least effective number of particles on the way
    log_observed: Tensor  # the estimate of log p(observed)
    # At another temperature, or with rounded products, nothing is an exact draw.
    temperature: float = 1.0
    precision: str = "float32"


def complete(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    count: int = 1,
    strategy: str = "auto",
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
    particles: int = 64,
    precision: str = "float32",
    order: int | None = None,
) -> Tensor:
    """Draws `count` completions of every image: uint8 (batch, count, channels, height, width).

    images uint8 (batch, channels, height, width), on the model's device; the levels that they hold where hidden
    is True are ignored. hidden bool (batch, height, width), or (height, width) for all. Observed pixels come back unchanged.

    Of several orders, each image takes the one with the fewest observed pixels after the first hidden one, or all take
    model.orders[order]. "ancestral" draws each hidden pixel given the pixels before it in the order, and in a model that
    sees ahead given all observed ones. This samples p(hidden | observed) exactly in a model that sees ahead, and where no
    observed pixel comes after a hidden one; elsewhere it ignores those. "particles" takes them in by sequential Monte
    Carlo, with so many particles for each completion, and does the plain fill where that is exact. "auto" is what is
    exact, else particles.

    precision is that of the steps' matrix products: float32, bfloat16 or int8 (pixelrnn/packing.py); the others draw from
    a slightly different distribution, whose nats evaluation.rounded_log_probs tells.

    The same generator seed gives the same completions; progress, if given, is told how far it is, and may end it by raising.
    Raises UserError for arguments that do not fit.
    """
    return complete_in_detail(
        model, images, hidden, count, strategy, temperature, generator, progress, particles, precision, order
    ).images


def complete_in_detail(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    count: int = 1,
    strategy: str = "auto",
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
    particles: int = 64,
    precision: str = "float32",
    order: int | None = None,
) -> Completions:
    """complete(), with what it did of each image."""
    check_images(images, model.shape, model.levels)
    hidden = check_hidden(hidden, images)
    if count < 1:
        raise UserError(f"count={count}: at least 1 completion")
    if particles < 1:
        raise UserError(f"particles={particles}: at least 1 for each completion")
    if not temperature > 0:
        raise UserError(f"temperature={temperature}: it is more than 0; 1 samples the model, less is more cautious")
    if order is not None and not 0 <= order < len(model.orders):
        raise UserError(f"order={order}: this model has {len(model.orders)}, counted from 0")
    check_strategy(strategy)

    completed = images.new_empty((len(images), count, *model.shape))
    effective = torch.full((len(images), count), torch.nan, dtype=torch.float64)
    log_observed, orders = effective.clone(), [0] * len(images)
    exact, strategies = [False] * len(images), ["ancestral"] * len(images)
    with model.evaluating():
        everything = torch.arange(len(images), device=images.device)
        for chosen, rows in model.by_best_order(hidden) if order is None else [(order, everything)]:
            with model.along(chosen), packed(model, precision):
                blind = model.unseen(hidden[rows]) > 0
                weighed = blind & (strategy != "ancestral")
                for part, few in ((rows[~weighed], 0), (rows[weighed], particles)):
                    if not len(part):
                        continue
                    drawn, cloud = _fill(
                        model, images[part], hidden[part], count, few, temperature, generator, progress
                    )
                    completed[part] = drawn
                    if cloud:
                        effective[part.cpu()] = cloud.effective.view(-1, count).cpu().double()
                    if cloud and temperature == 1:
                        log_observed[part.cpu()] = cloud.log_observed.view(-1, count).cpu().double()
            for row, unseen, particled in zip(rows.tolist(), blind.tolist(), weighed.tolist(), strict=True):
                orders[row], exact[row] = chosen, not unseen and temperature == 1 and precision == "float32"
                strategies[row] = "particles" if particled else "ancestral"
    return Completions(completed, orders, strategies, exact, effective, log_observed, temperature, precision)


def check_strategy(strategy: str) -> None:
    """UserError unless the strategy is a known one."""
    if strategy not in STRATEGIES:
        raise UserError(
            f"unknown strategy '{strategy}'{nearest(strategy, STRATEGIES)} (known: {', '.join(STRATEGIES)})"
        )


def _fill(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    count: int,
    particles: int,
    temperature: float,
    generator: Generator | None,
    progress: Progress | None,
) -> tuple[Tensor, Particles | None]:
    """Fills along the order that the model follows; with particles > 0 observed pixels ahead weigh, and the particles'
    weights are returned."""
    canvas = images.masked_fill(hidden[:, None], 0)
    copies = count * max(1, particles)
    first, last = model.hidden_span(hidden)
    cloud = None
    if particles:
        last = model.pixels  # what comes after the last hidden pixel weighs as well
        cloud = Particles(len(images) * count, particles, canvas.device, generator)
        before = model.pixel_log_probs(canvas)[:, :first].sum(1)
        cloud.log_observed += before.repeat_interleave(count)
    each = torch.arange(len(canvas), device=canvas.device).repeat_interleave(copies)
    state = pick(model.begin(canvas, hidden), each)  # what comes before, and the encoder, is read once for all copies
    canvas, hidden = canvas[each], hidden[each]

    hidden_at = model.in_order(hidden)
    some, every = hidden_at.any(0).tolist(), hidden_at.all(0).tolist()
    draws = sum(some[first:last])
    noise, drawn_step = noises(model, len(canvas), draws, generator), None
    if not cloud and graphs.records(model, canvas.device, draws):
        drawn_step = graphs.DrawnStep(model, canvas, hidden_at, temperature)
    for start, stop in _spans(some, first, last, max(1, ROW_STEPS // len(canvas))):
        if not some[start]:  # observed in all images
            parameters, state = model.read(canvas, start, stop, state)
            if cloud:
                values = canvas.flatten(2)[:, :, model.visits[start:stop]].transpose(1, 2).long()
                cloud.weigh(model.likelihood.log_prob(parameters, values).sum(1))
        elif drawn_step and start > 0:
            state = drawn_step(start, state, next(noise))
        else:
            if cloud and (rows := cloud.resample()) is not None:
                canvas, state = canvas[rows], pick(state, rows)
            pixel = canvas.flatten(2)[:, :, model.visits[start]]  # a view: what is written here is on the canvas
            parameters, state = model.step(canvas, start, state)
            drawn = model.likelihood.draw(parameters, next(noise), temperature)
            if not every[start]:
                here = hidden_at[:, start]
                drawn = torch.where(here[:, None], drawn, pixel)
                if cloud:
                    log_probs = model.likelihood.log_prob(parameters, pixel.long())
                    cloud.weigh(log_probs.masked_fill(here, 0.0))
            pixel.copy_(drawn)
        if progress:
            progress(stop - first, last - first, canvas[:: max(1, particles)])
    if cloud:
        canvas = canvas[cloud.finish()]
    return canvas.unflatten(0, (-1, count)), cloud


def _spans(some: list[bool], first: int, last: int, longest: int) -> Iterator[tuple[int, int]]:
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
        yield from model.likelihood.chance(like.new_empty(len(part), batch, size), generator)


def sample(
    model: Model,
    count: int,
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
    precision: str = "float32",
) -> Tensor:
    """Draws images from scratch, uint8 (count, channels, height, width): complete() with everything hidden."""
    if count < 1:
        raise UserError(f"count={count}: at least 1 image")
    blank = torch.zeros((1, *model.shape), dtype=torch.uint8, device=model.order.device)
    hidden = torch.ones(model.shape[1:], dtype=torch.bool, device=model.order.device)
    return complete(model, blank, hidden, count, "ancestral", temperature, generator, progress, precision=precision)[0]


def is_exact(model: Model, hidden: Tensor) -> bool:
    """Whether the ancestral fill of this hidden region, bool (height, width) or (batch, …), samples p(hidden | observed)."""
    batch = hidden if hidden.ndim == 3 else hidden[None]
    for order, rows in model.by_best_order(batch):
        with model.along(order):
            if bool(model.unseen(batch[rows]).any()):
                return False
    return True


def log_probs(model: Model, completions: Completions, hidden: Tensor) -> Tensor:
    """log p(hidden | observed) of each completion: float64 (batch, count) nats, on the CPU.

    Exact where the draws are; of particles log p(x) - log p(observed), the latter estimated by all of an image's
    completions together; else, and at another temperature, the log-probability with which the plain fill at temperature 1
    draws it.
    """
    hidden = hidden.expand(len(completions.images), *model.shape[1:])
    found = []
    for i, images in enumerate(completions.images):
        with model.evaluating(), model.along(completions.orders[i]):
            log_observed = completions.log_observed[i].logsumexp(0) - math.log(len(images))
            if log_observed.isnan():
                found.append(model.fill_log_prob(images, hidden[i].expand(len(images), -1, -1)).cpu().double())
            else:
                found.append(model.log_prob(images).cpu().double() - log_observed)
    return torch.stack(found)
