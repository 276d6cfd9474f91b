"""The network of the paper's two-dimensional models (Table 1): first convolution, residual blocks, head."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelrnn.model.base import Followed, check_sizes
from pixelrnn.model.inputs import CausalWindow, which_order
from pixelrnn.model.paper.layers import Layer, LineState, ResidualBlock
from pixelrnn.products import Packable, Product

FIRST = 7  # the side of the first convolution


class Network(Packable):
    """Features of every pixel from the pixels before it, where these come row by row.

    The first convolution is masked, 7×7, without the centre (mask A), up to 2·width features; then `depth` blocks; then
    ReLU, a 1×1 convolution to `head` features, and ReLU. `skip` adds a 1×1 convolution of each layer's outputs to the
    head's. With condition > 0, a map of so many features is mapped by a 1×1 convolution and added to each layer's
    input-to-state map (section 3.4). `grids` are the (rows, columns) of each order's frame.
    """

    recompute = False  # each layer's pass again in the backward pass, instead of keeping what it computes

    def __init__(
        self,
        make_layer: Callable[[int], Layer],
        window: Callable[[int], CausalWindow],
        followed: Followed,
        grids: Sequence[tuple[int, int]],
        width: int,
        depth: int,
        head: int,
        residual: bool,
        skip: bool,
        condition: int = 0,
    ):
        super().__init__()
        check_sizes(width=width, depth=depth, head=head)
        self.followed, self.grids = followed, grids
        self.first = window(2 * width)
        self.which_order = which_order(len(grids), 2 * width)
        self.blocks = nn.ModuleList([ResidualBlock(make_layer(width), residual) for _ in range(depth)])
        self.skips = nn.ModuleList([nn.Linear(width, head, bias=False) for _ in range(depth if skip else 0)])
        self.head = nn.Linear(2 * width, head)
        states = [block.layer.states for block in self._blocks()]
        self.conditions = nn.ModuleList([nn.Linear(condition, n, bias=False) for n in states if condition])

    @property
    def columns(self) -> int:
        return self.grids[self.followed.index][1]

    def _blocks(self) -> Iterable[ResidualBlock]:
        return cast(Iterable[ResidualBlock], self.blocks)

    def forward(self, canvas: Tensor, condition: Tensor | None = None) -> Tensor:
        """canvas uint8 (batch, channels, height, width) -> features (batch, pixels, head) in the order of the visit.

        condition (batch, rows, columns, condition).
        """
        rows, _ = self.grids[self.followed.index]
        return self._pass(canvas, condition, rows)[0]

    def _pass(self, canvas: Tensor, condition: Tensor | None, rows: int) -> tuple[Tensor, list[LineState]]:
        places, _, _ = self.derived()
        pixels = rows * self.columns
        maps = (self.first(canvas, 0, pixels) + places[:, :pixels]).unflatten(1, (rows, self.columns))
        outputs, states = [], []
        for i, block in enumerate(self._blocks()):
            added = 0.0 if condition is None else self.conditions[i](condition[:, :rows])
            if self.recompute and self.training:
                output, state = checkpoint(block.layer, maps, added, use_reentrant=False)
            else:
                output, state = block.layer(maps, added)
            maps = block.add(maps, output)
            outputs.append(output)
            states.append(state)
        return self._head(maps, outputs).flatten(1, 2), states

    def _head(self, stream: Tensor, outputs: list[Tensor]) -> Tensor:
        """From the last block's outputs, and by the skip connections from every layer's: (…, head) features."""
        _, product, bias = self.derived()
        features = product(torch.relu(stream), bias)
        for skip, output in zip(self.skips, outputs, strict=False):  # none without `skip`
            features = features + skip(output)
        return torch.relu(features)

    def derive(self) -> tuple[Tensor, Product, Tensor]:
        places = self.first.places()
        if self.which_order:
            places = places + self.which_order.weight[self.followed.index]
        return places[None], Product(self.head.weight), self.head.bias

    @torch.no_grad()  # the states are written in place
    def begin(self, canvas: Tensor, first: int, condition: Tensor | None = None) -> list[LineState]:
        """The state before pixel `first`: whole rows are read in one pass, the rest of its row pixel by pixel."""
        rows = first // self.columns
        if rows:
            states = self._pass(canvas, condition, rows)[1]
        else:
            states = [block.layer.begin(len(canvas), self.columns) for block in self._blocks()]
        state = [*states, () if condition is None else (condition,)]
        for t in range(rows * self.columns, first):
            _, state = self.step(canvas, t, state)
        return state

    @torch.no_grad()
    def step(self, canvas: Tensor, t: int, state: list[LineState]) -> tuple[Tensor, list[LineState]]:
        """Features (batch, head) of pixel t, and the next state; the state that it is given may be overwritten."""
        row, column = divmod(t, self.columns)
        if column == 0:
            state = self._open_row(row, state)
        places, _, _ = self.derived()
        stream = (self.first(canvas, t, t + 1) + places[:, t : t + 1])[:, 0]
        outputs = []
        for block, cache in zip(self._blocks(), state[:-1], strict=True):
            output = block.layer.step(stream, column, cache)
            stream = block.add(stream, output)
            outputs.append(output)
        return self._head(stream, outputs), state

    def _open_row(self, row: int, state: list[LineState]) -> list[LineState]:
        *states, condition = state
        opened = []
        for i, (block, cache) in enumerate(zip(self._blocks(), states, strict=True)):
            added = self.conditions[i](condition[0][:, row]) if condition else 0.0
            opened.append(block.layer.open_row(row, cache, added))
        return [*opened, condition]
