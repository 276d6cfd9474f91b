"""Complete a picture of any size with a model of windows.

Each hidden pixel is drawn once, given everything in its window that is observed or drawn already. The windows, and the order
in which they come, depend on the mask alone. So p(hidden | observed) is a product of the model's conditionals, sums to 1
and has a logarithm that can be reported.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pixelrnn.completion.fill import Progress
from pixelrnn.completion.parts import Options, check_generator, check_progress, noises
from pixelrnn.errors import UserError, note
from pixelrnn.model import InpaintingRNN
from pixelrnn.model.base import pick
from pixelrnn.model.inpainting import hidden_steps
from pixelrnn.products import packed

BATCH = 256  # windows that are drawn at a time
ENDS = (0.05, 0.95)  # the shares of the distribution below the ends of an interval
WITHIN = 0.9  # the share between them
LIMIT = 1.6449  # the upper end of a standard normal distribution
OFFSETS = 8  # the grid of tiles is moved by about eighths of a tile, to where it has the fewest tiles
# A window knows more than its neighbour if more of these are less than its known share.
SHARES = (0.0, 0.05, 0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class PictureCompletions:
    """Completions of one picture. Its hidden pixels stand in raster order; nothing else of the picture is changed.

    After found = pixelrnn.complete_picture(picture, hidden), found.mean is the picture with the best guess and found.draw(0)
    the picture with a draw; pixelrnn.figures.around_holes(found) shows them.
    """

    picture: Tensor  # uint8 (channels, height, width)
    hidden: Tensor  # bool (height, width)
    draws: Tensor  # uint8 (count, channels, hidden pixels)
    means: Tensor  # (channels, hidden pixels): the expected values given the observed pixels
    # uint8 (channels, hidden pixels): given the observed pixels, a hidden value lies from low to high with about 90 % or more, if
    # the model is right and there are at least two draws, at temperature 1.
    low: Tensor
    high: Tensor
    log_probs: Tensor  # float64 (count,): log p(hidden | observed) of each draw, nats
    levels: int = 256  # values are in [0, levels)

    def __repr__(self) -> str:
        height, width = self.hidden.shape
        return (
            f"PictureCompletions({len(self.draws)} draws of {self.draws.shape[-1]:,} hidden pixels of {width}x{height})"
        )

    def draw(self, index: int) -> Tensor:
        """The picture with one of the draws: uint8 (channels, height, width)."""
        return self.put(self.draws[index])

    @property
    def best(self) -> Tensor:
        """The picture with the most probable draw: uint8 (channels, height, width)."""
        return self.draw(int(self.log_probs.argmax()))

    @property
    def mean(self) -> Tensor:
        """The picture with the expected values, the best guess in decibels: uint8 (channels, height, width)."""
        return self.put(self.means.round())

    @property
    def interval_widths(self) -> Tensor:
        """The widths of the intervals, averaged over the channels: float (height, width), 0 where the picture is observed."""
        widths = torch.zeros(self.hidden.shape, dtype=torch.float32)
        widths[self.hidden] = (self.high.float() - self.low).mean(0)
        return widths

    @property
    def facts(self) -> list[dict[str, float]]:
        """For each draw, its log-probability in nats, and in bits per hidden value, for a report."""
        values = self.draws[0].numel() * math.log(2)
        return [{"log_prob_nats": nats, "bits_per_dim": -nats / values} for nats in self.log_probs.tolist()]

    def put(self, values: Tensor) -> Tensor:
        """The picture with these values, (channels, hidden pixels), at the hidden pixels."""
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
    progress: Progress | None = None,
) -> PictureCompletions:
    """Draw completions of one picture, uint8 (channels, height, width), of any size; hidden bool (height, width). Both are on
    the CPU.

    The means are averages over the draws of each pixel's expected value given the pixels drawn before it. This varies less
    than the mean of the draws (Rao-Blackwell). The intervals are those of the distributions averaged likewise, and wider if
    the draws are few and differ. progress(done, total, picture) is called after each batch of windows, with the number of
    hidden pixels that are drawn, and the picture with the first completion. Raises UserError for a picture that does not fit
    the model, and if nothing is hidden.
    """
    check_progress(progress)
    count = Options(count=count, temperature=temperature).count
    check_picture(model, picture, hidden)
    pixels, device = int(hidden.sum()), model.order.device
    check_generator(generator, device)
    draws = torch.zeros(count, len(picture), pixels, dtype=torch.uint8)
    means = torch.zeros(len(picture), pixels, dtype=torch.float32)
    low, high = torch.zeros_like(draws[0]), torch.zeros_like(draws[0])
    nats, done = torch.zeros(count, dtype=torch.float64), 0
    # Its tensors are filled below.
    found = PictureCompletions(picture, hidden, draws, means, low, high, nats, model.levels)
    with model.evaluating(), packed(model):
        for some in windows(model, picture, hidden, draws):
            each = torch.arange(len(some.unknown), device=device).repeat(count)
            canvas, unknown, target = (x.to(device) for x in (some.canvas.flatten(0, 1), some.unknown, some.target))
            with model.along(some.order):
                if some.alike:  # no draw is seen, so that the encoder tells all completions the same
                    state = pick(model.begin(canvas[: len(unknown)], unknown, target), each)
                else:
                    state = model.begin(canvas, unknown[each], target[each])
                filled = fill_sequences(model, canvas, target[each], state, temperature, generator)
            nats += filled.log_probs.cpu().double().unflatten(0, (count, -1)).sum(1)
            drawn = canvas.cpu().unflatten(0, (count, -1))
            draws[:, :, some.numbers] = drawn.transpose(1, 2)[:, :, some.target]
            for whole, part in zip((means, low, high), _summary(model, filled, count), strict=True):
                whole[:, some.numbers] = part.transpose(0, 1)[:, some.target].to(whole.dtype)
            done += len(some.numbers)
            if progress:
                progress(done, pixels, found.draw(0)[None])
    assert done == pixels, "each hidden pixel lies in one tile"
    return found


def interval_caveat(count: int, temperature: float) -> str | None:
    """Why intervals do not hold the share WITHIN of the hidden values, even if the model is right; None if they do."""
    if count == 1:
        return "a single draw cannot tell how much others differ"
    return None if temperature == 1 else "they are those of temperature=1"


def note_intervals(count: int, temperature: float) -> bool:
    """Whether intervals hold the share WITHIN, if the model is right; a note if they do not."""
    caveat = interval_caveat(count, temperature)
    if caveat:
        note(f"the intervals do not hold {100 * WITHIN:.0f} % of the hidden values: {caveat}")
    return caveat is None


def log_probs(model: InpaintingRNN, picture: Tensor, hidden: Tensor, values: Tensor) -> Tensor:
    """log p(hidden | observed) of given values, uint8 (count, channels, hidden pixels) in raster order: float64 (count,)."""
    check_picture(model, picture, hidden)
    found, device = torch.zeros(len(values), dtype=torch.float64), model.order.device
    with model.evaluating():
        for some in windows(model, picture, hidden, values):
            each = torch.arange(len(some.unknown)).repeat(len(values))
            some.canvas.transpose(1, 2)[:, :, some.target] = values[:, :, some.numbers]
            images, masks, targets = some.canvas.flatten(0, 1), some.unknown[each], some.target[each]
            with model.along(some.order):
                nats = model.pixel_log_probs(images.to(device), masks.to(device), targets.to(device))
            found += nats.cpu().double().sum(1).unflatten(0, (len(values), -1)).sum(1)
    return found


def check_picture(model: InpaintingRNN, picture: Tensor, hidden: Tensor) -> None:
    """UserError unless the picture is uint8 (channels, height, width) with the model's channels and levels, and hidden fits."""
    if min(model.shape[1:]) < 2:
        raise UserError(f"shape={model.shape}: a window has at least 2x2 pixels, the middle of which is drawn")
    if picture.dtype != torch.uint8 or picture.ndim != 3 or len(picture) != model.shape[0]:
        raise UserError(
            f"the picture is {picture.dtype} {tuple(picture.shape)}; this model takes torch.uint8 ({model.shape[0]}, height, width)"
        )
    if hidden.dtype != torch.bool or hidden.shape != picture.shape[1:]:
        raise UserError(
            f"hidden is {hidden.dtype} {tuple(hidden.shape)}; it must be torch.bool {tuple(picture.shape[1:])}, True where a pixel "
            "is to be completed, such as mask > 127"
        )
    if not bool(hidden.any()):
        raise UserError("a mask hides nothing; it must be True (white, in a mask file) on at least one pixel")
    most = int(picture.masked_fill(hidden, 0).max())
    if most >= model.levels:
        raise UserError(
            f"the picture holds the value {most}; this model has {model.levels} levels, 0 to {model.levels - 1}: for 8-bit "
            f"values, pixelrnn.requantise(picture, 256, {model.levels})"
        )


