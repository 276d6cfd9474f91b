"""The contract of a recurrent layer: one equation for a step, and a way to run it over a whole sequence."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from pixelrnn.products import Packable

State = tuple[Tensor, ...]  # the state of one layer, each (batch, width)


class Cell(Packable):
    """One recurrent layer of `width` units over inputs of size `inputs`.

    `project` is the part of a step that needs the input alone, so that one matrix product projects a whole sequence;
    `recur` is the rest, the cell's equations. A subclass defines `derive`, whose result has a product named `inputs`, and
    `recur`. If torch has a fused layer for the same equations, `forward` calls it; both ways give the same numbers.
    """

    def __init__(self, inputs: int, width: int, carried: int):
        super().__init__()
        self.inputs, self.width = inputs, width
        self.initial = nn.Parameter(torch.zeros(carried, width))  # the learned state before the first step

    def project(self, inputs: Tensor) -> Tensor:
        """The input's part of every gate: (..., inputs) -> (..., gates)."""
        return self.derived().inputs(inputs)

    @abstractmethod
    def recur(self, projected: Tensor, state: State) -> State:
        """One step: (batch, gates) and the state before it -> the state after it, whose first tensor is the output h.

        Without gradients, `projected` may be overwritten.
        """

    def begin(self, batch: int) -> State:
        """The learned initial state for a batch."""
        return tuple(row.expand(batch, -1) for row in self.initial)

    def step(self, inputs: Tensor, state: State, projected: bool = False) -> tuple[Tensor, State]:
        """One step: inputs (batch, inputs), or projected ones (batch, gates) -> output (batch, width), the next state."""
        state = self.recur(inputs if projected else self.project(inputs), state)
        return state[0], state

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps: inputs (batch, steps, inputs) -> outputs (batch, steps, width) and the last state."""
        outputs = []
        for projected in self.project(inputs).unbind(1):
            state = self.recur(projected, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state


def sigmoid(values: Tensor) -> Tensor:
    """σ(x) = (1 + tanh(x/2)) / 2: torch's tanh is several times as fast as its sigmoid on a CPU."""
    return torch.tanh(values * 0.5).mul(0.5).add_(0.5)
