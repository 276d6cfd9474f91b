"""The inputs of a sequence model at each step: the previous pixel, the place of the next one, and its known surroundings.

The known surroundings, CausalWindow, are also the first convolution of the paper's models.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.model.base import Shape
from pixelrnn.model.orders import OrderCursor, Path
from pixelrnn.products import Packable, Product


class CausalWindow(Packable):
    """A linear map of the known part of each pixel's side × side neighbourhood; usually called a masked convolution.

    Values are scaled to [-1, 1], and 0 if not yet visited or outside the image. A map of ones tells which are known, so
    that a border differs from grey. In raster order this is van den Oord's mask A: the rows above, and to the left in the
    same row. Places that are never known at any step have no weights.
    """

    neighbours: Tensor  # int64 (orders, pixels, places): where on the canvas a step's neighbours lie, 0 if unknown
    known: Tensor  # (orders, pixels, places): 1 if the neighbour is visited before the step, else 0
    factors: Tensor  # scale the levels of known neighbours to [0, 2], and other values to 0

    def __init__(self, shape: Shape, levels: int, cursor: OrderCursor, paths: Sequence[Path], side: int, outputs: int):
        super().__init__()
        self.cursor = cursor
        neighbours, known = causal_windows(paths, side)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("factors", self.known * (2 / (levels - 1)), persistent=False)
        self.values = nn.Linear(shape[0] * known.shape[-1], outputs)
        self.which = nn.Linear(known.shape[-1], outputs, bias=False)

    def forward(self, canvas: Tensor, start: int, stop: int) -> Tensor:
        """The part of the values: canvas uint8 (batch, channels, height, width) -> (batch, stop - start, outputs)."""
        d = self.derived()
        if stop - start == 1:
            return d.values(self.seen(canvas, start))[:, None]
        places = d.neighbours[start:stop]
        values = canvas.flatten(2).index_select(2, places.flatten()).unflatten(2, places.shape)  # (B, C, T, places)
        values = values * d.factors[start:stop] - d.known[start:stop]
        return d.values(values.transpose(1, 2).flatten(2))

    def seen(self, canvas: Tensor, t: int | Tensor) -> Tensor:
        """The scaled values around the pixel of one step: (batch, channels · places)."""
        d = self.derived()
        values = canvas.flatten(2).index_select(2, at_step(d.neighbours, t).select(0, 0))
        return (values * at_step(d.factors, t)).sub_(at_step(d.known, t)).flatten(1)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        order = self.cursor.index
        tables = {"neighbours": self.neighbours[order], "factors": self.factors[order], "known": self.known[order]}
        return SimpleNamespace(values=product(self.values.weight, self.values.bias), **tables)

    def places(self) -> Tensor:
        """The contribution of the map of known neighbours, the same for all images: (pixels, outputs)."""
        return self.which(self.known[self.cursor.index])


class PixelInputs(Packable):
    """Inputs of each step t, which predicts pixel order[t]: the sum of

    - an embedding of the value of the previous pixel, order[t-1] (nothing at t = 0), one for each channel;
    - embeddings of the row and the column of order[t];
    - with window = k > 0, its causal k×k neighbourhood, because in a raster sequence the pixel above is a whole row back;
    - with several orders, an embedding of the current one.

    Rows, columns and neighbourhoods are those of each path's frame (docs/orders.md).
    """

    offsets: Tensor  # (channels,): where each channel's embeddings begin
    rows: Tensor  # int64 (orders, pixels): the row of order[t]
    columns: Tensor  # and its column
    visits: Tensor  # int64 (orders, pixels): the orders, here because a list would be copied to the device at each read

    def __init__(self, shape: Shape, levels: int, cursor: OrderCursor, width: int, window: int):
        super().__init__()
        if window < 0 or (window and window % 2 == 0):
            raise UserError(f"window={window}: the side of the causal window is odd, such as 5 or 7, or 0 for none")
        self.cursor, paths = cursor, cursor.paths
        self.value = nn.Embedding(shape[0] * levels, width)
        self.row = nn.Embedding(max(path.frame.rows for path in paths), width)
        self.column = nn.Embedding(max(path.frame.columns for path in paths), width)
        self.which_order = which_order(len(paths), width)
        rows = torch.stack([path.places // path.frame.columns for path in paths])
        columns = torch.stack([path.places % path.frame.columns for path in paths])
        self.register_buffer("offsets", torch.arange(shape[0], device="cpu") * levels, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("visits", torch.stack([path.order for path in paths]), persistent=False)
        self.window = CausalWindow(shape, levels, cursor, paths, window, width) if window else None

    def forward(self, canvas: Tensor, start: int, stop: int) -> Tensor:
        """canvas uint8 (batch, channels, height, width) -> inputs (batch, stop - start, width) of steps start to stop.

        Pixels that are visited at step stop - 1 or later are ignored, whatever the canvas holds there.
        """
        inputs = self._previous(canvas.flatten(2), start, stop) + self.derived()[start:stop]  # (B, T, D)
        return inputs + self.window(canvas, start, stop) if self.window else inputs

    def look_up(self, table: Tensor, pixel: Tensor) -> Tensor:
        """Sum the rows of a table, (channels · levels, n), for a pixel's values, uint8 (batch, channels): (batch, n)."""
        if pixel.shape[1] == 1:
            return table.index_select(0, pixel.select(1, 0).int())
        return F.embedding_bag(pixel + self.offsets, table, mode="sum")

    def derive(self, product: type[Product]) -> Tensor:
        """The inputs that depend on the step alone, (pixels, width): its pixel's place, which neighbours are known, the order."""
        order = self.cursor.index
        places = self.row(self.rows[order]) + self.column(self.columns[order])
        if self.window:
            places = places + self.window.places()
        return places + self.which_order.weight[order] if self.which_order else places

    def _previous(self, flat: Tensor, start: int, stop: int) -> Tensor:
        """Embedded values of the pixels before steps start to stop: (batch, stop - start, width)."""
        values = flat[:, :, self.visits[self.cursor.index, max(start - 1, 0) : stop - 1]]
        if len(self.offsets) == 1:
            embedded = self.value(values[:, 0].int())
        else:
            embedded = self.value(values.transpose(1, 2) + self.offsets).sum(2)
        return F.pad(embedded, (0, 0, 1, 0)) if start == 0 else embedded


