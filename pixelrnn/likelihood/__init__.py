"""Likelihoods: the distribution of a pixel given features. Each is a class (features, channels, levels, …) in likelihoods.py.

This table is the only registry: a new likelihood is one class, one name here and one file in conf/likelihood/. An ensemble
has another one, average.py, which is made of its members' likelihoods.
"""

from collections.abc import Callable

from pixelrnn.likelihood.likelihoods import Bernoulli, Categorical, Likelihood, LogisticMixture

LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "logistic_mixture": LogisticMixture,
}
