"""Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from pixelrnn.cell.base import Cell, State
from pixelrnn.products import Product


class LSTM(Cell):
    """i, f, o = σ(W x_t + U h_{t-1} + b), g = tanh(W_g x_t + U_g h_{t-1} + b_g),

    c_t = f ∘ c_{t-1} + i ∘ g,  h_t = o ∘ tanh(c_t).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, carried=2)
        self.layer = nn.LSTM(inputs, width, batch_first=True)
        with torch.no_grad():  # the forget gate stays open until it has learned to close (Jozefowicz et al. 2015)
            input_bias = self.layer.all_weights[0][2]
            input_bias[width : 2 * width] = 1.0
        self.register_buffer("scale", gate_scale(width), persistent=False)
        self.register_buffer("shift", gate_shift(width), persistent=False)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        rows, bias = self.scale[:, None], self.scale * (input_bias + recurrent_bias)  # with the gates' inner scale
        return SimpleNamespace(
            inputs=product(rows * W, bias), recurrent=product(rows * U), scale=self.scale, shift=self.shift
        )

    def recur(self, projected: Tensor, state: State) -> State:
        h, c = state
        d = self.derived()
        arguments = d.recurrent(h, projected, out=None if torch.is_grad_enabled() else projected)
        return lstm_gates(arguments, c, d.scale, d.shift)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, (h, c) = self.layer(inputs, tuple(part[None].contiguous() for part in state))
        return outputs, (h[0], c[0])


def gate_scale(width: int) -> Tensor:
    """(4·width,): σ(x) = (1 + tanh(x/2)) / 2 makes all four gates, i, f, g and o in turn, one call of tanh,

    gates = scale · tanh(scale · x) + shift with shift = 1 - scale. On a CPU it is several times as fast as sigmoid.
    """
    return torch.tensor([0.5, 0.5, 1.0, 0.5]).repeat_interleave(width)


def gate_shift(width: int) -> Tensor:
    """1 - gate_scale(width). A subtraction on torch's meta device would import its compiler (pixelrnn/checkpoint)."""
    return torch.tensor([0.5, 0.5, 0.0, 0.5]).repeat_interleave(width)


def lstm_gates(scaled: Tensor, c: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """h and c from the gates' scaled arguments (…, 4·width) and the c before, (…, width). Overwrites the arguments."""
    tanhs = scaled.tanh_()
    gates = torch.addcmul(shift, scale, tanhs, out=None if torch.is_grad_enabled() else tanhs)
    i, f, g, o = gates.chunk(4, dim=-1)
    c = torch.addcmul(f * c, i, g)
    return o * torch.tanh(c), c
