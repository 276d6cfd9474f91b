"""Complete a picture of any size with a model of windows.

Each hidden pixel is drawn once, given everything in its window that is observed or drawn already. The windows, and the order
in which they come, depend on the mask alone. So p(hidden | observed) is a product of the model's conditionals, sums to 1
and has a logarithm that can be reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pixelrnn.completion.parts import noises
from pixelrnn.errors import UserError
from pixelrnn.model import InpaintingRNN
from pixelrnn.model.base import pick
from pixelrnn.model.inpainting import hidden_steps
from pixelrnn.products import packed

BATCH = 256  # windows that are drawn at a time
OFFSETS = 8  # the grid of windows is moved by multiples of an eighth of a core, to where it needs the fewest
SHARES = 4  # steps in which a window's share of known pixels is compared with its neighbours'


@dataclass(frozen=True)
class PictureCompletions:
    """Completions of one picture. The hidden pixels stand in raster order; nothing else of the picture is changed."""

    picture: Tensor  # uint8 (channels, height, width)
    hidden: Tensor  # bool (height, width)
    draws: Tensor  # uint8 (count, channels, hidden pixels)
    means: Tensor  # (channels, hidden pixels): the expected values given the observed pixels
    log_probs: Tensor  # float64 (count,): log p(hidden | observed) of each draw, nats

    def draw(self, index: int) -> Tensor:
        """The picture with one of the draws: uint8 (channels, height, width)."""
        return self.put(self.draws[index])

    @property
    def mean(self) -> Tensor:
        """The picture with the expected values, the best guess in decibels: uint8 (channels, height, width)."""
        return self.put(self.means.round().to(torch.uint8))

    def interval(self, share: float = 0.9) -> tuple[Tensor, Tensor]:
        """The lower and the upper ends of intervals that hold a hidden value with this probability: (channels, hidden pixels).

        Between order statistics of the draws: if the value is exchangeable with n draws, it lies between the r-th smallest and
        the r-th largest with probability (n + 1 - 2r) / (n + 1). With few draws, the smallest and the largest are the ends.
        """
        count = len(self.draws)
        place = min(max((1 - share) / 2 * (count + 1) - 1, 0.0), (count - 1) / 2)
        ordered = self.draws.sort(0).values.float()
        below, part = int(place), place - int(place)
        low = torch.lerp(ordered[below], ordered[min(below + 1, count - 1)], part)
        high = torch.lerp(ordered[count - 1 - below], ordered[max(count - 2 - below, 0)], part)
        return low, high

    def put(self, values: Tensor) -> Tensor:
        """The picture with these values (channels, hidden pixels) at the hidden pixels."""
        whole = self.picture.clone()
        whole[:, self.hidden] = values.to(whole.dtype)
        return whole


def complete_windows(
    model: InpaintingRNN,
    picture: Tensor,
    hidden: Tensor,
    count: int = 6,
    temperature: float = 1.0,
    generator: Generator | None = None,
) -> PictureCompletions:
    """Draw completions of one picture, uint8 (channels, height, width), of any size; hidden bool (height, width).

    Raises UserError if nothing is hidden.
    """
    if not bool(hidden.any()):
        raise UserError("a mask hides nothing; it must be True (white, in a mask file) on at least one pixel")
    size = len(picture), int(hidden.sum())
    draws, means = torch.zeros(count, *size, dtype=torch.uint8), torch.zeros(size)
    log_probs = torch.zeros(count, dtype=torch.float64)
    with model.evaluating(), packed(model):
        for some in windows(model, picture, hidden, draws):
            each = torch.arange(len(some.unknown)).repeat(count)
            canvas, target = some.canvas.flatten(0, 1), some.target[each]
            if some.alike:  # nothing drawn is seen: the encoder tells all draws the same
                state = pick(model.begin(some.canvas[0], some.unknown, some.target), each)
            else:
                state = model.begin(canvas, some.unknown[each], target)
            nats, expected = fill_sequences(model, canvas, target, state, temperature, generator)
            log_probs += nats.unflatten(0, (count, -1)).sum(1)
            draws[:, :, some.numbers] = some.canvas.transpose(1, 2)[:, :, some.target]
            means[:, some.numbers] = expected.unflatten(0, (count, -1)).mean(0).transpose(0, 1)[:, some.target]
    return PictureCompletions(picture, hidden, draws, means, log_probs)


def log_probs(model: InpaintingRNN, picture: Tensor, hidden: Tensor, values: Tensor) -> Tensor:
    """log p(hidden | observed) of given values, uint8 (count, channels, hidden pixels) in raster order: float64 (count,)."""
    found = torch.zeros(len(values), dtype=torch.float64)
    with model.evaluating():
        for some in windows(model, picture, hidden, values):
            each = torch.arange(len(some.unknown)).repeat(len(values))
            some.canvas.transpose(1, 2)[:, :, some.target] = values[:, :, some.numbers]
            nats = model.pixel_log_probs(some.canvas.flatten(0, 1), some.unknown[each], some.target[each])
            found += nats.double().sum(1).unflatten(0, (len(values), -1)).sum(1)
    return found


@dataclass(frozen=True)
class Windows:
    """Some windows of a picture that are drawn as one batch, for each of several completions."""

    canvas: Tensor  # uint8 (count, windows, channels, side, side), 0 where unknown
    unknown: Tensor  # bool (windows, side, side)
    target: Tensor  # bool: the unknown pixels that are drawn now
    numbers: Tensor  # int64 (targets,): their numbers among the hidden pixels
    alike: bool  # whether all completions see the same


def windows(model: InpaintingRNN, picture: Tensor, hidden: Tensor, values: Tensor) -> Iterator[Windows]:
    """The windows of a picture in the order in which they are drawn.

    values, uint8 (count, channels, hidden pixels), are the completions so far: the caller fills in each batch's targets
    before it asks for the next one.
    """
    side = model.shape[1]
    core, edge = side // 2, side // 4
    number = torch.full(hidden.shape, -1, dtype=torch.int32)
    number[hidden] = torch.arange(values.shape[2], dtype=torch.int32)
    # Outside the picture nothing is known, and nothing is to be drawn.
    number, known, seen = (
        F.pad(part, (side,) * 4, value=fill) for part, fill in ((number, -1), (~hidden, 0), (picture, 0))
    )
    for corners in rounds(known, tiles(hidden, core) + side, core):
        for some in corners.split(max(1, BATCH // len(values))):
            views = [(slice(y - edge, y - edge + side), slice(x - edge, x - edge + side)) for y, x in some.tolist()]
            unknown, places = (torch.stack([part[view] for view in views]) for part in (~known, number))
            target = torch.zeros_like(unknown)
            target[:, edge : edge + core, edge : edge + core] = True
            target &= unknown & (places >= 0)
            before = ~unknown & (places >= 0)
            canvas = (
                torch.stack([seen[(slice(None), *view)] for view in views]).expand(len(values), -1, -1, -1, -1).clone()
            )
            canvas.transpose(1, 2)[:, :, before] = values[:, :, places[before].long()]
            canvas *= ~unknown[:, None]
            yield Windows(canvas, unknown, target, places[target].long(), not bool(before.any()))
        for y, x in corners.tolist():
            known[y : y + core, x : x + core] |= number[y : y + core, x : x + core] >= 0


def fill_sequences(
    model: InpaintingRNN, canvas: Tensor, target: Tensor, state: Any, temperature: float, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw each image's target pixels in the order of the visit, into the canvas: the k-th pixel of all images in step k.

    canvas uint8 (batch, channels, height, width), target bool (batch, height, width). Returns the log-probabilities of the
    draws at temperature 1, float64 (batch,) nats, and the expected values of the target pixels given those drawn before,
    (batch, channels, height, width).
    """
    steps, real = hidden_steps(model.in_order(target))
    flat, rows, found = canvas.flatten(2), torch.arange(len(canvas), device=canvas.device), []
    for t, here, noise in zip(
        steps.unbind(1), real.unbind(1), noises(model, len(canvas), steps.shape[1], generator), strict=True
    ):
        parameters, state = model.step(canvas, t, state)
        found.append(parameters)
        drawn, at = model.likelihood.draw(parameters, noise, temperature).to(flat.dtype), model.order[t]
        flat[rows, :, at] = torch.where(here[:, None], drawn, flat[rows, :, at])
    parameters, at = torch.stack(found, 1), model.order[steps]
    values = flat.transpose(1, 2)[rows[:, None], at].long()  # (batch, steps, channels)
    log_probs = model.likelihood.log_prob(parameters, values).double().where(real, 0.0).sum(1)
    means = parameters.new_zeros(flat.shape).transpose(1, 2)
    means[rows[:, None], at] = torch.where(real[..., None], model.likelihood.mean(parameters, values), 0.0)
    return log_probs, means.transpose(1, 2).view(canvas.shape)


