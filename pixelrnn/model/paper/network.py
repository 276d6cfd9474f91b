"""The network of the paper's two-dimensional models (Table 1): first convolution, residual blocks, head."""

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelrnn.model.inputs import CausalWindow, which_order
from pixelrnn.model.options import RasterOptions, Shape
from pixelrnn.model.orders import OrderCursor, Path
from pixelrnn.model.paper.layers import Layer, LineState, ResidualBlock
from pixelrnn.products import Packable, Product

FIRST = 7  # the side of the first convolution


class Network(Packable):
    """Features of every pixel from the pixels before it. These come row by row in the frame of each path.

    The first convolution is masked, 7×7, without the centre (mask A), up to 2·width features; then `depth` blocks; then
    ReLU, a 1×1 convolution to `head` features, and ReLU. `skip` adds a 1×1 convolution of each layer's outputs to the
    head's. If condition > 0, a 1×1 convolution of a map of that many features is added to each layer's input-to-state map
    (section 3.4).
    """

    recompute = False  # compute each layer's pass again in the backward pass, instead of keeping its results

    def __init__(
        self,
        shape: Shape,
        levels: int,
        cursor: OrderCursor,
        paths: Sequence[Path],
        make_layer: Callable[[int], Layer],
        options: RasterOptions,
        condition: int = 0,
    ):
        super().__init__()
        width, head, depth = options.width, options.head, options.depth
        self.cursor, self.frames = cursor, [path.frame for path in paths]
        self.first = CausalWindow(shape, levels, cursor, paths, FIRST, 2 * width)
        self.which_order = which_order(len(paths), 2 * width)
        self.blocks = nn.ModuleList([ResidualBlock(make_layer(width), options.residual) for _ in range(depth)])
        self.skips = nn.ModuleList([nn.Linear(width, head, bias=False) for _ in range(depth if options.skip else 0)])
        self.head = nn.Linear(2 * width, head)
        states = [block.layer.states for block in self._blocks()]
        self.conditions = nn.ModuleList([nn.Linear(condition, n, bias=False) for n in states if condition])

    @property
    def columns(self) -> int:
        return self.frames[self.cursor.index].columns

    def _blocks(self) -> Iterable[ResidualBlock]:
        return cast(Iterable[ResidualBlock], self.blocks)

    def forward(self, canvas: Tensor, condition: Tensor | None = None) -> Tensor:
        """canvas uint8 (batch, channels, height, width), condition (batch, rows, columns, features) -> features (batch,
        pixels, head), row by row in the frame."""
        return self._pass(canvas, condition, self.frames[self.cursor.index].rows)[0]

    def _pass(self, canvas: Tensor, condition: Tensor | None, rows: int) -> tuple[Tensor, list[LineState]]:
        pixels = rows * self.columns
        maps = (self.first(canvas, 0, pixels) + self.derived().places[:pixels]).unflatten(1, (rows, self.columns))
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
        """Features (…, head) from the last block's outputs, and by the skip connections from those of every layer."""
        features = self.derived().head(torch.relu(stream))
        for skip, output in zip(self.skips, outputs, strict=False):  # self.skips is empty without `skip`
            features = features + skip(output)
        return torch.relu(features)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        places = self.first.places()  # (pixels, 2·width): the part that depends on the step alone
        if self.which_order:
            places = places + self.which_order.weight[self.cursor.index]
        return SimpleNamespace(places=places, head=product(self.head.weight, self.head.bias))

    @torch.no_grad()  # the states are written in place
    def begin(self, canvas: Tensor, first: int, condition: Tensor | None = None) -> list[LineState]:
        """The state before pixel `first`: whole rows are read in one pass, then its own row pixel by pixel."""
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
        """Features (batch, head) of pixel t, and the next state; the given state may be overwritten."""
        row, column = divmod(t, self.columns)
        if column == 0:
            state = self._open_row(row, state)
        stream = self.first(canvas, t, t + 1)[:, 0] + self.derived().places[t]
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
