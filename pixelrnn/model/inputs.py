"""What a sequence model is given at each step: the previous pixel, the place of the next one, and its known surroundings."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.model.base import Followed, Shape
from pixelrnn.ordering import Path
from pixelrnn.products import Packable, Product


class CausalWindow(Packable):
    """What is known around each pixel: a linear map of its side × side neighbourhood, the field's masked convolution.

    The values are scaled to [-1, 1], and 0 where not yet visited or outside the image; beside them a map of ones says
    which are known, so that a border differs from grey. In raster order this is van den Oord's mask A: the rows above,
    and to the left in the same row. Places of the neighbourhood that no pixel ever knows have no weights.
    """

    neighbours: Tensor  # int64 (orders, pixels, places): where on the canvas a step's neighbours lie, 0 where unknown
    known: Tensor  # (orders, pixels, places): 1 where that neighbour is visited before step t, else 0
    factors: Tensor  # what scales levels to [-1, 1] there, and to 0 elsewhere

    def __init__(self, channels: int, levels: int, followed: Followed, neighbours: Tensor, known: Tensor, outputs: int):
        super().__init__()
        self.followed = followed
        ever = known.flatten(0, 1).any(0)
        ever[0] |= not ever.any()  # an image of one pixel knows nothing, and its weights are not none
        self.register_buffer("neighbours", torch.where(known, neighbours, 0)[..., ever], persistent=False)
        self.register_buffer("known", known[..., ever].to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("factors", self.known * (2 / (levels - 1)), persistent=False)
        self.values = nn.Linear(channels * int(ever.sum()), outputs)
        self.which = nn.Linear(int(ever.sum()), outputs, bias=False)

    def forward(self, canvas: Tensor, start: int, stop: int) -> Tensor:
        """The part of the values: canvas uint8 (batch, channels, height, width) -> (batch, stop - start, outputs)."""
        product, bias, neighbours, factors, known = self.derived()
        if stop - start == 1:
            return product(self.seen(canvas, start), bias)[:, None]
        places = neighbours[start:stop]
        values = canvas.flatten(2).index_select(2, places.flatten()).unflatten(2, places.shape)  # (B, C, T, places)
        values = values * factors[start:stop] - known[start:stop]
        return product(values.transpose(1, 2).flatten(2), bias)

    def seen(self, canvas: Tensor, t: int | Tensor) -> Tensor:
        """The scaled values around the pixel of one step: (batch, channels · places)."""
        _, _, neighbours, factors, known = self.derived()
        values = canvas.flatten(2).index_select(2, at_step(neighbours, t).select(0, 0))
        return (values * at_step(factors, t)).sub_(at_step(known, t)).flatten(1)

    def derive(self) -> tuple[Product, Tensor, Tensor, Tensor, Tensor]:
        order = self.followed.index
        tables = self.neighbours[order], self.factors[order], self.known[order]
        return Product(self.values.weight), self.values.bias, *tables

    def places(self) -> Tensor:
        """The part of which are known, the same for all images: (pixels, outputs)."""
        return self.which(self.known[self.followed.index])


class PixelInputs(Packable):
    """Inputs of each step t, which predicts pixel order[t]: the sum of

    - an embedding of the value of the pixel before, order[t-1] (nothing at t = 0), one for each channel;
    - embeddings of the row and the column of order[t];
    - with window = k > 0, its causal k×k neighbourhood. In a raster sequence the pixel above is a whole row back; here
      it is at hand;
    - with several orders, an embedding of the one that is followed.

    Rows, columns and neighbourhoods are those of each path's frame, so that an order which is another one mirrored
    shares its weights as the mirrored image's.
    """

    offsets: Tensor  # (channels,): where each channel's embeddings begin
    rows: Tensor  # int64 (orders, pixels): the row of order[t], and its column
    columns: Tensor

    def __init__(self, shape: Shape, levels: int, followed: Followed, paths: Sequence[Path], width: int, window: int):
        super().__init__()
        if window < 0 or (window and window % 2 == 0):
            raise UserError(f"window={window}: the side of the causal window is odd, such as 5 or 7, or 0 for none")
        channels = shape[0]
        self.followed = followed
        self.visits: list[list[int]] = [path.frame.pixels[path.places].tolist() for path in paths]
        self.value = nn.Embedding(channels * levels, width)
        self.row = nn.Embedding(max(path.frame.rows for path in paths), width)
        self.column = nn.Embedding(max(path.frame.columns for path in paths), width)
        self.which_order = which_order(len(paths), width)
        rows = torch.stack([path.places // path.frame.columns for path in paths])
        columns = torch.stack([path.places % path.frame.columns for path in paths])
        self.register_buffer("offsets", torch.arange(channels, device="cpu") * levels, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.window: CausalWindow | None = None
        if window:
            self.window = CausalWindow(channels, levels, followed, *causal_windows(paths, window), width)

    def forward(self, canvas: Tensor, start: int, stop: int) -> Tensor:
        """canvas uint8 (batch, channels, height, width) -> inputs (batch, stop - start, width) of steps start to stop.

        Pixels that are visited at stop - 1 or later are not looked at, whatever the canvas holds there.
        """
        (places,) = self.derived()
        inputs = self._previous(canvas.flatten(2), start, stop) + places[:, start:stop]  # (B, T, D)
        return inputs + self.window(canvas, start, stop) if self.window else inputs

    def look_up(self, table: Tensor, pixel: Tensor) -> Tensor:
        """The sum over the channels of what stands in a table, (channels · levels, n), for a pixel's values, uint8
        (batch, channels): (batch, n)."""
        if pixel.shape[1] == 1:
            return table.index_select(0, pixel.select(1, 0).int())
        return F.embedding_bag(pixel + self.offsets, table, mode="sum")

    def derive(self) -> tuple[Tensor]:
        """What depends on the step alone, (1, pixels, width): the place of its pixel, which neighbours are known, and
        which order is followed."""
        order = self.followed.index
        places = self.row(self.rows[order]) + self.column(self.columns[order])
        if self.window:
            places = places + self.window.places()
        if self.which_order:
            places = places + self.which_order.weight[order]
        return (places[None],)

    def _previous(self, flat: Tensor, start: int, stop: int) -> Tensor:
        """Embedded values of the pixels before steps start to stop: (batch, stop - start, width)."""
        visits = self.visits[self.followed.index]
        values = flat[:, :, visits[max(start - 1, 0) : stop - 1]]
        if len(self.offsets) == 1:
            embedded = self.value(values[:, 0].int())
        else:
            embedded = self.value(values.transpose(1, 2) + self.offsets).sum(2)
        return F.pad(embedded, (0, 0, 1, 0)) if start == 0 else embedded


def at_step(table: Tensor, t: int | Tensor) -> Tensor:
    """Row t of a table: (steps, …) -> (1, …); t may be a tensor (1,), for CUDA graphs, which record no number."""
    return table[t : t + 1] if isinstance(t, int) else table.index_select(0, t)


def which_order(orders: int, width: int) -> nn.Embedding | None:
    """What tells a model which of several orders it follows; None for one."""
    return nn.Embedding(orders, width) if orders > 1 else None


def causal_windows(paths: Sequence[Path], side: int) -> tuple[Tensor, Tensor]:
    """causal_window along each path: indices on the canvas, and which are known, (orders, pixels, side²) each."""
    neighbours, known = [], []
    for path in paths:
        frame = path.frame
        places, visited = causal_window(path.places, frame.rows, frame.columns, side)
        neighbours.append(frame.pixels[places])
        known.append(visited)
    return torch.stack(neighbours), torch.stack(known)


def causal_window(order: Tensor, height: int, width: int, side: int) -> tuple[Tensor, Tensor]:
    """For each step, the side × side neighbourhood of its pixel: raster indices (pixels, side²) and which are known.

    A neighbour is known at step t if it lies in the image and is visited before t; an index beyond the border is 0.
    """
    reach = torch.arange(side, device=order.device) - side // 2
    rows = (order // width)[:, None, None] + reach[:, None]  # (P, k, 1)
    columns = (order % width)[:, None, None] + reach  # (P, 1, k)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    neighbours = torch.where(inside, rows * width + columns, 0).flatten(1)
    visited_at = torch.empty_like(order)
    visited_at[order] = steps = torch.arange(len(order), device=order.device)
    known = inside.flatten(1) & (visited_at[neighbours] < steps[:, None])
    return neighbours, known
