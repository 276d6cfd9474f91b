"""One update of the weights: the objective, its back-propagation through time, the optimiser and the step."""

import math
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from pixelrnn import distributed
from pixelrnn import occlusion as occlusions
from pixelrnn.errors import UserError
from pixelrnn.evaluation.likelihoods import LN2
from pixelrnn.model import Model, SequenceRNN
from pixelrnn.model.base import detached
from pixelrnn.model.orders import match_to_order
from pixelrnn.model.paper.raster import Network
from pixelrnn.model.precision import tf32_allowed
from pixelrnn.pixels import to_sequence
from pixelrnn.training.recorded import Recordings
from pixelrnn.training.state import Settings
from pixelrnn.training.teacher import Teacher


class Objective(nn.Module):
    """The sum over a batch of log p, back-propagated through time in one of these ways:

    full          the gradient, from one pass that keeps every intermediate value
    checkpointed  the same gradient: one pass keeps only the states between segments, and the backward pass computes each
                  segment again (Chen et al. 2016), so that memory grows with the square root of the length
    truncated     another gradient: it ends at the border of each segment, while the state is carried on, so that a pixel
                  further back than a segment has no influence; it needs the memory of checkpointed

    segment is the number of steps; None: four times the square root of the pixels, which for 4,096 steps keeps a quarter of
    the memory and takes a fifth to a third more time (docs/machines.md). The two-dimensional models have no sequence to cut:
    checkpointed computes each of their layers again, and truncated raises UserError. For InpaintingRNN both do.

    With a teacher, the gradient is another one (pixelrnn/training/teacher.py).
    """

    def __init__(self, model: Model, bptt: str = "full", segment: int | None = None, teacher: Model | None = None):
        super().__init__()
        self.has_sequence = isinstance(model, SequenceRNN)
        networks = [module for module in model.modules() if isinstance(module, Network)]
        kind, way_out = type(model).__name__, "checkpointed" if networks else "full"
        if bptt == "truncated" and not self.has_sequence:
            raise UserError(f"bptt=truncated cuts a sequence, and {kind} has none; use bptt={way_out}")
        if bptt == "checkpointed" and not self.has_sequence and not networks:
            raise UserError(f"bptt=checkpointed: {kind} cannot be computed in parts; use bptt={way_out}")
        if segment and not self.has_sequence:
            raise UserError(f"segment={segment}: {kind} has no sequence to cut; leave it out")
        if bptt != "full" and self.has_sequence and teacher:
            raise UserError(f"bptt={bptt}: with a teacher, a sequence is not cut; use bptt=full")
        self.model, self.bptt, self.teacher = model, bptt, Teacher(teacher, model) if teacher else None
        self.segment = segment or 4 * math.ceil(math.sqrt(model.pixels))
        for network in networks:
            network.recompute = bptt == "checkpointed"
        on_gpu = model.order.device.type == "cuda"
        fixed = model.fixed_training and not teacher  # a teacher's operations may differ from batch to batch
        records = on_gpu and bptt == "full" and fixed and distributed.size() == 1
        self.recordings = Recordings(list(model.parameters())) if records else None

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """log p(x), or with hidden log p(x_hidden | x_observed), in nats: ()."""
        model: Any = self.model
        if self.teacher:
            return self.teacher.log_prob(model, images, hidden).sum()
        if self.bptt == "full" or not self.has_sequence:
            return model.training_log_prob(images, hidden).sum()
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


def make_objective(model: Model, settings: Settings, teacher: Model | None = None) -> nn.Module:
    """The objective that update() takes; with several processes, wrapped by DistributedDataParallel."""
    objective: nn.Module = Objective(model, settings.bptt, settings.segment, teacher)
    if distributed.size() > 1:
        device = model.order.device
        on_gpu = [device.index or 0] if device.type == "cuda" else None
        with distributed.peer_errors():
            objective = DistributedDataParallel(objective, device_ids=on_gpu, broadcast_buffers=False)
    return objective


