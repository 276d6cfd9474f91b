"""Contract of every likelihood: normalised, causal over the channels, and sampled as it says."""

import numpy as np
import pytest
import torch
from conftest import accepts, all_images, generator, randomise

from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS, average
from pixelrnn.likelihood.average import Average

FEATURES = 7
LEVELS = (2, 3, 17, 256)
EVERY = [
    pytest.param(name, channels, levels, id=f"{name}-{channels}-{levels}")
    for name in LIKELIHOODS
    for channels in (1, 3)
    for levels in LEVELS
    if accepts(name, levels)
]
AVERAGES = [
    pytest.param("average", channels, levels, id=f"average-{channels}-{levels}")
    for channels in (1, 3)
    for levels in LEVELS
]
COUNTABLE = [case for case in EVERY + AVERAGES if case.values[2] <= 5]
DRAWS = 20_000


def strong_head(name, channels, levels, batch=6):
    """A likelihood with strong random weights, and parameters of a few pixels; "average" is that of two others."""
    if name == "average":
        heads = [strong_head(part, channels, levels, batch) for part in ("categorical", "logistic_mixture")]
        return Average([part for part, _ in heads]), torch.cat([parameters for _, parameters in heads], -1)
    head = randomise(LIKELIHOODS[name](FEATURES, channels, levels)).requires_grad_(False)
    return head, head(torch.randn(batch, FEATURES, dtype=torch.double))


def all_pixels(channels, levels):
    return all_images(channels, 1, 1, levels).flatten(1).long()


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY)
def test_every_conditional_sums_to_one(name, channels, levels):
    head, parameters = strong_head(name, channels, levels)
    for _ in range(5):
        log_probs = head.level_log_probs(parameters, torch.randint(levels, (6, channels)))
        assert log_probs.shape == (6, channels, levels)
        torch.testing.assert_close(log_probs.logsumexp(-1), torch.zeros(6, channels).double(), rtol=0, atol=1e-5)
        single = head.float().level_log_probs(parameters.float(), torch.randint(levels, (6, channels)))
        torch.testing.assert_close(single.logsumexp(-1), torch.zeros(6, channels), rtol=0, atol=1e-5)
        head.double()


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY + AVERAGES)
def test_quantiles_are_those_of_the_averaged_distributions(name, channels, levels):
    head, parameters = strong_head(name, channels, levels, batch=8)
    parameters, values = parameters.unflatten(0, (4, 2)), torch.randint(levels, (4, 2, channels))  # of four draws
    at_most = head.level_log_probs(parameters, values).exp().cumsum(-1)
    cumulative = head.cumulative(parameters, values)
    for level in {0, levels // 2, levels - 1}:
        found = cumulative(torch.full_like(values, level))
        torch.testing.assert_close(found, at_most[..., level], rtol=0, atol=1e-6)
    shares = (0.05, 0.3, 0.95)
    for share, found in zip(shares, head.quantiles(parameters, values, shares), strict=True):
        assert torch.equal(found, (at_most.mean(0) < share).sum(-1))


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY + AVERAGES)
def test_log_prob_is_the_sum_of_the_conditionals(name, channels, levels):
    head, parameters = strong_head(name, channels, levels)
    values = torch.randint(levels, (6, channels))
    values[:2] = torch.tensor([0, levels - 1])[:, None]
    expected = sum(head.level_log_probs(parameters, values)[torch.arange(6), c, values[:, c]] for c in range(channels))
    torch.testing.assert_close(head.log_prob(parameters, values), expected)
    images = values.view(2, 3, channels)  # any leading dimensions
    assert torch.equal(head.log_prob(parameters.view(2, 3, -1), images), head.log_prob(parameters, values).view(2, 3))


