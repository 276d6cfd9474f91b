"""Reported numbers are what they say."""

import json
import math
import re

import numpy as np
import pytest
import torch
from conftest import all_images, generator, random_images, tiny_model
from PIL import Image

from pixelrnn import UserError, evaluation
from pixelrnn.files.pictures import to_picture
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
    torch.testing.assert_close(whole.log_probs, -nats.double(), rtol=1e-5, atol=1e-5)


def test_arrays_and_pictures_are_evaluated_like_tensors():
    model, images, hidden = tiny_model((1, 4, 4), 256), random_images(3, (1, 4, 4), 256), build("half", 4, 4)
    expected = evaluation.evaluate(model, images, hidden)
    mask = Image.fromarray((hidden * 255).numpy().astype(np.uint8))
    pictures = [to_picture(image) for image in images]
    assert evaluation.evaluate(model, images[:, 0].numpy(), hidden.numpy()) == expected
    assert evaluation.evaluate(model, pictures, mask) == expected
    with pytest.raises(UserError, match=r"hidden has shape \(3, 4\); the images need \(4, 4\)"):
        evaluation.evaluate(model, images, hidden[1:])


def test_the_repr_is_a_line_of_results():
    found = repr(evaluation.evaluate(tiny_model((1, 4, 4)), random_images(100, (1, 4, 4), 2)))
    assert re.fullmatch(
        r"Likelihoods\([\d.]+ ± [\d.]+ nats per image, [\d.]+ ± [\d.]+ bits/dim over 100 images\)", found
    )


def test_a_conditional_counts_its_hidden_dimensions():
    model, images, hidden = tiny_model((3, 4, 4), 4), random_images(5, (3, 4, 4), 4), build("half", 4, 4)
    result = evaluation.evaluate(model, images, hidden)
    assert result.dimensions == 3 * 8
    assert result.nats == pytest.approx(-float(model.log_prob(images, hidden).detach().mean()))


def test_a_conditional_that_is_not_exact_says_how_it_was_found():
    model, images = tiny_model((1, 4, 4)), random_images(5, (1, 4, 4), 2)
    halves = {side: build({"name": "half", "side": side}, 4, 4) for side in ("top", "bottom")}
    with pytest.raises(UserError, match="8 observed pixels come after the first hidden one"):
        evaluation.evaluate(model, images, halves["top"])
    fill, how = evaluation.evaluate_conditional(model, images, halves["top"])
    assert how == "fill" and fill.dimensions == 8
    assert fill.nats == pytest.approx(-float(model.fill_log_prob(images, halves["top"]).mean().detach()))
    exact, how = evaluation.evaluate_conditional(model, images, halves["bottom"], "particles")
    assert how == "exact" and exact.nats < evaluation.evaluate(model, images).nats


def test_a_misspelt_strategy_is_refused():
    with pytest.raises(UserError, match="did you mean 'ancestral'"):
        evaluation.evaluate_conditional(
            tiny_model((1, 4, 4)),
            random_images(2, (1, 4, 4), 2),
            build({"name": "half", "side": "top"}, 4, 4),
            "ancestrall",
        )


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True, None, "a"])
def test_batches_of_no_size_are_refused(batch_size):
    model, images, hidden = (
        tiny_model((1, 4, 4), orders="symmetries"),
        random_images(2, (1, 4, 4), 2),
        build("box", 4, 4),
    )
    with pytest.raises(UserError, match=r"batch_size=.*: it is a whole number from 1"):
        evaluation.evaluate(model, images, batch_size=batch_size)
    with pytest.raises(UserError, match=r"batch_size=.*: it is a whole number from 1"):
        evaluation.evaluate_ensemble(model, images, batch_size=batch_size)
    with pytest.raises(UserError, match=r"batch_size=.*: it is a whole number from 1"):
        evaluation.evaluate_conditional(model, images, hidden, batch_size=batch_size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hidden: hidden[1:], r"hidden has shape \(3, 4\); the images need \(4, 4\)"),
        (lambda hidden: hidden[0], r"hidden has shape \(4,\)"),
        (lambda hidden: hidden.float(), "hidden is float32; it must be bool"),
        (lambda hidden: hidden & ~hidden, "a mask hides nothing"),
        (
            lambda hidden: hidden.expand(2, 4, 4),
            r"hidden has shape \(2, 4, 4\); all images have one mask here, \(4, 4\)",
        ),
    ],
)
@pytest.mark.parametrize("strategy", ["ancestral", "particles"])
def test_a_mask_that_does_not_fit_a_conditional_is_refused(strategy, change, message):
    model, images, hidden = tiny_model((1, 4, 4)), random_images(2, (1, 4, 4), 2), build("box", 4, 4)
    with pytest.raises(UserError, match=message):
        evaluation.evaluate_conditional(model, images, change(hidden), strategy)


