"""An ensemble: its members' predictions averaged along one order; the contract of models is tested with the others'."""

import copy
import pickle

import pytest
import torch
from conftest import generator, random_images, stripes, tiny_model

import pixelrnn
from pixelrnn import Ensemble, UserError, complete, sample, verify
from pixelrnn.cell import CELLS
from pixelrnn.completion.describe import describe_model, describe_order
from pixelrnn.datasets import digests
from pixelrnn.errors import notes_to
from pixelrnn.occlusion import build as occlude
from pixelrnn.training import Settings, train

KINDS = ["SequenceRNN", "InpaintingRNN", "RowLSTM", "DiagonalBiLSTM", "PixelCNN", "MultiScale"]
SHAPE = (3, 4, 4)


def single(model="SequenceRNN", **options):
    return tiny_model(SHAPE, **{"levels": 3, "model": model, **options}).float()


def pair(**options):
    return Ensemble([single(window=3, **options), single("PixelCNN", seed=1, **options)])


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_of_one_or_of_equals_is_its_member(kind):
    model, images = single(kind, orders="symmetries"), random_images(5, SHAPE, 3)
    model.cursor.index = 0
    hidden = torch.rand(5, 4, 4, generator=generator()) < 0.5
    for members in ([model], [model, model], [model, copy.deepcopy(model)]):
        ensemble = Ensemble(members)
        assert torch.equal(ensemble.orders, model.orders) and ensemble.sees_ahead == model.sees_ahead
        for index in range(len(model.orders)):
            with torch.no_grad(), model.along(index), ensemble.along(index):
                torch.testing.assert_close(ensemble.log_prob(images), model.log_prob(images))
                torch.testing.assert_close(ensemble.fill_log_prob(images, hidden), model.fill_log_prob(images, hidden))
        assert ensemble.parts.keys() == model.parts.keys()


def test_an_ensemble_is_at_least_as_good_as_its_members_on_average():
    ensemble, images = pair(), random_images(20, SHAPE, 3)
    with torch.no_grad():
        of_members = torch.stack([member.pixel_log_probs(images) for member in ensemble.members])
        assert bool((ensemble.pixel_log_probs(images) >= of_members.mean(0) - 1e-5).all())


@pytest.mark.parametrize("members", [("SequenceRNN", "DiagonalBiLSTM"), ("SequenceRNN", "InpaintingRNN")])
def test_each_strategy_keeps_the_observed_pixels(members):
    model = single("Ensemble", members=members, bidirectional="InpaintingRNN" in members)
    images, hidden = random_images(2, SHAPE, 3), occlude({"name": "half", "side": "top"}, 4, 4)
    for strategy in ("auto", "ancestral", "particles"):
        drawn = complete(model, images, hidden, 2, strategy=strategy, particles=4, generator=generator())
        assert torch.equal(drawn[..., ~hidden], images[:, None].expand_as(drawn)[..., ~hidden])
        assert not torch.equal(drawn, images[:, None].expand_as(drawn))


def test_a_sound_ensemble_passes():
    assert len(verify(pair(orders="symmetries"))) == 8
    assert len(verify(single("Ensemble", members=("SequenceRNN", "InpaintingRNN"), bidirectional=True))) == 8


def test_members_are_copied_and_move_together():
    first, second = single(orders="symmetries", dropout=0.5, depth=2), single("RowLSTM", orders="symmetries")
    first.cursor.index = second.cursor.index = 0
    one, other = Ensemble([first.train(), second]), Ensemble([second, first])
    images = random_images(2, SHAPE, 3)
    before = one.log_prob(images)
    sample(one, 1)
    assert torch.equal(one.log_prob(images), before), "no dropout, not even after a completion"
    with one.along(3):
        assert {member.cursor.index for member in one.members} == {3}
        assert {model.cursor.index for model in (first, second, other, *other.members)} == {0}
        assert not torch.equal(one.log_prob(images), before)
    next(first.parameters()).data.zero_()
    assert torch.equal(one.log_prob(images), before)
    for twin in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        with twin.along(3), one.along(3):
            assert torch.equal(twin.log_prob(images), one.log_prob(images))
        assert torch.equal(sample(twin, 1, generator=generator()), sample(one, 1, generator=generator()))


