"""The one sampling loop: fill the hidden pixels of an image in the model's order. Sampling hides them all."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from pixelrnn.completion import cuda_graph
from pixelrnn.completion.particles import AUTO, Particles
from pixelrnn.completion.parts import (
    ROW_STEPS,
    Completions,
    Options,
    Part,
    all_parts,
    check_generator,
    check_progress,
    noises,
    parts,
    spans,
)
from pixelrnn.errors import UserError
from pixelrnn.files.arrays import Images, as_masks
from pixelrnn.model import Model, check_model
from pixelrnn.model.base import pick
from pixelrnn.model.orders import observed_ahead
from pixelrnn.pixels import check_hidden, check_images
from pixelrnn.products import packed

# Called as progress(done, total, images) after each stretch of steps: steps done, steps to do, and the images that are
# being drawn, uint8 (images, channels, height, width), a view that goes on changing; a pixel not yet drawn is 0. done never
# decreases, and equals total once, at the end. total grows if particles are added.
Progress = Callable[[int, int, Tensor], None]


def complete(
    model: Model,
    images: Images,
    hidden: Images,
    count: int = 1,
    *,
    strategy: str = "auto",
    temperature: float = 1.0,
    generator: Generator | None = None,
    **options: Any,
) -> Tensor:
    """Draw `count` completions of every image: uint8 (batch, count, channels, height, width).

    images uint8 (batch, channels, height, width); hidden bool (batch, height, width), or (height, width) for all images.
    Both may be NumPy arrays or PIL pictures: see docs/python.md. Both are moved to the model's device, where the generator must
    be. Levels under hidden pixels are ignored. Observed pixels come back unchanged.

    A model with several orders completes each image along the order with the fewest observed pixels after the first hidden
    one. The strategy is "ancestral", "particles" or "auto":

    - "ancestral" draws each hidden pixel given the pixels before it in the order, and in a model with an encoder given all
      observed pixels. The draws are exact samples of p(hidden | observed) if the model has an encoder, or if no observed
      pixel comes after a hidden one. Otherwise they ignore the observed pixels that come later.
    - "particles" takes these pixels into account by sequential Monte Carlo, with many particles for each completion. Where
      the ancestral fill is exact, it is used instead.
    - "auto" is the same as "particles".

    The same generator seed gives the same completions. Further options:

    - particles: how many for each completion. "auto" begins with 64. While fewer than 10 of them are effective for an image,
      it draws that image again with four times as many, up to 1,024, and stops if that does not double the effective number.
      So it takes up to 21 times as long as particles=64.
    - order: the index of the order that all images follow, counted from 0.
    - batch_size: how many completions are drawn at a time (4096), each particle counted as one. It bounds the memory.
      Another batch_size gives other draws.
    - progress: a function that is called as progress(done, total, images) after each stretch of steps, and may end the
      drawing by raising.

    Raises UserError for arguments that do not fit.
    """
    given = {"count": count, "strategy": strategy, "temperature": temperature, **options}
    return complete_in_detail(model, images, hidden, generator=generator, **given).images


def complete_in_detail(
    model: Model,
    images: Images,
    hidden: Images,
    *,
    generator: Generator | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Completions:
    """Do what complete() does, and return the completions together with how each image's were drawn.

    options: count, strategy, temperature, particles, order and batch_size, as in complete().
    """
    check_model(model)
    check_progress(progress)
    asked = Options(**options)
    hidden = as_masks(hidden)
    images = check_images(images, model.shape, model.levels, hidden)
    device = model.order.device
    check_generator(generator, device)
    # A copy, because the caller may use their mask again, and log_probs are computed later.
    images, hidden = images.to(device), check_hidden(hidden, images).to(device).clone()
    if asked.order is not None and not 0 <= asked.order < len(model.orders):
        raise UserError(f"order={asked.order}: this model has {len(model.orders)}, counted from 0")
    few, most = AUTO if isinstance(asked.particles, str) else (asked.particles, asked.particles)
    drawn = Completions.blank(model, images, hidden, asked)

    def report(steps: int, so_far: Tensor) -> None:
        if progress:
            progress(done + steps, total, so_far)

    with model.evaluating():
        work = list(all_parts(model, hidden, asked, few))
        done, total = 0, sum(len(part.steps) for part in work)
        while work:
            part = work.pop(0)
            with model.along(part.order), packed(model):
                result, cloud = _fill(model, images, hidden, part, asked.temperature, generator, report)
                poor = drawn.keep(part, result, cloud, model.unseen_count(hidden[part.rows]) == 0)
                if part.particles < most and bool(poor.any()):
                    again = list(parts(model, hidden, part.rows[poor], part.completions, 4 * part.particles, asked))
                    total, work = total + sum(len(more.steps) for more in again), again + work
            report(len(part.steps), result.flatten(0, 1))
            done += len(part.steps)
    return drawn


def _fill(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    part: Part,
    temperature: float,
    generator: Generator | None,
    report: Callable[[int, Tensor], None],
) -> tuple[Tensor, Particles | None]:
    """Fill a part of the images along the current order: (images, completions, channels, height, width), and the particles.

    With particles, the observed pixels between and after hidden ones change the particles' weights. report() is called
    after each stretch of steps but the last.
    """
    hidden, count, particles = hidden[part.rows], len(part.completions), part.particles
    canvas = images[part.rows].masked_fill(hidden[:, None], 0)
    cloud = None
    if particles:
        cloud = Particles(len(canvas) * count, particles, canvas.device, generator)
        before = model.pixel_log_probs(canvas)[:, : part.steps.start].sum(1)
        cloud.log_observed += before.repeat_interleave(count)
    each = torch.arange(len(canvas), device=canvas.device).repeat_interleave(count * max(1, particles))
    state = pick(model.begin(canvas, hidden), each)  # the pixels before, and the encoder, are read once for all copies
    canvas, hidden_at = canvas[each], model.in_order(hidden[each])

    some, every = hidden_at.any(0).tolist(), hidden_at.all(0).tolist()
    draws = sum(some[t] for t in part.steps)
    noise, graph = noises(model, len(canvas), draws, generator), None
    if not cloud and cuda_graph.records(model, canvas.device, draws):
        graph = cuda_graph.DrawnStep(model, canvas, hidden_at, temperature)
    for start, stop in spans(part.steps, some, max(1, ROW_STEPS // len(canvas))):
        if not some[start]:  # these pixels are observed in all images
            if model.reads_observed:
                parameters, state = model.read(canvas, start, stop, state)
            if cloud:
                values = canvas.flatten(2)[:, :, model.visits[start:stop]].transpose(1, 2).long()
                cloud.weigh(model.likelihood.log_prob(parameters, values).sum(1))
        elif graph and model.kind(start) is not None:
            state = graph(start, state, next(noise))
        else:
            if cloud and (rows := cloud.resample()) is not None:
                canvas, state = canvas[rows], pick(state, rows)
            pixel = canvas.flatten(2)[:, :, model.visits[start]]  # a view: writing to it changes the canvas
            parameters, state = model.step(canvas, start, state)
            drawn = model.likelihood.draw(parameters, next(noise), temperature)
            if not every[start]:
                here = hidden_at[:, start]
                drawn = torch.where(here[:, None], drawn, pixel)
                if cloud:
                    cloud.weigh(model.likelihood.log_prob(parameters, pixel.long()).masked_fill(here, 0.0))
            pixel.copy_(drawn)
        if stop < part.steps.stop:
            report(stop - part.steps.start, canvas[:: max(1, particles)])
    canvas = canvas[cloud.finish()] if cloud else canvas
    return canvas.unflatten(0, (-1, count)), cloud


def sample(
    model: Model,
    count: int,
    *,
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Draw images from scratch, uint8 (count, channels, height, width): complete() with everything hidden."""
    check_model(model)
    blank = torch.zeros((1, *model.shape), dtype=torch.uint8, device=model.order.device)
    hidden = torch.ones(model.shape[1:], dtype=torch.bool, device=model.order.device)
    asked: dict[str, Any] = {"strategy": "ancestral", "temperature": temperature, "progress": progress}
    return complete(model, blank, hidden, count, generator=generator, **asked)[0]


def is_exact(model: Model, hidden: Tensor) -> bool:
    """Whether the ancestral fill of hidden pixels, bool (height, width) or (batch, …), samples p(hidden | observed)."""
    batch = hidden if hidden.ndim == 3 else hidden[None]
    ahead = torch.stack([observed_ahead(batch, order) for order in model.orders])
    return model.sees_ahead or not bool(ahead.amin(0).any())
