"""The bundled models: small, complete, described by their cards, and as good as these say."""

import os
import re

import pytest
import torch
from conftest import generator

import pixelrnn
from pixelrnn import datasets, pretrained
from pixelrnn import occlusion as occlusions
from pixelrnn.completion import complete_in_detail
from pixelrnn.completion.describe import describe
from pixelrnn.datasets import limited
from pixelrnn.errors import UserError
from pixelrnn.evaluation import evaluate_conditional, log_probs
from pixelrnn.occlusion import STANDARD
from pixelrnn.pixels import check_images
from pixelrnn.pretrained import facts as card

NAMES = pretrained.names()
MIB = 2**20
FACTS = {
    "title",
    "form",
    "data",
    "binarization",
    "split",
    "licence",
    "model",
    "parameters",
    "commands",
    "seed",
    "training",
}
FACTS |= {"completes", "evaluation", "typical", "hundred"}
ROOTS = {"photos": "PIXELRNN_PHOTOS", "array": "PIXELRNN_ARRAY"}  # where data lie that are not downloaded


def test_the_bundled_models_are_small_and_complete():
    sizes = {name: (pretrained.FOLDER / name / "model.safetensors").stat().st_size for name in NAMES}
    assert {"digits", "mnist_binary", "mnist_grey", "fashion_mnist", "cifar10", "photos"} <= set(sizes)
    assert max(sizes.values()) <= 8 * MIB and sum(sizes.values()) <= 16 * MIB
    for name in NAMES:
        files = {path.name for path in (pretrained.FOLDER / name).iterdir()}
        files -= {"patches.png"} if name == "photos" else set()
        assert files == {"README.md", "completions.png", "config.json", "examples.png", "model.safetensors"}


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_images_of_the_model(name):
    model, images = pixelrnn.load(name), pretrained.examples(name)
    assert images.shape == (16, *model.shape)
    check_images(images, model.shape, model.levels)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"cifar10", "photos"}))  # which know textures, but not what is up
def test_the_examples_are_likelier_than_upside_down(name):
    model, images = pixelrnn.load(name), pretrained.examples(name)
    assert log_probs(model, images).mean() > log_probs(model, images.flip(-2)).mean()


def test_examples_refuse_an_unknown_name():
    assert torch.equal(pixelrnn.examples("digits"), pretrained.examples("digits"))
    with pytest.raises(UserError, match="unknown bundled model 'digit'; did you mean 'digits'"):
        pixelrnn.examples("digit")


@pytest.mark.parametrize("name", NAMES)
def test_a_card_agrees_with_its_model(name):
    model, facts = pixelrnn.load(name), card(name)
    assert set(facts) == FACTS
    assert facts["form"] == describe(model.shape, model.levels)
    assert facts["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert facts["seed"] == model.trained_on["seed"] and model.trained_on["data"].get("root") is None
    assert facts["binarization"] == str(model.trained_on["data"].get("binarization")).lower()
    assert {"all", *STANDARD} <= set(facts["evaluation"]) == set(facts["hundred"])
    for row in facts["evaluation"].values():  # bits per dimension are of these nats
        assert row["nats_error"] / row["nats"] == pytest.approx(
            row["bits_per_dim_error"] / row["bits_per_dim"], rel=0.2
        )
    dimensions = facts["evaluation"]["all"]["nats"] / facts["evaluation"]["all"]["bits_per_dim"] / 0.6931
    assert dimensions == pytest.approx(model.dimensions, rel=1e-2)
    typical = {**facts["typical"], "log_prob_per_pixel": list(facts["typical"]["log_prob_per_pixel"].values())}
    assert {"images": facts["evaluation"]["all"]["images"], **typical} == model.trained_on["typical"]
    words = pretrained.card(name)[1]
    assert "## What it cannot do" in words
    assert "(completions.png)" in words


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("digits", "mnist_binary_raster") else pytest.mark.slow) for name in NAMES],
)
def test_a_bundled_model_keeps_its_promises(name):
    model = pixelrnn.load(name)
    pixelrnn.verify(model)
    picture = pixelrnn.sample(model, 1, generator=generator())
    hidden = occlusions.build("half", *model.shape[1:])
    drawn = complete_in_detail(model, picture, hidden, generator=generator())
    assert drawn.exact == [True] and torch.equal(drawn.images[0, 0][:, ~hidden], picture[0][:, ~hidden])


def held_out(name):
    """A hundred test images, as on the model's card, from $PIXELRNN_DATA or downloaded; skip the test without them."""
    chosen = re.search(r" data=(\w+)", card(name)["commands"][-1])
    spec = {"name": chosen[1]} if chosen else pixelrnn.load(name).trained_on["data"]
    if spec["name"] in ROOTS:
        spec = {**spec, "root": os.environ.get(ROOTS[spec["name"]])}
    try:
        return limited(datasets.load(spec).test, 100)
    except UserError as error:
        pytest.skip(f"no data: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_test_images_have_the_nats_of_the_card(name):
    model, told, images = pixelrnn.load(name), card(name)["hundred"], held_out(name)
    assert -float(log_probs(model, images).mean()) == pytest.approx(told["all"], abs=2e-3)
    for occlusion, spec in STANDARD.items():
        hidden = occlusions.build(spec, *model.shape[1:])
        assert evaluate_conditional(model, images, hidden)[0].nats == pytest.approx(told[occlusion], abs=2e-3)
