"""Binary pixels."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood.base import Likelihood
from pixelrnn.products import Product, widened


class Bernoulli(Likelihood):
    """One logit a channel. Each earlier channel of the pixel that is 1 adds a learned constant to it."""

    def __init__(self, features: int, channels: int, levels: int):
        if levels != 2:
            raise UserError(f"likelihood 'bernoulli' is for 2 levels; got levels={levels}: use likelihood=categorical")
        super().__init__(channels, levels, noise_size=channels)
        self.logits = nn.Linear(features, channels)
        if channels > 1:
            self.coupling = nn.Parameter(torch.zeros(channels, channels))  # [c, c'] is used if c' < c

    def derive(self, product: type[Product]) -> Product:
        return product(self.logits.weight, self.logits.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.derived()(features)

    def _given(self, parameters: Tensor, values: Tensor) -> Tensor:
        """The logits of all channels, each given the channels before it: (..., channels)."""
        parameters = widened(parameters)
        if self.channels == 1:
            return parameters
        return parameters + F.linear(values.to(parameters.dtype), self.coupling.tril(-1))

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        logits = self._given(parameters, values)
        return -F.binary_cross_entropy_with_logits(logits, values.to(logits.dtype), reduction="none").sum(-1)

    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        logits = self._given(parameters, values)
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=-1)

    def fill_noise(self, noise: Tensor, generator: Generator | None = None) -> Tensor:
        # The logit of a uniform number u is less than a pixel's logit if u is less than the pixel's probability.
        return noise.uniform_(generator=generator).logit_(eps=torch.finfo(noise.dtype).tiny)

    def draw(self, parameters: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        if temperature != 1:
            noise = noise * temperature
        values = (noise < parameters).long()
        for _ in range(self.channels - 1):  # each round settles one more channel
            values = (noise < self._given(parameters, values)).long()
        return values
