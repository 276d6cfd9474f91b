"""SequenceRNN: a stacked recurrent network over the pixels in any ordering.

After van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016), sections 2 and 3, in its
simplest form: the image is one sequence of pixels. Where it differs: the ordering is free; each step is told the place
of the pixel it predicts and, if asked, the known pixels around it; a pixel's channels are predicted inside one step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.cell import CELLS, Stack, State
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model.contract import Model, check_form, check_sizes
from pixelrnn.model.inputs import PixelInputs
from pixelrnn.plugins import configure, lookup


class SequenceRNN(Model):
    """p(x) = ∏_t p(x_t | h_t), where h_t is the output of a recurrent stack that has read x_<t.

    shape is (channels, height, width); levels the number of values a channel takes. `ordering` and `likelihood` are a
    name or {"name": …, option: value}; an order tensor serves as well. width is that of every layer, embedding that of
    the inputs, window the side of the causal window (0: none). Raises UserError for an unknown name or a bad value.
    """

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        cell: str = "lstm",
        width: int = 256,
        depth: int = 2,
        ordering: str | Mapping[str, Any] | Tensor = "raster",
        likelihood: str | Mapping[str, Any] = "categorical",
        window: int = 0,
        embedding: int = 64,
        dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
    ):
        shape = check_form(shape, levels)
        check_sizes(width=width, depth=depth, embedding=embedding)
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}: it is in [0, 1)")
        arguments = {
            "cell": cell,
            "width": width,
            "depth": depth,
            "ordering": ordering,
            "likelihood": likelihood,
            "window": window,
            "embedding": embedding,
            "dropout": dropout,
            "residual": residual,
            "layer_norm": layer_norm,
        }
        order = orderings.build(ordering, shape[1], shape[2])
        super().__init__(shape, levels, order, arguments)
        self.inputs = PixelInputs(shape, levels, order, embedding, window)
        self.stack = Stack(lookup("cell", cell, CELLS), embedding, width, depth, dropout, layer_norm, residual)
        self.likelihood = configure("likelihood", likelihood, LIKELIHOODS)(width, shape[0], levels)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        features, _ = self.stack(self.inputs(images, 0, self.pixels), self.stack.begin(len(images)))
        return self.likelihood(features)  # (B, P, parameters)

    def begin(self, canvas: Tensor, hidden: Tensor) -> list[State]:
        first, _ = self.hidden_span(hidden)
        states = self.stack.begin(len(canvas))
        if first > 0:
            _, states = self.stack(self.inputs(canvas, 0, first), states)
        return states

    def step(self, canvas: Tensor, t: int, state: list[State]) -> tuple[Tensor, list[State]]:
        features, state = self.stack.step(self.inputs(canvas, t, t + 1)[:, 0], state)
        return self.likelihood(features), state
