"""The paper's two-dimensional models, which visit an image row by row: their common part.

Where all of them differ from van den Oord et al. 2016:
- the likelihood predicts a pixel's channels inside one step (pixelrnn/likelihood), instead of masked groups of features;
- beside the values, the first convolution reads a map of ones, so that the border differs from grey;
- the order may be any of the raster's eight symmetries, so that any half of an image can come last, or several of them,
  with shared weights and an embedding of the order. The weights belong to the frame: the image turned so that it is visited
  row by row from the left.

Maps are (batch, rows, columns, features), in the frame in which pixels are visited row by row from left to right.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelrnn.errors import UserError
from pixelrnn.model.base import Model, ModelOptions, Shape, check_form
from pixelrnn.model.inputs import CausalWindow, at_step, which_order
from pixelrnn.model.orders import Frame, OrderCursor, Path, hidden_span, path_like
from pixelrnn.products import Packable, Product

LineState = tuple[Tensor, ...]  # the state of one layer from pixel to pixel and from row to row, batch first in each


@dataclass(frozen=True, kw_only=True)
class RasterOptions(ModelOptions):
    """The options of the paper's two-dimensional models."""

    width: int = 16  # the paper's h, units of each gate; between layers there are 2·width features
    depth: int = 7  # layers
    head: int = 64  # features of the output's hidden layer
    residual: bool = True  # add a layer's inputs to its outputs
    skip: bool = False  # connect each layer with the output


class Layer(Packable):
    """One layer: maps of 2·width features -> maps of `width` features. A pixel sees itself and those before it.

    `forward` runs over a whole map. The sampler calls `begin`, then `open_row` before each row, which computes the part of
    the rows above for all columns at once, then `step` for each pixel. Both change the state in place. The multi-scale
    model adds `condition` to the layer's input-to-state map.
    """

    width: int
    states: int  # features of its input-to-state map

    @abstractmethod
    def forward(self, maps: Tensor, condition: Tensor | float = 0.0) -> tuple[Tensor, LineState]:
        """maps (batch, rows, columns, 2·width) -> outputs (batch, rows, columns, width), and the state after the last row."""

    @abstractmethod
    def begin(self, batch: int, columns: int) -> LineState:
        """The state before the first row."""

    @abstractmethod
    def open_row(self, is_first: bool, state: LineState, condition: Tensor | float = 0.0) -> None:
        """Make the state the one before a row's first pixel; condition (batch, columns, states)."""

    @abstractmethod
    def step(self, inputs: Tensor, column: int | Tensor, state: LineState) -> Tensor:
        """One pixel: inputs (batch, 2·width) -> output (batch, width). column may be a tensor (1,) for a CUDA graph."""


class MaskedConv(nn.Module):
    """A convolution that sees the pixel, `reach` pixels to its left, and 2·reach + 1 in each of `above` rows: mask B.

    The weights that the paper's mask hides do not exist, so nothing can write into them: `weight` (outputs, inputs,
    taps) holds the visible ones in raster order.
    """

    def __init__(self, inputs: int, outputs: int, above: int, reach: int):
        super().__init__()
        self.above, self.reach = above, reach
        self.side = 2 * reach + 1 if above else reach + 1  # without rows above, nothing lies to the right
        taps = above * self.side + reach + 1
        like = nn.Linear(inputs * taps, outputs)  # draws the initial weights
        self.weight = nn.Parameter(like.weight.detach().view(outputs, inputs, taps))
        self.bias = nn.Parameter(like.bias.detach())

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, rows, columns, inputs) -> (batch, rows, columns, outputs)."""
        missing = (self.above + 1) * self.side - self.weight.shape[-1]
        kernel = F.pad(self.weight, (0, missing)).unflatten(-1, (-1, self.side))
        right = self.reach if self.above else 0
        padded = F.pad(maps, (0, 0, self.reach, right, self.above, 0))
        return F.conv2d(padded.permute(0, 3, 1, 2), kernel, self.bias).permute(0, 2, 3, 1)

    def matrices(self) -> tuple[Tensor, Tensor]:
        """The weights of the rows above and of the pixel's own row, each as a matrix (outputs, taps · inputs)."""
        above = self.above * self.side
        return self.weight[..., :above].transpose(1, 2).flatten(1), self.weight[..., above:].transpose(1, 2).flatten(1)


