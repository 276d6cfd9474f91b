"""The inward spiral."""

import torch
from torch import Tensor


def spiral(height: int, width: int) -> Tensor:
    """Clockwise from the top left corner, around the border and inwards."""
    rest = torch.arange(height * width).view(height, width)
    turns = []
    while rest.numel():
        turns.append(rest[0])
        rest = rest[1:].rot90()  # the next side to walk comes to lie on top
    return torch.cat(turns)