def tiles(hidden: Tensor, core: int) -> Tensor:
    """The upper left corners of the core × core tiles that hold hidden pixels, int64 (tiles, 2), of the grid with the fewest."""
    part = max(1, core // OFFSETS)
    height, width = hidden.shape
    small = F.max_pool2d(F.pad(hidden[None].float(), (0, -width % part, 0, -height % part)), part)
    many = core // part  # parts of a core
    best: Tensor | None = None
    for down in range(many):
        for right in range(many):
            padded = F.pad(small, (right, -(small.shape[2] + right) % many, down, -(small.shape[1] + down) % many))
            found = F.max_pool2d(padded, many)[0].nonzero() * core - part * torch.tensor([down, right])
            if best is None or len(found) < len(best):
                best = found
    assert best is not None
    return best


def rounds(known: Tensor, corners: Tensor, core: int) -> Iterator[Tensor]:
    """Split the tiles into rounds: a tile is drawn when none of its eight neighbours that are to be drawn knows more.

    Tiles of one round do not touch each other's windows, so they are drawn as one batch. `known`, bool (height, width), is
    changed by the caller after each round.
    """
    grid = (corners - corners.amin(0)) // core
    parity = (grid[:, 0] % 2) * 2 + grid[:, 1] % 2
    rest = torch.full((*(grid.amax(0) + 3).tolist(),), -1.0)
    left = torch.ones(len(corners), dtype=torch.bool)
    reach = core // 2
    while bool(left.any()):
        shares = []
        for top, first in corners[left].tolist():
            shares.append(
                float(known[top - reach : top + core + reach, first - reach : first + core + reach].float().mean())
            )
        key = (torch.tensor(shares) * SHARES).floor() * 4 + 3 - parity[left]
        rest.fill_(-1)
        rest[grid[left, 0] + 1, grid[left, 1] + 1] = key
        highest = F.max_pool2d(rest[None], 3, 1, 1)[0]
        chosen = key >= highest[grid[left, 0] + 1, grid[left, 1] + 1]
        yield corners[left][chosen]
        left[left.nonzero()[:, 0][chosen]] = False
