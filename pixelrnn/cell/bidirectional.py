"""Bidirectional recurrent networks (Schuster & Paliwal 1997)."""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn

from pixelrnn.cell.base import Cell


class Bidirectional(nn.Module):
    """`depth` layers, each with a cell that reads the sequence forwards and one that reads it backwards.

    The outputs at a step are those of both cells side by side; the next layer reads them. dropout acts on every layer's
    outputs. Each output depends on the whole sequence, so this network reads a given sequence; it cannot predict one.
    """

    def __init__(self, cell: Callable[[int, int], Cell], inputs: int, width: int, depth: int, dropout: float = 0.0):
        super().__init__()
        sizes = [inputs if i == 0 else 2 * width for i in range(depth)]
        self.forwards = nn.ModuleList([cell(size, width) for size in sizes])
        self.backwards = nn.ModuleList([cell(size, width) for size in sizes])
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (batch, steps, inputs) -> outputs (batch, steps, 2·width)."""
        layers = zip(cast(Iterable[Cell], self.forwards), cast(Iterable[Cell], self.backwards), strict=True)
        for forwards, backwards in layers:
            ahead, _ = forwards(inputs, forwards.begin(len(inputs)))
            back, _ = backwards(inputs.flip(1), backwards.begin(len(inputs)))
            inputs = self.dropout(torch.cat([ahead, back.flip(1)], dim=-1))
        return inputs
