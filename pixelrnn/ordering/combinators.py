"""Orderings made from orderings. With transpose and the two flips, each has its eight symmetries."""

from collections.abc import Callable

from torch import Tensor

Ordering = Callable[[int, int], Tensor]


def reverse(ordering: Ordering) -> Ordering:
    """The same path walked backwards."""
    return lambda height, width: ordering(height, width).flip(0)


def transpose(ordering: Ordering) -> Ordering:
    """Rows and columns exchanged: the path that `ordering` takes through a (width, height) image, mirrored."""

    def transposed(height: int, width: int) -> Tensor:
        order = ordering(width, height)
        return order % height * width + order // height

    return transposed


def flip_rows(ordering: Ordering) -> Ordering:
    """Upside down."""

    def flipped(height: int, width: int) -> Tensor:
        order = ordering(height, width)
        return (height - 1 - order // width) * width + order % width

    return flipped


def flip_columns(ordering: Ordering) -> Ordering:
    """Left and right exchanged."""

    def flipped(height: int, width: int) -> Tensor:
        order = ordering(height, width)
        return order // width * width + (width - 1 - order % width)

    return flipped
