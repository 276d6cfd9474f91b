"""Sequential Monte Carlo (Gordon et al. 1993), for completions in which observed pixels come after hidden ones.

Each particle is a copy of the image that fills its hidden pixels in the model's order. At an observed pixel its weight is
multiplied by p(pixel | the pixels before it in this particle). If few particles have all the weight, the particles are
resampled by weight. In the limit of many particles, one that is drawn by weight at the end is a sample of
p(hidden | observed). The product of the mean weights is an unbiased estimate of p(observed), for any number of particles.
"""

import math
from typing import Any

import torch
from torch import Generator, Tensor

# "auto" begins with the first number of particles for each completion. While fewer than ENOUGH of them are effective, it
# draws again with four times as many, up to the second number, and stops where that does not double the effective number.
AUTO = (64, 1024)
ENOUGH = 10.0  # a draw from fewer effective particles is a rough approximation
LEAST = -1e12  # nats of an impossible value, instead of minus infinity: so a sum of weights is never zero


class Particles:
    """The weights of the particles of several completions, the members: particle k of member m is row m · particles + k."""

    def __init__(self, members: int, particles: int, device: torch.device, generator: Generator | None = None):
        self.count, self.generator = particles, generator
        real: dict[str, Any] = {"dtype": torch.float32 if device.type == "mps" else torch.float64, "device": device}
        self.log_weights = torch.zeros(members, particles, **real)
        self.log_observed = torch.zeros(members, **real)  # log of the estimate of p(observed)
        self.effective = torch.full((members,), float(particles), **real)  # the smallest number so far

    def weigh(self, log_probs: Tensor) -> None:
        """Multiply the weights by the probabilities of observed pixels: (members · particles,) nats."""
        self.log_weights += log_probs.to(self.log_weights.dtype).clamp_min(LEAST).view_as(self.log_weights)

    def resample(self) -> Tensor | None:
        """Draw the rows that replace the present ones, int64 (members · particles,); None if no member needs resampling.

        Systematic resampling (Kitagawa 1996) of the members whose effective sample size, (Σ w)² / Σ w², is under half.
        """
        weights, poor = self._weights()
        if not bool(poor.any()):
            return None
        positions = (self._uniform() + torch.arange(self.count, device=weights.device)) / self.count
        chosen = torch.searchsorted(weights.cumsum(1), positions).clamp_max(self.count - 1)
        kept = torch.arange(self.count, device=weights.device).expand_as(chosen)
        rows = torch.where(poor[:, None], chosen, kept)
        self.log_observed += torch.where(poor, self._log_mean(), 0.0)
        self.log_weights = torch.where(poor[:, None], 0.0, self.log_weights)
        return self._flat(rows)

    def finish(self) -> Tensor:
        """Draw one row of each member by weight: int64 (members,). Completes log_observed."""
        weights, _ = self._weights()
        self.log_observed += self._log_mean()
        chosen = torch.searchsorted(weights.cumsum(1), self._uniform()).clamp_max(self.count - 1)
        return self._flat(chosen)

    def _weights(self) -> tuple[Tensor, Tensor]:
        """The normalised weights, (members, particles), and which members need resampling."""
        weights = self.log_weights.softmax(1)
        effective = 1 / weights.square().sum(1)
        self.effective = torch.minimum(self.effective, effective)
        return weights, effective < self.count / 2

    def _log_mean(self) -> Tensor:
        return self.log_weights.logsumexp(1) - math.log(self.count)

    def _uniform(self) -> Tensor:
        like = self.log_weights
        return torch.rand((len(like), 1), generator=self.generator, dtype=like.dtype, device=like.device)

    def _flat(self, rows: Tensor) -> Tensor:
        first = torch.arange(len(rows), device=rows.device)[:, None] * self.count
        return (first + rows).flatten()
