"""Diagonal BiLSTM (van den Oord et al. 2016, section 3.2).

The paper: the map is skewed so that a diagonal becomes a column; the state of a pixel comes from its left neighbour and
the one above. A second direction does the same on the mirrored map, and its output is moved down one row before it is
added, since it has seen pixels to the right. Together they see all pixels before. Where we differ: the skewed map is
packed, without its empty half; outside the image the states are the learned initial ones, not zero; and as all models
here (pixelrnn/model/paper/raster.py).
"""

from functools import cache
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.cell.cells import lstm_gates, register_gates
from pixelrnn.model.paper.lines import Line, run_lines
from pixelrnn.model.paper.raster import Layer, LineState, RasterModel, pack, put, take, unpack
from pixelrnn.products import Product


class DiagonalBiLSTMLayer(Layer):
    """In each direction i, f, o = σ(W x + U_own h_before + U_above h_above + b), g = tanh(…), c = f ∘ c_before + i ∘ g,

    h = o ∘ tanh(c), where `before` is the neighbour in the row on the side that the direction comes from (eq. 3).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.width, self.states = width, 8 * width
        self.input_to_state = nn.Linear(2 * width, 8 * width)  # 4 gates of 2 directions
        bound = (2 * width) ** -0.5
        self.state_to_state = nn.Parameter(torch.empty(2, 2 * width, 4 * width).uniform_(-bound, bound))
        self.initial = nn.Parameter(torch.zeros(2, 2, width))  # h and cell of each direction
        register_gates(self, width)
        with torch.no_grad():  # the forget gate stays open until it has learned to close
            self.input_to_state.bias.view(2, 4, width)[:, 1] = 1.0

    def forward(self, maps: Tensor, condition: Tensor | float = 0.0) -> tuple[Tensor, LineState]:
        batch, rows, columns, _ = maps.shape
        projected = (self.input_to_state(maps) + condition) * self.scale.repeat(2)
        skew, lines = diagonals(rows, columns, maps.device)
        both = pack(projected).unflatten(-1, (2, -1)).transpose(1, 2).flatten(0, 1)  # entries 2p + direction
        hidden, _ = run_lines(both[skew], self.state_to_state * self.scale, self.initial, self.scale, lines, (0, -1))
        unskewed = hidden[skew.argsort()].unflatten(0, (-1, 2))
        rightwards, leftwards = (unpack(unskewed[:, d], rows, columns) for d in (0, 1))
        moved = moved_down(leftwards)
        _, own_h, own_cell, _, second, _ = self.begin(batch, columns)
        if rows > 1:
            second = moved[:, -1]
        return rightwards + moved, (projected[:, -1], own_h, own_cell, rightwards[:, -1], second, moved[:, -1])

    def begin(self, batch: int, columns: int) -> LineState:
        """(gates of both directions, h and cell of the pixel before, h, the second direction's h of the row above, what it
        adds to this row). The fourth is this row's h if visited, else the row above's. The last two differ in the first
        row, to which the second direction adds nothing."""
        h, cell = self.initial[:, 0, None].expand(-1, batch, -1)
        gates = h.new_zeros(batch, columns, 8 * self.width)
        above, second = self.initial[0, :, None, None].expand(-1, batch, columns, -1).clone()
        return gates, h.clone(), cell.clone(), above, second, torch.zeros_like(second)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        scale, width = self.scale[:, None], self.width
        own, above = (self.state_to_state.transpose(1, 2) * scale).split(width, -1)  # (2, 4·width, width) each
        inputs = self.input_to_state.weight * scale.repeat(2, 1)
        step = torch.cat([inputs, F.pad(own[0], (0, 0, 0, 4 * width))], 1)
        return SimpleNamespace(
            step=product(step),  # both directions' x, and the first one's h before
            above=product(above[0]),  # the first direction's h above
            second_own=product(own[1]),  # the second direction's h before
            second_above=product(above[1]),
            bias=self.input_to_state.bias * self.scale.repeat(2),
        )

    def open_row(self, is_first: bool, state: LineState, condition: Tensor | float = 0.0) -> None:
        gates, own_h, own_cell, h, second, moved = state
        d = self.derived()
        if not is_first:
            self._second_direction(gates[..., 4 * self.width :] + d.second_above(second), second)
            moved.copy_(second)
        gates.copy_(d.bias + condition * self.scale.repeat(2))
        gates[..., : 4 * self.width].add_(d.above(h))
        own_h.copy_(self.initial[0, 0])
        own_cell.copy_(self.initial[1, 0])

    def _second_direction(self, arguments: Tensor, out: Tensor) -> None:
        """Write h of a whole row, (batch, columns, width), from right to left; arguments lack the part of h before."""
        own: Product = self.derived().second_own
        h, cell = self.initial[:, 1, None].expand(-1, len(arguments), -1)
        for column in reversed(range(arguments.shape[1])):
            h, cell = lstm_gates(own(h, arguments[:, column]), cell, self.scale, self.shift)
            out[:, column] = h

    def step(self, inputs: Tensor, column: int | Tensor, state: LineState) -> Tensor:
        gates, own_h, own_cell, h, _, moved = state
        arguments = self.derived().step(torch.cat([inputs, own_h], 1), take(gates, column))
        put(gates, column, arguments)
        output, cell = lstm_gates(arguments[:, : 4 * self.width], own_cell, self.scale, self.shift)
        own_h.copy_(output)
        own_cell.copy_(cell)
        put(h, column, output)
        return output + take(moved, column)


def moved_down(maps: Tensor) -> Tensor:
    """Move maps (batch, rows, columns, features) down one row, under a row of zeros: row r takes the values of row r - 1."""
    return F.pad(maps[:, :-1], (0, 0, 0, 0, 1, 0))


@cache
def diagonals(rows: int, columns: int, device: torch.device) -> tuple[Tensor, tuple[Line, ...]]:
    """The skew: for each packed entry its (pixel, direction) as 2 · pixel + direction, int64 (2 · pixels,), and the lines.

    Line d holds the pixels of the d-th diagonal, from top to bottom, of the map and then of the mirrored map.
    """
    skew: list[int] = []
    lines = []
    for d in range(rows + columns - 1):
        first, last = max(0, d - columns + 1), min(rows - 1, d)
        start = len(skew)
        for direction in (0, 1):
            for row in range(first, last + 1):
                column = d - row if direction == 0 else columns - 1 - (d - row)
                skew.append(2 * (row * columns + column) + direction)
        lines.append(Line(start, len(skew), first))
    with torch.inference_mode(False):  # so that training can use the cached tensor even if sampling came first
        return torch.tensor(skew, device=device), tuple(lines)


class DiagonalBiLSTM(RasterModel):
    """`depth` layers of Diagonal BiLSTM, `width` units a gate in each direction; otherwise like RasterModel."""

    def make_layer(self, width: int) -> Layer:
        return DiagonalBiLSTMLayer(width)
