"""A stack of recurrent layers."""

from collections.abc import Callable, Iterable
from typing import cast

from torch import Tensor, nn

from pixelrnn.cell.base import Cell, State


class Stack(nn.Module):
    """`depth` layers, each over the outputs of the one below.

    dropout acts on every layer's outputs; layer_norm on every layer's inputs but the first's, and on the last outputs;
    residual adds a layer's inputs to its outputs from the second layer on.
    """

    def __init__(
        self,
        cell: Callable[[int, int], Cell],
        inputs: int,
        width: int,
        depth: int,
        dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
    ):
        super().__init__()
        self.layers = nn.ModuleList([cell(inputs if i == 0 else width, width) for i in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(depth)] if layer_norm else [])
        self.dropout = nn.Dropout(dropout)
        self.residual = residual

    def begin(self, batch: int) -> list[State]:
        """The learned initial states of all layers."""
        return [layer.begin(batch) for layer in cast(Iterable[Cell], self.layers)]

    def forward(self, inputs: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """All steps: inputs (batch, steps, inputs) -> features (batch, steps, width) and the last states."""
        return self._climb(inputs, states, lambda i, layer: layer)

    def step(self, projected: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """One step of inputs that the first layer has projected: (batch, gates) -> features (batch, width) and the next
        states."""
        return self._climb(projected, states, lambda i, layer: layer.step if i else layer.advance)

    def _climb(self, inputs: Tensor, states: list[State], way: Callable) -> tuple[Tensor, list[State]]:
        stream, next_states = inputs, []
        for i, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            outputs, state = way(i, layer)(inputs, state)
            if self.training:
                outputs = self.dropout(outputs)
            stream = stream + outputs if self.residual and i > 0 else outputs
            inputs = self.norms[i](stream) if self.norms else stream
            next_states.append(state)
        return inputs, next_states
