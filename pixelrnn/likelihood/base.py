"""The contract of a likelihood: the distribution of one pixel, with all its channels, given the model's features."""

from abc import abstractmethod

from torch import Generator, Tensor

from pixelrnn.products import Packable


class Likelihood(Packable):
    """p(pixel | features) = ∏_c p(x_c | x_<c, features): R, then G given R, then B given R and G (the paper's eq. 2).

    All channels are predicted inside one step. This factorisation is as exact as one step per channel, and takes a third
    of the steps for RGB. `forward` turns features into parameters, which do not depend on the pixel's own value;
    the other methods turn parameters into probabilities and draws.
    """

    fine = False  # whether its distributions can be narrower than the steps of bfloat16; training then stays in float32

    def __init__(self, channels: int, levels: int, noise_size: int):
        super().__init__()
        self.channels, self.levels, self.noise_size = channels, levels, noise_size

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """features (..., width) -> parameters (..., parameters)."""

    @abstractmethod
    def level_log_probs(self, parameters: Tensor, values: Tensor) -> Tensor:
        """log p(x_c = level | x_<c = values) for all levels: values (..., channels) -> (..., channels, levels) nats."""

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
        noise = parameters.new_empty((*parameters.shape[:-1], self.noise_size))
        return self.draw(parameters, self.fill_noise(noise, generator), temperature)


def gumbel(noise: Tensor, generator: Generator | None) -> Tensor:
    """Fill noise with draws from Gumbel's distribution: -log of an exponential variable.

    Then argmax(logits + noise) is a draw from their softmax (the Gumbel-max trick).
    """
    return noise.exponential_(generator=generator).log_().neg_()
