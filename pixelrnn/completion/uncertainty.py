"""What a set of completions says about each hidden pixel: its distribution, its mean and its entropy."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelrnn.completion.fill import Completions
from pixelrnn.model import Model
from pixelrnn.pixels import to_images, to_sequence

CHUNK = 16  # completions whose distributions are held at once


def marginals(model: Model, completions: Completions, hidden: Tensor) -> Tensor:
    """p(x_c = level | observed) of every pixel, estimated: (batch, channels, height, width, levels).

    Where the completions are exact draws, it is the mean over them of the model's p(x_t | what is known at t), which
    varies less than the levels drawn do (Rao-Blackwell); elsewhere how often each level was drawn. Observed pixels are certain.
    """
    return torch.stack(list(_each(model, completions, hidden)))


def maps(model: Model, completions: Completions, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """mean() and entropy() of the marginals, on the CPU; of many images it holds those of one at a time."""
    means, entropies = zip(
        *((mean(of).cpu(), entropy(of).cpu()) for of in _each(model, completions, hidden)), strict=True
    )
    return torch.stack(means), torch.stack(entropies)


def _each(model: Model, completions: Completions, hidden: Tensor) -> Iterator[Tensor]:
    """The marginals of one image after the other."""
    hidden = hidden.expand(len(completions.images), *model.shape[1:])
    for drawn, mask, order, exact in zip(
        completions.images, hidden, completions.orders, completions.exact, strict=True
    ):
        with model.evaluating(), model.along(order):
            sums = [_predicted(model, part, mask) if exact else _one_hot(part, model) for part in drawn.split(CHUNK)]
        yield torch.where(mask[..., None], torch.stack(sums).sum(0) / len(drawn), _one_hot(drawn[:1], model))


def _one_hot(drawn: Tensor, model: Model) -> Tensor:
    """How many of the completions (count, channels, height, width) have each level: (channels, height, width, levels)."""
    return F.one_hot(drawn.long(), model.levels).sum(0).to(torch.get_default_dtype())


def _predicted(model: Model, drawn: Tensor, mask: Tensor) -> Tensor:
    """The sum over completions (count, channels, height, width) of each pixel's distribution given those before it."""
    values = to_sequence(drawn, model.order)
    parameters = model(drawn, mask.expand(len(drawn), -1, -1))
    levels = model.likelihood.level_log_probs(parameters, values).exp().sum(0)  # (pixels, channels, levels)
    by_level = to_images(levels.movedim(-1, 0), model.order, *model.shape[1:])  # (levels, channels, height, width)
    return by_level.movedim(0, -1).to(torch.get_default_dtype())


def entropy(marginals: Tensor) -> Tensor:
    """Bits of every pixel, the sum over its channels: (…, channels, height, width, levels) -> (…, height, width)."""
    return torch.special.entr(marginals).sum(-1).sum(-3) / math.log(2)


def mean(marginals: Tensor) -> Tensor:
    """The expected level of every value: (…, channels, height, width, levels) -> (…, channels, height, width)."""
    levels = torch.arange(marginals.shape[-1], device=marginals.device, dtype=marginals.dtype)
    return marginals @ levels
