"""Stacks of recurrent layers: one for sequences that are predicted, and one in both directions for given sequences."""

from collections.abc import Callable, Iterable
from typing import cast

import torch
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
        return self._climb(inputs, states, stepwise=False)

    def step(self, projected: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """One step of inputs that the first layer has projected: (batch, gates) -> features (batch, width) and the next
        states."""
        return self._climb(projected, states, stepwise=True)

    def _climb(self, inputs: Tensor, states: list[State], stepwise: bool) -> tuple[Tensor, list[State]]:
        stream, next_states = inputs, []
        layers = cast(Iterable[Cell], self.layers)
        for i, (layer, state) in enumerate(zip(layers, states, strict=True)):
            outputs, state = layer.step(inputs, state, projected=i == 0) if stepwise else layer(inputs, state)
            if self.training:
                outputs = self.dropout(outputs)
            stream = stream + outputs if self.residual and i > 0 else outputs
            inputs = self.norms[i](stream) if self.norms else stream
            next_states.append(state)
        return inputs, next_states


class Bidirectional(nn.Module):
    """`depth` layers, each with a cell that reads the sequence forwards and one that reads it backwards (Schuster & Paliwal
    1997).

    The outputs at a step are those of both cells side by side; the next layer reads them. dropout acts on every layer's
    outputs. Each output depends on the whole sequence, so this network reads a given sequence; it cannot predict one.
    """

    def __init__(self, cell: Callable[[int, int], Cell], inputs: int, width: int, depth: int, dropout: float = 0.0):
        super().__init__()
        sizes = [inputs if i == 0 else 2 * width for i in range(depth)]
        self.forwards = nn.ModuleList([cell(size, width) for size in sizes])
        self.backwards = nn.ModuleList([cell(size, width) for size in sizes])
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (batch, steps, inputs) -> outputs (batch, steps, 2·width)."""
        layers = zip(cast(Iterable[Cell], self.forwards), cast(Iterable[Cell], self.backwards), strict=True)
        for forwards, backwards in layers:
            ahead, _ = forwards(inputs, forwards.begin(len(inputs)))
            back, _ = backwards(inputs.flip(1), backwards.begin(len(inputs)))
            inputs = self.dropout(torch.cat([ahead, back.flip(1)], dim=-1))
        return inputs