def pack(maps: Tensor) -> Tensor:
    """(batch, rows, columns, features) -> one entry for each pixel, (pixels, batch, features)."""
    return maps.flatten(1, 2).transpose(0, 1).contiguous()


def unpack(packed: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of pack: (pixels, batch, features) -> (batch, rows, columns, features)."""
    return packed.transpose(0, 1).unflatten(1, (rows, columns))


def windows(line: Tensor, side: int) -> Tensor:
    """Put each run of `side` columns side by side: (batch, columns, n) -> (batch, columns - side + 1, side · n)."""
    count = line.shape[1] - side + 1
    return torch.cat([line[:, j : j + count] for j in range(side)], -1)


def take(line: Tensor, column: int | Tensor, count: int = 1) -> Tensor:
    """Put `count` columns from `column` on side by side: (batch, columns, n) -> (batch, count · n). column may be a tensor
    (1,) for a CUDA graph; on a CPU an int is much faster, because no value is copied."""
    if isinstance(column, int):
        return line.select(1, column) if count == 1 else line.narrow(1, column, count).flatten(1)
    return line.unfold(1, count, 1).transpose(2, 3).index_select(1, column).flatten(1)


def put(line: Tensor, column: int | Tensor, values: Tensor) -> None:
    """Write values (batch, n) into one column of a line (batch, columns, n)."""
    if isinstance(column, int):
        line.select(1, column).copy_(values)
    else:
        line.index_copy_(1, column, values[:, None])


class ResidualBlock(Packable):
    """A layer, then a 1×1 convolution up to 2·width features; with `residual` the input is added (Figure 5)."""

    def __init__(self, layer: Layer, residual: bool):
        super().__init__()
        self.layer, self.residual = layer, residual
        self.up = nn.Linear(layer.width, 2 * layer.width)

    def derive(self, product: type[Product]) -> Product:
        return product(self.up.weight, self.up.bias)

    def add(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The block's outputs from its inputs and the layer's outputs."""
        up = self.derived()(outputs)
        return inputs + up if self.residual else up


class Network(Packable):
    """Features of every pixel from the pixels before it. These come row by row in the frame of each order.

    The first convolution is masked, 7×7, without the centre (mask A), up to 2·width features; then `depth` blocks; then
    ReLU, a 1×1 convolution to `head` features, and ReLU. `skip` adds a 1×1 convolution of each layer's outputs to the
    head's. If condition > 0, a 1×1 convolution of a map of that many features is added to each layer's input-to-state map
    (section 3.4).
    """

    blocks: Any  # an nn.ModuleList of ResidualBlock
    recompute = False  # compute each layer's pass again in the backward pass, instead of keeping its results

    def __init__(
        self,
        shape: Shape,
        levels: int,
        cursor: OrderCursor,
        frames: Sequence[Frame],
        make_layer: Callable[[int], Layer],
        options: RasterOptions,
        condition: int = 0,
    ):
        super().__init__()
        width, head, depth = options.width, options.head, options.depth
        self.cursor, self.frames = cursor, frames
        paths = [Path(frame, torch.arange(len(frame.pixels), device="cpu")) for frame in frames]
        self.first = CausalWindow(shape, levels, cursor, paths, side=7, outputs=2 * width)
        self.which_order = which_order(len(paths), 2 * width)
        self.blocks = nn.ModuleList([ResidualBlock(make_layer(width), options.residual) for _ in range(depth)])
        self.skips = nn.ModuleList([nn.Linear(width, head, bias=False) for _ in range(depth if options.skip else 0)])
        self.head = nn.Linear(2 * width, head)
        states = [block.layer.states for block in self.blocks]
        self.conditions = nn.ModuleList([nn.Linear(condition, n, bias=False) for n in states if condition])

    @property
    def columns(self) -> int:
        return self.frames[self.cursor.index].columns

    def forward(self, canvas: Tensor, condition: Tensor | None = None) -> Tensor:
        """canvas uint8 (batch, channels, height, width), condition (batch, rows, columns, features) -> features (batch,
        pixels, head), row by row in the frame."""
        return self._pass(canvas, condition, self.frames[self.cursor.index].rows)[0]

    def _pass(self, canvas: Tensor, condition: Tensor | None, rows: int) -> tuple[Tensor, list[LineState]]:
        pixels = rows * self.columns
        maps = (self.first(canvas, 0, pixels) + self.derived().places[:pixels]).unflatten(1, (rows, self.columns))
        outputs, states = [], []
        for i, block in enumerate(self.blocks):
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
        if rows:  # the copies let go of the whole maps
            state = [tuple(part.clone() for part in parts) for parts in self._pass(canvas, condition, rows)[1]]
        else:
            state = [block.layer.begin(len(canvas), self.columns) for block in self.blocks]
        for t in range(rows * self.columns, first):
            self.step(canvas, t, state, self.opens(t), condition)
        return state

    def opens(self, t: int) -> bool:
        """Whether pixel t is the first one of a row."""
        return t % self.columns == 0

    @torch.no_grad()
    def step(
        self, canvas: Tensor, t: int | Tensor, state: list[LineState], opens: bool, condition: Tensor | None = None
    ) -> Tensor:
        """Features (batch, head) of pixel t; changes the state in place. opens: self.opens(t). For a CUDA graph t may be a
        tensor (1,), but not 0."""
        row, column = t // self.columns, t % self.columns
        if opens:
            is_first = isinstance(t, int) and t == 0
            for i, (block, cache) in enumerate(zip(self.blocks, state, strict=True)):
                added = 0.0 if condition is None else self.conditions[i](at_step(condition.transpose(0, 1), row)[0])
                block.layer.open_row(is_first, cache, added)
        stream = self.first.derived().values(self.first.seen(canvas, t)) + at_step(self.derived().places, t)
        outputs = []
        for block, cache in zip(self.blocks, state, strict=True):
            output = block.layer.step(stream, column, cache)
            stream = block.add(stream, output)
            outputs.append(output)
        return self._head(stream, outputs)


class RasterModel(Model):
    """p(x) = ∏_t p(x_t | features of the pixels before), in the raster order or one of its eight symmetries.

    shape is (channels, height, width); levels is the number of values that a channel takes. Raises UserError for a bad
    value or another ordering.
    """

    Options = RasterOptions
    position_as_tensor = True
    fixed_training = True

    def __init__(self, shape: Sequence[int], levels: int, **options: Any):
        (shape, levels), o = check_form(shape, levels), self.Options(**options)
        paths = [raster_path(order, shape[1], shape[2]) for order in o.build_orders(shape)]
        super().__init__(shape, levels, o, paths)
        self.network = Network(shape, levels, self.cursor, [path.frame for path in paths], self.make_layer, o)
        self.likelihood = o.build_likelihood(o.head, shape, levels)

    @abstractmethod
    def make_layer(self, width: int) -> Layer:
        """A new layer of this kind."""

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        return self.likelihood(self.network(images))

    def begin(self, canvas: Tensor, hidden: Tensor) -> list[LineState]:
        return self.network.begin(canvas, hidden_span(hidden, self.order)[0])

    def kind(self, t: int) -> bool | None:
        """Whether step t > 0 begins a row."""
        return self.network.opens(t) if t else None

    def step(
        self, canvas: Tensor, t: int | Tensor, state: list[LineState], kind: Any = None
    ) -> tuple[Tensor, list[LineState]]:
        opens = self.network.opens(t) if isinstance(t, int) else kind
        return self.likelihood(self.network.step(canvas, t, state, opens)), state


def raster_path(order: Tensor, height: int, width: int) -> Path:
    """The path through the frame that an order visits row by row; UserError if it is no symmetry of the raster."""
    path = path_like(order.cpu(), torch.arange(height * width, device="cpu"), height, width)
    if path is None:
        raise UserError(
            "this model visits an image row by row or column by column; take ordering=raster or ordering=column, with any "
            "of ordering.transforms=[flip_rows, flip_columns, transpose, reverse]"
        )
    return path
