"""Orderings: functions (height, width) -> order, int64 (pixels,). Scans line by line, curves, lists, and transforms."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pixelrnn.errors import UserError


def pixels(height: int, width: int) -> Tensor:
    """The raster index of each pixel, row · width + column: int64 (height, width)."""
    return torch.arange(height * width, device="cpu").view(height, width)


def raster(height: int, width: int) -> Tensor:
    """Row by row, left to right: the order of text, and of van den Oord et al. 2016, section 2."""
    return pixels(height, width).flatten()


def column(height: int, width: int) -> Tensor:
    """Column by column, top to bottom."""
    return pixels(height, width).t().flatten()


def snake(height: int, width: int) -> Tensor:
    """Row by row, every second row backwards, so that each pixel touches the one before (boustrophedon)."""
    rows = pixels(height, width)
    rows[1::2] = rows[1::2].flip(1)
    return rows.flatten()


def diagonal(height: int, width: int) -> Tensor:
    """Along the anti-diagonals, in alternating directions: JPEG's zigzag."""

    def along_diagonals(index: int) -> tuple[int, int]:
        row, col = divmod(index, width)
        return row + col, row if (row + col) % 2 else col

    return torch.tensor(sorted(range(height * width), key=along_diagonals), device="cpu")


def spiral(height: int, width: int) -> Tensor:
    """Clockwise from the top left corner, along the border and inwards."""
    rest = pixels(height, width)
    turns = []
    while rest.numel():
        turns.append(rest[0])
        rest = rest[1:].rot90()  # turns the next side to the top
    return torch.cat(turns)


def centre_out(height: int, width: int) -> Tensor:
    """By growing distance from the centre, each ring clockwise from the top."""
    centre_row, centre_col = (height - 1) / 2, (width - 1) / 2

    def ring_then_angle(index: int) -> tuple[float, float]:
        down, right = index // width - centre_row, index % width - centre_col
        return down * down + right * right, math.atan2(right, -down) % (2 * math.pi)

    return torch.tensor(sorted(range(height * width), key=ring_then_angle), device="cpu")


def hilbert(height: int, width: int) -> Tensor:
    """A Hilbert curve generalised to any rectangle; on a square of a power of two it has Hilbert's shape.

    Neighbours in the order are neighbours in the image, except at most one diagonal step if an odd side forces it. The
    subdivision is that of J. Červený's "gilbert" curve: a long rectangle is halved, any other one is walked up, across and
    down. Halves are kept even if possible, so that each part ends beside the start of the next.
    """
    across, down = complex(0, width), complex(height, 0)
    sides = (across, down) if width >= height else (down, across)
    return torch.tensor([int(p.real) * width + int(p.imag) for p in _walk(0j, *sides)], device="cpu")


def _walk(corner: complex, major: complex, minor: complex) -> Iterator[complex]:
    """The pixels, row + column·j, of the rectangle between two axis-parallel vectors, from one end of `major` to the other."""
    length, breadth = int(abs(major)), int(abs(minor))
    along, aside = major / length, minor / breadth
    if breadth == 1:
        yield from (corner + i * along for i in range(length))
        return
    if length == 1:
        yield from (corner + i * aside for i in range(breadth))
        return

    half_length, half_breadth = length // 2, breadth // 2
    if 2 * length > 3 * breadth:
        half_length += half_length % 2 if length > 2 else 0
        first = along * half_length
        yield from _walk(corner, first, minor)
        yield from _walk(corner + first, major - first, minor)
        return

    half_breadth += half_breadth % 2 if breadth > 2 else 0
    up, near = aside * half_breadth, along * half_length
    yield from _walk(corner, up, near)
    yield from _walk(corner + up, major, minor - up)
    yield from _walk(corner + major - along + up - aside, -up, near - major)


def random(height: int, width: int, seed: int = 0) -> Tensor:
    """A uniformly random permutation; the same seed gives the same permutation on every machine."""
    return torch.randperm(height * width, generator=torch.Generator().manual_seed(seed), device="cpu")


def permutation(height: int, width: int, order: Sequence[int] = ()) -> Tensor:
    """The user's own order: raster indices, row · width + column, in the order of the visit, for one size of image."""
    if isinstance(order, Sequence) and len(order) != height * width:
        raise UserError(
            f"ordering 'permutation' lists {len(order)} pixels; an image of {height}x{width} has {height * width}: "
            "list each once in ordering.order, or set data.size to the size it was made for"
        )
    if not isinstance(order, Sequence) or not all(isinstance(index, int) for index in order):
        raise UserError("ordering 'permutation': ordering.order is a list of raster indices, whole numbers")
    listed = torch.tensor(list(order), device="cpu")
    check_order(listed, height * width)  # before a transform looks its indices up
    return listed


def check_order(order: Tensor, pixels: int) -> None:
    """UserError unless order (int64) visits each of `pixels` pixels exactly once."""
    if (
        order.dtype != torch.int64
        or order.shape != (pixels,)
        or not torch.equal(order.sort().values, torch.arange(pixels, device=order.device))
    ):
        raise UserError(
            f"an ordering must visit each of the {pixels} pixels (int64, 0 to {pixels - 1}) once; this one does not"
        )


Ordering = Callable[[int, int], Tensor]


# Orderings made from other orderings. transpose and the two flips together give the eight symmetries of an ordering.


def reverse(ordering: Ordering) -> Ordering:
    """Walk the same path backwards."""
    return lambda height, width: ordering(height, width).flip(0)


def transpose(ordering: Ordering) -> Ordering:
    """Exchange rows and columns: mirror the path that `ordering` takes through a (width, height) image."""
    return lambda height, width: column(height, width)[ordering(width, height)]


def flip_rows(ordering: Ordering) -> Ordering:
    """Turn the path upside down."""
    return lambda height, width: pixels(height, width).flip(0).flatten()[ordering(height, width)]


def flip_columns(ordering: Ordering) -> Ordering:
    """Exchange left and right."""
    return lambda height, width: pixels(height, width).flip(1).flatten()[ordering(height, width)]
