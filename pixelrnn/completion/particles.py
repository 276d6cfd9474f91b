"""Sequential Monte Carlo: what completion uses where observed pixels lie ahead of hidden ones (Gordon et al. 1993).

Each particle is a copy of the image that fills its hidden pixels in the model's order. An observed pixel that it meets
multiplies its weight by p(pixel | what the particle holds); where few particles have all the weight, they are drawn
anew by weight. In the limit of many particles, one drawn by weight at the end is a draw from p(hidden | observed); and
the product of the mean weights is, for any number of them, an unbiased estimate of p(observed).
"""

import math
from typing import Any

import torch
from torch import Generator, Tensor

# "auto" begins with the first number of particles for each completion. While fewer than ENOUGH of them are effective, it
# draws again with four times as many, up to the second number, and stops where that does not double the effective number.
AUTO = (64, 1024)
ENOUGH = 10.0  # effective particles; a draw from fewer is a rough approximation
LEAST = -1e12  # nats; the weight of what is impossible, so that a sum of weights is never zero


class Particles:
    """The weights of `particles` particles for each of `members` completions; particle k of member m is row
    m · particles + k of the batch.
    """

    def __init__(self, members: int, particles: int, device: torch.device, generator: Generator | None = None):
        self.count, self.generator = particles, generator
        real: dict[str, Any] = {"dtype": torch.float32 if device.type == "mps" else torch.float64, "device": device}
        self.log_weights = torch.zeros(members, particles, **real)
        self.log_observed = torch.zeros(members, **real)  # log of the estimate of p(observed)
        self.effective = torch.full((members,), float(particles), **real)  # the least number so far

    def weigh(self, log_probs: Tensor) -> None:
        """Multiplies the weights by the probabilities of observed pixels: (members · particles,) nats."""
        self.log_weights += log_probs.to(self.log_weights.dtype).clamp_min(LEAST).view_as(self.log_weights)

    def resample(self) -> Tensor | None:
        """The rows that go on, int64 (members · particles,), or None where all do as they are.

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
        """One row of each member, drawn by weight: int64 (members,). After it, log_observed is whole."""
        weights, _ = self._weights()
        self.log_observed += self._log_mean()
        chosen = torch.searchsorted(weights.cumsum(1), self._uniform()).clamp_max(self.count - 1)
        return self._flat(chosen)

    def _weights(self) -> tuple[Tensor, Tensor]:
        """The normalised weights, (members, particles), and which members have too few effective particles."""
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
