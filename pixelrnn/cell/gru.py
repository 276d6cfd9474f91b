"""Gated recurrent units (Cho et al. 2014), in the two forms that are in use."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from pixelrnn.cell.base import Cell, State, sigmoid
from pixelrnn.products import Product, widened


class GRU(Cell):
    """torch's form: the reset gate acts after the matrix product.

    r, z = σ(W x_t + U h_{t-1} + b),  n = tanh(W_n x_t + b_n + r ∘ (U_n h_{t-1} + b_un)),  h_t = (1 - z) ∘ n + z ∘ h_{t-1}.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, carried=1)
        self.layer = nn.GRU(inputs, width, batch_first=True)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        return SimpleNamespace(inputs=product(W, input_bias), recurrent=product(U, recurrent_bias))

    def recur(self, projected: Tensor, state: State) -> State:
        (h,), gates = state, 2 * self.width
        recurrent = self.derived().recurrent(h)
        r, z = sigmoid(projected[:, :gates] + recurrent[:, :gates]).chunk(2, dim=-1)
        n = torch.tanh(torch.addcmul(projected[:, gates:], r, recurrent[:, gates:]))
        return (torch.lerp(n, h, z),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, last = self.layer(inputs, state[0][None].contiguous())
        return outputs, (last[0],)


class GRUResetBefore(Cell):
    """The original form, and the lecture's: the reset gate acts on h before the matrix product.

    r, z = σ(W x_t + U h_{t-1} + b),  n = tanh(W_n x_t + U_n (r ∘ h_{t-1}) + b_n),  h_t = (1 - z) ∘ n + z ∘ h_{t-1}.
    torch has no fused layer for it, so training runs it step by step.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, carried=1)
        self.input = nn.Linear(inputs, 3 * width)
        self.gates = nn.Linear(width, 2 * width, bias=False)
        self.candidate = nn.Linear(width, width, bias=False)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        inputs = product(self.input.weight, self.input.bias)
        return SimpleNamespace(
            inputs=inputs, gates=product(self.gates.weight), candidate=product(self.candidate.weight)
        )

    def recur(self, projected: Tensor, state: State) -> State:
        (h,), gates = state, 2 * self.width
        d = self.derived()
        r, z = sigmoid(d.gates(h, projected[:, :gates])).chunk(2, dim=-1)
        n = torch.tanh(d.candidate(r * h, projected[:, gates:]))
        return (torch.lerp(widened(n), h, widened(z)),)