@pytest.mark.parametrize(("name", "channels", "levels"), COUNTABLE)
def test_the_pixels_probabilities_sum_to_one(name, channels, levels):
    head, parameters = strong_head(name, channels, levels)
    pixels = all_pixels(channels, levels)
    for one in parameters:
        assert abs(float(head.log_prob(one.expand(len(pixels), -1), pixels).exp().sum()) - 1) < 1e-5


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY + AVERAGES)
def test_a_channel_looks_at_earlier_channels_only(name, channels, levels):
    head, parameters = strong_head(name, channels, levels)
    values = torch.randint(levels, (6, channels))
    before = head.level_log_probs(parameters, values)
    for c in range(channels):
        changed = values.clone()
        changed[:, c] = (values[:, c] + 1 + torch.randint(levels - 1, (6,))) % levels
        moved = (head.level_log_probs(parameters, changed) - before).abs().amax((0, 2))
        assert moved[: c + 1].max() == 0
        assert bool((moved[c + 1 :] > 1e-6).all())  # G depends on R, and B on both


def chi_square(counts, probabilities):
    """Pearson's statistic and its degrees of freedom, outcomes that are expected less than 5 times taken together."""
    expected = probabilities * counts.sum()
    rare = expected < 5
    counts, expected = (torch.cat([x[~rare], x[rare].sum()[None]]) for x in (counts, expected))
    counts, expected = counts[expected > 0], expected[expected > 0]
    return float(((counts - expected) ** 2 / expected).sum()), len(counts) - 1


def assert_drawn_from(draws, log_probs, pixels, levels):
    """That the frequencies of draws (count, channels) are those of the pixels' log-probabilities."""
    place = levels ** torch.arange(draws.shape[1] - 1, -1, -1)
    counts = torch.bincount((draws * place).sum(1), minlength=len(pixels)).double()
    statistic, freedom = chi_square(counts, log_probs.exp())
    assert statistic < freedom + 5 * (2 * freedom) ** 0.5 + 5, (statistic, freedom)


