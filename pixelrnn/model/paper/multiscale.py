"""Multi-scale (van den Oord et al. 2016, section 3.4): first a small image, then the full one given it.

The paper: an unconditional PixelRNN draws a small image, taken from the full one by leaving pixels out; a conditional
PixelRNN draws the full image, with a small network's up-sampled features of the small image added to every layer's
input-to-state map. Where we differ: the pixels of the small image are pixels of the full one, so they are not predicted
a second time. The whole is then an autoregressive model with an ordering of its own, the small image's pixels first,
and p(x) = p(small) p(rest | small) is exact and sums to 1, where predicting them twice gives a lower bound.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model.base import Model, Shape, check_form, check_sizes
from pixelrnn.model.inputs import CausalWindow, causal_windows
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTM
from pixelrnn.model.paper.layers import LineState
from pixelrnn.model.paper.network import FIRST, Network
from pixelrnn.model.paper.pixelcnn import PixelCNN
from pixelrnn.model.paper.raster import RasterModel, raster_path
from pixelrnn.model.paper.row_lstm import RowLSTM
from pixelrnn.ordering import Frame, Path, symmetries
from pixelrnn.registry import configure, lookup

LAYERS: dict[str, type[RasterModel]] = {"row_lstm": RowLSTM, "diagonal_bilstm": DiagonalBiLSTM, "pixelcnn": PixelCNN}


class MultiScale(Model):
    """p(x) = p(small) p(rest | small), where `small` is every scale-th pixel of every scale-th row.

    Both networks have layers of the same kind and the same likelihood; `width`, `depth` and `head` are the full
    image's, `small_width` and `small_depth` the small one's; `upsampled` is the number of features that the full one
    is given of the small image. `ordering` is any of the raster's symmetries, `orders` several of them, and those of
    both networks. Raises UserError for a bad value.
    """

    rest: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        layer: str = "row_lstm",
        scale: int = 2,
        width: int = 16,
        depth: int = 7,
        small_width: int = 16,
        small_depth: int = 7,
        ordering: str | Mapping[str, Any] | Tensor = "raster",
        orders: str | Sequence[Any] | None = None,
        likelihood: str | Mapping[str, Any] = "categorical",
        head: int = 64,
        upsampled: int = 32,
        residual: bool = True,
        skip: bool = False,
    ):
        shape = check_form(shape, levels)
        channels, height, columns = shape
        if not 2 <= scale <= max(2, min(height, columns)):
            raise UserError(f"scale={scale}: the small image keeps every scale-th pixel; it is 2 to the image's side")
        check_sizes(small_width=small_width, small_depth=small_depth, upsampled=upsampled)
        arguments = {
            "layer": layer,
            "scale": scale,
            "width": width,
            "depth": depth,
            "small_width": small_width,
            "small_depth": small_depth,
            "ordering": ordering,
            "orders": orders,
            "likelihood": likelihood,
            "head": head,
            "upsampled": upsampled,
            "residual": residual,
            "skip": skip,
        }
        rasters = [_raster(order, shape, scale) for order in orderings.build_all(ordering, orders, height, columns)]
        paths = [raster_path(raster, height, columns) for raster in rasters]
        grids = [(path.frame.rows, path.frame.columns) for path in paths]
        parts = [coarse_to_fine(grid, scale) for grid in grids]
        both = torch.stack([raster[torch.cat(part)] for raster, part in zip(rasters, parts, strict=True)])
        super().__init__(shape, levels, both, arguments)
        self.scale, self.small_pixels = scale, len(parts[0][0])
        self.grids, self.small_grids = grids, [(-(-rows // scale), -(-columns // scale)) for rows, columns in grids]
        # Places in the full frame of what is not in the small image, in the order of the visit: (orders, pixels).
        self.register_buffer("rest", torch.stack([rest for _, rest in parts]), persistent=False)
        self.places: list[list[int]] = [rest.tolist() for _, rest in parts]

        make_layer = lookup("layer", layer, LAYERS).make_layer
        make_window = partial(CausalWindow, channels, levels, self.followed)
        make_network = partial(Network, make_layer, followed=self.followed, head=head, residual=residual, skip=skip)
        places = torch.arange(self.small_pixels, device="cpu")
        small_frames = [Frame(order[places], *grid) for order, grid in zip(both, self.small_grids, strict=True)]
        window = partial(make_window, *causal_windows([Path(frame, places) for frame in small_frames], FIRST))
        self.small = make_network(window=window, grids=self.small_grids, width=small_width, depth=small_depth)
        window = partial(make_window, *causal_windows(paths, FIRST))
        self.full = make_network(window=window, grids=grids, width=width, depth=depth, condition=upsampled)
        self.upsample = nn.Sequential(
            nn.Conv2d(channels + 1, upsampled, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(upsampled, upsampled, scale, stride=scale),
            nn.ReLU(),
            nn.Conv2d(upsampled, upsampled, 3, padding=1),
        )
        self.likelihood = configure("likelihood", likelihood, LIKELIHOODS)(head, channels, levels)

    @property
    def parts(self) -> dict[str, Tensor]:
        hidden = torch.ones(self.pixels, dtype=torch.bool, device=self.order.device)
        hidden[self.order[: self.small_pixels]] = False
        rows, columns = self.small_grids[self.followed.index]
        return {f"all but the small {rows}x{columns} image": hidden.view(self.shape[1:])}

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        full = self.full(images, self._condition(images))
        return self.likelihood(torch.cat([self.small(images), full[:, self.rest[self.followed.index]]], 1))

    def _condition(self, canvas: Tensor) -> Tensor:
        """What the full image is told of the small one, in its frame: (batch, rows, columns, upsampled)."""
        weight, order = self.upsample[0].weight, self.followed.index
        values = canvas.flatten(2)[:, :, self.order[: self.small_pixels]].unflatten(-1, self.small_grids[order])
        small = F.pad(values.to(weight.dtype) * (2 / (self.levels - 1)) - 1, (0, 0, 0, 0, 0, 1), value=1.0)  # and ones
        rows, columns = self.grids[order]
        return self.upsample(small)[..., :rows, :columns].permute(0, 2, 3, 1)

    def begin(self, canvas: Tensor, hidden: Tensor) -> list[LineState]:
        first, _ = self.hidden_span(hidden)
        if first <= self.small_pixels:
            return self.small.begin(canvas, first)
        return self.full.begin(canvas, self._reached(first), self._condition(canvas))

    def step(self, canvas: Tensor, t: int, state: list[LineState]) -> tuple[Tensor, list[LineState]]:
        """As in all models; the step after the small image's last one begins the full image."""
        if t < self.small_pixels:
            features, state = self.small.step(canvas, t, state)
            return self.likelihood(features), state
        if t == self.small_pixels:
            state = self.full.begin(canvas, 0, self._condition(canvas))
        for place in range(self._reached(t), self._reached(t + 1)):  # pixels of the small image, and t's
            features, state = self.full.step(canvas, place, state)
        return self.likelihood(features), state

    def _reached(self, t: int) -> int:
        """The place in the full frame up to which its network has read before step t."""
        places = self.places[self.followed.index]
        return places[t - self.small_pixels - 1] + 1 if t > self.small_pixels else 0


def coarse_to_fine(grid: tuple[int, int], scale: int) -> tuple[Tensor, Tensor]:
    """The places in a frame of the small image's pixels, and of all others: int64, each in raster order."""
    places = torch.arange(grid[0] * grid[1], device="cpu").view(grid)
    is_small = torch.zeros(grid, dtype=torch.bool, device="cpu")
    is_small[::scale, ::scale] = True
    return places[is_small], places[~is_small]


def _raster(order: Tensor, shape: Shape, scale: int) -> Tensor:
    """The symmetry of the raster that an order means: itself, or the one whose coarse-to-fine order it is (a saved one)."""
    for frame in symmetries(*shape[1:]):
        if torch.equal(frame.pixels[torch.cat(coarse_to_fine((frame.rows, frame.columns), scale))], order.cpu()):
            return frame.pixels
    return order.cpu()