def at_step(table: Tensor, t: int | Tensor) -> Tensor:
    """Row t of a table: (steps, …) -> (1, …); t may be a tensor (1,) for a CUDA graph, which would record a number."""
    return table[t : t + 1] if isinstance(t, int) else table.index_select(0, t)


def which_order(orders: int, width: int) -> nn.Embedding | None:
    """An embedding that tells a model which of its orders is current; None for a single order."""
    return nn.Embedding(orders, width) if orders > 1 else None


def causal_windows(paths: Sequence[Path], side: int) -> tuple[Tensor, Tensor]:
    """causal_window of each path, on the canvas, without the places that are never known at any step.

    int64 (orders, pixels, places), 0 where unknown; and 1.0 or 0.0 of the same shape, 1 where the neighbour is known.
    """
    frames = [causal_window(path.places, path.frame.rows, path.frame.columns, side) for path in paths]
    neighbours = torch.stack([path.frame.pixels[near] for path, (near, _) in zip(paths, frames, strict=True)])
    known = torch.stack([visited for _, visited in frames])
    ever = known.flatten(0, 1).any(0)
    ever[0] |= not ever.any()  # a 1-pixel image has no known neighbour; keep one place so that no layer is empty
    return torch.where(known, neighbours, 0)[..., ever], known[..., ever].to(torch.get_default_dtype())


def causal_window(order: Tensor, height: int, width: int, side: int) -> tuple[Tensor, Tensor]:
    """For each step, the side × side neighbourhood of its pixel: raster indices (pixels, side²), and which are known.

    A neighbour is known at step t if it lies in the image and is visited before t; an index beyond the border is 0.
    """
    reach = torch.arange(side, device=order.device) - side // 2
    rows = (order // width)[:, None, None] + reach[:, None]  # (P, k, 1)
    columns = (order % width)[:, None, None] + reach  # (P, 1, k)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    neighbours = torch.where(inside, rows * width + columns, 0).flatten(1)
    steps, visited_at = torch.arange(len(order), device=order.device), torch.empty_like(order)
    visited_at[order] = steps
    return neighbours, inside.flatten(1) & (visited_at[neighbours] < steps[:, None])