@dataclass(frozen=True)
class Windows:
    """Some windows of a picture that are drawn as one batch, for each of several completions."""

    canvas: Tensor  # uint8 (count, windows, channels, side, side), 0 where unknown
    unknown: Tensor  # bool (windows, side, side)
    target: Tensor  # bool: the unknown pixels that are drawn now
    numbers: Tensor  # int64 (targets,): their numbers among the hidden pixels
    alike: bool  # whether all completions see the same
    order: int  # along which of the model's orders


def windows(model: InpaintingRNN, picture: Tensor, hidden: Tensor, values: Tensor) -> Iterator[Windows]:
    """The windows of a picture in the order in which they are drawn.

    A window is the model's image. The hidden pixels of the tile in its middle are drawn, five eighths of each side; the rest
    is only seen. They are drawn along the model's first order. A picture no larger than a window is one tile, and drawn along
    its best order, as `pixelrnn.complete` does. values, uint8 (count, channels, hidden pixels), are the completions so far:
    the caller fills in each batch's targets before it asks for the next batch.
    """
    height, width = model.shape[1:]
    fits = hidden.shape[0] <= height and hidden.shape[1] <= width
    edge = (0, 0) if fits else ((3 * height + 8) // 16, (3 * width + 8) // 16)
    tile = height - 2 * edge[0], width - 2 * edge[1]
    number = torch.full(hidden.shape, -1, dtype=torch.int32)
    number[hidden] = torch.arange(values.shape[2], dtype=torch.int32)
    # Outside the picture nothing is known, and nothing is to be drawn.
    around = (width, width, height, height)
    number, known, seen = (F.pad(x, around, value=fill) for x, fill in ((number, -1), (~hidden, False), (picture, 0)))
    corners = tiles(hidden, *tile) + torch.tensor([height, width])
    for chosen in rounds(known, corners, tile, edge):
        for some in chosen.split(max(1, BATCH // len(values))):
            views = [
                (slice(y - edge[0], y - edge[0] + height), slice(x - edge[1], x - edge[1] + width))
                for y, x in some.tolist()
            ]
            unknown, places = (torch.stack([whole[view] for view in views]) for whole in (~known, number))
            target = torch.zeros_like(unknown)
            target[:, edge[0] : edge[0] + tile[0], edge[1] : edge[1] + tile[1]] = True
            target &= unknown & (places >= 0)
            drawn = ~unknown & (places >= 0)
            canvas = torch.stack([seen[:, y, x] for y, x in views]).expand(len(values), -1, -1, -1, -1).clone()
            canvas.transpose(1, 2)[:, :, drawn] = values[:, :, places[drawn].long()]
            canvas *= ~unknown[:, None]
            order = int(model.best_orders(target.to(model.orders.device))) if fits else 0
            yield Windows(canvas, unknown, target, places[target].long(), not bool(drawn.any()), order)
        for y, x in chosen.tolist():
            known[y : y + tile[0], x : x + tile[1]] |= number[y : y + tile[0], x : x + tile[1]] >= 0


@dataclass(frozen=True)
class Filled:
    """Pixels that were drawn one after the other, and the distributions they were drawn from at temperature 1."""

    places: Tensor  # int64 (batch, steps): where they lie in the image; where it has fewer pixels, repeats that count for nothing
    real: Tensor  # bool (batch, steps): which do not
    values: Tensor  # int64 (batch, steps, channels)
    parameters: Tensor  # (batch, steps, K)
    log_probs: Tensor  # (batch,): log p of each image's draws, nats


def fill_sequences(
    model: InpaintingRNN, canvas: Tensor, target: Tensor, state: Any, temperature: float, generator: Generator | None
) -> Filled:
    """Draw each image's target pixels in the order of the visit, into the canvas: the k-th pixel of all images in step k.

    canvas uint8 (batch, channels, height, width), target bool (batch, height, width).
    """
    steps, real = hidden_steps(model.in_order(target))
    flat, rows, found = canvas.flatten(2), torch.arange(len(canvas), device=canvas.device), []
    noise = noises(model, len(canvas), steps.shape[1], generator)
    for t, here in zip(steps.unbind(1), real.unbind(1), strict=True):
        parameters, state = model.step(canvas, t, state)
        found.append(parameters)
        drawn, at = model.likelihood.draw(parameters, next(noise), temperature).to(flat.dtype), model.order[t]
        flat[rows, :, at] = torch.where(here[:, None], drawn, flat[rows, :, at])
    parameters, at = torch.stack(found, 1), model.order[steps]
    values = flat.transpose(1, 2)[rows[:, None], at].long()
    log_probs = model.likelihood.log_prob(parameters, values).where(real, 0.0).sum(1)
    return Filled(at, real, values, parameters, log_probs)


def _summary(model: InpaintingRNN, filled: Filled, count: int) -> list[Tensor]:
    """Expected values, and the ends of intervals of 90 %, over `count` draws of the same windows: each (windows, channels,
    height, width), on the CPU."""
    windows = len(filled.real) // count
    places, real = filled.places[:windows], filled.real[:windows]  # the same for all draws
    parameters, values = (x.unflatten(0, (count, -1))[:, real] for x in (filled.parameters, filled.values))
    expected, at, found = model.likelihood.mean(parameters, values), real.nonzero()[:, 0], []
    low, high = model.likelihood.quantiles(parameters, values, ENDS)
    for each in (expected.mean(0), *for_few_draws(low, high, expected, model.levels)):
        whole = each.new_zeros(windows, model.pixels, each.shape[-1])
        whole[at, places[real]] = each
        found.append(whole.transpose(1, 2).unflatten(2, model.shape[1:]).cpu())
    return found


def for_few_draws(low: Tensor, high: Tensor, expected: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Widen intervals, low to high int64 (...), of the average of a few distributions whose expected values are (draws, ...).

    The draws stand for all that could be drawn. So far as their expected values differ, the average of a few is too narrow:
    of five, none may lie near the true value. As for normal distributions, the distance of the ends from the mean is
    multiplied by t / z · s / a. t is Student's, with the degrees of freedom of Satterthwaite (1946), and z its limit; s is the
    standard deviation of a new value, and a that of the averaged distribution. A single draw says nothing of others: nothing
    is changed.
    """
    draws = len(expected)
    if draws == 1:
        return low, high
    mean, between = expected.mean(0), expected.var(0)  # of a new expected value
    averaged = between * (draws - 1) / draws
    within = (((high - low + 1) / (2 * LIMIT)).square() - averaged).clamp_min(1e-6)
    new = between * (1 + 1 / draws)
    freedom = (draws - 1) * ((within + new) / new.clamp_min(1e-6)).square()
    # Student's t at the same share: the first terms of its expansion in 1 / degrees of freedom (Abramowitz and Stegun 26.7.5)
    z = LIMIT
    terms = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    t = sum(term / freedom**power for power, term in enumerate(terms))
    by = t / z * ((within + new) / (within + averaged)).sqrt()
    below, above = ((mean + (end - mean) * by).round().long().clamp(0, levels - 1) for end in (low, high))
    return low.minimum(below), high.maximum(above)


def tiles(hidden: Tensor, height: int, width: int) -> Tensor:
    """The upper left corners of the height × width tiles that hold hidden pixels, int64 (tiles, 2).

    The grid is moved by about eighths of a tile to where it has the fewest such tiles, so that a small hole lies in one tile.
    """
    part = _part(height), _part(width)
    many = height // part[0], width // part[1]  # parts of a tile
    rows, columns = hidden.shape
    small = F.max_pool2d(F.pad(hidden[None].float(), (0, -columns % part[1], 0, -rows % part[0])), part)
    best: Tensor | None = None
    for down in range(many[0]):
        for right in range(many[1]):
            ends = -(small.shape[2] + right) % many[1], -(small.shape[1] + down) % many[0]
            found = F.max_pool2d(F.pad(small, (right, ends[0], down, ends[1])), many)[0].nonzero()
            if best is None or len(found) < len(best):
                best = found * torch.tensor([height, width]) - torch.tensor([down * part[0], right * part[1]])
    assert best is not None
    return best


def _part(side: int) -> int:
    """The least divisor of a tile's side that is an eighth of it or more."""
    return next(part for part in range(1, side + 1) if side % part == 0 and part * OFFSETS >= side)


def rounds(known: Tensor, corners: Tensor, tile: tuple[int, int], edge: tuple[int, int]) -> Iterator[Tensor]:
    """Split tiles of one grid, by their corners, int64 (tiles, 2), into rounds that are drawn one after the other.

    A tile is drawn when none of its eight neighbours that are still to be drawn knows more of its window, and one that knows
    nothing waits for the others: a large hole is closed from its border. Tiles of one round are no neighbours, so that no
    window shows another tile of the round. The caller updates `known`, bool (rows, columns), after each round.
    """
    height, width = tile
    grid = (corners - corners.amin(0)) // torch.tensor([height, width])
    parity = (grid[:, 0] % 2) * 2 + grid[:, 1] % 2  # neighbours that know as much take turns
    keys = torch.full((int(grid[:, 0].max()) + 3, int(grid[:, 1].max()) + 3), -1.0, dtype=torch.float32)
    left = torch.arange(len(corners))
    while len(left):
        shares = [
            float(known[y - edge[0] : y + height + edge[0], x - edge[1] : x + width + edge[1]].float().mean())
            for y, x in corners[left].tolist()
        ]
        places = grid[left, 0] + 1, grid[left, 1] + 1
        keys.fill_(-1)
        more = (torch.tensor(shares, dtype=torch.float32)[:, None] > torch.tensor(SHARES, dtype=torch.float32)).sum(1)
        keys[places] = (more * 4 + 3 - parity[left]).float()
        chosen = (keys[places] >= F.max_pool2d(keys[None], 3, 1, 1)[0][places]) & ((more > 0) | (more.max() == 0))
        yield corners[left[chosen]]
        left = left[~chosen]
