"""Back-propagation through time: through the whole sequence, with parts of it recomputed, or cut.

full          the gradient, from one pass that keeps all it computes
checkpointed  the same gradient: only the states between segments are kept, and each segment is computed again in the
              backward pass (Chen et al. 2016), so that memory grows with the square root of the length
truncated     another gradient: it ends at the border of each segment, while the state is carried on; what lies further
              back than a segment is not learned. Its memory is that of checkpointed
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pixelrnn.errors import UserError
from pixelrnn.model import Model, SequenceRNN
from pixelrnn.model.paper.network import Network
from pixelrnn.model.state import detached
from pixelrnn.pixels import to_sequence

BPTT = ("full", "checkpointed", "truncated")


class Objective(nn.Module):
    """log p of a batch, back-propagated in one of these ways.

    segment is the number of steps, None for four times the square root of the pixels: of 4,096 steps that keeps a quarter
    of the memory and takes a fifth to a third more time (docs/machines.md); half as many keep less and take longer. The
    two-dimensional models have no sequence to cut; checkpointed computes each of their layers again. Raises UserError for
    what does not fit.
    """

    def __init__(self, model: Model, bptt: str = "full", segment: int | None = None):
        super().__init__()
        if bptt not in BPTT:
            raise UserError(f"training.bptt={bptt}: it is {', '.join(BPTT[:-1])} or {BPTT[-1]}")
        if segment is not None and segment < 1:
            raise UserError(
                f"training.segment={segment}: at least 1 step, or null for four times the square root of the pixels"
            )
        is_sequence = isinstance(model, SequenceRNN)
        if bptt == "truncated" and not is_sequence:
            raise UserError(
                f"training.bptt=truncated cuts a sequence, and {type(model).__name__} has none; use training.bptt=checkpointed"
            )
        self.model, self.bptt = model, bptt
        self.segment = segment or 4 * math.ceil(math.sqrt(model.pixels))
        for module in model.modules():
            if isinstance(module, Network):
                module.recompute = bptt == "checkpointed"

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The sum over the batch of log p(x), or with hidden of log p(x_hidden | x_observed), nats: ()."""
        if self.bptt == "full" or not isinstance(self.model, SequenceRNN):
            model = self.model
            return (model.log_prob(images) if hidden is None else model.fill_log_prob(images, hidden)).sum()
        counted = None if hidden is None else self.model.in_order(hidden)
        values = to_sequence(images, self.model.order)
        state, totals = self.model.start(images, hidden), []
        for start in range(0, self.model.pixels, self.segment):
            span = slice(start, min(start + self.segment, self.model.pixels))
            if self.bptt == "truncated" and start > 0:
                state = detached(state)
            # Nothing random but dropout, whose draws are made again.
            log_prob, state = checkpoint(self._segment, images, values, counted, span, state, use_reentrant=False)
            totals.append(log_prob)
        return torch.stack(totals).sum()

    def _segment(
        self, images: Tensor, values: Tensor, counted: Tensor | None, span: slice, state: Any
    ) -> tuple[Tensor, Any]:
        parameters, state = self.model.read(images, span.start, span.stop, state)
        log_probs = self.model.likelihood.log_prob(parameters, values[:, span])
        return (log_probs if counted is None else log_probs.where(counted[:, span], 0.0)).sum(), state
