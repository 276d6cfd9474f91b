"""PixelCNN (van den Oord et al. 2016, sections 3.3 and 3.5).

The paper: masked convolutions only, 15 layers on CIFAR-10; a pixel sees a growing triangle above it, except the blind
spot of stacked masked convolutions. Where we differ: as all models here (pixelrnn/model/paper/raster.py).
"""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from pixelrnn.model.paper.raster import Layer, LineState, MaskedConv, RasterModel, RasterOptions, put, take, windows
from pixelrnn.products import Product


class PixelCNNLayer(Layer):
    """ReLU, 1×1 convolution to `width` features, ReLU, masked 3×3 convolution, ReLU (Figure 5, left)."""

    def __init__(self, width: int):
        super().__init__()
        self.width, self.states = width, width
        self.down = nn.Linear(2 * width, width)
        self.conv = MaskedConv(width, width, above=1, reach=1)

    def forward(self, maps: Tensor, condition: Tensor | float = 0.0) -> tuple[Tensor, LineState]:
        reduced = torch.relu(self.down(torch.relu(maps)))
        above, line = self.begin(len(maps), maps.shape[2])
        line[:, 1:-1] = reduced[:, -1]
        return torch.relu(self.conv(reduced) + condition), (above, line)

    def begin(self, batch: int, columns: int) -> LineState:
        """(the row above's part, the convolution's inputs with margins). The inputs are this row's if visited, else the
        row above's."""
        bias = self.conv.bias
        return bias.new_zeros(batch, columns, self.width), bias.new_zeros(batch, columns + 2, self.width)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        above, own_row = self.conv.matrices()
        down = product(self.down.weight, self.down.bias)
        return SimpleNamespace(above=product(above, self.conv.bias), own_row=product(own_row), down=down)

    def open_row(self, is_first: bool, state: LineState, condition: Tensor | float = 0.0) -> None:
        above, line = state
        above.copy_(self.derived().above(windows(line, 3)) + condition)

    def step(self, inputs: Tensor, column: int | Tensor, state: LineState) -> Tensor:
        above, line = state
        d = self.derived()
        put(line, column + 1, d.down(torch.relu(inputs)).relu_())
        return d.own_row(take(line, column, 2), take(above, column)).relu_()


@dataclass(frozen=True, kw_only=True)
class PixelCNNOptions(RasterOptions):
    """The options of PixelCNN."""

    width: int = 32  # the paper's h, features of the masked convolutions; between blocks there are 2·width


class PixelCNN(RasterModel):
    """`depth` residual blocks of masked convolutions of `width` features; otherwise like RasterModel."""

    Options = PixelCNNOptions

    def make_layer(self, width: int) -> Layer:
        return PixelCNNLayer(width)
