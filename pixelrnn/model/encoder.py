"""The encoder of a bidirectional model: it reads the observed pixels, also those that come later, and no others."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pixelrnn.cell import Bidirectional, Cell
from pixelrnn.model.inputs import which_order
from pixelrnn.model.options import SequenceOptions, Shape
from pixelrnn.model.orders import OrderCursor


class Encoder(nn.Module):
    """A bidirectional stack over all pixels in the order of the visit. It reads each one's value, or a "hidden" token.

    Its inputs are the sum of embeddings of the values, of the row and of the column, and with window = k of a k × k
    convolution of the observed values and of a map that tells which are observed. Its features are inputs and outputs side
    by side, so that the decoder's step sees the observed surroundings of its pixel and the stack's summary of the rest.

    A hidden value is replaced by the token, and in the convolution by 0, before anything else: no feature depends on it.
    """

    offsets: Tensor  # (channels,): where each channel's embeddings begin
    pixels: Tensor  # int64 (orders, pixels): each frame's pixels on the canvas
    places: Tensor  # int64 (orders, pixels): the place of each step's pixel in its frame

    def __init__(
        self, shape: Shape, levels: int, cursor: OrderCursor, cell: Callable[[int, int], Cell], o: SequenceOptions
    ):
        super().__init__()
        channels, paths, embedding, window = shape[0], cursor.paths, o.embedding, o.window
        self.levels, self.cursor = levels, cursor
        self.embedding, self.features = embedding, embedding + 2 * o.encoder_width
        self.value = nn.Embedding(channels * (levels + 1), embedding)  # the last of each channel is the token
        self.row = nn.Embedding(max(path.frame.rows for path in paths), embedding)
        self.column = nn.Embedding(max(path.frame.columns for path in paths), embedding)
        self.which_order = which_order(len(paths), embedding)
        self.window = nn.Conv2d(channels + 1, embedding, window, padding=window // 2, bias=False) if window else None
        self.stack = Bidirectional(cell, embedding, o.encoder_width, o.encoder_depth, o.dropout)
        self.register_buffer("offsets", torch.arange(channels, device="cpu") * (levels + 1), persistent=False)
        self.register_buffer("pixels", torch.stack([path.frame.pixels for path in paths]), persistent=False)
        self.register_buffer("places", torch.stack([path.places for path in paths]), persistent=False)

    def forward(self, canvas: Tensor, hidden: Tensor) -> Tensor:
        """canvas uint8 (batch, channels, height, width), hidden bool (batch, height, width) -> (batch, pixels, features)."""
        order, frame = self.cursor.index, self.cursor.path.frame
        pixels, places = self.pixels[order], self.places[order]
        flat, observed = canvas.flatten(2)[:, :, pixels], ~hidden.flatten(1)[:, None, pixels]
        tokens = flat.long().masked_fill(~observed, self.levels)[:, :, places].transpose(1, 2)  # (B, P, C)
        rows, columns = self.row(places // frame.columns), self.column(places % frame.columns)
        inputs = self.value(tokens + self.offsets).sum(2) + rows + columns
        if self.which_order:
            inputs = inputs + self.which_order.weight[order]
        if self.window:
            weight = self.window.weight
            scaled = (flat.to(weight.dtype) * (2 / (self.levels - 1)) - 1) * observed
            maps = torch.cat([scaled, observed.to(weight.dtype)], 1).unflatten(2, (frame.rows, frame.columns))
            inputs = inputs + self.window(maps).flatten(2)[:, :, places].transpose(1, 2)
        return torch.cat([inputs, self.stack(inputs)], dim=-1)
