"""Contract of the models: normalised, causal, and the same step by step as in one pass.

Run over combinations of cell, ordering, likelihood and options in which every pair of them occurs; likewise of the
paper's two-dimensional models, the raster's symmetries, depths and likelihoods.
"""

import pickle

import pytest
import torch
from conftest import (
    ENSEMBLES,
    INPAINTING,
    PAPER,
    SEEING,
    accepts,
    all_images,
    every_pair,
    influence,
    ordering_spec,
    random_images,
    tiny_model,
)

from pixelrnn import UserError
from pixelrnn.cell import CELLS
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model import inputs as model_inputs
from pixelrnn.model.inputs import PixelInputs, causal_window
from pixelrnn.ordering import ORDERINGS, TRANSFORMS, build

OPTIONS = {
    "cell": list(CELLS),
    "ordering": list(ORDERINGS),
    "likelihood": list(LIKELIHOODS),
    "window": [0, 3, 5],
    "transforms": [(), *((name,) for name in TRANSFORMS)],
    "depth": [1, 2],
    "residual": [False, True],
    "layer_norm": [False, True],
    "bidirectional": [False, True],
    "orders": [None, "symmetries", ["raster", "spiral", "raster", {"name": "snake", "transforms": ["transpose"]}]],
}


def fits(case):
    return accepts(case["likelihood"], case["images"][-1])


# (channels, height, width, levels); the first have few enough images to list them all: 16, 81, 4096 and 729.
FEW = [(1, 2, 2, 2), (1, 2, 2, 3), (3, 2, 2, 2), (3, 1, 2, 3)]
MANY = [(1, 3, 5, 2), (1, 4, 4, 256), (3, 4, 3, 2), (3, 3, 3, 17)]
SEQUENCE = {"few": every_pair(fits, images=FEW, **OPTIONS), "many": every_pair(fits, images=MANY, **OPTIONS)}
PLAIN = SEQUENCE["few"] + every_pair(fits, images=FEW, scale=[2], **PAPER)
PLAIN += every_pair(fits, images=FEW, **ENSEMBLES)
COUNTABLE = PLAIN + every_pair(fits, images=FEW, **INPAINTING) + every_pair(fits, images=FEW, **SEEING)
LARGER = SEQUENCE["many"] + every_pair(fits, images=MANY, scale=[2, 3], **PAPER)
LARGER += every_pair(fits, images=MANY, **INPAINTING)
LARGER += every_pair(fits, images=MANY, **ENSEMBLES) + every_pair(fits, images=MANY, **SEEING)


def make(case):
    channels, height, width, levels = case["images"]
    ordering = case["ordering"]
    if isinstance(ordering, str):
        ordering = ordering_spec(ordering, height, width, case.get("transforms", ()))
    options = {key: value for key, value in case.items() if key not in ("images", "ordering", "transforms")}
    return tiny_model((channels, height, width), levels, ordering=ordering, **options)


def prefix_masks(model):
    """Every mask whose hidden pixels come last in the order, by how many are observed: bool (pixels, height, width)."""
    visited_at = torch.empty_like(model.order)
    visited_at[model.order] = torch.arange(model.pixels)
    return torch.stack([visited_at >= seen for seen in range(model.pixels)]).view(-1, *model.shape[1:])


def test_the_combinations_hold_every_pair():
    assert len(LARGER) < 300
    for cases in SEQUENCE.values():
        pairs = {(case.values[0]["cell"], case.values[0]["ordering"]) for case in cases}
        assert len(pairs) == len(CELLS) * len(ORDERINGS)
    for cases in (COUNTABLE, LARGER):
        pairs = {
            (case.values[0]["model"], str(case.values[0]["ordering"])) for case in cases if "model" in case.values[0]
        }
        assert len(pairs) == 4 * 8 + 4 + 2  # the paper's models, InpaintingRNN, and ensembles


@pytest.mark.parametrize("case", COUNTABLE)
def test_the_probabilities_of_all_images_sum_to_one(case):
    model = make(case)
    with torch.no_grad():
        log_probs = model.log_prob(all_images(*case["images"]))
    assert abs(float(log_probs.exp().sum()) - 1) < 1e-5
    assert log_probs.std() > 0.1  # and are not all the same, as a fresh model's are


