"""Orderings that sweep the image line by line."""

import torch
from torch import Tensor


def raster(height: int, width: int) -> Tensor:
    """Row by row, left to right: the order of text, and of van den Oord et al. 2016, section 2."""
    return torch.arange(height * width, device="cpu")


def column(height: int, width: int) -> Tensor:
    """Column by column, top to bottom."""
    return raster(height, width).view(height, width).t().flatten()


def snake(height: int, width: int) -> Tensor:
    """Row by row, every second row backwards, so that each pixel touches the one before (boustrophedon)."""
    rows = raster(height, width).view(height, width).clone()
    rows[1::2] = rows[1::2].flip(1)
    return rows.flatten()


def diagonal(height: int, width: int) -> Tensor:
    """Along the anti-diagonals, in alternating directions: JPEG's zigzag."""

    def along_diagonals(index: int) -> tuple[int, int]:
        row, col = divmod(index, width)
        return row + col, row if (row + col) % 2 else col

    return torch.tensor(sorted(range(height * width), key=along_diagonals), device="cpu")
