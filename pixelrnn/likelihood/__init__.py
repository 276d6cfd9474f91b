"""Likelihoods: the distribution of a pixel given features. Each is a class (features, channels, levels) -> Likelihood.

This table is the only registry: a new likelihood is one class, one name here and one file in conf/likelihood/.
"""

from collections.abc import Callable

from pixelrnn.likelihood.base import Likelihood
from pixelrnn.likelihood.bernoulli import Bernoulli
from pixelrnn.likelihood.categorical import Categorical
from pixelrnn.likelihood.logistic_mixture import LogisticMixture

LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "logistic_mixture": LogisticMixture,
}

__all__ = ["LIKELIHOODS", "Likelihood"]
