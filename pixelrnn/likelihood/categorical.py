"""Any number of levels, each with a probability of its own."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood.base import Likelihood, gumbel
from pixelrnn.products import Product, widened


class Categorical(Likelihood):
    """A softmax over the levels (the paper's section 3.1), after a hidden layer for each channel.

    The parameters are the hidden layers before their ReLU. An earlier channel of the pixel adds an embedding of its
    value to them, so that G can depend on R, and B on both, in more than an additive way.
    """

    def __init__(self, features: int, channels: int, levels: int, hidden: int = 128):
        if hidden < 1:
            raise UserError(f"likelihood.hidden={hidden}: at least 1")
        super().__init__(channels, levels, noise_size=channels * levels)
        self.hidden = nn.Linear(features, channels * hidden)
        self.logits = nn.ModuleList([nn.Linear(hidden, levels) for _ in range(channels)])
        # embeddings[c - 1] tells channel c of the channels before it.
        self.embeddings = nn.ModuleList([nn.Embedding(c * levels, hidden) for c in range(1, channels)])

    def derive(self, product: type[Product]) -> SimpleNamespace:
        logits = [product(layer.weight, layer.bias) for layer in cast(Iterable[nn.Linear], self.logits)]
        return SimpleNamespace(hidden=product(self.hidden.weight, self.hidden.bias), logits=logits)

    def forward(self, features: Tensor) -> Tensor:
        return self.derived().hidden(features)

    def channel_logits(self, parameters: Tensor, values: Tensor, c: int) -> Tensor:
        """Logits (..., levels) of channel c, given the channels before it in values, int64 (..., channels)."""
        hidden = parameters.chunk(self.channels, dim=-1)[c] if self.channels > 1 else parameters
        if c:
            offsets = torch.arange(c, device=values.device) * self.levels
            hidden = hidden + self.embeddings[c - 1](values[..., :c] + offsets).sum(-2)
        return self.derived().logits[c](torch.relu(hidden))

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        total = widened(parameters).new_zeros(values.shape[:-1])
        for c in range(self.channels):
            logits = widened(self.channel_logits(parameters, values, c))
            nats = F.cross_entropy(logits.flatten(0, -2), values[..., c].flatten(), reduction="none")
            total = total - nats.view(total.shape)
        return total

    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        logits = [self.channel_logits(parameters, values, c) for c in range(self.channels)]
        return torch.stack(logits, dim=-2).log_softmax(-1)

    def fill_noise(self, noise: Tensor, generator: Generator | None = None) -> Tensor:
        return gumbel(noise, generator)

    def draw(self, parameters: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        values = torch.empty((*parameters.shape[:-1], 0), dtype=torch.long, device=parameters.device)
        for c in range(self.channels):
            logits = self.channel_logits(parameters, values, c)
            if temperature != 1:
                logits = logits / temperature
            of_channel = noise[..., c * self.levels : (c + 1) * self.levels] if self.channels > 1 else noise
            level = (logits + of_channel).argmax(-1, keepdim=True)
            values = torch.cat([values, level], -1) if c else level
        return values
