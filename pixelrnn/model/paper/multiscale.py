"""Multi-scale (van den Oord et al. 2016, section 3.4): first a small image, then the full one given it.

The paper: an unconditional PixelRNN draws a small image, taken from the full one by leaving pixels out; a conditional
PixelRNN draws the full image, with a small network's up-sampled features of the small image added to every layer's
input-to-state map. Where we differ: the pixels of the small image are pixels of the full one, so they are not predicted
a second time. The whole is then an autoregressive model with an order of its own, the small image's pixels first, and
p(x) = p(small) p(rest | small) is exact and sums to 1, whereas predicting them twice gives a lower bound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.model.base import Model, check_form
from pixelrnn.model.orders import Frame, Path, hidden_span, symmetries
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTMLayer
from pixelrnn.model.paper.pixelcnn import PixelCNNLayer
from pixelrnn.model.paper.raster import Layer, LineState, Network, RasterOptions, raster_path
from pixelrnn.model.paper.row_lstm import RowLSTMLayer
from pixelrnn.options import lookup

# Whether a step is one of the small image, and whether each pixel that it reads begins a row of its network's image.
Reads = tuple[bool, tuple[bool, ...]]
# The states of the small and of the full image's network, and the small image's features for the full one.
MultiScaleState = tuple[list[LineState], list[LineState], Tensor]

LAYERS: dict[str, Callable[[int], Layer]] = {
    "row_lstm": RowLSTMLayer,
    "diagonal_bilstm": DiagonalBiLSTMLayer,
    "pixelcnn": PixelCNNLayer,
}


@dataclass(frozen=True, kw_only=True)
class MultiScaleOptions(RasterOptions):
    """The options of MultiScale; width and depth are those of the full image's network."""

    layer: str = "row_lstm"  # or diagonal_bilstm, pixelcnn: in both networks
    scale: int = 2  # the small image is every scale-th pixel of every scale-th row
    small_width: int = 16  # the width of the small image's network
    small_depth: int = 7  # its depth
    upsampled: int = 32  # features of the small image that the full image's network is given


