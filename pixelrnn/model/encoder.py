"""Encoders: networks that read all observed pixels of an image, before the first hidden one is drawn.

ENCODERS is the registry of those of a SequenceRNN. Each reads an image in the frame of the current order, so that orders
that are symmetries of each other share all weights. InpaintingRNN has the U-Net too, with inputs of its own.

A hidden value is replaced, by a token or by 0, before anything else: no feature depends on it.
"""

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.cell import Bidirectional
from pixelrnn.cell.cells import MakeCell
from pixelrnn.model.base import Shape
from pixelrnn.model.inputs import which_order
from pixelrnn.model.orders import OrderCursor

if TYPE_CHECKING:
    from pixelrnn.model.sequence import SequenceOptions


class Encoder(nn.Module):
    """canvas uint8 (batch, channels, height, width), hidden bool (batch, height, width) -> features of each step's pixel,
    (batch, pixels, features)."""

    features: int
    pixels: Tensor  # int64 (orders, pixels): each frame's pixels on the canvas
    places: Tensor  # int64 (orders, pixels): the place of each step's pixel in its frame

    def __init__(self, levels: int, cursor: OrderCursor):
        super().__init__()
        self.levels, self.cursor, self.frames = levels, cursor, [path.frame for path in cursor.paths]
        self.register_buffer("pixels", torch.stack([path.frame.pixels for path in cursor.paths]), persistent=False)
        self.register_buffer("places", torch.stack([path.places for path in cursor.paths]), persistent=False)

    def _in_frame(self, canvas: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The canvas (batch, channels, pixels), and which pixels are observed (batch, 1, pixels), as the frame has them."""
        pixels = self.pixels[self.cursor.index]
        return canvas.flatten(2)[:, :, pixels], ~hidden.flatten(1)[:, None, pixels]

    def _maps(self, flat: Tensor, observed: Tensor, dtype: torch.dtype) -> Tensor:
        """The values scaled to [-1, 1], 0 where hidden, and 1 where observed: (batch, channels + 1, rows, columns)."""
        frame = self.frames[self.cursor.index]
        scaled = (flat.to(dtype) * (2 / (self.levels - 1)) - 1) * observed
        return torch.cat([scaled, observed.to(dtype)], 1).unflatten(2, (frame.rows, frame.columns))


class RecurrentEncoder(Encoder):
    """A bidirectional stack over all pixels in the order of the visit. It reads each one's value, or a "hidden" token.

    Its inputs are the sum of embeddings of the values, of the row and of the column, and with window = k of a k × k
    convolution of the observed values and of a map that tells which are observed. Its features are inputs and outputs side
    by side, so that the decoder's step sees the observed surroundings of its pixel and the stack's summary of the rest.
    """

    offsets: Tensor  # (channels,): where each channel's embeddings begin

    def __init__(self, shape: Shape, levels: int, cursor: OrderCursor, cell: MakeCell, o: "SequenceOptions"):
        super().__init__(levels, cursor)
        channels, embedding, window = shape[0], o.embedding, o.window
        self.features = embedding + 2 * o.encoder_width
        self.value = nn.Embedding(channels * (levels + 1), embedding)  # the last of each channel is the token
        self.row = nn.Embedding(max(frame.rows for frame in self.frames), embedding)
        self.column = nn.Embedding(max(frame.columns for frame in self.frames), embedding)
        self.which_order = which_order(len(self.frames), embedding)
        self.window = nn.Conv2d(channels + 1, embedding, window, padding=window // 2, bias=False) if window else None
        self.stack = Bidirectional(cell, embedding, o.encoder_width, o.encoder_depth, o.dropout)
        self.register_buffer("offsets", torch.arange(channels, device="cpu") * (levels + 1), persistent=False)

    def forward(self, canvas: Tensor, hidden: Tensor) -> Tensor:
        order, frame = self.cursor.index, self.frames[self.cursor.index]
        places = self.places[order]
        flat, observed = self._in_frame(canvas, hidden)
        tokens = flat.long().masked_fill(~observed, self.levels)[:, :, places].transpose(1, 2)  # (B, P, C)
        rows, columns = self.row(places // frame.columns), self.column(places % frame.columns)
        inputs = self.value(tokens + self.offsets).sum(2) + rows + columns
        if self.which_order:
            inputs = inputs + self.which_order.weight[order]
        if self.window:
            maps = self._maps(flat, observed, self.window.weight.dtype)
            inputs = inputs + self.window(maps).flatten(2)[:, :, places].transpose(1, 2)
        return torch.cat([inputs, self.stack(inputs)], dim=-1)


class ConvolutionalEncoder(Encoder):
    """A U-Net. It reads the observed values, a map that tells which are observed, and with several orders a map for each of
    them, which is 1 for the current one and else 0."""

    which_order: Tensor  # (orders, orders), the identity

    def __init__(self, shape: Shape, levels: int, cursor: OrderCursor, cell: MakeCell, o: "SequenceOptions"):
        super().__init__(levels, cursor)
        self.features, orders = o.encoder_width, len(self.frames)
        self.register_buffer("which_order", torch.eye(orders), persistent=False)
        self.network = UNet(shape[0] + 1 + (orders if orders > 1 else 0), o.encoder_width, o.encoder_depth)

    def forward(self, canvas: Tensor, hidden: Tensor) -> Tensor:
        order = self.cursor.index
        maps = self._maps(*self._in_frame(canvas, hidden), self.network.first.weight.dtype)
        if len(self.frames) > 1:
            which = self.which_order[order, None, :, None, None].to(maps.dtype)
            maps = torch.cat([maps, which.expand(len(maps), -1, *maps.shape[2:])], 1)
        return self.network(maps).flatten(2)[:, :, self.places[order]].transpose(1, 2)


class UNet(nn.Module):
    """Features of each pixel from maps around it: residual blocks at the full, the half and a quarter of the size, and back.

    maps (batch, inputs, height, width) -> (batch, width, height, width). After Ronneberger et al. 2015, with the residual
    blocks of He et al. 2016. Beyond the border, maps are 0.
    """

    def __init__(self, inputs: int, width: int, depth: int):
        super().__init__()
        half, quarter = width * 5 // 3, width * 8 // 3
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(width, half, 2, stride=2), nn.Conv2d(half, quarter, 2, stride=2)])
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(quarter, half, 2, stride=2), nn.ConvTranspose2d(half, width, 2, stride=2)]
        )
        self.before = nn.ModuleList([blocks(width, 1), blocks(half, depth), blocks(quarter, depth)])
        self.after = nn.ModuleList([blocks(half, 1), blocks(width, 1)])

    def forward(self, maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        maps = F.pad(maps, (0, -width % 4, 0, -height % 4)).contiguous(memory_format=torch.channels_last)
        full = self.before[0](self.first(maps))
        half = self.before[1](self.down[0](full))
        quarter = self.before[2](self.down[1](half))
        half = self.after[0](half + self.up[0](quarter))
        return self.after[1](full + self.up[1](half))[..., :height, :width]


class Residual(nn.Module):
    """Two 3×3 convolutions whose result is added to the input; at first it is 0."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(cast(Tensor, self.second.bias))

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.second(F.gelu(self.first(F.gelu(maps))))


def blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*[Residual(width) for _ in range(depth)])


ENCODERS: dict[str, type[RecurrentEncoder] | type[ConvolutionalEncoder]] = {
    "recurrent": RecurrentEncoder,
    "convolutional": ConvolutionalEncoder,
}
