"""The paper's two-dimensional models, which visit an image row by row: what they share.

Where all of them differ from van den Oord et al. 2016:
- a pixel's channels are predicted inside one step by the likelihood, R, then G given R, then B given both, instead of by
  masked groups of features. It is as exact a factorisation of p(pixel | pixels before), and sampling takes a third of
  the steps for RGB;
- beside the values, the first convolution reads a map of ones, so that the border differs from grey;
- the order may be any of the raster's eight symmetries, so that any half of an image can come last, or several of them,
  with shared weights and an embedding of the order. The weights are those of the image in the order's frame, turned so
  that it is visited row by row from the left.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model.base import Model, check_form
from pixelrnn.model.inputs import CausalWindow, causal_windows
from pixelrnn.model.paper.layers import Layer, LineState
from pixelrnn.model.paper.network import FIRST, Network
from pixelrnn.ordering import Path
from pixelrnn.registry import configure


class RasterModel(Model):
    """p(x) = ∏_t p(x_t | features of the pixels before), in the raster order or one of its eight symmetries.

    shape is (channels, height, width); levels the number of values a channel takes. width is the paper's h, the units
    of each gate; between layers there are 2·width features. `residual` adds a layer's inputs to its outputs, `skip` its
    outputs to the head, which has `head` features. Raises UserError for a bad value or another ordering.
    """

    make_layer: ClassVar[Callable[..., Layer]]

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        width: int = 16,
        depth: int = 7,
        ordering: str | Mapping[str, Any] | Tensor = "raster",
        orders: str | Sequence[Any] | None = None,
        likelihood: str | Mapping[str, Any] = "categorical",
        head: int = 64,
        residual: bool = True,
        skip: bool = False,
        **layer_options: Any,
    ):
        shape = check_form(shape, levels)
        arguments = {
            "width": width,
            "depth": depth,
            "ordering": ordering,
            "orders": orders,
            "likelihood": likelihood,
            "head": head,
            "residual": residual,
            "skip": skip,
            **layer_options,
        }
        followed_orders = orderings.build_all(ordering, orders, shape[1], shape[2])
        super().__init__(shape, levels, followed_orders, arguments)
        paths = [raster_path(order, shape[1], shape[2]) for order in followed_orders]
        self.network = Network(
            partial(self.make_layer, **layer_options),
            partial(CausalWindow, shape[0], levels, self.followed, *causal_windows(paths, FIRST)),
            self.followed,
            [(path.frame.rows, path.frame.columns) for path in paths],
            width,
            depth,
            head,
            residual,
            skip,
        )
        self.likelihood = configure("likelihood", likelihood, LIKELIHOODS)(head, shape[0], levels)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        return self.likelihood(self.network(images))

    def begin(self, canvas: Tensor, hidden: Tensor) -> list[LineState]:
        return self.network.begin(canvas, self.hidden_span(hidden)[0])

    def step(self, canvas: Tensor, t: int, state: list[LineState]) -> tuple[Tensor, list[LineState]]:
        features, state = self.network.step(canvas, t, state)
        return self.likelihood(features), state


def raster_path(order: Tensor, height: int, width: int) -> Path:
    """The frame that an order visits row by row; UserError unless it is one of the raster's symmetries."""
    path = orderings.path_like(order.cpu(), torch.arange(height * width, device="cpu"), height, width)
    if path is None:
        raise UserError(
            "this model visits an image row by row or column by column; take ordering=raster or ordering=column, with any "
            "of ordering.transforms=[flip_rows, flip_columns, transpose, reverse]"
        )
    return path