class MultiScale(Model):
    """p(x) = p(small) p(rest | small), where `small` is every scale-th pixel of every scale-th row.

    Both networks have layers of the same kind, the same likelihood, and the same of the raster's symmetries as `ordering`
    or `orders`. Raises UserError for a bad value.
    """

    Options = MultiScaleOptions
    position_as_tensor = True
    fixed_training = True
    rest: Tensor

    def __init__(self, shape: Sequence[int], levels: int, **options: Any):
        (shape, levels), o = check_form(shape, levels), MultiScaleOptions(**options)
        if not 2 <= o.scale <= max(2, min(shape[1:])):
            raise UserError(f"scale={o.scale}: the small image keeps every scale-th pixel; it is 2 to the image's side")
        make_layer = lookup("layer", o.layer, LAYERS)
        frames = [_frame(order.cpu(), shape[1], shape[2], o.scale) for order in o.build_orders(shape)]
        parts = [coarse_to_fine(frame, o.scale) for frame in frames]
        super().__init__(
            shape, levels, o, [Path(frame, torch.cat(part)) for frame, part in zip(frames, parts, strict=True)]
        )
        self.scale, self.small_pixels = o.scale, len(parts[0][0])
        # Places in the full frame of the pixels outside the small image, in the order of the visit: (orders, pixels).
        self.register_buffer("rest", torch.stack([rest for _, rest in parts]), persistent=False)
        self.rest_places: list[list[int]] = self.rest.tolist()

        small_frames = [
            Frame(frame.pixels[small], -(-frame.rows // o.scale), -(-frame.columns // o.scale))
            for frame, (small, _) in zip(frames, parts, strict=True)
        ]
        small_options = replace(o, width=o.small_width, depth=o.small_depth)
        self.small_frames, common = small_frames, (shape, levels, self.cursor)
        self.small = Network(*common, small_frames, make_layer, small_options)
        self.full = Network(*common, frames, make_layer, o, condition=o.upsampled)
        self.upsample = nn.Sequential(
            nn.Conv2d(shape[0] + 1, o.upsampled, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(o.upsampled, o.upsampled, o.scale, stride=o.scale),
            nn.ReLU(),
            nn.Conv2d(o.upsampled, o.upsampled, 3, padding=1),
        )
        self.likelihood = o.build_likelihood(o.head, shape, levels)

    @property
    def parts(self) -> dict[str, Tensor]:
        hidden = torch.ones(self.pixels, dtype=torch.bool, device=self.order.device)
        hidden[self.order[: self.small_pixels]] = False
        small = self.small_frames[self.cursor.index]
        return {f"all but the small {small.rows}x{small.columns} image": hidden.view(self.shape[1:])}

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        full = self.full(images, self._condition(images))
        return self.likelihood(torch.cat([self.small(images), full[:, self.rest[self.cursor.index]]], 1))

    def _condition(self, canvas: Tensor) -> Tensor:
        """Features of the small image for the full one, in its frame: (batch, rows, columns, upsampled)."""
        order = self.cursor.index
        weight, frame, small = self.upsample[0].weight, self.full.frames[order], self.small_frames[order]
        levels = canvas.flatten(2)[:, :, self.order[: self.small_pixels]].unflatten(-1, (small.rows, small.columns))
        values = levels.to(weight.dtype) * (2 / (self.levels - 1)) - 1
        with_ones = F.pad(values, (0, 0, 0, 0, 0, 1), value=1.0)  # one more channel, which marks the border
        return self.upsample(with_ones)[..., : frame.rows, : frame.columns].permute(0, 2, 3, 1)

    def begin(self, canvas: Tensor, hidden: Tensor) -> MultiScaleState:
        first, _ = hidden_span(hidden, self.order)
        small = self.small.begin(canvas, first) if first <= self.small_pixels else []
        condition = self._condition(canvas)
        return small, self.full.begin(canvas, self._reached(first), condition), condition

    def kind(self, t: int) -> Reads | None:
        return None if t in (0, self.small_pixels) else self._reads(t)

    def step(
        self, canvas: Tensor, t: int | Tensor, state: MultiScaleState, kind: Any = None
    ) -> tuple[Tensor, MultiScaleState]:
        """As in all models; the step after the small image's last one gives the full image's network the small image."""
        small, full, condition = state
        in_small, opens = self._reads(t) if isinstance(t, int) else kind
        if in_small:
            return self.likelihood(self.small.step(canvas, t, small, opens[0])), state
        if isinstance(t, int):
            last: int | Tensor = self._reached(t + 1) - 1
            if t == self.small_pixels:
                condition.copy_(self._condition(canvas))
        else:
            last = self.rest[self.cursor.index].index_select(0, t - self.small_pixels)
        for i, begins_row in enumerate(opens, 1 - len(opens)):
            features = self.full.step(canvas, last + i, full, begins_row, condition)
        return self.likelihood(features), state

    def _reads(self, t: int) -> Reads:
        """Say what step t reads: those pixels of the small image that the full image's network has yet to see, then t's."""
        if t < self.small_pixels:
            return True, (self.small.opens(t),)
        return False, tuple(self.full.opens(place) for place in range(self._reached(t), self._reached(t + 1)))

    def _reached(self, t: int) -> int:
        """The place in the full frame that its network reads next at step t."""
        places = self.rest_places[self.cursor.index]
        return places[t - self.small_pixels - 1] + 1 if t > self.small_pixels else 0


def coarse_to_fine(frame: Frame, scale: int) -> tuple[Tensor, Tensor]:
    """The places in a frame of the small image's pixels, and of all others: int64, each in raster order."""
    places = torch.arange(frame.rows * frame.columns, device="cpu").view(frame.rows, frame.columns)
    is_small = torch.zeros_like(places, dtype=torch.bool)
    is_small[::scale, ::scale] = True
    return places[is_small], places[~is_small]


def _frame(order: Tensor, height: int, width: int, scale: int) -> Frame:
    """The frame that an order visits row by row, or from coarse to fine, as the order of a saved model does."""
    for frame in symmetries(height, width):
        if torch.equal(frame.pixels[torch.cat(coarse_to_fine(frame, scale))], order):
            return frame
    return raster_path(order, height, width).frame
