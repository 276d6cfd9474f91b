"""What a sequence model is given at each step: the previous pixel, the place of the next one, and its known surroundings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.model.contract import Shape
from pixelrnn.packing import Packable


class CausalWindow(Packable):
    """What is known around each pixel: a linear map of its side × side neighbourhood, the field's masked convolution.

    The values are scaled to [-1, 1], and 0 where not yet visited or outside the image; beside them a map of ones says
    which are known, so that a border differs from grey. In raster order this is van den Oord's mask A: the rows above,
    and to the left in the same row. Places of the neighbourhood that no pixel ever knows have no weights.
    """

    neighbours: Tensor  # int64 (pixels, places): where on the canvas each step's neighbours lie, 0 where unknown
    known: Tensor  # (pixels, places): 1 where that neighbour is visited before step t, else 0
    factors: Tensor  # what scales levels to [-1, 1] there, and to 0 elsewhere

    def __init__(self, channels: int, levels: int, neighbours: Tensor, known: Tensor, outputs: int):
        super().__init__()
        ever = known.any(0)
        ever[0] |= not ever.any()  # an image of one pixel knows nothing, and its weights are not none
        self.register_buffer("neighbours", torch.where(known, neighbours, 0)[:, ever], persistent=False)
        self.register_buffer("known", known[:, ever].to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("factors", self.known * (2 / (levels - 1)), persistent=False)
        self.values = nn.Linear(channels * int(ever.sum()), outputs)
        self.which = nn.Linear(int(ever.sum()), outputs, bias=False)

    def forward(self, canvas: Tensor, start: int, stop: int) -> Tensor:
        """The part of the values: canvas uint8 (batch, channels, height, width) -> (batch, stop - start, outputs)."""
        neighbours = self.neighbours[start:stop]
        values = canvas.flatten(2).index_select(2, neighbours.flatten()).to(self.known.dtype)
        values = values.unflatten(2, neighbours.shape)  # (B, C, T, places)
        values = values * self.factors[start:stop] - self.known[start:stop]
        return F.linear(values.transpose(1, 2).flatten(2), *self.derived())

    def derive(self) -> tuple[Tensor, Tensor]:
        return self.values.weight, self.values.bias

    def places(self) -> Tensor:
        """The part of which are known, the same for all images: (pixels, outputs)."""
        return self.which(self.known)


class PixelInputs(Packable):
    """Inputs of each step t, which predicts pixel order[t]: the sum of

    - an embedding of the value of the pixel before, order[t-1] (nothing at t = 0), one for each channel;
    - embeddings of the row and the column of order[t];
    - with window = k > 0, its causal k×k neighbourhood. In a raster sequence the pixel above is a whole row back; here
      it is at hand.
    """

    offsets: Tensor  # (channels,): where each channel's embeddings begin
    rows: Tensor  # (pixels,): the row of order[t], and its column
    columns: Tensor

    def __init__(self, shape: Shape, levels: int, order: Tensor, width: int, window: int):
        super().__init__()
        if window < 0 or (window and window % 2 == 0):
            raise UserError(f"window={window}: the side of the causal window is odd, such as 5 or 7, or 0 for none")
        self.visits: list[int] = order.tolist()
        channels, height, columns = shape
        self.value = nn.Embedding(channels * levels, width)
        self.row = nn.Embedding(height, width)
        self.column = nn.Embedding(columns, width)
        self.register_buffer("offsets", torch.arange(channels) * levels, persistent=False)
        self.register_buffer("rows", order // columns, persistent=False)
        self.register_buffer("columns", order % columns, persistent=False)
        self.window: CausalWindow | None = None
        if window:
            neighbours, known = causal_window(order, height, columns, window)
            self.window = CausalWindow(channels, levels, neighbours, known, width)

    def forward(self, canvas: Tensor, start: int, stop: int) -> Tensor:
        """canvas uint8 (batch, channels, height, width) -> inputs (batch, stop - start, width) of steps start to stop.

        Pixels that are visited at stop - 1 or later are not looked at, whatever the canvas holds there.
        """
        (places,) = self.derived()
        inputs = self._previous(canvas.flatten(2), start, stop) + places[:, start:stop]  # (B, T, D)
        return inputs + self.window(canvas, start, stop) if self.window else inputs

    def derive(self) -> tuple[Tensor]:
        """What depends on the step alone, (1, pixels, width): the place of its pixel, and which neighbours are known."""
        places = self.row(self.rows) + self.column(self.columns)
        return ((places + self.window.places() if self.window else places)[None],)

    def _previous(self, flat: Tensor, start: int, stop: int) -> Tensor:
        """Embedded values of the pixels before steps start to stop: (batch, stop - start, width)."""
        if stop - start == 1 and start > 0:  # the sampler's case: a view instead of a gather
            values = flat[:, :, self.visits[start - 1], None]
        else:
            values = flat[:, :, self.visits[max(start - 1, 0) : stop - 1]]
        if len(self.offsets) == 1:
            embedded = self.value(values[:, 0].int())
        else:
            embedded = self.value(values.transpose(1, 2) + self.offsets).sum(2)
        return F.pad(embedded, (0, 0, 1, 0)) if start == 0 else embedded


def causal_window(order: Tensor, height: int, width: int, side: int) -> tuple[Tensor, Tensor]:
    """For each step, the side × side neighbourhood of its pixel: raster indices (pixels, side²) and which are known.

    A neighbour is known at step t if it lies in the image and is visited before t; an index beyond the border is 0.
    """
    reach = torch.arange(side) - side // 2
    rows = (order // width)[:, None, None] + reach[:, None]  # (P, k, 1)
    columns = (order % width)[:, None, None] + reach  # (P, 1, k)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    neighbours = torch.where(inside, rows * width + columns, 0).flatten(1)
    visited_at = torch.empty_like(order)
    visited_at[order] = torch.arange(len(order))
    known = inside.flatten(1) & (visited_at[neighbours] < torch.arange(len(order))[:, None])
    return neighbours, known
