"""The paper's two-dimensional models, which visit an image row by row: their common part.

Where all of them differ from van den Oord et al. 2016:
- a pixel's channels are predicted inside one step by the likelihood, R, then G given R, then B given both, instead of by
  masked groups of features. It is as exact a factorisation of p(pixel | pixels before), and sampling takes a third of
  the steps for RGB;
- beside the values, the first convolution reads a map of ones, so that the border differs from grey;
- the order may be any of the raster's eight symmetries, so that any half of an image can come last, or several of them,
  with shared weights and an embedding of the order. The weights belong to the image in the order's frame, turned so that
  it is visited row by row from the left.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.model.base import Model
from pixelrnn.model.options import RasterOptions, check_form
from pixelrnn.model.orders import Path, hidden_span, path_like
from pixelrnn.model.paper.layers import Layer, LineState
from pixelrnn.model.paper.network import Network


class RasterModel(Model):
    """p(x) = ∏_t p(x_t | features of the pixels before), in the raster order or one of its eight symmetries.

    shape is (channels, height, width); levels is the number of values that a channel takes. Raises UserError for a bad
    value or another ordering.
    """

    Options = RasterOptions

    def __init__(self, shape: Sequence[int], levels: int, **options: Any):
        shape, o = check_form(shape, levels), self.Options(**options)
        paths = [raster_path(order, shape[1], shape[2]) for order in o.build_orders(shape)]
        super().__init__(shape, levels, o, paths)
        self.network = Network(shape, levels, self.cursor, paths, self.make_layer, o)
        self.likelihood = o.build_likelihood(o.head, shape, levels)

    @abstractmethod
    def make_layer(self, width: int) -> Layer:
        """A new layer of this kind."""

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        return self.likelihood(self.network(images))

    def begin(self, canvas: Tensor, hidden: Tensor) -> list[LineState]:
        return self.network.begin(canvas, hidden_span(hidden, self.order)[0])

    def step(self, canvas: Tensor, t: int, state: list[LineState]) -> tuple[Tensor, list[LineState]]:
        features, state = self.network.step(canvas, t, state)
        return self.likelihood(features), state


def raster_path(order: Tensor, height: int, width: int) -> Path:
    """The path through the frame that an order visits row by row; UserError if it is no symmetry of the raster."""
    path = path_like(order.cpu(), torch.arange(height * width, device="cpu"), height, width)
    if path is None:
        raise UserError(
            "this model visits an image row by row or column by column; take ordering=raster or ordering=column, with any "
            "of ordering.transforms=[flip_rows, flip_columns, transpose, reverse]"
        )
    return path