def test_a_graph_can_record_its_step_if_it_can_each_members():
    assert single("Ensemble", members=("SequenceRNN", "SequenceRNN")).position_as_tensor
    assert not single("Ensemble", members=("SequenceRNN", "InpaintingRNN"), bidirectional=True).position_as_tensor


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (lambda: [], r"a list of models, at least one; got \[\]"),
        (lambda: single(), r"a list of models, at least one; got SequenceRNN\("),
        (lambda: [single(), "digits"], "member 2 of the ensemble is of type str"),
        (lambda: [pair(), single()], "member 1 of the ensemble is of type Ensemble"),
        (lambda: [single(), single(levels=4)], "member 2 of the ensemble, a SequenceRNN, has levels 4, and member 1 3"),
        (
            lambda: [single(), tiny_model((1, 4, 4), 3, model="PixelCNN")],
            r"a PixelCNN, has shape \(1, 4, 4\), and member 1 \(3, 4, 4\)",
        ),
        (
            lambda: [single(), single(), single("PixelCNN", ordering="column")],
            "member 3 of the ensemble, a PixelCNN, visits the pixels along column, and member 1 along raster",
        ),
        (lambda: [single(orders=["raster", "column"]), single()], "along raster, and member 1 along raster / column"),
        (lambda: [single(), single("InpaintingRNN")], "InpaintingRNN, sees ahead, and member 1 does not"),
        (lambda: [single(bidirectional=True), single()], "SequenceRNN, does not see ahead, and member 1 does"),
    ],
)
def test_members_that_do_not_fit_are_refused(members, says):
    with pytest.raises(UserError, match=says) as error:
        Ensemble(members())
    assert "\n" not in str(error.value)


def test_an_ensemble_says_what_its_members_were_trained_on():
    members, images = [single(), single("PixelCNN")], digests(random_images(9, SHAPE, 3))
    digits = {"name": "digits", "limit": None}
    members[0].trained_on, members[1].trained_on = {"data": {**digits, "root": None}}, {"data": {**digits, "root": "x"}}
    members[1].trained_on["typical"] = {"images": 3}
    members[0].remember(images[:5])
    ensemble = Ensemble(members)
    assert ensemble.trained_on == {"data": {**digits, "root": "x"}, "typical": {"images": 3}}
    assert ensemble.train_digests is None, "the second member's images are not known"
    members[1].remember(images[3:])
    assert torch.equal(Ensemble(members).train_digests, images.unique(dim=0))
    members[0].trained_on["data"]["name"], told = "mnist", []
    with notes_to(told.append):
        assert Ensemble(members).trained_on == {"before": [member.trained_on["data"] for member in members]}
    assert len(told) == 1 and "not trained on the same data, prepared in the same way (mnist, digits)" in told[0]


def test_an_ensemble_is_named_by_its_members():
    model = pair(orders="symmetries")
    assert describe_model(model) == "ensemble of lstm, 1 x 6, 8 orders + PixelCNN, 1 x 5, 8 orders"
    assert describe_order(model, 1) == describe_order(model.members[0], 1)


def test_an_ensemble_is_not_trained(tmp_path):
    members = [tiny_model((1, 4, 4)).float()] * 2
    with pytest.raises(UserError, match="an ensemble is not trained"):
        train(Ensemble(members), stripes(), Settings(epochs=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"members": ("SequenceRNN", "PixelCNN", "RowLSTM"), "orders": "symmetries", "likelihood": "logistic_mixture"},
        {"members": ("MultiScale", "MultiScale"), "ordering": {"name": "column", "transforms": ["reverse"]}},
        {"members": ("SequenceRNN", "SequenceRNN"), "ordering": torch.randperm(16, generator=generator())},
        *({"members": ("SequenceRNN", "InpaintingRNN"), "cell": cell, "bidirectional": True} for cell in CELLS),
    ],
)
def test_a_loaded_ensemble_is_the_saved_one(options, half, tmp_path):
    model = single("Ensemble", **options)
    model.trained_on = {"data": {"name": "digits"}}
    model.remember(digests(random_images(5, SHAPE, 3)))
    pixelrnn.save(model, tmp_path, half=half)
    loaded, images = pixelrnn.load(tmp_path), random_images(4, SHAPE, 3)
    assert loaded.arguments == model.arguments and loaded.trained_on == model.trained_on
    assert [m.arguments for m in loaded.members] == [m.arguments for m in model.members]
    assert torch.equal(loaded.train_digests, model.train_digests)
    for index in range(len(model.orders)):
        with torch.no_grad(), loaded.along(index), model.along(index):
            limits = {"atol": 0.5, "rtol": 0.02} if half else {"atol": 0, "rtol": 0}
            torch.testing.assert_close(loaded.log_prob(images), model.log_prob(images), **limits)
