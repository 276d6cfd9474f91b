"""SequenceRNN: a stacked recurrent network over the pixels in any ordering.

After van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016), sections 2 and 3, in its
simplest form: the image is one sequence of pixels. Where it differs: the ordering is free; each step is told the place
of the pixel it predicts and, if asked, the known pixels around it; a pixel's channels are predicted inside one step; and
if asked, an encoder tells it of all observed pixels, also those that come later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from pixelrnn import ordering as orderings
from pixelrnn.cell import CELLS, Cell, Stack, State
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model.base import Model, check_form, check_sizes
from pixelrnn.model.encoder import Encoder
from pixelrnn.model.inputs import PixelInputs, at_step
from pixelrnn.ordering import Path
from pixelrnn.products import Packable, Product
from pixelrnn.registry import configure, lookup
from pixelrnn.states import Shared

SequenceState = tuple[list[State], Shared | None]


class SequenceRNN(Model, Packable):
    """p(x) = ∏_t p(x_t | h_t), where h_t is the output of a recurrent stack that has read x_<t.

    shape is (channels, height, width); levels the number of values a channel takes. `ordering` and `likelihood` are a
    name or {"name": …, option: value}; an order tensor serves as well. `orders`, "symmetries" or a list of orderings,
    makes one model of several p(x), with shared weights. width is that of every layer, embedding that of the inputs,
    window the side of the causal window (0: none). `bidirectional` adds an encoder of the observed pixels, of
    encoder_width units in each direction and encoder_depth layers, and makes p(x_hidden | x_observed) exact for any
    mask: with everything hidden, it is p(x). Raises UserError for an unknown name or a bad value.
    """

    position_as_tensor = True

    def __init__(
        self,
        shape: Sequence[int],
        levels: int,
        cell: str = "lstm",
        width: int = 256,
        depth: int = 2,
        ordering: str | Mapping[str, Any] | Tensor = "raster",
        orders: str | Sequence[Any] | None = None,
        likelihood: str | Mapping[str, Any] = "categorical",
        window: int = 0,
        embedding: int = 64,
        dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        bidirectional: bool = False,
        encoder_width: int = 64,
        encoder_depth: int = 1,
    ):
        shape = check_form(shape, levels)
        check_sizes(
            width=width, depth=depth, embedding=embedding, encoder_width=encoder_width, encoder_depth=encoder_depth
        )
        if not 0 <= dropout < 1:
            raise UserError(f"dropout={dropout}: it is in [0, 1)")
        arguments = {
            "cell": cell,
            "width": width,
            "depth": depth,
            "ordering": ordering,
            "orders": orders,
            "likelihood": likelihood,
            "window": window,
            "embedding": embedding,
            "dropout": dropout,
            "residual": residual,
            "layer_norm": layer_norm,
            "bidirectional": bidirectional,
            "encoder_width": encoder_width,
            "encoder_depth": encoder_depth,
        }
        super().__init__(shape, levels, orderings.build_all(ordering, orders, shape[1], shape[2]), arguments)
        paths, make_cell = _paths(self.orders, shape[1], shape[2]), lookup("cell", cell, CELLS)
        self.inputs = PixelInputs(shape, levels, self.followed, paths, embedding, window)
        self.stack = Stack(make_cell, embedding, width, depth, dropout, layer_norm, residual)
        self.likelihood = configure("likelihood", likelihood, LIKELIHOODS)(width, shape[0], levels)
        self.sees_ahead = bidirectional
        if bidirectional:
            sizes = (embedding, encoder_width, encoder_depth, window, dropout)
            self.encoder = Encoder(shape, levels, self.followed, paths, make_cell, *sizes)
            # What the encoder adds to the stack's inputs, and to its outputs. At first nothing: the model then is the
            # plain one, whose weights it may have been given (pixelrnn.checkpoint.initialise).
            self.decode = nn.Linear(self.encoder.features, embedding + width, bias=False)
            nn.init.zeros_(self.decode.weight)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        return self.read(images, 0, self.pixels, self.start(images, hidden))[0]  # (B, P, parameters)

    def start(self, canvas: Tensor, hidden: Tensor | None = None) -> SequenceState:
        """The state before step 0."""
        return self.stack.begin(len(canvas)), self._encode(canvas, hidden)

    def begin(self, canvas: Tensor, hidden: Tensor) -> SequenceState:
        first, _ = self.hidden_span(hidden)
        state = self.start(canvas, hidden)
        return self._run(canvas, 0, first, state)[1] if first else state

    def read(self, canvas: Tensor, start: int, stop: int, state: SequenceState) -> tuple[Tensor, SequenceState]:
        features, state = self._run(canvas, start, stop, state)
        return self.likelihood(features), state

    def step(self, canvas: Tensor, t: int | Tensor, state: SequenceState) -> tuple[Tensor, SequenceState]:
        """As in all models; t may be a tensor (1,) of a step after the first, for CUDA graphs."""
        states, encoded = state
        values, places, window, below = self.derived()
        if isinstance(t, int) and t == 0:
            projected = places[:1].repeat(len(canvas), 1)
        elif self.shape[0] == 1 and len(values) < len(canvas):  # the smaller sum first
            projected = self.inputs.look_up(values + at_step(places, t), self._before(canvas, t))
        else:
            projected = self.inputs.look_up(values, self._before(canvas, t)).add_(at_step(places, t))
        if self.inputs.window:
            projected = window(self.inputs.window.seen(canvas, t), projected)
        if encoded is None:
            features, states = self.stack.step(projected, states)
            return self.likelihood(features), (states, None)
        added = at_step(encoded.rows.transpose(0, 1), t)[0][encoded.index]
        inputs, outputs = self._split(added)
        features, states = self.stack.step(below(inputs, projected), states)
        return self.likelihood(features + outputs), (states, encoded)

    def _before(self, canvas: Tensor, t: int | Tensor) -> Tensor:
        """The pixel visited before step t > 0: uint8 (batch, channels)."""
        flat = canvas.flatten(2)
        if isinstance(t, int):  # a view instead of a gather
            return flat.select(2, self.visits[t - 1])
        return flat.index_select(2, self.order.index_select(0, t - 1)).select(2, 0)

    def derive(self) -> tuple[Tensor, Tensor, Product | None, Product]:
        """The first layer's input product of all that does not depend on a draw, so that a step has only to look it up:
        of each value, (values, gates), and of each step's place, (pixels, gates). And its product with what remains: the
        window's values, and the encoder's part."""
        first = cast(Cell, self.stack.layers[0])
        weight = self.inputs.value.weight
        bias = first.project(weight.new_zeros(1, first.inputs))
        matrix = first.project(torch.eye(first.inputs, dtype=weight.dtype, device=weight.device)) - bias
        places, window = self.inputs.derived()[0][0], None
        if self.inputs.window:
            of_values = self.inputs.window.values
            places, window = places + of_values.bias, Product((of_values.weight.t() @ matrix).t())
        return weight @ matrix, places @ matrix + bias, window, Product(matrix.t())

    def _run(self, canvas: Tensor, start: int, stop: int, state: SequenceState) -> tuple[Tensor, SequenceState]:
        """Features (batch, steps, width) of steps start to stop, in one pass, and the state after them."""
        states, encoded = state
        inputs = self.inputs(canvas, start, stop)
        if encoded is None:
            features, states = self.stack(inputs, states)
            return features, (states, None)
        below, above = self._split(encoded.rows[:, start:stop][encoded.index])
        features, states = self.stack(inputs + below, states)
        return features + above, (states, encoded)

    def _split(self, added: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder adds, to the stack's inputs and to its outputs."""
        below = self.encoder.embedding
        return added[..., :below], added[..., below:]

    def _encode(self, canvas: Tensor, hidden: Tensor | None) -> Shared | None:
        """What the encoder adds at every step, (images, pixels, embedding + width); None without an encoder.

        Images of which everything is hidden share a row: the encoder is told the same of all of them.
        """
        if not self.sees_ahead:
            return None
        if hidden is None:
            hidden = torch.ones_like(canvas[:, 0], dtype=torch.bool)
        blank = hidden.flatten(1).all(1)
        rows = torch.cat([(~blank).nonzero()[:, 0], blank.nonzero()[:1, 0]])
        index = torch.where(blank, len(rows) - 1, (~blank).cumsum(0) - 1)
        return Shared(self.decode(self.encoder(canvas[rows], hidden[rows])), index)


def _paths(orders: Tensor, height: int, width: int) -> list[Path]:
    """Each order as the first one through the mirrored or turned image, if it is that, else through the image itself."""
    image = orderings.symmetries(height, width)[0]
    return [orderings.path_like(order, orders[0], height, width) or Path(image, order) for order in orders]
