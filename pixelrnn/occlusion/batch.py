"""The masks of a training batch: a kind drawn for each image, and all images of a kind computed together on the device."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Generator, Tensor

from pixelrnn.errors import UserError
from pixelrnn.occlusion.occlusions import half
from pixelrnn.pixels import send

BOXES, STROKES, POINTS = 3, 4, 4  # the most boxes, the most strokes, and the points of a stroke


def mixed(height: int, width: int, everything_share: float = 0.25, seed: int = 0) -> Tensor:
    """One of the other kinds, drawn at random, as a bidirectional model is trained on.

    Everything with probability `everything_share`; else a half (3 of 10 times), random pixels of any density (3), boxes
    (2) or strokes (2). Half of the boxes and strokes are inverted: the pixels outside are hidden.
    """
    return draw_mixed(1, height, width, everything_share, torch.Generator().manual_seed(seed))[0]


def draw_mixed(
    count: int,
    height: int,
    width: int,
    everything_share: float = 0.25,
    generator: Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw `count` masks of mixed, bool (count, height, width) on the device, without waiting for it.

    generator: one of the CPU, from which all random numbers come, so that every device has the same masks; None: torch's.
    """
    if not 0 <= everything_share <= 1:
        raise UserError(f"occlusion.everything_share={everything_share}: it is in [0, 1]")
    kinds = [(_halves, 3), (_pixels, 3), (_boxes, 2), (_strokes, 2)]
    shares = torch.tensor([everything_share, *((1 - everything_share) * times / 10 for _, times in kinds)])
    drawn = torch.multinomial(shares, count, replacement=True, generator=generator)
    numbers = drawn.bincount(minlength=len(shares)).tolist()  # of masks of each kind; on the CPU, so nothing waits

    def uniform(count: int, *size: int) -> Tensor:
        return send(torch.rand(count, *size, generator=generator), device)

    sorted_by_kind = torch.cat(
        [torch.ones(numbers[0], height, width, dtype=torch.bool, device=device)]
        + [draw(partial(uniform, number), height, width) for (draw, _), number in zip(kinds, numbers[1:], strict=True)]
    )
    hidden = sorted_by_kind[send(drawn.argsort(stable=True).argsort(), device)]
    return hidden | ~hidden.amax((1, 2), keepdim=True)


# Each of these draws the masks of one kind, bool (images, height, width). uniform(n, …) draws numbers in [0, 1), float32
# (images, n, …), on the device.


def _halves(uniform: Callable[..., Tensor], height: int, width: int) -> Tensor:
    sides = torch.stack([half(height, width, side) for side in ("top", "bottom", "left", "right")])
    chosen = (4 * uniform()).long()
    return send(sides, chosen.device)[chosen]


def _pixels(uniform: Callable[..., Tensor], height: int, width: int) -> Tensor:
    """Each pixel with the same probability, between 5 and 100 %; at least one."""
    noise, fraction = uniform(height, width), 0.05 + 0.95 * uniform(1, 1)
    return noise <= fraction.maximum(noise.amin((1, 2), keepdim=True))


def _boxes(uniform: Callable[..., Tensor], height: int, width: int) -> Tensor:
    """One to three rectangles, as random_boxes has them; half of the masks are inverted."""
    number, inverted = uniform(2, 1, 1).unbind(1)
    is_used = torch.arange(float(BOXES), device=number.device)[:, None] < 1 + (BOXES * number).floor()

    def cover(length: int) -> Tensor:
        """Which rows, or columns, each box covers: bool (images, boxes, length)."""
        least, most = max(1, length // 8), max(1, length // 2)
        extent, place = uniform(2, BOXES, 1).unbind(1)
        extent = least + (extent * (most - least + 1)).floor()
        first, at = (place * (length - extent + 1)).floor(), torch.arange(float(length), device=place.device)
        return (at >= first) & (at < first + extent)

    hidden = ((cover(height) & is_used)[..., None] & cover(width)[:, :, None]).amax(1)
    return hidden ^ (inverted < 0.5)


def _strokes(uniform: Callable[..., Tensor], height: int, width: int) -> Tensor:
    """One to four strokes, each through four random points, of 0.05 to 0.3 of the shorter side; half of the masks are
    inverted. A pixel is hidden if its centre is no further from a line than half of the thickness."""
    number, thickness, inverted = uniform(3, 1, 1).unbind(1)
    is_used = torch.arange(float(STROKES), device=number.device)[:, None] < 1 + (STROKES * number).floor()
    from_begin, steps = [], []  # of each line, down and to the right
    for length in (height, width):
        points = length * uniform(STROKES, POINTS)
        points = points.where(is_used, points[:, :1])  # in place of a further stroke, the first one again
        from_begin.append(torch.arange(float(length), device=points.device) + 0.5 - points[..., :-1, None])
        steps.append(points.diff(dim=2)[..., None])
    (rows, columns), (down, right) = from_begin, steps
    lengths = down.hypot(right).clamp(min=1e-6)
    down, right = down / lengths, right / lengths
    # A pixel's place along a line, from the middle of the line, and its distance from the line.
    along = (rows * down - lengths / 2)[..., None], (columns * right)[..., None, :]
    across = (rows * right)[..., None], (columns * down)[..., None, :]
    squares = torch.full((len(number), height, width), torch.inf, device=number.device)  # of the distances
    for k in range(STROKES):
        beyond = (along[0][:, k] + along[1][:, k]).abs_().sub_(lengths[:, k, ..., None] / 2).clamp_(min=0)
        beside = across[0][:, k] - across[1][:, k]
        squares = squares.minimum(beyond.square_().addcmul_(beside, beside).amin(1))
    radius = ((0.05 + 0.25 * thickness) * min(height, width)).round().clamp(min=1) / 2
    return (squares <= radius.square()) ^ (inverted < 0.5)
