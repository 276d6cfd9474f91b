"""What a bidirectional model knows ahead: an encoder of the observed pixels, and of no others."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pixelrnn.cell import Bidirectional, Cell
from pixelrnn.model.base import Followed, Shape
from pixelrnn.model.inputs import which_order
from pixelrnn.ordering import Path


class Encoder(nn.Module):
    """A bidirectional stack over all pixels in the order of the visit, that reads each one's value or a "hidden" token.

    Its inputs are the sum of embeddings of the values, of the row and of the column, and with window = k of a k × k
    convolution of the observed values and of which they are. Features are inputs and outputs side by side: so the
    decoder's step sees what is observed around its pixel, ahead as well as behind, and what the stack makes of the rest.

    A hidden value is replaced by the token, and in the convolution by 0, before anything else: no feature depends on it.
    """

    offsets: Tensor  # (channels,): where each channel's embeddings begin
    pixels: Tensor  # int64 (orders, pixels): each frame's pixels on the canvas
    places: Tensor  # int64 (orders, pixels): the place of each step's pixel in its frame

    def __init__(
        self,
        shape: Shape,
        levels: int,
        followed: Followed,
        paths: Sequence[Path],
        cell: Callable[[int, int], Cell],
        embedding: int,
        width: int,
        depth: int,
        window: int,
        dropout: float,
    ):
        super().__init__()
        channels = shape[0]
        self.levels, self.followed = levels, followed
        self.grids = [(path.frame.rows, path.frame.columns) for path in paths]
        self.embedding, self.features = embedding, embedding + 2 * width
        self.value = nn.Embedding(channels * (levels + 1), embedding)  # the last of each channel is the token
        self.row = nn.Embedding(max(rows for rows, _ in self.grids), embedding)
        self.column = nn.Embedding(max(columns for _, columns in self.grids), embedding)
        self.which_order = which_order(len(paths), embedding)
        self.window = nn.Conv2d(channels + 1, embedding, window, padding=window // 2, bias=False) if window else None
        self.stack = Bidirectional(cell, embedding, width, depth, dropout)
        self.register_buffer("offsets", torch.arange(channels, device="cpu") * (levels + 1), persistent=False)
        self.register_buffer("pixels", torch.stack([path.frame.pixels for path in paths]), persistent=False)
        self.register_buffer("places", torch.stack([path.places for path in paths]), persistent=False)

    def forward(self, canvas: Tensor, hidden: Tensor) -> Tensor:
        """canvas uint8 (batch, channels, height, width), hidden bool (batch, height, width) -> (batch, pixels, features)."""
        order = self.followed.index
        rows, columns = self.grids[order]
        places = self.places[order]
        flat, observed = canvas.flatten(2)[:, :, self.pixels[order]], ~hidden.flatten(1)[:, None, self.pixels[order]]
        tokens = flat.long().masked_fill(~observed, self.levels)[:, :, places].transpose(1, 2)  # (B, P, C)
        inputs = self.value(tokens + self.offsets).sum(2) + self.row(places // columns) + self.column(places % columns)
        if self.which_order:
            inputs = inputs + self.which_order.weight[order]
        if self.window:
            weight = self.window.weight
            scaled = (flat.to(weight.dtype) * (2 / (self.levels - 1)) - 1) * observed
            maps = torch.cat([scaled, observed.to(weight.dtype)], 1).unflatten(2, (rows, columns))
            inputs = inputs + self.window(maps).flatten(2)[:, :, places].transpose(1, 2)
        return torch.cat([inputs, self.stack(inputs)], dim=-1)
