"""InpaintingRNN: a recurrent network that reads the hidden pixels alone, given a convolutional encoder of the observed ones.

The other models step through all pixels of an image of one size. Here the sequence is the hidden pixels, of any number and
in any order, so the cost grows with the hole and not with the image; everything observed is told by the encoder, before the
first step. No weight belongs to a place in the image, so the model is the same everywhere in a picture. The encoder and the
distribution begin where classical inpainting ends: with the smooth fills of the hole (pixelrnn/model/smooth.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from pixelrnn.cell import CELLS, Stack
from pixelrnn.cell.cells import Cell, State
from pixelrnn.errors import UserError
from pixelrnn.model.base import Model, ModelOptions, Shared, check_form
from pixelrnn.model.encoder import UNet
from pixelrnn.model.inputs import causal_windows, which_order
from pixelrnn.model.orders import paths_of
from pixelrnn.model.smooth import smooth_fills
from pixelrnn.options import lookup
from pixelrnn.pixels import check_hidden, check_images, to_sequence
from pixelrnn.products import Packable, Product

AT_ONCE = 2**16  # pixels that are encoded at a time on a CPU: more do not fit in its caches, and take a third longer
RESIDUAL = 4.0  # differences from the expected values are small; this brings them nearer to 1
ROUNDING = 2e-5  # about the mean squared error of rounding to 256 levels in [-1, 1]
InpaintingState = tuple[list[State], Shared, Tensor]  # with the step of the pixel drawn last, -1 if there is none


@dataclass(frozen=True, kw_only=True)
class InpaintingOptions(ModelOptions):
    """The options of InpaintingRNN."""

    cell: str = "lstm"  # a name in pixelrnn.cell.CELLS
    width: int = 96  # units of each recurrent layer
    depth: int = 1  # recurrent layers
    window: int = 7  # side of the window of the pixels drawn before, odd
    embedding: int = 32  # features of that window
    head: int = 128  # features of the output's hidden layer
    dropout: float = 0.0  # on each recurrent layer's outputs
    encoder_width: int = 48  # the encoder's features at full size; 5/3 of them at half the size, 8/3 at a quarter
    encoder_depth: int = 2  # its residual blocks at each of the smaller sizes
    likelihood: str | Mapping[str, Any] = "logistic_mixture"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1 or self.window % 2 == 0:
            raise UserError(
                f"window={self.window}: the side of the window of pixels drawn before is odd, such as 5 or 7"
            )


class InpaintingRNN(Model, Packable):
    """p(hidden | observed) = ∏_k p(x_k | x_<k, observed) over the hidden pixels in the order of the visit.

    The encoder gives each pixel features and an expected value, both of the observed pixels alone. A step reads, at its
    pixel, these features and the differences from the expected values of the pixels drawn before in its neighbourhood; the
    recurrent stack carries the rest. A likelihood that can be centred is centred on the expected value.

    shape is (channels, height, width) of the images or windows that are drawn at once; levels is the number of values that
    a channel takes. With everything hidden, it is p(x). Raises UserError for an unknown name or a bad value.
    """

    Options = InpaintingOptions
    sees_ahead = True
    reads_observed = False

    neighbours: Tensor  # int64 (orders, pixels, places): where the neighbours of a step's pixel lie
    before: Tensor  # (orders, pixels, places): 1 if the neighbour exists and is visited before the step, else 0

    def __init__(self, shape: Sequence[int], levels: int, **options: Any):
        (shape, levels), o = check_form(shape, levels), InpaintingOptions(**options)
        make_cell, paths = lookup("cell", o.cell, CELLS), paths_of(o.build_orders(shape), *shape[1:])
        super().__init__(shape, levels, o, paths)
        self.encoder = UNet(3 * shape[0] + 1, o.encoder_width, o.encoder_depth)
        self.expected = nn.Linear(o.encoder_width, shape[0])
        for weight in (self.expected.weight, self.expected.bias):  # at first, the biharmonic fill is expected
            nn.init.zeros_(weight)
        neighbours, before = causal_windows(paths, o.window)
        self.register_buffer("neighbours", neighbours, persistent=False)
        self.register_buffer("before", before, persistent=False)
        self.window = nn.Linear((shape[0] + 1) * before.shape[-1] + shape[0], o.embedding)
        inputs = o.encoder_width + o.embedding
        self.which_order = which_order(len(paths), inputs)
        if self.which_order:  # at first, all orders are alike
            nn.init.zeros_(self.which_order.weight)
        self.stack = Stack(make_cell, inputs, o.width, o.depth, o.dropout)
        self.join = nn.Linear(inputs + o.width, o.head)
        self.likelihood = o.build_likelihood(o.head, shape, levels)
        self.likelihood.narrow()

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """As in all models; the parameters of observed pixels are 0."""
        steps, real, parameters, _ = self._pass(images, hidden)
        found = parameters.new_zeros(len(images), self.pixels, parameters.shape[-1])
        return found.scatter(1, steps[..., None].expand_as(parameters), parameters * real[..., None])

    def pixel_log_probs(self, images: Tensor, hidden: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """As in all models; 0 at observed pixels, which are not computed. target: see begin."""
        images = check_images(images, self.shape, self.levels)
        hidden = None if hidden is None else check_hidden(hidden, images)
        steps, log_probs, _ = self._score(*self._here(images, hidden, target))
        return log_probs.new_zeros(len(images), self.pixels).scatter(1, steps, log_probs)

    def training_log_prob(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p of hidden pixels as they are drawn in the windows of a large picture, scaled to all of the mask: (batch,) nats.

        In a window, often only the pixels of a tile are drawn, and nothing is known beyond the picture's border: both are
        drawn at random here, from torch's global generator. The expected values learn from their squared errors too: from
        log p of a normal distribution around them whose variance is the image's mean squared error. It adds to the gradient
        and not to the value.
        """
        hidden = torch.ones_like(images[:, 0], dtype=torch.bool) if hidden is None else hidden
        tile, inside = self._random_tile(), self._random_tile(border=True)
        target = hidden & tile & inside
        target = torch.where(target.any(), target, hidden & inside)
        target = torch.where(target.any(), target, hidden)
        _, log_probs, errors = self._score(images, hidden | ~inside, target)
        values = self.shape[0] * target.flatten(1).sum(1)
        of_normal = -values / 2 * torch.log(errors.sum(1) / values.clamp_min(1) + ROUNDING)
        return (log_probs.sum(1) + of_normal - of_normal.detach()) * (hidden.sum() / target.sum())

    def _random_tile(self, border: bool = False) -> Tensor:
        """A rectangle, bool (height, width): half of the time all of it, else between 3/8 and 3/4 of each side; with border
        nine times out of ten all of it, else all but up to 3/8 at each side."""
        draw = Random(int(torch.randint(2**31, ())))
        tile = torch.zeros(self.shape[1:], dtype=torch.bool, device=self.orders.device)
        spans, whole = [], draw.random() < (0.9 if border else 0.5)
        for side in self.shape[1:]:
            if border:
                first, last = int(draw.uniform(0, 0.375) * side), side - int(draw.uniform(0, 0.375) * side)
            else:
                length = math.ceil(draw.uniform(0.375, 0.75) * side)
                first = draw.randint(0, side - length)
                last = first + length
            spans.append(slice(None) if whole else slice(first, last))
        tile[tuple(spans)] = True
        return tile

    def _score(
        self, images: Tensor, hidden: Tensor | None = None, target: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The steps of the targets, int64 (batch, longest), their log p and the squared errors of their expected values,
        with values scaled to [-1, 1]: both (batch, longest), and 0 at the steps that pad an image."""
        with self.cursor.alone():
            steps, real, parameters, expected = self._pass(images, hidden, target)
            values = to_sequence(images, self.order)
            values = values.gather(1, steps[..., None].expand(-1, -1, values.shape[-1]))
            log_probs = self.likelihood.log_prob(parameters, values).masked_fill(~real, 0.0)
            errors = (self._scaled(values) - expected).square().sum(-1).masked_fill(~real, 0.0)
            return steps, log_probs, errors

    def _pass(
        self, images: Tensor, hidden: Tensor | None, target: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute all target pixels at once. Their sequences are padded to the longest: the steps, int64 (batch, longest),
        which of them are real, bool, the parameters (batch, longest, K) and the expected values (batch, longest, channels)."""
        if hidden is None:
            hidden = torch.ones_like(images[:, 0], dtype=torch.bool)
        target = hidden if target is None else target
        steps, real = hidden_steps(self.in_order(target))
        states, encoded, before = self.begin(images, hidden, target)
        previous = torch.cat([before[:, None], steps[:, :-1]], 1)
        with torch.autocast(images.device.type, enabled=False):
            inputs, centre = self._inputs(images, steps, previous, encoded)
            features, _ = self.stack(inputs, states)
            return steps, real, self._output(inputs, features, centre), centre

    def begin(self, canvas: Tensor, hidden: Tensor, target: Tensor | None = None) -> InpaintingState:
        """As in all models. target, bool (batch, height, width): the hidden pixels that are drawn; others stay unknown."""
        everyone = torch.arange(len(canvas), device=canvas.device)
        encoded = self._encode(canvas, hidden, hidden if target is None else target)
        return self.stack.begin(len(canvas)), Shared(encoded, everyone), torch.full_like(everyone, -1)

    def step(self, canvas: Tensor, t: int | Tensor, state: InpaintingState) -> tuple[Tensor, InpaintingState]:
        """As in all models. t may also be a tensor, int64 (batch,): a step for each image. At a pixel that is no target the
        parameters are 0 and the state does not change."""
        before, encoded, previous = state
        steps = t[:, None] if isinstance(t, Tensor) else torch.full((len(canvas), 1), t, device=canvas.device)
        inputs, centre = self._inputs(canvas, steps, previous[:, None], encoded)
        d, inputs = self.derived(), inputs[:, 0]
        features, after = self.stack.step(d.first(inputs), before)
        here = encoded.rows[encoded.index, self.order[steps[:, 0]], -1:] > 0
        parameters = self._output(inputs, features, centre[:, 0]) * here
        kept = [
            tuple(torch.where(here, new, old) for new, old in zip(*pair, strict=True))
            for pair in zip(after, before, strict=True)
        ]
        return parameters, (kept, encoded, torch.where(here[:, 0], steps[:, 0], previous))

    def _encode(self, canvas: Tensor, hidden: Tensor, target: Tensor) -> Tensor:
        """Read the observed pixels: (batch, pixels in raster order, features and expected values and 1 for a target)."""
        some = max(1, AT_ONCE // self.pixels)
        if len(canvas) > some and not torch.is_grad_enabled() and not canvas.is_cuda:
            parts = zip(*(maps.split(some) for maps in (canvas, hidden, target)), strict=True)
            return torch.cat([self._encode(*part) for part in parts])
        known = (~hidden[:, None]).to(self.expected.weight.dtype)
        values = self._scaled(canvas)
        harmonic, biharmonic = smooth_fills(values, known)
        features = self.encoder(torch.cat([biharmonic * known, known, harmonic, biharmonic], 1))
        with torch.autocast(canvas.device.type, enabled=False):
            features = features.to(known.dtype).flatten(2).transpose(1, 2)
            expected = biharmonic.flatten(2).transpose(1, 2) + self.expected(features)
            return torch.cat([features, expected, target.flatten(1)[..., None].to(known.dtype)], -1)

    def _inputs(self, canvas: Tensor, steps: Tensor, previous: Tensor, encoded: Shared) -> tuple[Tensor, Tensor]:
        """The stack's inputs (batch, T, n) at the steps, int64 (batch, T), and the expected values there (batch, T, channels).
        previous: the step of the pixel that was drawn before each, or -1."""
        channels, order, image = self.shape[0], self.cursor.index, encoded.index[:, None]
        here = encoded.rows[image, self.order[steps]]
        near, last = self.neighbours[order][steps], self.order[previous.clamp_min(0)]
        flags = self.before[order][steps] * encoded.rows[image[..., None], near, -1]  # (batch, T, places)
        around = self._residuals(canvas, near, encoded) * flags[..., None]
        behind = self._residuals(canvas, last, encoded) * (previous >= 0)[..., None]
        window = self.derived().window(torch.cat([around.flatten(2), behind, flags], -1))
        inputs = torch.cat([here[..., : -1 - channels], window], -1)
        if self.which_order:
            inputs = inputs + self.which_order.weight[order]
        return inputs, here[..., -1 - channels : -1]

    def _residuals(self, canvas: Tensor, places: Tensor, encoded: Shared) -> Tensor:
        """Differences of values from the expected ones at places, int64 (batch, …): (batch, …, channels)."""
        rows = torch.arange(len(canvas), device=canvas.device).view(-1, *[1] * (places.ndim - 1))
        values = canvas.flatten(2).transpose(1, 2)[rows, places]
        expected = encoded.rows[encoded.index.view(rows.shape), places, -1 - values.shape[-1] : -1]
        return (self._scaled(values) - expected) * RESIDUAL

    def _scaled(self, values: Tensor) -> Tensor:
        """Levels to [-1, 1]."""
        return values.to(self.expected.weight.dtype) * (2 / (self.levels - 1)) - 1

    def _output(self, inputs: Tensor, features: Tensor, centre: Tensor) -> Tensor:
        joined = torch.relu(self.derived().join(torch.cat([inputs, features], -1)))
        return self.likelihood.centred(self.likelihood(joined), centre)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        first = cast(Cell, self.stack.layers[0])
        window, join = product(self.window.weight, self.window.bias), product(self.join.weight, self.join.bias)
        return SimpleNamespace(window=window, join=join, first=first.project)


def hidden_steps(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """The steps at which each image's hidden pixels are visited, hidden bool (batch, pixels) in the order of the visit:
    int64 (batch, longest), and which of them are real, bool; others pad an image with fewer hidden pixels."""
    counts = hidden.sum(1)
    longest = int(counts.max())
    steps = (~hidden).to(torch.uint8).sort(dim=1, stable=True).indices[:, :longest]
    return steps, torch.arange(longest, device=hidden.device) < counts[:, None]
