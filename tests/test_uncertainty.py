"""Maps of what completions say of each pixel, and how near they are to the original."""

import math

import pytest
import torch
from conftest import all_images, generator, random_images, tiny_model

from pixelrnn.completion import complete_in_detail
from pixelrnn.evaluation.likelihoods import PERFECT, quality
from pixelrnn.occlusion import build
from pixelrnn.uncertainty import entropy, marginals, mean


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"orders": "symmetries"}, {"model": "RowLSTM"}])
@pytest.mark.parametrize("side", ["top", "bottom"])
def test_marginals_are_those_of_the_enumerated_conditional(options, side):
    model, images = tiny_model((1, 2, 2), **options), all_images(1, 2, 2, 2)
    hidden = build({"name": "half", "side": side}, 2, 2)
    image = images[9:10]
    drawn = complete_in_detail(model, image, hidden, generator=generator(), count=2000, particles=64)
    found = marginals(model, drawn)
    same = ((images == image) | hidden).flatten(1).all(1)
    with model.along(drawn.orders[0]), torch.no_grad():
        weights = model.fill_log_prob(images, hidden).exp() if drawn.exact[0] else model.log_prob(images).exp()
    weights = (weights * same / (weights * same).sum()).float()
    white = (weights[:, None, None] * images[:, 0]).sum(0)
    assert found.shape == (1, 1, 2, 2, 2)
    torch.testing.assert_close(found.sum(-1), torch.ones(1, 1, 2, 2))
    torch.testing.assert_close(found[0, 0, ..., 1], white, rtol=0, atol=0.04)
    torch.testing.assert_close(mean(found)[0, 0], white, rtol=0, atol=0.04)
    bits = -(white * white.log2() + (1 - white) * (1 - white).log2()).nan_to_num(0)
    torch.testing.assert_close(entropy(found)[0], bits, rtol=0, atol=0.1)
    assert bool((entropy(found)[0][~hidden] == 0).all())
    assert torch.equal(mean(found)[0, 0][~hidden], image[0, 0][~hidden].float())


def test_exact_draws_know_more_than_their_frequencies():
    """Of two completions each pixel has a distribution, not two of two or one of two."""
    model, images = tiny_model((3, 4, 4), 5), random_images(2, (3, 4, 4), 5)
    hidden = build("half", 4, 4)
    found = marginals(model, complete_in_detail(model, images, hidden, generator=generator(), count=2))
    assert found.shape == (2, 3, 4, 4, 5)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3, 4, 4))
    assert bool((found[:, :, hidden] > 0).all())
    assert entropy(found).shape == (2, 4, 4) and mean(found).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 5), (1, 1, 4), (1, 2, 6)])
def test_quality_is_of_the_hidden_pixels(shape):
    images, hidden = random_images(3, shape, 5), torch.zeros(shape[1:], dtype=torch.bool)
    hidden[-1:, 1:] = True
    same = images[:, None].repeat(1, 2, 1, 1, 1)
    perfect = quality(images, same, hidden, 5)
    assert (perfect.psnr, perfect.best_psnr) == (PERFECT, PERFECT)
    has_structure = min(shape[1:]) >= 3
    assert perfect.ssim == pytest.approx(1 if has_structure else math.nan, nan_ok=True)
    assert (perfect.images, perfect.completions) == (3, 2)
    same[..., ~hidden] = 4 - same[..., ~hidden]  # what is not hidden is not looked at, but for the windows of SSIM
    assert quality(images, same, hidden, 5).psnr == PERFECT
    worse = images[:, None].repeat(1, 2, 1, 1, 1)
    values = images[..., hidden]
    worse[:, 0][..., hidden] = torch.where(values > 0, values - 1, values + 1)  # one of four steps off: 20 log10(4) dB
    result = quality(images, worse, hidden, 5)
    assert result.psnr == pytest.approx((12.04 + PERFECT) / 2, abs=0.01) and result.best_psnr == PERFECT
    assert not has_structure or result.ssim < 1 == pytest.approx(result.best_ssim)
