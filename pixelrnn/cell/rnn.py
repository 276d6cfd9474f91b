"""The plain recurrent network (Elman 1990)."""

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
        # It holds the weights also where φ is the sigmoid, which torch's fused layer does not offer.
        self.layer = nn.RNN(inputs, width, batch_first=True, nonlinearity="relu" if nonlinearity == "relu" else "tanh")

    def derive(self) -> tuple[Product, Product, Tensor]:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        return Product(W), Product(U), input_bias + recurrent_bias

    def project(self, inputs: Tensor) -> Tensor:
        W, _, b = self.derived()
        return W(inputs, b)

    def recur(self, projected: Tensor, state: State) -> State:
        _, U, _ = self.derived()
        return (NONLINEARITIES[self.nonlinearity](U(state[0], projected)),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        if self.nonlinearity == "sigmoid":
            return super().forward(inputs, state)
        outputs, last = self.layer(inputs, state[0][None].contiguous())
        return outputs, (last[0],)
