"""Reported numbers are what they say."""

import math

import pytest
import torch
from conftest import random_images, tiny_model

from pixelrnn import UserError, evaluation
from pixelrnn.occlusion import build


def test_a_model_that_knows_nothing_has_log2_levels_bits():
    """Zero weights are the uniform distribution: 8 bits a dimension for 256 levels, whatever the image."""
    model = tiny_model((3, 4, 4), 256).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    result = evaluation.evaluate(model, random_images(7, (3, 4, 4), 256))
    assert result.bits_per_dim == pytest.approx(8.0, abs=1e-5)
    assert result.nats == pytest.approx(48 * math.log(256), rel=1e-6)
    assert result.nats_error == pytest.approx(0.0, abs=1e-3)


def test_batches_make_no_difference_and_the_error_is_of_the_mean():
    model, images = tiny_model((1, 3, 3), 4), random_images(11, (1, 3, 3), 4)
    whole, parts = (evaluation.evaluate(model, images, batch_size=size) for size in (11, 4))
    nats = -model.log_prob(images).detach()
    assert whole.nats == pytest.approx(parts.nats) == pytest.approx(float(nats.mean()))
    assert whole.nats_error == pytest.approx(float(nats.std()) / math.sqrt(11))


def test_a_conditional_counts_its_hidden_dimensions():
    model, images, hidden = tiny_model((3, 4, 4), 4), random_images(5, (3, 4, 4), 4), build("half", 4, 4)
    result = evaluation.evaluate(model, images, hidden)
    assert result.dimensions == 3 * 8
    assert result.nats == pytest.approx(-float(model.log_prob(images, hidden).detach().mean()))


def test_a_conditional_that_is_not_exact_is_refused_or_left_out():
    model, images = tiny_model((1, 4, 4)), random_images(5, (1, 4, 4), 2)
    halves = {side: build({"name": "half", "side": side}, 4, 4) for side in ("top", "bottom")}
    with pytest.raises(UserError, match="8 observed pixels come after the first hidden one"):
        evaluation.evaluate(model, images, halves["top"])
    results = evaluation.evaluate_all(model, images, halves)
    assert results["top"] is None
    assert results["all"].nats > results["bottom"].nats
