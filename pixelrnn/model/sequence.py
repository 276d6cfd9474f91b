"""SequenceRNN: a stacked recurrent network over the pixels in any order.

After van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks" (2016), sections 2 and 3, in its
simplest form: the image is one sequence of pixels. Where it differs: the order is free; each step gets the place of the
pixel it predicts and, with a window, the known pixels around it; a pixel's channels are predicted inside one step; and a
bidirectional model has an encoder that reads all observed pixels, also those that come later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from pixelrnn.cell import CELLS, Stack
from pixelrnn.cell.cells import Cell, State
from pixelrnn.errors import UserError
from pixelrnn.model.base import Model, ModelOptions, Shared, check_form
from pixelrnn.model.encoder import ENCODERS
from pixelrnn.model.inputs import PixelInputs, at_step
from pixelrnn.model.orders import hidden_span, paths_of
from pixelrnn.options import lookup
from pixelrnn.products import Packable, Product

SequenceState = tuple[list[State], Shared | None]


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
    encoder: str = "recurrent"  # its kind: recurrent, a bidirectional stack, or convolutional, a U-Net
    encoder_width: int = 64  # the stack's units in each direction; the U-Net's features at full size
    encoder_depth: int = 1  # the stack's layers; the U-Net's residual blocks at each of the smaller sizes

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup("encoder", self.encoder, ENCODERS)
        if self.encoder != SequenceOptions.encoder and not self.bidirectional:
            raise UserError(
                f"encoder={self.encoder}: only a bidirectional model has an encoder; add bidirectional=true, or set "
                f"encoder={SequenceOptions.encoder}"
            )


class SequenceRNN(Model, Packable):
    """p(x) = ∏_t p(x_t | h_t), where h_t is the output of a recurrent stack that has read x_<t.

    shape is (channels, height, width); levels is the number of values that a channel takes. `bidirectional` makes
    p(x_hidden | x_observed) exact for any mask; if everything is hidden, it is p(x). Raises UserError for an unknown name
    or a bad value.
    """

    Options = SequenceOptions
    position_as_tensor = True
    fixed_training = True

    def __init__(self, shape: Sequence[int], levels: int, **options: Any):
        (shape, levels), o = check_form(shape, levels), SequenceOptions(**options)
        make_cell, paths = lookup("cell", o.cell, CELLS), paths_of(o.build_orders(shape), *shape[1:])
        super().__init__(shape, levels, o, paths)
        self.inputs = PixelInputs(shape, levels, self.cursor, o.embedding, o.window)
        self.stack = Stack(make_cell, o.embedding, o.width, o.depth, o.dropout, o.layer_norm, o.residual)
        self.likelihood = o.build_likelihood(o.width, shape, levels)
        self.sees_ahead = o.bidirectional
        if o.bidirectional:
            self.encoder = ENCODERS[o.encoder](shape, levels, self.cursor, make_cell, o)
            # Adds the encoder's features to the stack's inputs and outputs. At first it adds nothing: the model then is
            # the plain one, whose weights it may have been given (pixelrnn.checkpoint.initialise).
            self.decode = nn.Linear(self.encoder.features, o.embedding + o.width, bias=False)
            nn.init.zeros_(self.decode.weight)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        return self.read(images, 0, self.pixels, self.start(images, hidden))[0]  # (B, P, parameters)

    def start(self, canvas: Tensor, hidden: Tensor | None = None) -> SequenceState:
        """The state before step 0."""
        return self.stack.begin(len(canvas)), self._encode(canvas, hidden)

    def begin(self, canvas: Tensor, hidden: Tensor) -> SequenceState:
        first, _ = hidden_span(hidden, self.order)
        state = self.start(canvas, hidden)
        return self._run(canvas, 0, first, state)[1] if first else state

    def read(self, canvas: Tensor, start: int, stop: int, state: SequenceState) -> tuple[Tensor, SequenceState]:
        features, state = self._run(canvas, start, stop, state)
        return self.likelihood(features), state

    def step(
        self, canvas: Tensor, t: int | Tensor, state: SequenceState, kind: Any = None
    ) -> tuple[Tensor, SequenceState]:
        """As in all models; for CUDA graphs t may be a tensor (1,), but not of step 0. There is one kind."""
        states, encoded = state
        d = self.derived()
        if isinstance(t, int) and t == 0:
            projected = d.places[:1].repeat(len(canvas), 1)
        elif self.shape[0] == 1 and len(d.values) < len(canvas):  # the smaller sum first
            projected = self.inputs.look_up(d.values + at_step(d.places, t), self._before(canvas, t))
        else:
            projected = self.inputs.look_up(d.values, self._before(canvas, t)).add_(at_step(d.places, t))
        if d.window and self.inputs.window:
            projected = d.window(self.inputs.window.seen(canvas, t), projected)
        if encoded is None:
            features, states = self.stack.step(projected, states)
            return self.likelihood(features), (states, None)
        below, above = self._split(at_step(encoded.rows.transpose(0, 1), t)[0][encoded.index])
        features, states = self.stack.step(d.inputs(below, projected), states)
        return self.likelihood(features + above), (states, encoded)

    def _before(self, canvas: Tensor, t: int | Tensor) -> Tensor:
        """The pixel visited before step t > 0: uint8 (batch, channels)."""
        flat = canvas.flatten(2)
        if isinstance(t, int):  # a view instead of a gather
            return flat.select(2, self.cursor.visits[t - 1])
        return flat.index_select(2, self.order.index_select(0, t - 1)).select(2, 0)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        """The first layer's products with everything that does not depend on a draw, so that a step only looks them up."""
        first = cast(Cell, self.stack.layers[0])
        weight = self.inputs.value.weight
        bias = first.project(weight.new_zeros(1, first.inputs))
        matrix = first.project(torch.eye(first.inputs, dtype=weight.dtype, device=weight.device)) - bias
        places, window = self.inputs.derived(), None
        if self.inputs.window:
            values = self.inputs.window.values
            places, window = places + values.bias, product((values.weight.t() @ matrix).t())
        return SimpleNamespace(
            values=weight @ matrix,  # (channels · levels, gates)
            places=places @ matrix + bias,  # (pixels, gates)
            window=window,  # of the window's values
            inputs=product(matrix.t()),  # of any other input: the encoder's
        )

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
        """The encoder's part of the stack's inputs, and of its outputs."""
        below = self.inputs.value.embedding_dim
        return added[..., :below], added[..., below:]

    def _encode(self, canvas: Tensor, hidden: Tensor | None) -> Shared | None:
        """The encoder's part of every step, (images, pixels, embedding + width); None without an encoder.

        Images of which everything is hidden share a row, because the encoder reads the same in all of them; not in training,
        where to count them would wait for a GPU.
        """
        if not self.sees_ahead:
            return None
        if hidden is None:
            hidden = torch.ones_like(canvas[:, 0], dtype=torch.bool)
        if self.training:
            return Shared(self.decode(self.encoder(canvas, hidden)), torch.arange(len(canvas), device=canvas.device))
        blank = hidden.flatten(1).all(1)
        rows = torch.cat([(~blank).nonzero()[:, 0], blank.nonzero()[:1, 0]])
        index = torch.where(blank, len(rows) - 1, (~blank).cumsum(0) - 1)
        return Shared(self.decode(self.encoder(canvas[rows], hidden[rows])), index)