@pytest.mark.parametrize(("name", "channels", "levels"), COUNTABLE)
def test_draws_have_the_probabilities(name, channels, levels):
    head, parameters = strong_head(name, channels, levels)
    pixels = all_pixels(channels, levels)
    for seed, one in enumerate(parameters):
        draws = head.sample(one.expand(DRAWS, -1), generator=generator(seed))
        assert draws.dtype == torch.int64 and draws.shape == (DRAWS, channels)
        assert_drawn_from(draws, head.log_prob(one.expand(len(pixels), -1), pixels), pixels, levels)


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY + AVERAGES)
def test_draws_are_levels_and_the_seed_decides(name, channels, levels):
    head, parameters = strong_head(name, channels, levels, batch=300)
    draws = [head.sample(parameters, generator=generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert draws[0].min() >= 0 and draws[0].max() <= levels - 1


@pytest.mark.parametrize("channels", [1, 3])
def test_an_average_is_the_mean_of_the_logits(channels, monkeypatch):
    heads = [strong_head(name, channels, 3) for name in ("categorical", "logistic_mixture")]
    parameters, values = torch.cat([own for _, own in heads], -1), torch.randint(3, (6, channels))
    logits = sum(head.level_log_probs(own, values) for head, own in heads) / 2
    expected, head = logits - logits.exp().sum(-1, keepdim=True).log(), Average([head for head, _ in heads])
    torch.testing.assert_close(head.level_log_probs(parameters, values), expected)
    log_probs = head.log_prob(parameters, values)
    assert log_probs.shape == (6,)
    assert bool((log_probs >= sum(part.log_prob(own, values) for part, own in heads) / 2).all())
    monkeypatch.setattr(average, "AT_ONCE", 4)
    torch.testing.assert_close(head.log_prob(parameters.view(2, 3, -1), values.view(2, 3, -1)), log_probs.view(2, 3))


@pytest.mark.parametrize("temperature", [0.4, 2.5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "levels"), [("categorical", 3), ("categorical", 2), ("bernoulli", 2), ("average", 3)])
def test_temperature_divides_the_logits(name, levels, channels, temperature):
    head, parameters = strong_head(name, channels, levels)
    pixels = all_pixels(channels, levels)
    for seed, one in enumerate(parameters):
        conditionals = head.level_log_probs(one.expand(len(pixels), -1), pixels)
        tempered = (conditionals / temperature).log_softmax(-1).gather(-1, pixels[..., None]).sum((1, 2))
        draws = head.sample(one.expand(DRAWS, -1), temperature, generator(seed))
        assert_drawn_from(draws, tempered, pixels, levels)


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY)
def test_cold_draws_are_the_mode(name, channels, levels):
    head, parameters = strong_head(name, channels, levels, batch=2000)
    parameters = 5 * parameters
    cold = head.sample(parameters, 1e-6, generator(0))
    probabilities = head.level_log_probs(parameters, cold).exp()
    clear = (probabilities.amax(-1) > 0.95).all(-1)
    assert clear.sum() >= 20
    assert torch.equal(cold[clear], head.sample(parameters, 1e-6, generator(1))[clear])  # nothing is left to chance
    # All of them, but that of a mixture they show the heaviest component, which is not always the mode.
    share = (probabilities.argmax(-1) == cold)[clear].all(-1).double().mean()
    assert share == 1 or (name == "logistic_mixture" and share > 0.95)


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 17), (3, 3), (3, 256)])
def test_the_logistic_mixture_agrees_with_differences_of_sigmoids(channels, levels):
    head, parameters = strong_head("logistic_mixture", channels, levels, batch=40)
    values = torch.randint(levels, (40, channels))
    couplings = channels * (channels - 1) // 2
    raw = parameters.view(40, head.components, 1 + 2 * channels + couplings).numpy()
    weights, means, log_scales, couplings = np.split(raw, [1, 1 + channels, 1 + 2 * channels], axis=2)
    x, total = 2 * values.numpy() / (levels - 1) - 1, np.exp(weights[..., 0])
    total /= total.sum(1, keepdims=True)
    for c in range(channels):
        mean = means[..., c].copy()
        for i in range(c):  # the paper's 2.2: G is moved by R, B by R and G
            mean += np.tanh(couplings[..., c * (c - 1) // 2 + i]) * x[:, None, i]
        ends = [(x[:, None, c] + side / (levels - 1) - mean) / np.exp(log_scales[..., c]) for side in (-1, 1)]
        below, above = 1 / (1 + np.exp(-ends[0])), 1 / (1 + np.exp(-ends[1]))
        below[values[:, c] == 0], above[values[:, c] == levels - 1] = 0, 1
        total *= above - below
    likely = total.sum(1) > 1e-9  # below, the difference of two sigmoids has lost its digits
    assert likely.sum() > 10
    got = head.log_prob(parameters, values).numpy()
    np.testing.assert_allclose(got[likely], np.log(total.sum(1))[likely], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY)
def test_extreme_parameters_keep_values_and_gradients_finite(name, channels, levels):
    head = randomise(LIKELIHOODS[name](FEATURES, channels, levels)).float()
    size = head(torch.zeros(1, FEATURES)).shape[-1]
    signs = torch.randint(-1, 2, (64, size)).float()
    for magnitude in (1.0, 30.0, 1e3, 1e6):
        parameters = (signs * magnitude).requires_grad_()
        for value in (0, levels // 2, levels - 1):
            log_prob = head.log_prob(parameters, torch.full((64, channels), value))
            (gradient,) = torch.autograd.grad(log_prob.sum(), parameters)
            assert bool(log_prob.isfinite().all()) and bool(gradient.isfinite().all()), (magnitude, value)
        draws = head.sample(parameters.detach(), generator=generator())
        assert draws.min() >= 0 and draws.max() <= levels - 1


@pytest.mark.parametrize(("name", "channels", "levels"), EVERY)
def test_every_parameter_of_the_head_learns(name, channels, levels):
    head = randomise(LIKELIHOODS[name](FEATURES, channels, levels))
    values = torch.randint(levels, (200, channels))
    head.log_prob(head(torch.randn(200, FEATURES, dtype=torch.double)), values).sum().backward()
    for key, p in head.named_parameters():  # DistributedDataParallel stops at a parameter without a gradient
        assert p.grad is not None and bool(p.grad.isfinite().all()) and p.grad.abs().max() > 0, key


@pytest.mark.parametrize("levels", [3, 17, 256])
def test_bernoulli_is_for_two_levels(levels):
    with pytest.raises(UserError, match=f"levels={levels}: use likelihood=categorical"):
        LIKELIHOODS["bernoulli"](FEATURES, 1, levels)
