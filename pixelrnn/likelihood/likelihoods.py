"""Likelihoods: the contract, then binary pixels, any number of levels, and a mixture of logistic distributions."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.products import Packable, Product, widened

LOG_SCALES = (-7.0, 7.0)  # bounds for a logistic over [-1, 1] that keep exp and log finite


class Likelihood(Packable):
    """p(pixel | features) = ∏_c p(x_c | x_<c, features): R, then G given R, then B given R and G (the paper's eq. 2).

    All channels are predicted inside one step. This factorisation is as exact as one step per channel, and takes a third
    of the steps for RGB. `forward` turns features into parameters, which do not depend on the pixel's own value;
    the other methods turn parameters into probabilities and draws.
    """

    fine = False  # whether its distributions can be narrower than the steps of bfloat16; training then stays in float32

    def __init__(self, channels: int, levels: int, size: int, noise_size: int):
        """size: how many parameters a pixel's distribution has. noise_size: how many random numbers a draw takes."""
        super().__init__()
        self.channels, self.levels, self.size, self.noise_size = channels, levels, size, noise_size

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """features (..., width) -> parameters (..., parameters)."""

    def narrow(self) -> None:
        """Initial weights for a model that centres the distributions: narrow ones around 0. Not all likelihoods have such."""

    def centred(self, parameters: Tensor, centre: Tensor) -> Tensor:
        """The parameters of the distributions moved by centre, (..., channels) in units of [-1, 1]; unchanged if the
        likelihood has no such parameters."""
        return parameters

    def mean(self, parameters: Tensor, values: Tensor) -> Tensor:
        """The expected level of each channel given the earlier ones: values (..., channels) -> float (..., channels)."""
        levels = torch.arange(self.levels, device=parameters.device, dtype=parameters.dtype)
        return self.level_log_probs(parameters, values).exp() @ levels

    def cumulative(self, parameters: Tensor, values: Tensor) -> Callable[[Tensor], Tensor]:
        """The function levels -> P(x_c <= level | x_<c = values), for one level of each channel: values and levels int64
        (..., channels) -> float (..., channels)."""
        sums = self.level_log_probs(parameters, values).exp().cumsum(-1)
        return lambda levels: sums.gather(-1, levels[..., None])[..., 0]

    def quantiles(self, parameters: Tensor, values: Tensor, shares: Sequence[float]) -> list[Tensor]:
        """For each share, the least level that a channel is at most with this probability, where the distributions given each
        of several draws are averaged: parameters (draws, ..., parameters), values int64 (draws, ..., channels) -> int64
        (..., channels)."""
        at_most, found = self.cumulative(parameters, values), []
        for share in shares:
            low = torch.zeros_like(values[0])
            high = torch.full_like(low, self.levels - 1)
            for _ in range((self.levels - 1).bit_length()):
                middle = (low + high) // 2
                reached = at_most(middle.expand_as(values)).mean(0) >= share
                low, high = torch.where(reached, low, (middle + 1).minimum(high)), torch.where(reached, middle, high)
            found.append(high)
        return found

    @abstractmethod
    def channel_log_probs(self, parameters: Tensor, values: Tensor, c: int) -> Tensor:
        """log p(x_c = level | x_<c = values) of one channel for all levels: values (..., channels) -> (..., levels) nats."""

    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        """channel_log_probs of all channels: (..., channels, levels)."""
        return torch.stack([self.channel_log_probs(parameters, values, c) for c in range(self.channels)], -2)

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        """log p(values): int64 values (..., channels) -> (...) nats."""
        log_probs = self.level_log_probs(parameters, values)
        return log_probs.gather(-1, values[..., None])[..., 0].sum(-1)

    @abstractmethod
    def fill_noise(self, noise: Tensor, generator: Generator | None = None) -> Tensor:
        """Fill noise (..., noise_size) with the random numbers that this many draws need, and return it.

        They do not depend on the parameters, so that a sampler can draw them for many steps in one call.
        """

    @abstractmethod
    def draw(self, parameters: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Pixels, channel by channel: parameters (..., parameters), noise (..., noise_size) -> int64 (..., channels).

        temperature divides the logits (and multiplies the scales of a continuous distribution); 1 samples the model.
        """

    def sample(self, parameters: Tensor, temperature: float = 1.0, generator: Generator | None = None) -> Tensor:
        """One draw: parameters (..., parameters) -> int64 (..., channels)."""
        dtype = torch.promote_types(parameters.dtype, torch.float32)  # half precision has too few numbers near 0
        noise = parameters.new_empty((*parameters.shape[:-1], self.noise_size), dtype=dtype)
        return self.draw(parameters, self.fill_noise(noise, generator), temperature)


def gumbel(noise: Tensor, generator: Generator | None) -> Tensor:
    """Fill noise with draws from Gumbel's distribution: -log of an exponential variable.

    Then argmax(logits + noise) is a draw from their softmax (the Gumbel-max trick).
    """
    return noise.exponential_(generator=generator).log_().neg_()


def logistic(noise: Tensor, generator: Generator | None) -> Tensor:
    """Fill noise with draws from the standard logistic distribution: the logits of uniform numbers."""
    return noise.uniform_(generator=generator).logit_(eps=torch.finfo(noise.dtype).tiny)


class Bernoulli(Likelihood):
    """One logit a channel. Each earlier channel of the pixel that is 1 adds a learned constant to it."""

    def __init__(self, features: int, channels: int, levels: int):
        if levels != 2:
            raise UserError(f"likelihood 'bernoulli' is for 2 levels; got levels={levels}: use likelihood=categorical")
        super().__init__(channels, levels, channels, noise_size=channels)
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

    def channel_log_probs(self, parameters: Tensor, values: Tensor, c: int) -> Tensor:
        logits = self._given(parameters, values)[..., c]
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=-1)

    def fill_noise(self, noise: Tensor, generator: Generator | None = None) -> Tensor:
        return logistic(noise, generator)  # less than a pixel's logit with the pixel's probability

    def draw(self, parameters: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        if temperature != 1:
            noise = noise * temperature
        values = (noise < parameters).long()
        for _ in range(self.channels - 1):  # each round settles one more channel
            values = (noise < self._given(parameters, values)).long()
        return values


class Categorical(Likelihood):
    """A softmax over the levels (the paper's section 3.1), after a hidden layer for each channel.

    The parameters are the hidden layers before their ReLU. An earlier channel of the pixel adds an embedding of its
    value to them, so that G can depend on R, and B on both, in more than an additive way.
    """

    logits: Any  # an nn.ModuleList of nn.Linear, one for each channel

    def __init__(self, features: int, channels: int, levels: int, hidden: int = 128):
        if hidden < 1:
            raise UserError(f"likelihood.hidden={hidden}: at least 1")
        super().__init__(channels, levels, channels * hidden, noise_size=channels * levels)
        self.hidden = nn.Linear(features, channels * hidden)
        self.logits = nn.ModuleList([nn.Linear(hidden, levels) for _ in range(channels)])
        # embeddings[c - 1] tells channel c of the channels before it.
        self.embeddings = nn.ModuleList([nn.Embedding(c * levels, hidden) for c in range(1, channels)])

    def derive(self, product: type[Product]) -> SimpleNamespace:
        logits = [product(layer.weight, layer.bias) for layer in self.logits]
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

    def channel_log_probs(self, parameters: Tensor, values: Tensor, c: int) -> Tensor:
        return widened(self.channel_logits(parameters, values, c)).log_softmax(-1)

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


class LogisticMixture(Likelihood):
    """A mixture of logistic distributions over [-1, 1], integrated over each level's interval.

    The channels share the components; the values of earlier channels move a channel's mean linearly. The lowest level
    takes all the mass below its interval and the highest all above, so the levels' probabilities sum to 1. The mass of an
    interval (a, b) is σ(b) - σ(a) = σ(b) σ(-a) (1 - e^{a-b}), which keeps its digits at any distance from the mean;
    PixelCNN++ switches to a density there instead.
    """

    fine = True

    def __init__(self, features: int, channels: int, levels: int, components: int = 10):
        if components < 1:
            raise UserError(f"likelihood.components={components}: at least 1")
        couplings = channels * (channels - 1) // 2
        sizes = [1, channels, channels, couplings]  # mixture logit, means, log scales, couplings of each component
        super().__init__(channels, levels, components * sum(sizes), noise_size=components + channels)
        self.components, self.sizes = components, sizes
        self.project = nn.Linear(features, self.size)

    def derive(self, product: type[Product]) -> Product:
        return product(self.project.weight, self.project.bias)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):  # bfloat16 would round the means to whole levels
            return self.derived()(widened(features))

    def narrow(self) -> None:
        with torch.no_grad():
            self.project.weight *= 0.3
            bias, n = self.project.bias.zero_().view(self.components, -1), self.channels
            bias[:, 1 : 1 + n] = torch.linspace(-0.08, 0.08, self.components)[:, None]
            spread = torch.linspace(-4.5, -2.5, self.components)
            bias[:, 1 + n : 1 + 2 * n] = spread[torch.randperm(self.components)][:, None]

    def centred(self, parameters: Tensor, centre: Tensor) -> Tensor:
        weights, means, log_scales, couplings = (
            widened(parameters).unflatten(-1, (self.components, -1)).split(self.sizes, -1)
        )
        centre, moved = centre[..., None, :], []
        for c in range(self.channels):  # an earlier channel moves the mean by its difference from its own centre
            first = c * (c - 1) // 2
            by = (torch.tanh(couplings[..., first : first + c]) * centre[..., :c]).sum(-1)
            moved.append(means[..., c] + centre[..., c] - by)
        return torch.cat([weights, torch.stack(moved, -1), log_scales, couplings], -1).flatten(-2)

    def mean(self, parameters: Tensor, values: Tensor) -> Tensor:
        """As in all likelihoods; of the logistic distributions before they are rounded to levels."""
        weights, means, log_scales, couplings = self._split(parameters)
        posterior, found = weights.log_softmax(-1), []
        for c in range(self.channels):
            mean, scale = self._mean(means, couplings, values[..., :c]), torch.exp(log_scales[..., c])
            # E[X] of a logistic X whose mass outside [-1, 1] lies on the border is 1 - ∫ σ((x - mean) / scale) dx.
            inner = 1 - scale * (F.softplus((1 - mean) / scale) - F.softplus((-1 - mean) / scale))
            found.append((posterior.exp() * inner).sum(-1))
            posterior = (posterior + self._log_mass(values[..., c, None], mean, log_scales[..., c])).log_softmax(-1)
        return (torch.stack(found, -1) + 1) * ((self.levels - 1) / 2)

    def cumulative(self, parameters: Tensor, values: Tensor) -> Callable[[Tensor], Tensor]:
        weights, means, log_scales, couplings = self._split(parameters)
        posterior, channels = weights.log_softmax(-1), []
        for c in range(self.channels):
            mean = self._mean(means, couplings, values[..., :c])
            channels.append((posterior.exp(), mean, torch.exp(-log_scales[..., c])))
            posterior = (posterior + self._log_mass(values[..., c, None], mean, log_scales[..., c])).log_softmax(-1)

        def at_most(levels: Tensor) -> Tensor:
            edges = self._to_unit(levels + 0.5).unbind(-1)
            found = [
                (share * torch.sigmoid((edge[..., None] - mean) * inverse_scale)).sum(-1)
                for edge, (share, mean, inverse_scale) in zip(edges, channels, strict=True)
            ]
            return torch.stack(found, -1).where(levels < self.levels - 1, 1.0)

        return at_most

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        parts = widened(parameters).unflatten(-1, (self.components, -1))
        weights, means, log_scales, couplings = parts.split(self.sizes, dim=-1)
        return weights[..., 0], means, log_scales.clamp(*LOG_SCALES), torch.tanh(couplings)

    def _to_unit(self, values: Tensor) -> Tensor:
        """Levels to [-1, 1]."""
        return 2 * values / (self.levels - 1) - 1

    def _mean(self, means: Tensor, couplings: Tensor, earlier: Tensor) -> Tensor:
        """The components' means of the channel after `earlier` (..., c): (..., components)."""
        c = earlier.shape[-1]
        first = c * (c - 1) // 2  # couplings are stored as G|R, B|R, B|G
        moved = couplings[..., first : first + c] * self._to_unit(earlier.to(means.dtype))[..., None, :]
        return means[..., c] + moved.sum(-1)

    def _log_mass(self, values: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """log of the logistic mass in the interval around each level, nats; the arguments broadcast."""
        half = 1 / (self.levels - 1)
        inverse_scale = torch.exp(-log_scale)
        centred = self._to_unit(values.to(mean.dtype)) - mean
        below, above = (centred - half) * inverse_scale, (centred + half) * inverse_scale
        log_below = torch.where(values == 0, 0.0, F.logsigmoid(-below))
        log_above = torch.where(values == self.levels - 1, 0.0, F.logsigmoid(above))
        inner = (values > 0) & (values < self.levels - 1)
        return log_below + log_above + torch.where(inner, torch.log(-torch.expm1(-2 * half * inverse_scale)), 0.0)

    def log_prob(self, parameters: Tensor, values: Tensor) -> Tensor:
        weights, means, log_scales, couplings = self._split(parameters)
        total = weights.log_softmax(-1)
        for c in range(self.channels):
            mean = self._mean(means, couplings, values[..., :c])
            total = total + self._log_mass(values[..., c, None], mean, log_scales[..., c])
        return total.logsumexp(-1)

    def channel_log_probs(self, parameters: Tensor, values: Tensor, c: int) -> Tensor:
        weights, means, log_scales, couplings = self._split(parameters)
        posterior = weights.log_softmax(-1)  # of the component, given the channels so far
        for i in range(c):
            mean = self._mean(means, couplings, values[..., :i])
            posterior = (posterior + self._log_mass(values[..., i, None], mean, log_scales[..., i])).log_softmax(-1)
        levels, mean = (
            torch.arange(self.levels, device=parameters.device),
            self._mean(means, couplings, values[..., :c]),
        )
        mass = self._log_mass(levels, mean[..., None], log_scales[..., c, None])  # (..., components, levels)
        return (posterior[..., None] + mass).logsumexp(-2)

    def fill_noise(self, noise: Tensor, generator: Generator | None = None) -> Tensor:
        gumbel(noise[..., : self.components], generator)
        logistic(noise[..., self.components :], generator)
        return noise

    def draw(self, parameters: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        weights, means, log_scales, couplings = self._split(parameters)
        of_weights, logistic = noise.split([self.components, self.channels], -1)
        chosen = (weights / temperature + of_weights).argmax(-1, keepdim=True)[..., None]  # one for all channels

        def of_chosen(parts: Tensor) -> Tensor:
            return parts.gather(-2, chosen.expand(*chosen.shape[:-1], parts.shape[-1]))

        means, log_scales, couplings = of_chosen(means), of_chosen(log_scales), of_chosen(couplings)
        values = torch.empty((*parameters.shape[:-1], 0), dtype=torch.long, device=parameters.device)
        for c in range(self.channels):
            scale = torch.exp(log_scales[..., c]) * temperature
            drawn = self._mean(means, couplings, values) + scale * logistic[..., c, None]
            # Round now: the next channel is conditioned on the level that is drawn.
            level = ((drawn + 1) * (self.levels - 1) / 2).round().clamp(0, self.levels - 1)
            values = torch.cat([values, level.long()], dim=-1)
        return values
