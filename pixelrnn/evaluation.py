"""Exact likelihoods over a data set, with their standard errors."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pixelrnn.completion import is_exact
from pixelrnn.model import Model

LN2 = math.log(2)


@dataclass(frozen=True)
class Likelihoods:
    """Mean -log p over images: nats per image, and bits per dimension = nats / (dimensions · ln 2).

    dimensions counts the channel values that are predicted, of a conditional the hidden ones; ± is the standard error
    of the mean over the images.
    """

    images: int
    dimensions: int
    nats: float
    nats_error: float

    @property
    def bits_per_dim(self) -> float:
        return self.nats / (self.dimensions * LN2)

    @property
    def bits_per_dim_error(self) -> float:
        return self.nats_error / (self.dimensions * LN2)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bits_per_dim": self.bits_per_dim, "bits_per_dim_error": self.bits_per_dim_error}

    def __str__(self) -> str:
        return (
            f"{self.nats:.2f} ± {self.nats_error:.2f} nats per image, {self.bits_per_dim:.4f} ± {self.bits_per_dim_error:.4f} "
            f"bits/dim over {self.images} images"
        )


def evaluate(model: Model, images: Tensor, hidden: Tensor | None = None, batch_size: int = 100) -> Likelihoods:
    """-log p(x) of uint8 images (N, channels, height, width), or with hidden, bool (height, width), of the hidden pixels
    given the observed ones, where that is exact (else UserError). The images may lie on another device than the model.
    """
    was_training = model.training
    model.eval()
    device = model.order.device
    hidden = None if hidden is None else hidden.to(device)
    with torch.inference_mode():
        log_probs = torch.cat(
            [model.log_prob(batch.to(device), hidden).cpu().double() for batch in images.split(batch_size)]
        )
    model.train(was_training)
    dimensions = model.dimensions if hidden is None else model.shape[0] * int(hidden.sum())
    error = float(log_probs.std() / math.sqrt(len(images))) if len(images) > 1 else math.nan
    return Likelihoods(len(images), dimensions, -float(log_probs.mean()), error)


def evaluate_all(
    model: Model, images: Tensor, occlusions: dict[str, Tensor], batch_size: int = 100
) -> dict[str, Likelihoods | None]:
    """evaluate() of the whole images ("all") and of each occlusion; None where the conditional is not exact."""
    results: dict[str, Likelihoods | None] = {"all": evaluate(model, images, None, batch_size)}
    for name, hidden in occlusions.items():
        exact = is_exact(model, hidden.to(model.order.device))
        results[name] = evaluate(model, images, hidden, batch_size) if exact else None
    return results