@pytest.mark.parametrize("case", PLAIN)
def test_the_chain_rule_over_every_prefix(case):
    """log p(prefix) + log p(rest | prefix) = log p(x), log p(prefix) by adding up the images that share it.

    It is of one order's p(x); and a model that sees ahead has another p for each mask, not the conditional of its p(x).
    """
    model, images = make({**case, "bidirectional": False}), all_images(*case["images"])
    with torch.no_grad():
        whole = model.log_prob(images)
        for hidden in prefix_masks(model):
            seen = images.masked_fill(hidden, 0).flatten(1)
            same = torch.unique(seen, dim=0, return_inverse=True)[1]
            prefix = torch.zeros(int(same.max()) + 1).double().index_add(0, same, whole.exp()).log()[same]
            torch.testing.assert_close(prefix + model.fill_log_prob(images, hidden), whole, rtol=0, atol=1e-5)
            if len(model.orders) == 1:
                torch.testing.assert_close(model.log_prob(images, hidden), model.fill_log_prob(images, hidden))


@pytest.mark.parametrize("case", LARGER)
def test_no_pixel_looks_ahead(case):
    model = make(case)
    moved = torch.stack([influence(model, image) for image in random_images(3, model.shape, model.levels)]).amax(0)
    assert moved.tril().max() == 0  # the change of a pixel moves nothing at or before it in the order,
    assert bool((moved.triu(1).amax(1)[:-1] > 1e-9).all())  # but something after it


@pytest.mark.parametrize("case", LARGER)
def test_steps_equal_the_pass_over_the_whole_image(case):
    model = make(case)
    images = random_images(3, model.shape, model.levels)
    with torch.no_grad():
        for seen in range(0, model.pixels, 4):
            hidden = prefix_masks(model)[seen].expand(3, -1, -1)
            expected = model(images, hidden)
            canvas = torch.where(hidden[:, None], 0, images)  # pixels appear on it as they are visited
            state = model.begin(canvas.clone(), hidden)
            for t in range(seen, model.pixels):
                parameters, state = model.step(canvas, t, state)
                torch.testing.assert_close(parameters, expected[:, t], rtol=0, atol=1e-8)
                row, column = divmod(int(model.order[t]), model.shape[2])
                canvas[:, :, row, column] = images[:, :, row, column]


