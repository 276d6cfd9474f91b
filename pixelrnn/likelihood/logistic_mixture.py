"""Discretised mixture of logistics (Salimans et al. 2017, PixelCNN++, sections 2.1 and 2.2)."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pixelrnn.errors import UserError
from pixelrnn.likelihood.base import Likelihood, gumbel
from pixelrnn.products import Product, widened

LOG_SCALES = (-7.0, 7.0)  # bounds for a logistic over [-1, 1] that keep exp and log finite


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
        super().__init__(channels, levels, noise_size=components + channels)
        self.components = components
        couplings = channels * (channels - 1) // 2
        self.sizes = [1, channels, channels, couplings]  # mixture logit, means, log scales, couplings of each component
        self.project = nn.Linear(features, components * sum(self.sizes))

    def derive(self, product: type[Product]) -> Product:
        return product(self.project.weight, self.project.bias)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):  # bfloat16 would round the means to whole levels
            return self.derived()(widened(features))

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

    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        weights, means, log_scales, couplings = self._split(parameters)
        posterior = weights.log_softmax(-1)  # of the component, given the channels so far
        levels = torch.arange(self.levels, device=parameters.device)
        log_probs = []
        for c in range(self.channels):
            mean = self._mean(means, couplings, values[..., :c])
            mass = self._log_mass(levels, mean[..., None], log_scales[..., c, None])  # (..., components, levels)
            log_probs.append((posterior[..., None] + mass).logsumexp(-2))
            posterior = (posterior + self._log_mass(values[..., c, None], mean, log_scales[..., c])).log_softmax(-1)
        return torch.stack(log_probs, dim=-2)

    def fill_noise(self, noise: Tensor, generator: Generator | None = None) -> Tensor:
        gumbel(noise[..., : self.components], generator)
        noise[..., self.components :].uniform_(generator=generator).logit_(eps=torch.finfo(noise.dtype).tiny)
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
