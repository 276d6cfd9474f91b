"""The options of all models with their defaults, each written once; conf/model/ has the same for the command line.

A constructor takes them as keywords, model.options holds them, and config.json of a saved model lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS, Likelihood
from pixelrnn.pixels import MAX_LEVELS
from pixelrnn.registry import configure

Shape = tuple[int, int, int]  # (channels, height, width)


def check_form(shape: Sequence[int], levels: int) -> Shape:
    """The shape as a tuple; UserError unless a model can be made for images of this shape and number of levels."""
    if len(shape) != 3 or min(shape) < 1 or shape[0] not in (1, 3):
        raise UserError(f"shape={tuple(shape)}: it is (channels, height, width) with 1 or 3 channels")
    if not 2 <= levels <= MAX_LEVELS:
        raise UserError(f"levels={levels}: an image has 2 to {MAX_LEVELS} levels")
    return (int(shape[0]), int(shape[1]), int(shape[2]))


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The options of every model."""

    ordering: str | Mapping[str, Any] | Tensor = "raster"  # a name, {"name": …, option: value}, or the order itself
    orders: str | Sequence[Any] | None = None  # "symmetries" or a list of orderings: a p(x) for each, shared weights
    likelihood: str | Mapping[str, Any] = "categorical"  # a name, or {"name": …, option: value}

    def __post_init__(self) -> None:
        """UserError unless each number of units, layers, … is at least 1. A window may be 0: none."""
        for field in fields(self):
            if field.type is int and getattr(self, field.name) < 1 and field.name != "window":
                raise UserError(f"{field.name}={getattr(self, field.name)}: it is at least 1")

    def build_orders(self, shape: Shape) -> Tensor:
        """The orders, int64 (orders, pixels), each once; the first is the default."""
        return orderings.build_all(self.ordering, self.orders, shape[1], shape[2])

    def build_likelihood(self, features: int, shape: Shape, levels: int) -> Likelihood:
        """A likelihood of one pixel given a number of features."""
        return configure("likelihood", self.likelihood, LIKELIHOODS)(features, shape[0], levels)


@dataclass(frozen=True, kw_only=True)
class SequenceOptions(ModelOptions):
    """The options of SequenceRNN."""

    cell: str = "lstm"  # a name in pixelrnn.cell.CELLS
    width: int = 256  # units of each layer
    depth: int = 2  # layers
    window: int = 0  # side of the causal window around the next pixel, odd; 0: none
    embedding: int = 64  # size of the inputs' embeddings
    dropout: float = 0.0  # on each layer's outputs
    residual: bool = False  # add a layer's inputs to its outputs, from the second layer on
    layer_norm: bool = False  # normalise each layer's outputs
    bidirectional: bool = False  # an encoder of the observed pixels, also those that come later
    encoder_width: int = 64  # its units in each direction
    encoder_depth: int = 1  # its layers

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout={self.dropout}: it is in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class RasterOptions(ModelOptions):
    """The options of the paper's two-dimensional models."""

    width: int = 16  # the paper's h, units of each gate; between layers there are 2·width features
    depth: int = 7  # layers
    head: int = 64  # features of the output's hidden layer
    residual: bool = True  # add a layer's inputs to its outputs
    skip: bool = False  # connect each layer with the output


@dataclass(frozen=True, kw_only=True)
class RowLSTMOptions(RasterOptions):
    """The options of RowLSTM."""

    kernel: int = 3  # pixels of the convolutions along the row, odd


@dataclass(frozen=True, kw_only=True)
class MultiScaleOptions(RasterOptions):
    """The options of MultiScale; width and depth are those of the full image's network."""

    layer: str = "row_lstm"  # or diagonal_bilstm, pixelcnn: in both networks
    scale: int = 2  # the small image is every scale-th pixel of every scale-th row
    small_width: int = 16  # the width of the small image's network
    small_depth: int = 7  # its depth
    upsampled: int = 32  # features of the small image that the full image's network is given