@pytest.mark.parametrize("case", LARGER)
def test_steps_equal_the_pass_in_single_precision(case):
    model = make(case).float()
    images = random_images(3, model.shape, model.levels)
    with torch.no_grad():
        expected, state = model(images), model.begin(images, prefix_masks(model)[:1].expand(3, -1, -1))
        for t in range(model.pixels):
            parameters, state = model.step(images, t, state)
            torch.testing.assert_close(parameters, expected[:, t], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", LARGER)
def test_log_prob_is_the_sum_over_the_pixels(case):
    model = make(case)
    images = random_images(4, model.shape, model.levels)
    with torch.no_grad():
        pixels = model.pixel_log_probs(images)
        assert pixels.shape == (4, model.pixels) and bool((pixels <= 0).all())
        torch.testing.assert_close(model.log_prob(images), pixels.sum(1))
        hidden = torch.rand(4, *model.shape[1:]) < 0.5
        hidden[:, 0, 0] = True
        pixels = model.pixel_log_probs(images, hidden)
        filled = torch.stack([row[mask.flatten()[model.order]].sum() for row, mask in zip(pixels, hidden, strict=True)])
        torch.testing.assert_close(model.fill_log_prob(images, hidden), filled)


@pytest.mark.parametrize("case", LARGER)
def test_every_parameter_learns(case):
    model = make(case)
    model.log_prob(random_images(8, model.shape, model.levels)).sum().backward()
    for name, p in model.named_parameters():  # DistributedDataParallel stops at a parameter without a gradient
        assert p.grad is not None and bool(p.grad.isfinite().all()), name


def test_the_window_holds_the_visited_pixels():
    height, width, side = 4, 5, 3
    order = build("spiral", height, width)
    visited = order.tolist()
    neighbours, known = causal_window(order, height, width, side)
    for t, pixel in enumerate(visited):
        row, column = divmod(pixel, width)
        for i in range(side * side):
            r, c = row + i // side - 1, column + i % side - 1
            expected = 0 <= r < height and 0 <= c < width and r * width + c in visited[:t]
            assert bool(known[t, i]) == expected
            assert not expected or neighbours[t, i] == r * width + c


@pytest.mark.parametrize("window", [0, 3])
def test_a_pixel_is_seen_at_the_next_step(window):
    model = tiny_model((1, 4, 4), 2, window=window, ordering="hilbert")
    moved = influence(model, random_images(1, model.shape, 2)[0])
    assert moved.diagonal(1).min() > 1e-6


def unshifted(previous):
    """A mutant: each step is given the value of the pixel that it predicts."""
    return lambda self, flat, start, stop: previous(self, flat, start + 1, stop + 1)


def sees_itself(window):
    """A mutant: the pixel that is predicted counts as known in its own window."""

    def leaking(order, height, width, side):
        neighbours, known = window(order, height, width, side)
        known[:, side * side // 2] = True
        return neighbours, known

    return leaking


def sees_ahead(window):
    """A mutant: every neighbour counts as known, visited or not."""

    def leaking(order, height, width, side):
        neighbours, known = window(order, height, width, side)
        return neighbours, torch.ones_like(known)

    return leaking


@pytest.mark.parametrize(
    ("owner", "name", "mutant", "window"),
    [
        (PixelInputs, "_previous", unshifted, 0),
        (model_inputs, "causal_window", sees_itself, 3),
        (model_inputs, "causal_window", sees_ahead, 3),
    ],
)
def test_the_tests_catch_a_leak(owner, name, mutant, window, monkeypatch):
    def leak_and_mass():
        model, images = tiny_model((1, 2, 2), 2, window=window), all_images(1, 2, 2, 2)
        with torch.no_grad():
            return influence(model, images[5]).tril().max(), model.log_prob(images).exp().sum()

    leak, mass = leak_and_mass()
    assert leak == 0 and abs(mass - 1) < 1e-5
    monkeypatch.setattr(owner, name, mutant(getattr(owner, name)))
    leak, mass = leak_and_mass()
    assert leak > 1e-3 and abs(mass - 1) > 1e-3


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("model", "other"),
    [
        ("SequenceRNN", {"ordering": "snake"}),
        ("SequenceRNN", {"ordering": torch.tensor([3, 1, 0, 2])}),
        ("SequenceRNN", {"orders": ["raster", "column"]}),
        ("PixelCNN", {"ordering": "column"}),
        ("MultiScale", {"ordering": {"name": "raster", "transforms": ["reverse"]}}),
    ],
)
def test_the_weights_of_another_order_are_refused(model, other, strict):
    """Much of a model is made of its orders when it is built: with another order it would be no distribution."""
    made, images = tiny_model((1, 2, 2), model=model), all_images(1, 2, 2, 2)
    weights = tiny_model((1, 2, 2), model=model, seed=1, **other).state_dict()
    before = made.log_prob(images)
    for module, prefix in ((made, ""), (torch.nn.Sequential(made), "0.")):
        with pytest.raises(UserError, match=r"another order than this one, whose ordering is .*pixelrnn\.load"):
            module.load_state_dict({prefix + name: weight for name, weight in weights.items()}, strict=strict)
    assert torch.equal(made.log_prob(images), before)
    made.load_state_dict(tiny_model((1, 2, 2), model=model, seed=1).state_dict(), strict=strict)
    assert float(made.log_prob(images).detach().exp().sum()) == pytest.approx(1)


def test_a_model_can_be_pickled():
    model, images = tiny_model((1, 2, 2), orders="symmetries"), all_images(1, 2, 2, 2)
    assert torch.equal(pickle.loads(pickle.dumps(model)).log_prob(images), model.log_prob(images))
