"""Hilbert's space-filling curve, for rectangles of any size."""

from collections.abc import Iterator

import torch
from torch import Tensor


def hilbert(height: int, width: int) -> Tensor:
    """A Hilbert curve generalised to any rectangle; on a square of a power of two it has Hilbert's shape.

    Neighbours in the order are neighbours in the image, but for at most one diagonal step where an odd side forces it.
    The subdivision is that of J. Červený's "gilbert" curve: a long rectangle is halved, any other one is walked
    up, across and down, and halves are kept even where possible, so that each part ends beside the next one's start.
    """
    across, down = (0, width), (height, 0)
    start_along = across if width >= height else down
    then_along = down if width >= height else across
    return torch.tensor([row * width + col for row, col in _walk((0, 0), start_along, then_along)])


Vector = tuple[int, int]  # (rows, columns)


def _walk(corner: Vector, major: Vector, minor: Vector) -> Iterator[Vector]:
    """The pixels of the rectangle spanned from corner by two axis-parallel vectors, from one end of `major` to the other."""
    (row, col), (major_row, major_col), (minor_row, minor_col) = corner, major, minor
    length, breadth = abs(major_row + major_col), abs(minor_row + minor_col)
    along, aside = _unit(major), _unit(minor)

    if breadth == 1:
        yield from ((row + i * along[0], col + i * along[1]) for i in range(length))
        return
    if length == 1:
        yield from ((row + i * aside[0], col + i * aside[1]) for i in range(breadth))
        return

    half_length, half_breadth = length // 2, breadth // 2
    if 2 * length > 3 * breadth:
        half_length += half_length % 2 if length > 2 else 0
        first, second = _scale(along, half_length), _scale(along, length - half_length)
        yield from _walk(corner, first, minor)
        yield from _walk(_add(corner, first), second, minor)
        return

    half_breadth += half_breadth % 2 if breadth > 2 else 0
    up, rest = _scale(aside, half_breadth), _scale(aside, breadth - half_breadth)
    near, far = _scale(along, half_length), _scale(along, length - half_length)
    yield from _walk(corner, up, near)
    yield from _walk(_add(corner, up), major, rest)
    last = _add(_add(corner, _add(major, _scale(along, -1))), _add(up, _scale(aside, -1)))
    yield from _walk(last, _scale(up, -1), _scale(far, -1))


def _unit(vector: Vector) -> Vector:
    return (vector[0] > 0) - (vector[0] < 0), (vector[1] > 0) - (vector[1] < 0)


def _scale(vector: Vector, factor: int) -> Vector:
    return vector[0] * factor, vector[1] * factor


def _add(one: Vector, other: Vector) -> Vector:
    return one[0] + other[0], one[1] + other[1]
