"""Back-propagation through time: through the whole sequence, with parts of it computed again, or truncated.

full          the gradient, from one pass that keeps every intermediate value
checkpointed  the same gradient: one pass keeps only the states between segments, and the backward pass computes each
              segment again (Chen et al. 2016), so that memory grows with the square root of the length
truncated     another gradient: it ends at the border of each segment, while the state is carried on, so that a pixel
              further back than a segment has no influence; it needs the memory of checkpointed
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelrnn.errors import UserError
from pixelrnn.model import Model, SequenceRNN
from pixelrnn.model.base import detached
from pixelrnn.model.paper.raster import Network
from pixelrnn.pixels import to_sequence


class Objective(nn.Module):
    """The sum over a batch of log p, back-propagated in one of these ways.

    segment is the number of steps; None: four times the square root of the pixels, which for 4,096 steps keeps a quarter of
    the memory and takes a fifth to a third more time (docs/machines.md). The two-dimensional models have no sequence to cut:
    checkpointed computes each of their layers again, and truncated raises UserError.
    """

    def __init__(self, model: Model, bptt: str = "full", segment: int | None = None):
        super().__init__()
        self.has_sequence = isinstance(model, SequenceRNN)
        if bptt == "truncated" and not self.has_sequence:
            raise UserError(
                f"training.bptt=truncated cuts a sequence, and {type(model).__name__} has none; use training.bptt=checkpointed"
            )
        self.model, self.bptt = model, bptt
        self.segment = segment or 4 * math.ceil(math.sqrt(model.pixels))
        for module in model.modules():
            if isinstance(module, Network):
                module.recompute = bptt == "checkpointed"

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x), or with hidden log p(x_hidden | x_observed), in nats: ()."""
        model: Any = self.model
        if self.bptt == "full" or not self.has_sequence:
            return (model.log_prob(images) if hidden is None else model.fill_log_prob(images, hidden)).sum()
        counted = None if hidden is None else model.in_order(hidden)
        values, state = to_sequence(images, model.order), model.start(images, hidden)
        totals = []
        for start in range(0, model.pixels, self.segment):
            span = slice(start, min(start + self.segment, model.pixels))
            if self.bptt == "truncated" and start > 0:
                state = detached(state)
            # Dropout is the only random part, and checkpoint() draws it again.
            total, state = checkpoint(self._segment, images, values, counted, span, state, use_reentrant=False)
            totals.append(total)
        return torch.stack(totals).sum()

    def _segment(
        self, images: Tensor, values: Tensor, counted: Tensor | None, span: slice, state: Any
    ) -> tuple[Tensor, Any]:
        """log p of the counted pixels of a segment: (), and the state after it."""
        parameters, state = self.model.read(images, span.start, span.stop, state)
        log_probs = self.model.likelihood.log_prob(parameters, values[:, span])
        return (log_probs if counted is None else log_probs.where(counted[:, span], 0.0)).sum(), state