def update(
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    settings: Settings,
    occlusion: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Take one step of gradient descent; returns the loss in bits/dim and the gradient's norm, both ().

    The loss is -log p(x), or with an occlusion -log p(hidden | observed), with another mask for each image; a teacher changes its
    gradient. A model with several orders is trained along one of them, drawn at random; each mask is then turned as it would
    be to be completed along this order. Each process is given the same images and the same random seed, and computes its
    shard, in settings.accumulate parts; on a single GPU, those of a batch of settings.batch_size may be replayed
    (recorded.py). On a CPU, FloatingPointError instead of a step if the loss or the norm is not finite.
    """
    is_parallel = isinstance(objective, DistributedDataParallel)
    model: Model = objective.module.model if is_parallel else objective.model  # type: ignore[assignment, union-attr]
    recordings: Any = None if is_parallel else objective.recordings
    model.train()
    with tf32_allowed(), model.along(_draw_order(len(model.orders), settings.first_order)):
        hidden, values = None, torch.full((), model.dimensions * len(images), device=images.device)
        if occlusion:
            masks = occlusions.draw(occlusion, len(images), *model.shape[1:], alike=True, device=images.device)
            hidden = match_to_order(masks, model.orders, model.order)
            values = model.shape[0] * hidden.sum()
        if is_parallel:
            torch.manual_seed(torch.initial_seed() + distributed.rank())  # another dropout in each process
        optimizer.zero_grad(set_to_none=recordings is None)  # a recorded pass adds to the same tensors
        losses, bf16 = [], uses_bf16(model, settings)
        back_propagate: Any = partial(_back_propagate, objective, bf16)
        if recordings and len(images) == settings.batch_size:
            back_propagate = partial(recordings, (model.cursor.index, bf16), back_propagate)
        rows = distributed.shard(torch.arange(len(images), device=images.device)).tensor_split(settings.accumulate)
        for i, part in enumerate(rows):
            waits = is_parallel and i < len(rows) - 1  # gradients are summed over the processes once, at the last part
            with distributed.peer_errors(), objective.no_sync() if waits else nullcontext():  # type: ignore
                losses.append(back_propagate(*_part(images, hidden, part, -1 / (values * LN2))))
    loss = distributed.all_reduce_sum(torch.stack(losses).sum())
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    if loss.device.type == "cpu" and not torch.isfinite(loss + norm):  # on a GPU, this look would wait for the device
        raise FloatingPointError(f"loss {loss:.4g}, gradient norm {norm:.4g}")
    optimizer.step()
    return loss, norm


def _part(images: Tensor, hidden: Tensor | None, rows: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """These images of a batch, their masks, and the weight of their log p in the loss."""
    if not len(rows):  # no image of a small batch is left for this process, but the others wait for its gradient
        rows, weight = torch.zeros(1, dtype=torch.long, device=images.device), weight * 0
    return images[rows], None if hidden is None else hidden[rows], weight


def _back_propagate(objective: nn.Module, bf16: bool, images: Tensor, hidden: Tensor | None, weight: Tensor) -> Tensor:
    """Add the gradients of the loss of these images, and return the loss: ()."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        loss = objective(images, hidden) * weight
    (loss * distributed.size()).backward()  # DistributedDataParallel takes the mean over the processes
    return loss.detach()


def uses_bf16(model: Model, settings: Settings) -> bool:
    """Whether an update computes its products in bfloat16: by default on a GPU with units for it (compute capability 8.0), and
    not if the likelihood needs float32; never for an LSTM on a CPU that cannot compute it so."""
    device = model.order.device.type
    if settings.bf16 is None:
        on_gpu = device == "cuda" and torch.cuda.get_device_capability(model.order.device) >= (8, 0)
        return on_gpu and not model.likelihood.fine
    has_lstm = device == "cpu" and any(isinstance(module, nn.LSTM) for module in model.modules())
    return settings.bf16 and (not has_lstm or _cpu_has_bfloat16_lstm())


@cache
def _cpu_has_bfloat16_lstm() -> bool:
    """Try a small LSTM in bfloat16. oneDNN raises if it has none: on a CPU without AVX-512, or if it is told not to use it."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))[0].sum().backward()
    except RuntimeError:
        return False
    return True


def _draw_order(orders: int, first: float | None) -> int:
    """Draw an order: with probability `first` the first one, else one of the others; None: all are equally likely."""
    if orders == 1:
        return 0
    if first is None:
        return int(torch.randint(orders, ()))
    return 0 if float(torch.rand(())) < first else int(torch.randint(1, orders, ()))


def occlusion_of(settings: Settings, model: Model) -> str | None:
    """The occlusion in training: by default "mixed" if the model sees observed pixels ahead, else None.

    UserError if there is no such occlusion for this model's images.
    """
    if settings.occlusion and not model.sees_ahead:
        raise UserError(
            f"occlusion={settings.occlusion} in training: this model does not see observed pixels ahead, so it has nothing to "
            "learn from masks; make the model with bidirectional=true, or leave this out"
        )
    occlusion = settings.occlusion or ("mixed" if model.sees_ahead else None)
    if occlusion:
        occlusions.build(occlusion, *model.shape[1:])
    return occlusion


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices only, or the paper's RMSprop."""
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), lr=settings.learning_rate)
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=fused)
