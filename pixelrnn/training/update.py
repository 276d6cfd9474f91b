"""One update of the weights: its settings, its loss, the optimiser and the learning rate."""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pixelrnn import distributed
from pixelrnn.errors import UserError
from pixelrnn.evaluation.likelihoods import LN2
from pixelrnn.files.atomic import FIGURES
from pixelrnn.model import Model
from pixelrnn.model.orders import match_to_order
from pixelrnn.occlusion import draw as draw_occlusions
from pixelrnn.training.bptt import Objective


@dataclass(frozen=True)
class Settings:
    """How to train. conf/train.yaml lists the same names and says what each is for."""

    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 64
    accumulate: int = 1
    bptt: str = "full"
    segment: int | None = None
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_norm: float = 1.0
    average_decay: float = 0.999
    validate_every: int | None = None
    valid_limit: int | None = 1000
    patience: int | None = None
    samples: int = 25
    occlusion: str | None = None
    first_order: float | None = None
    bf16: bool | None = None
    figures: str = "png"
    recoveries: int = 0
    resume: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"training.{name}={getattr(self, name)}: it must be more than 0")
        for name in ("segment", "max_minutes", "validate_every", "valid_limit", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"training.{name}={value}: it must be more than 0, or null")
        for name in ("weight_decay", "warmup_steps", "samples", "recoveries"):
            if not getattr(self, name) >= 0:
                raise UserError(f"training.{name}={getattr(self, name)}: it is 0 or more")
        if self.occlusion == "mask":
            raise UserError(
                "training.occlusion=mask: a mask file hides the same of all images; use mixed, or another kind"
            )
        if self.figures not in FIGURES:
            raise UserError(f"training.figures={self.figures}: it is {', '.join(FIGURES[:-1])} or {FIGURES[-1]}")
        if self.optimizer not in ("adamw", "rmsprop"):
            raise UserError(f"training.optimizer={self.optimizer}: it is adamw or rmsprop")
        if self.resume not in ("auto", "never"):
            raise UserError(
                f"training.resume={self.resume}: here it is auto or never; a run's folder is given on the command line, and in "
                "Python to train()"
            )
        if self.first_order is not None and not 0 <= self.first_order <= 1:
            raise UserError(f"training.first_order={self.first_order}: it is a share of the batches, in [0, 1]")
        if not 0 <= self.average_decay < 1:
            raise UserError(f"training.average_decay={self.average_decay}: it is in [0, 1)")


def make_objective(model: Model, settings: Settings) -> nn.Module:
    """What update() calls: log p of a batch, whose gradients several processes sum by DistributedDataParallel."""
    objective: nn.Module = Objective(model, settings.bptt, settings.segment)
    if distributed.size() > 1:
        device = model.order.device
        on_gpu = [device.index or 0] if device.type == "cuda" else None
        with distributed.lost_is_said():
            objective = DistributedDataParallel(objective, device_ids=on_gpu, broadcast_buffers=False)
    return objective


def update(
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    settings: Settings,
    occlusion: str | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of gradient descent; returns the loss in bits/dim and the gradient's norm, both (), and takes no step if
    either is not finite.

    The loss is -log p(x), or with an occlusion that of the hidden pixels given the others, each image with a mask of its
    own. Of a model with several orders it is along one of them, drawn at random, and the masks are such as completion
    takes this order for. Of several processes, each is given the same images and the same random seed, and computes its
    share; settings.accumulate parts of that are computed one after the other.
    """
    wrapped = isinstance(objective, DistributedDataParallel)
    model: Model = objective.module.model if wrapped else objective.model  # type: ignore[assignment, union-attr]
    model.train()
    with model.along(_draw_order(len(model.orders), settings.first_order)):
        hidden, values = None, torch.tensor(model.dimensions * len(images), device=images.device)
        if occlusion:
            masks = draw_occlusions(occlusion, len(images), *model.shape[1:]).to(images.device)
            hidden = match_to_order(masks, model.orders, model.order)
            values = model.shape[0] * hidden.sum()
        if wrapped:
            torch.manual_seed(torch.initial_seed() + distributed.rank())  # dropout differs from process to process
        optimizer.zero_grad(set_to_none=True)
        losses, bf16 = [], rounds(model, settings)
        rows = distributed.share(torch.arange(len(images), device=images.device)).tensor_split(settings.accumulate)
        for i, part in enumerate(rows):
            last = i == len(rows) - 1
            with distributed.lost_is_said(), objective.no_sync() if wrapped and not last else nullcontext():  # type: ignore
                losses.append(_back_propagate(objective, images, hidden, part, values, bf16))
    loss = distributed.total(torch.stack(losses).sum())
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    finite = torch.isfinite(loss) & torch.isfinite(norm)
    if optimizer.param_groups[0].get("fused"):
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # the step looks at it on the device
        optimizer.step()
    elif finite:
        optimizer.step()
    return loss, norm


def _back_propagate(
    objective: nn.Module, images: Tensor, hidden: Tensor | None, rows: Tensor, values: Tensor, bf16: bool
) -> Tensor:
    """Adds to the gradients what these images contribute to the loss of the whole batch, and returns it: ()."""
    weight = -1 / (values * LN2)
    if not len(rows):  # this process has no image of a small batch, but its gradient is waited for
        rows, weight = torch.zeros(1, dtype=torch.long, device=images.device), weight * 0
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        loss = objective(images[rows], None if hidden is None else hidden[rows]) * weight
    (loss * distributed.size()).backward()  # DistributedDataParallel takes the mean over the processes
    return loss.detach()


def rounds(model: Model, settings: Settings) -> bool:
    """Whether an update computes its products in bfloat16: by default on CUDA only, and not for a likelihood that needs
    float32. False also if bf16 is set and this CPU cannot compute an LSTM that way."""
    device = model.order.device.type
    if settings.bf16 is None:
        return device == "cuda" and not model.likelihood.fine
    lstm_on_cpu = device == "cpu" and any(isinstance(module, nn.LSTM) for module in model.modules())
    return settings.bf16 and (not lstm_on_cpu or _cpu_has_bfloat16_lstm())


@cache
def _cpu_has_bfloat16_lstm() -> bool:
    """oneDNN has no LSTM in bfloat16 for a CPU without AVX-512, and raises instead: so try a small one."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))[0].sum().backward()
    except RuntimeError:
        return False
    return True


def _draw_order(orders: int, first: float | None) -> int:
    """One of several orders: with probability `first` the first one, else any of the others; None: all alike."""
    if orders == 1:
        return 0
    if first is None:
        return int(torch.randint(orders, ()))
    return 0 if float(torch.rand(())) < first else int(torch.randint(1, orders, ()))


def occlusion_of(settings: Settings, model: Model) -> str | None:
    """What is hidden in training: settings.occlusion, by default "mixed" for a model that sees the observed pixels ahead."""
    if settings.occlusion and not model.sees_ahead:
        raise UserError(
            f"training.occlusion={settings.occlusion}: this model does not see observed pixels ahead, so it has nothing to "
            "learn from masks; set model.bidirectional=true, or leave training.occlusion away"
        )
    return settings.occlusion or ("mixed" if model.sees_ahead else None)


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices alone, or the paper's RMSprop."""
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), lr=settings.learning_rate)
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=fused)


def learning_rate(settings: Settings, step: int, done: float) -> float:
    """Linear warm-up, then half a cosine from learning_rate to a hundredth of it as `done` goes from 0 to 1."""
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.learning_rate * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
