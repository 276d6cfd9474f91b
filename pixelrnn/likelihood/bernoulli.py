"""Binary pixels."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood.base import Likelihood


class Bernoulli(Likelihood):
    """One logit a channel, to which each earlier channel of the pixel that is 1 adds a learned constant."""

    def __init__(self, features: int, channels: int, levels: int):
        if levels != 2:
            raise UserError(f"likelihood 'bernoulli' is for 2 levels; got levels={levels}: use likelihood=categorical")
        super().__init__(channels, levels)
        self.logits = nn.Linear(features, channels)
        if channels > 1:
            self.coupling = nn.Parameter(torch.zeros(channels, channels))  # [c, c'] counts where c' < c

    def forward(self, features: Tensor) -> Tensor:
        return self.logits(features)

    def _given(self, parameters: Tensor, values: Tensor) -> Tensor:
        """The logits of all channels, each given the channels before it: (..., channels)."""
        if self.channels == 1:
            return parameters
        return parameters + F.linear(values.to(parameters.dtype), self.coupling.tril(-1))

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        logits = self._given(parameters, values)
        return -F.binary_cross_entropy_with_logits(logits, values.to(logits.dtype), reduction="none").sum(-1)

    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        logits = self._given(parameters, values)
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=-1)

    def sample(self, parameters: Tensor, temperature: float = 1.0, generator: Generator | None = None) -> Tensor:
        noise = torch.rand(parameters.shape, generator=generator, dtype=parameters.dtype, device=parameters.device)
        values = torch.zeros(parameters.shape, dtype=torch.long, device=parameters.device)
        for _ in range(self.channels):  # after c rounds, the first c channels are drawn
            values = (noise < torch.sigmoid(self._given(parameters, values) / temperature)).long()
        return values
