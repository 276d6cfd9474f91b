"""One update of the weights: its settings, its loss, the optimiser and the learning rate."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.evaluation import LN2
from pixelrnn.model import Model
from pixelrnn.occlusion import draw as draw_occlusions


@dataclass(frozen=True)
class Settings:
    """How to train. conf/train.yaml lists the same names and says what each is for."""

    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 64
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
    bf16: bool = True
    resume: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"training.{name}={getattr(self, name)}: it must be more than 0")
        if self.optimizer not in ("adamw", "rmsprop"):
            raise UserError(f"training.optimizer={self.optimizer}: it is adamw or rmsprop")
        if self.first_order is not None and not 0 <= self.first_order <= 1:
            raise UserError(f"training.first_order={self.first_order}: it is a share of the batches, in [0, 1]")
        if not 0 <= self.average_decay < 1:
            raise UserError(f"training.average_decay={self.average_decay}: it is in [0, 1)")


def update(
    model: Model, optimizer: torch.optim.Optimizer, images: Tensor, settings: Settings, occlusion: str | None = None
) -> tuple[float, float]:
    """One step of gradient descent; returns the loss in bits/dim and the gradient's norm, and takes no step if either is
    not finite.

    The loss is -log p(x), or with an occlusion that of the hidden pixels given the others, each image with a mask of its
    own. Of a model with several orders it is along one of them, drawn at random, and the masks are such as completion
    takes this order for.
    """
    model.train()
    order = _draw_order(len(model.orders), settings.first_order)
    with (
        torch.autocast(images.device.type, torch.bfloat16, enabled=settings.bf16 and images.device.type == "cuda"),
        model.along(order),
    ):
        if occlusion:
            hidden = model.laid_along(draw_occlusions(occlusion, len(images), *model.shape[1:]).to(images.device))
            total, dimensions = model.fill_log_prob(images, hidden).sum(), model.shape[0] * hidden.sum()
        else:
            total, dimensions = model.log_prob(images).sum(), torch.tensor(model.dimensions * len(images))
        loss = -total / (dimensions * LN2)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
    if torch.isfinite(loss) and torch.isfinite(norm):
        optimizer.step()
    return float(loss.detach()), float(norm)


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
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))


def learning_rate(settings: Settings, step: int, done: float) -> float:
    """Linear warm-up, then half a cosine from learning_rate to a hundredth of it as `done` goes from 0 to 1."""
    warmup = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.learning_rate * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
