"""Orderings along a curve or by distance: the spiral, Hilbert's space-filling curve, and rings around the centre."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def spiral(height: int, width: int) -> Tensor:
    """Clockwise from the top left corner, along the border and inwards."""
    rest = torch.arange(height * width, device="cpu").view(height, width)
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
