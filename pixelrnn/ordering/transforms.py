"""Orderings made from other orderings. transpose and the two flips together give the eight symmetries of an ordering."""

from collections.abc import Callable

from torch import Tensor

Ordering = Callable[[int, int], Tensor]


def reverse(ordering: Ordering) -> Ordering:
    """Walk the same path backwards."""
    return lambda height, width: ordering(height, width).flip(0)


def transpose(ordering: Ordering) -> Ordering:
    """Exchange rows and columns: mirror the path that `ordering` takes through a (width, height) image."""

    def transposed(height: int, width: int) -> Tensor:
        order = ordering(width, height)
        return order % height * width + order // height

    return transposed


def flip_rows(ordering: Ordering) -> Ordering:
    """Turn the path upside down."""

    def flipped(height: int, width: int) -> Tensor:
        order = ordering(height, width)
        return (height - 1 - order // width) * width + order % width

    return flipped


def flip_columns(ordering: Ordering) -> Ordering:
    """Exchange left and right."""

    def flipped(height: int, width: int) -> Tensor:
        order = ordering(height, width)
        return order // width * width + (width - 1 - order % width)

    return flipped