def test_a_mask_of_one_dimension_is_refused():
    with pytest.raises(UserError, match=r"hidden has shape \(4,\)"):
        evaluation.evaluate(tiny_model((1, 4, 4)), random_images(2, (1, 4, 4), 2), torch.ones(4, dtype=torch.bool))


def test_of_one_image_there_is_no_error_in_the_report():
    result = evaluation.evaluate(tiny_model((1, 4, 4)), random_images(1, (1, 4, 4), 2))
    assert "nan" not in str(result) and "±" not in str(result) and str(result).endswith("over 1 image")
    report = result.as_dict()
    assert report["nats_error"] is report["bits_per_dim_error"] is None
    json.dumps(report, allow_nan=False)


def test_images_that_do_not_fit_are_refused_with_a_mask_too():
    model, hidden = tiny_model((1, 4, 4)), build("half", 4, 4)
    for images in (random_images(1, (1, 4, 4), 2)[0, 0, 0], random_images(1, (1, 5, 5), 2)):
        with pytest.raises(UserError, match="this model takes"):
            model.log_prob(images, hidden)


def test_particles_estimate_the_conditional():
    """log p(x) - log p(observed), which is enumerated over the hidden pixels."""
    model, images, hidden = (
        tiny_model((1, 2, 3), gain=3.0),
        random_images(6, (1, 2, 3), 2),
        build({"name": "half", "side": "top"}, 2, 3),
    )
    everything = all_images(1, 2, 3, 2)
    with torch.no_grad():
        joint = model.log_prob(everything)
        same = ((everything[:, None] == images) | hidden).flatten(2).all(2)  # (64, 6)
        observed = joint[:, None].masked_fill(~same, -torch.inf).logsumexp(0)
        expected = -(model.log_prob(images) - observed).mean()
    found, how = evaluation.evaluate_conditional(model, images, hidden, "particles", 4096, generator=generator())
    assert how == "particles" and found.nats == pytest.approx(float(expected), abs=0.05)
    fill, _ = evaluation.evaluate_conditional(model, images, hidden)
    assert abs(fill.nats - found.nats) > 0.2


def test_the_ensemble_averages_probabilities():
    model, images = tiny_model((1, 2, 2), orders="symmetries"), all_images(1, 2, 2, 2)
    along = []
    for index in range(8):
        with model.along(index), torch.no_grad():
            along.append(model.log_prob(images).exp())
    mean = torch.stack(along).mean(0)
    assert float(mean.sum()) == pytest.approx(1)
    assert evaluation.evaluate_ensemble(model, images).nats == pytest.approx(float(-mean.log().mean()))
    with pytest.raises(UserError, match="single order"):
        evaluation.evaluate_ensemble(tiny_model(), images)


def test_the_error_of_bits_is_not_that_of_the_masks_sizes():
    """Masks of very different sizes, and pixels that cost the same everywhere: bits per dimension have hardly an error."""
    model = tiny_model((1, 4, 4), 4)
    images = torch.randint(4, (40, 1, 4, 4), dtype=torch.uint8)
    hidden = torch.zeros(40, 4, 4, dtype=torch.bool)
    hidden[::2, 3:], hidden[1::2] = True, True
    found = evaluation.evaluate(model, images, hidden)
    nats, each = -found.log_probs, hidden.flatten(1).sum(1).double()
    generator, means = torch.Generator().manual_seed(0), []
    for _ in range(4000):
        rows = torch.randint(40, (40,), generator=generator)
        means.append(nats[rows].sum() / each[rows].sum() / math.log(2))
    assert found.bits_per_dim == pytest.approx(float(nats.sum() / each.sum()) / math.log(2))
    assert found.bits_per_dim_error == pytest.approx(float(torch.stack(means).std()), rel=0.15)
    assert found.bits_per_dim_error < found.nats_error / (found.dimensions * math.log(2)) / 3
