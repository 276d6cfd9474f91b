"""Parts of the paper's two-dimensional models: the contract of a layer, the masked convolution, the residual block.

Maps are (batch, rows, columns, features), in the frame in which pixels are visited row by row from left to right.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.products import Packable, Product

LineState = tuple[Tensor, ...]  # the state of one layer from pixel to pixel and from row to row, batch first in each


class Layer(Packable):
    """One layer: maps of 2·width features -> maps of `width` features. A pixel sees itself and those before it.

    `forward` runs over a whole map. The sampler calls `begin`, then `open_row` before each row, which computes the part of
    the rows above for all columns at once, then `step` for each pixel. The state is changed in place. The multi-scale
    model adds `condition` to the layer's input-to-state map.
    """

    width: int
    states: int  # features of its input-to-state map

    @abstractmethod
    def forward(self, maps: Tensor, condition: Tensor | float = 0.0) -> tuple[Tensor, LineState]:
        """maps (batch, rows, columns, 2·width) -> outputs (batch, rows, columns, width), and the state after the last row."""

    @abstractmethod
    def begin(self, batch: int, columns: int) -> LineState:
        """The state before the first row."""

    @abstractmethod
    def open_row(self, row: int, state: LineState, condition: Tensor | float = 0.0) -> LineState:
        """The state before the row's first pixel; condition (batch, columns, states)."""

    @abstractmethod
    def step(self, inputs: Tensor, column: int, state: LineState) -> Tensor:
        """One pixel: inputs (batch, 2·width) -> output (batch, width)."""


class MaskedConv(nn.Module):
    """A convolution that sees the pixel, `reach` pixels to its left, and 2·reach + 1 in each of `above` rows: mask B.

    The weights that the paper's mask hides do not exist, so nothing can write into them: `weight` (outputs, inputs,
    taps) holds the visible ones in raster order.
    """

    def __init__(self, inputs: int, outputs: int, above: int, reach: int):
        super().__init__()
        self.above, self.reach = above, reach
        self.side = 2 * reach + 1 if above else reach + 1  # without rows above, nothing lies to the right
        taps = above * self.side + reach + 1
        like = nn.Linear(inputs * taps, outputs)  # draws the initial weights
        self.weight = nn.Parameter(like.weight.detach().view(outputs, inputs, taps))
        self.bias = nn.Parameter(like.bias.detach())

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, rows, columns, inputs) -> (batch, rows, columns, outputs)."""
        missing = (self.above + 1) * self.side - self.weight.shape[-1]
        kernel = F.pad(self.weight, (0, missing)).unflatten(-1, (-1, self.side))
        right = self.reach if self.above else 0
        padded = F.pad(maps, (0, 0, self.reach, right, self.above, 0))
        return F.conv2d(padded.permute(0, 3, 1, 2), kernel, self.bias).permute(0, 2, 3, 1)

    def matrices(self) -> tuple[Tensor, Tensor]:
        """The weights of the rows above and of the pixel's own row, each as a matrix (outputs, taps · inputs)."""
        above = self.above * self.side
        return self.weight[..., :above].transpose(1, 2).flatten(1), self.weight[..., above:].transpose(1, 2).flatten(1)


def pack(maps: Tensor) -> Tensor:
    """(batch, rows, columns, features) -> one entry for each pixel, (pixels, batch, features)."""
    return maps.flatten(1, 2).transpose(0, 1).contiguous()


def unpack(packed: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of pack: (pixels, batch, features) -> (batch, rows, columns, features)."""
    return packed.transpose(0, 1).unflatten(1, (rows, columns))


def windows(line: Tensor, side: int) -> Tensor:
    """Put each run of `side` columns side by side: (batch, columns, n) -> (batch, columns - side + 1, side · n)."""
    count = line.shape[1] - side + 1
    return torch.cat([line[:, j : j + count] for j in range(side)], -1)


class ResidualBlock(Packable):
    """A layer, then a 1×1 convolution up to 2·width features; with `residual` the input is added (Figure 5)."""

    def __init__(self, layer: Layer, residual: bool):
        super().__init__()
        self.layer, self.residual = layer, residual
        self.up = nn.Linear(layer.width, 2 * layer.width)

    def derive(self, product: type[Product]) -> Product:
        return product(self.up.weight, self.up.bias)

    def add(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The block's outputs from its inputs and the layer's outputs."""
        up = self.derived()(outputs)
        return inputs + up if self.residual else up
