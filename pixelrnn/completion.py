"""The one sampling loop: fill the hidden pixels of an image in the model's order. Sampling hides them all."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from pixelrnn.errors import UserError, nearest
from pixelrnn.model import Model
from pixelrnn.packing import packed
from pixelrnn.pixels import check_hidden, check_images

STRATEGIES = ("auto", "ancestral")


def complete(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    count: int = 1,
    strategy: str = "auto",
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Draws `count` completions of every image: uint8 (batch, count, channels, height, width).

    images uint8 (batch, channels, height, width), on the model's device; whatever they hold where hidden is True is
    ignored. hidden bool (batch, height, width), or (height, width) for all. Observed pixels come back unchanged.

    "ancestral" draws each hidden pixel given the pixels before it in the order. This samples p(hidden | observed)
    exactly where no observed pixel comes after a hidden one, and elsewhere ignores those: is_exact tells. "auto" takes
    the best strategy that this model and mask allow. The same generator seed gives the same completions; progress, if
    given, is called with (pixels done, pixels to do). Raises UserError for arguments that do not fit.
    """
    check_images(images, model.shape, model.levels)
    hidden = check_hidden(hidden, images)
    if count < 1:
        raise UserError(f"count={count}: at least 1 completion")
    if not temperature > 0:
        raise UserError(f"temperature={temperature}: it is more than 0; 1 samples the model, less is more cautious")
    if strategy not in STRATEGIES:
        raise UserError(
            f"unknown strategy '{strategy}'{nearest(strategy, STRATEGIES)} (known: {', '.join(STRATEGIES)})"
        )

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), packed(model):
            return _fill(model, images, hidden, count, temperature, generator, progress)
    finally:
        model.train(was_training)


def _fill(
    model: Model,
    images: Tensor,
    hidden: Tensor,
    count: int,
    temperature: float,
    generator: Generator | None,
    progress: Callable[[int, int], None] | None,
) -> Tensor:
    canvas = images.masked_fill(hidden[:, None], 0)
    state = repeat(model.begin(canvas, hidden), count)  # the observed prefix is read once for all completions
    canvas, hidden = canvas.repeat_interleave(count, 0), hidden.repeat_interleave(count, 0)

    pixels, hidden_at = canvas.flatten(2), hidden.flatten(1)  # views: what is written here is on the canvas
    some, every = hidden_at.any(0).tolist(), hidden_at.all(0).tolist()
    first, last = model.hidden_span(hidden)
    for t in range(first, last):
        parameters, state = model.step(canvas, t, state)
        pixel = model.visits[t]
        if some[pixel]:
            drawn = model.likelihood.sample(parameters, temperature, generator).to(torch.uint8)
            if not every[pixel]:
                drawn = torch.where(hidden_at[:, pixel, None], drawn, pixels[:, :, pixel])
            pixels[:, :, pixel] = drawn
        if progress:
            progress(t + 1 - first, last - first)
    return canvas.unflatten(0, (-1, count))


def sample(
    model: Model,
    count: int,
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Callable[[int, int], None] | None = None,
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
    return int(model.observed_ahead(batch).max()) == 0


def repeat(state: Any, count: int) -> Any:
    """A state tree for `count` copies of each image of the batch, copies of one image side by side."""
    if isinstance(state, Tensor):
        return state.repeat_interleave(count, 0)
    return type(state)(repeat(part, count) for part in state)
