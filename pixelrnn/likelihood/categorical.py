"""Any number of levels, each with a probability of its own."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood.base import Likelihood


class Categorical(Likelihood):
    """A softmax over the levels (the paper's section 3.1), after a hidden layer for each channel.

    The parameters are the hidden layers before their ReLU. An earlier channel of the pixel adds an embedding of its
    value to them, so that G can depend on R, and B on both, in more than an additive way.
    """

    def __init__(self, features: int, channels: int, levels: int, hidden: int = 128):
        if hidden < 1:
            raise UserError(f"likelihood.hidden={hidden}: at least 1")
        super().__init__(channels, levels)
        self.hidden = nn.Linear(features, channels * hidden)
        self.logits = nn.ModuleList([nn.Linear(hidden, levels) for _ in range(channels)])
        # embeddings[c - 1] tells channel c of the channels before it.
        self.embeddings = nn.ModuleList([nn.Embedding(c * levels, hidden) for c in range(1, channels)])

    def forward(self, features: Tensor) -> Tensor:
        return self.hidden(features)

    def channel_logits(self, parameters: Tensor, values: Tensor, c: int) -> Tensor:
        """Logits (..., levels) of channel c, given the channels before it in values, int64 (..., channels)."""
        hidden = parameters.chunk(self.channels, dim=-1)[c] if self.channels > 1 else parameters
        if c:
            offsets = torch.arange(c, device=values.device) * self.levels
            hidden = hidden + self.embeddings[c - 1](values[..., :c] + offsets).sum(-2)
        return self.logits[c](torch.relu(hidden))

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        total = torch.zeros(
            values.shape[:-1], dtype=torch.promote_types(parameters.dtype, torch.float32), device=values.device
        )
        for c in range(self.channels):
            logits = self.channel_logits(parameters, values, c).to(total.dtype)
            nats = F.cross_entropy(logits.flatten(0, -2), values[..., c].flatten(), reduction="none")
            total = total - nats.view(total.shape)
        return total

    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        logits = [self.channel_logits(parameters, values, c) for c in range(self.channels)]
        return torch.stack(logits, dim=-2).log_softmax(-1)

    def sample(self, parameters: Tensor, temperature: float = 1.0, generator: Generator | None = None) -> Tensor:
        values = torch.zeros((*parameters.shape[:-1], self.channels), dtype=torch.long, device=parameters.device)
        for c in range(self.channels):
            logits = self.channel_logits(parameters, values, c) / temperature
            # The Gumbel-max trick: -log of an exponential variable has Gumbel's distribution.
            gumbel = -torch.empty_like(logits).exponential_(generator=generator).log()
            values[..., c] = (logits + gumbel).argmax(-1)
        return values
