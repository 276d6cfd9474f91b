"""The plain recurrent network (Elman 1990)."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from pixelrnn.cell.base import Cell, State, sigmoid
from pixelrnn.products import Product

NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": sigmoid}


class RNN(Cell):
    """h_t = φ(W x_t + U h_{t-1} + b), φ = tanh, relu or sigmoid."""

    def __init__(self, inputs: int, width: int, nonlinearity: str = "tanh"):
        super().__init__(inputs, width, carried=1)
        self.nonlinearity = nonlinearity
        # Holds the weights even if φ is the sigmoid, which torch's fused layer does not offer.
        self.layer = nn.RNN(inputs, width, batch_first=True, nonlinearity="relu" if nonlinearity == "relu" else "tanh")

    def derive(self, product: type[Product]) -> SimpleNamespace:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        return SimpleNamespace(inputs=product(W, input_bias + recurrent_bias), recurrent=product(U))

    def recur(self, projected: Tensor, state: State) -> State:
        return (NONLINEARITIES[self.nonlinearity](self.derived().recurrent(state[0], projected)),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        if self.nonlinearity == "sigmoid":
            return super().forward(inputs, state)
        outputs, last = self.layer(inputs, state[0][None].contiguous())
        return outputs, (last[0],)
