"""The distribution of each hidden pixel as a set of completions shows it, its mean and its entropy."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelrnn.completion.parts import Completions
from pixelrnn.model import Model
from pixelrnn.pixels import to_images, to_sequence

CHUNK = 16  # completions whose distributions are held at once


def marginals(model: Model, completions: Completions) -> Tensor:
    """Estimate p(x_c = level | observed) of every pixel: (batch, channels, height, width, levels).

    If the completions are exact samples, it is the mean over them of the model's p(x_t | what is known at t), which
    varies less than the levels drawn (Rao-Blackwell). Otherwise it is how often each level was drawn. Observed pixels are
    certain.
    """
    return torch.stack(list(_each(model, completions)))


def maps(model: Model, completions: Completions) -> tuple[Tensor, Tensor]:
    """mean() and entropy() of the marginals, on the CPU; the marginals of one image at a time are in memory."""
    means, entropies = zip(*((mean(of).cpu(), entropy(of).cpu()) for of in _each(model, completions)), strict=True)
    return torch.stack(means), torch.stack(entropies)


def _each(model: Model, completions: Completions) -> Iterator[Tensor]:
    """The marginals of one image after the other."""
    each = zip(completions.images, completions.hidden, completions.orders, completions.exact, strict=True)
    for drawn, mask, order, exact in each:
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
