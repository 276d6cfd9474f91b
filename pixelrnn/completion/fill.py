"""The one sampling loop: fill the hidden pixels of an image in the model's order. Sampling hides them all."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from pixelrnn.completion import cuda_graph as graphs
from pixelrnn.completion.particles import AUTO, Particles
from pixelrnn.completion.parts import ROW_STEPS, Completions, Part, all_parts, noises, parts, spans
from pixelrnn.errors import UserError, nearest
from pixelrnn.model import Model
from pixelrnn.model.state import pick
from pixelrnn.pixels import check_hidden, check_images
from pixelrnn.products import packed

STRATEGIES = ("auto", "ancestral", "particles")
LEAST_TEMPERATURE = 1e-6  # a lower one overflows float32, in which logits are divided by it

# Called after each part of the way: steps done, steps to do, and the images that are being drawn as they are so far, uint8
# (images, channels, height, width), a view that goes on changing; 0 where nothing is drawn yet. done never goes back, and
# equals total once, at the end; total grows where particles are added.
Progress = Callable[[int, int, Tensor], None]


def complete(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    count: int = 1,
    strategy: str = "auto",
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
    particles: int | str = "auto",
    order: int | None = None,
    batch_size: int = 4096,
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

    particles="auto" begins with 64. While fewer than 10 of them are effective for an image, it draws that image again with
    four times as many, up to 1,024, and stops where that does not double the effective number. So it takes up to 21 times
    as long as particles=64.

    batch_size bounds the memory: the number of completions that are drawn at a time, each particle counted as one. More
    are drawn one part after the other, so that another batch_size draws others.

    The same generator seed gives the same completions; progress, if given, is told how far it is, and may end it by raising.
    Raises UserError for arguments that do not fit.
    """
    return complete_in_detail(
        model,
        images,
        hidden,
        count,
        strategy,
        temperature,
        generator,
        progress,
        particles,
        order,
        batch_size,
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
    particles: int | str = "auto",
    order: int | None = None,
    batch_size: int = 4096,
) -> Completions:
    """complete(), with what it did of each image."""
    check_images(images, model.shape, model.levels, hidden)
    hidden = check_hidden(hidden, images)
    _check_options(count, temperature, particles, batch_size)
    if order is not None and not 0 <= order < len(model.orders):
        raise UserError(f"order={order}: this model has {len(model.orders)}, counted from 0")
    check_strategy(strategy)

    drawn = Completions.of(images, count, temperature)
    few, most = AUTO if isinstance(particles, str) else (particles, particles)

    def report(steps: int, so_far: Tensor) -> None:
        if progress:
            progress(done + steps, total, so_far)

    with model.evaluating():
        work = list(all_parts(model, hidden, count, 0 if strategy == "ancestral" else few, order, batch_size))
        done, total = 0, sum(part.steps for part in work)
        while work:
            part = work.pop(0)
            with model.along(part.order), packed(model):
                result, cloud = _fill(model, images, hidden, part, temperature, generator, report)
                poor = drawn.keep(part, result, cloud, model.unseen_count(hidden[part.rows]) == 0)
                if part.particles < most and bool(poor.any()):
                    rows = part.rows[poor]
                    again = list(parts(model, hidden, rows, part.completions, 4 * part.particles, batch_size))
                    total, work = total + sum(more.steps for more in again), again + work
            report(part.steps, result.flatten(0, 1))
            done += part.steps
    return drawn


def _check_options(count: int, temperature: float, particles: int | str, batch_size: int) -> None:
    """Raise UserError for a number that is out of range."""
    if count < 1:
        raise UserError(f"count={count}: at least 1 completion")
    if particles != "auto" and (isinstance(particles, str) or particles < 1):
        raise UserError(f"particles={particles}: auto, or at least 1 for each completion")
    if not LEAST_TEMPERATURE <= temperature < math.inf:
        raise UserError(
            f"temperature={temperature}: it is at least {LEAST_TEMPERATURE:g}; 1 samples the model, less is more cautious"
        )
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size}: at least 1 completion at a time")


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
    part: Part,
    temperature: float,
    generator: Generator | None,
    report: Callable[[int, Tensor], None],
) -> tuple[Tensor, Particles | None]:
    """Fills a part of the images along the order that the model follows, which it tells before the last step only; with
    particles observed pixels ahead weigh, and the particles' weights are returned."""
    hidden, count, particles = hidden[part.rows], len(part.completions), part.particles
    canvas = images[part.rows].masked_fill(hidden[:, None], 0)
    copies, first, last = count * max(1, particles), part.first, part.last
    cloud = None
    if particles:
        cloud = Particles(len(canvas) * count, particles, canvas.device, generator)
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
    for start, stop in spans(some, first, last, max(1, ROW_STEPS // len(canvas))):
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
        if stop < last:
            report(stop - first, canvas[:: max(1, particles)])
    if cloud:
        canvas = canvas[cloud.finish()]
    return canvas.unflatten(0, (-1, count)), cloud


def sample(
    model: Model,
    count: int,
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Draws images from scratch, uint8 (count, channels, height, width): complete() with everything hidden."""
    if count < 1:
        raise UserError(f"count={count}: at least 1 image")
    blank = torch.zeros((1, *model.shape), dtype=torch.uint8, device=model.order.device)
    hidden = torch.ones(model.shape[1:], dtype=torch.bool, device=model.order.device)
    return complete(model, blank, hidden, count, "ancestral", temperature, generator, progress)[0]


def is_exact(model: Model, hidden: Tensor) -> bool:
    """Whether the ancestral fill of this hidden region, bool (height, width) or (batch, …), samples p(hidden | observed)."""
    batch = hidden if hidden.ndim == 3 else hidden[None]
    for order, rows in model.by_best_order(batch):
        with model.along(order):
            if bool(model.unseen_count(batch[rows]).any()):
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
            blind, parts = bool(log_observed.isnan()), images.split(max(1, ROW_STEPS // model.pixels))
            nats = [
                model.fill_log_prob(part, hidden[i].expand(len(part), -1, -1)) if blind else model.log_prob(part)
                for part in parts
            ]
            found.append(torch.cat(nats).cpu().double() - (0 if blind else log_observed))
    return torch.stack(found)
