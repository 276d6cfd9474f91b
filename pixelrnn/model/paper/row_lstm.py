"""Row LSTM (van den Oord et al. 2016, section 3.1).

The paper: a row at a time from top to bottom; a k×1 masked convolution along the row gives the input's part of the
gates for the whole map, and a k×1 convolution of the row above's h, without a mask, the state's part. So a pixel sees a
triangle above it. Where we differ: outside the image the states are the learned initial ones, not zero; and as all
models here (pixelrnn/model/paper/raster.py).
"""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from pixelrnn.cell.cells import lstm_gates, register_gates
from pixelrnn.errors import UserError
from pixelrnn.model.paper.lines import Line, run_lines
from pixelrnn.model.paper.raster import (
    Layer,
    LineState,
    MaskedConv,
    RasterModel,
    RasterOptions,
    pack,
    put,
    take,
    unpack,
    windows,
)
from pixelrnn.products import Product


class RowLSTMLayer(Layer):
    """i, f, o = σ(K_is ∗ x_r + K_ss ∗ h_{r-1}), g = tanh(…), c_r = f ∘ c_{r-1} + i ∘ g, h_r = o ∘ tanh(c_r) (eq. 3)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, width: int, kernel: int = 3):
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise UserError(f"kernel={kernel}: the width of Row LSTM's convolutions is odd and at least 3")
        self.width, self.states, self.reach = width, 4 * width, kernel // 2
        self.input_to_state = MaskedConv(2 * width, 4 * width, above=0, reach=self.reach)
        self.state_to_state = nn.Parameter(nn.Linear(kernel * width, 4 * width).weight.detach().t().contiguous())
        self.initial = nn.Parameter(torch.zeros(2, width))
        register_gates(self, width)
        with torch.no_grad():  # the forget gate stays open until it has learned to close
            self.input_to_state.bias[width : 2 * width] = 1.0

    def forward(self, maps: Tensor, condition: Tensor | float = 0.0) -> tuple[Tensor, LineState]:
        batch, rows, columns, _ = maps.shape
        projected = (self.input_to_state(maps) + condition) * self.scale
        lines = tuple(Line(r * columns, (r + 1) * columns, 0) for r in range(rows))
        offsets = tuple(range(-self.reach, self.reach + 1))
        recurrent = (self.state_to_state * self.scale)[None]
        hidden, cells = run_lines(pack(projected), recurrent, self.initial[:, None], self.scale, lines, offsets)
        hidden, cells = unpack(hidden, rows, columns), unpack(cells, rows, columns)
        unopened = self.begin(batch, columns)[:2]
        return hidden, (*unopened, hidden[:, -1], cells[:, -1])

    def begin(self, batch: int, columns: int) -> LineState:
        """(gates, inputs after a margin, h, cell). h and cell are this row's if visited, else the row above's."""
        h, cell = self.initial[:, None, None].expand(-1, batch, columns, -1)
        gates = h.new_zeros(batch, columns, 4 * self.width)
        inputs = h.new_zeros(batch, self.reach + columns, 2 * self.width)
        return gates, inputs, h.clone(), cell.clone()

    def derive(self, product: type[Product]) -> SimpleNamespace:
        _, own_row = self.input_to_state.matrices()
        scale, bias = self.scale[:, None], self.input_to_state.bias * self.scale
        state_to_state = product(self.state_to_state.t() * scale, bias)
        return SimpleNamespace(input_to_state=product(own_row * scale), state_to_state=state_to_state)

    def open_row(self, is_first: bool, state: LineState, condition: Tensor | float = 0.0) -> None:
        gates, _, h, _ = state
        margin = self.initial[0].expand(len(h), self.reach, -1)
        seen = windows(torch.cat([margin, h, margin], 1), 2 * self.reach + 1)
        gates.copy_(self.derived().state_to_state(seen) + condition * self.scale)

    def step(self, inputs: Tensor, column: int | Tensor, state: LineState) -> Tensor:
        gates, row_inputs, h, cell = state
        put(row_inputs, column + self.reach, inputs)
        seen = take(row_inputs, column, self.reach + 1)
        arguments = self.derived().input_to_state(seen, take(gates, column))
        output, own_cell = lstm_gates(arguments, take(cell, column), self.scale, self.shift)
        put(cell, column, own_cell)
        put(h, column, output)
        return output


@dataclass(frozen=True, kw_only=True)
class RowLSTMOptions(RasterOptions):
    """The options of RowLSTM."""

    kernel: int = 3  # pixels of the convolutions along the row, odd


class RowLSTM(RasterModel):
    """`depth` layers of Row LSTM, `width` units a gate, with convolutions of `kernel` pixels; otherwise like RasterModel."""

    Options = RowLSTMOptions
    options: RowLSTMOptions

    def make_layer(self, width: int) -> Layer:
        return RowLSTMLayer(width, self.options.kernel)
