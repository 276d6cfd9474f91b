"""Orderings by the distance from the centre."""

import math

import torch
from torch import Tensor


def centre_out(height: int, width: int) -> Tensor:
    """By growing distance from the centre, each ring clockwise from the top."""
    centre_row, centre_col = (height - 1) / 2, (width - 1) / 2

    def ring_then_angle(index: int) -> tuple[float, float]:
        down, right = index // width - centre_row, index % width - centre_col
        return down * down + right * right, math.atan2(right, -down) % (2 * math.pi)

    return torch.tensor(sorted(range(height * width), key=ring_then_angle))
