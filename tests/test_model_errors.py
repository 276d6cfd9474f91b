"""What the models refuse, each with a line that names the value and the way out."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import tiny_model

import pixelrnn
from pixelrnn import complete, complete_picture, evaluate, sample, train
from pixelrnn.errors import UserError
from pixelrnn.model import InpaintingRNN, PixelCNN, RowLSTM, SequenceRNN


def test_an_inexact_conditional_is_refused():
    model, image = tiny_model((1, 2, 2)), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    for bits in range(1, 16):
        hidden = torch.tensor([bits >> i & 1 for i in range(4)]).bool().view(2, 2)
        if bits in (0b1000, 0b1100, 0b1110, 0b1111):  # the last ones of the raster
            assert model.log_prob(image, hidden).shape == (1,)
        else:
            with pytest.raises(UserError, match=r"observed pixels come after the first hidden.*ordering") as error:
                model.log_prob(image, hidden)
            assert "\n" not in str(error.value)


def test_log_prob_checks_its_arguments():
    model, images = tiny_model((1, 2, 3)), torch.zeros(2, 1, 2, 3, dtype=torch.uint8)
    for bad, hidden in [
        (images.float(), None),
        (images + 2, None),
        (images[0, 0, 0], None),
        (images[..., :2], None),
        (images, torch.zeros(2, 3, dtype=torch.bool)),
        (images, torch.ones(3, 2, dtype=torch.bool)),
        (images, torch.ones(2, 3)),
    ]:
        with pytest.raises(UserError):
            model.log_prob(bad, hidden)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"depth": 0}, "depth=0"),
        ({"embedding": 0}, "embedding=0"),
        ({"window": 4}, "window=4.*odd"),
        ({"window": -1}, "window=-1"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": -0.1}, "dropout=-0.1"),
        ({"width": 1.5}, "width=1.5: it must be a whole number"),
        ({"depth": "a"}, "depth=a: it must be a whole number"),
        ({"embedding": None}, "embedding=null: it must be a whole number"),
        ({"dropout": "a"}, "dropout=a: it must be a number"),
        ({"residual": "no"}, "residual=no: it must be true or false"),
        ({"levels": "a"}, "levels=a.*2 to 256"),
        ({"shape": 4}, "shape=4: it is .channels, height, width."),
        ({"shape": (1, 4, 4.5)}, r"shape=\(1, 4, 4.5\): it is .channels, height, width."),
        ({"shape": (1, None, 4)}, r"shape=\(1, None, 4\): it is .channels, height, width."),
        ({"levels": 1}, "levels=1.*2 to 256"),
        ({"levels": 257}, "levels=257.*2 to 256"),
        ({"shape": (2, 4, 4)}, r"shape=\(2, 4, 4\).*1 or 3 channels"),
        ({"shape": (1, 4, 4, 4)}, "channels, height, width"),
        ({"shape": (1, 4)}, "channels, height, width"),
        ({"shape": (1, 0, 4), "ordering": "spiral"}, "channels, height, width"),
        ({"cell": "ltsm"}, "unknown cell 'ltsm'; did you mean 'lstm'"),
        ({"ordering": "rasta"}, "unknown ordering 'rasta'; did you mean 'raster'"),
        ({"ordering": torch.arange(3)}, "each of the 16 pixels"),
        ({"likelihood": "bernouli"}, "unknown likelihood 'bernouli'; did you mean 'bernoulli'"),
        ({"likelihood": {"name": "logistic_mixture", "component": 3}}, "'component'; did you mean 'components'"),
        ({"likelihood": "bernoulli", "levels": 3}, "levels=3"),
    ],
)
def test_bad_options_are_refused(options, message):
    options = {"shape": (1, 4, 4), "levels": 2, "width": 8, **options}
    with pytest.raises(UserError, match=message):
        SequenceRNN(options.pop("shape"), options.pop("levels"), **options)


def test_numbers_of_numpy_are_numbers(tmp_path):
    model = SequenceRNN(np.array([1, 4, 4]), np.int64(2), width=np.int64(8), depth=1, dropout=np.float32(0))
    hidden, two = torch.ones(4, 4, dtype=torch.bool), np.int64(2)
    drawn = complete(model, torch.zeros(1, 1, 4, 4).byte(), hidden, two, particles=two, batch_size=two)
    assert drawn.shape == (1, 2, 1, 4, 4) and evaluate(model, drawn[0], batch_size=two).images == 2
    settings = {"batch_size": two, "epochs": np.int64(1), "learning_rate": np.float32(0.01), "samples": 0}
    assert train(model, drawn[0], valid=drawn[0], seed=two, folder=tmp_path, **settings, progress=False).step == 1


@pytest.mark.parametrize("name", ["complete", "complete_in_detail", "evaluate", "sample", "save", "train", "verify"])
def test_what_is_no_model_is_refused(name):
    """The name of a bundled model is given where the model itself is meant."""
    function = getattr(pixelrnn, name)
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    others = ["run"] * (len([p for p in required if p.kind is p.POSITIONAL_OR_KEYWORD]) - 1)
    with pytest.raises(UserError, match=r"model is a str; give a model, such as pixelrnn.SequenceRNN"):
        function("digits", *others)


def test_a_signature_shows_each_option_with_its_default():
    shown = inspect.signature(RowLSTM).parameters
    assert list(shown)[:2] == ["shape", "levels"] and shown["kernel"].default == 3 and shown["width"].default == 16
    assert "kernel" not in inspect.signature(PixelCNN).parameters
    with pytest.raises(TypeError, match="widht"):
        SequenceRNN((1, 2, 2), 2, widht=3)


def test_images_and_masks_are_moved_to_the_model():
    """torch's meta device stands for a card; it has shapes alone."""
    model, images = tiny_model((1, 4, 4)).to("meta"), torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    hidden = torch.ones(4, 4, dtype=torch.bool)
    assert model.log_prob(images).device.type == "meta"
    assert model.fill_log_prob(images, hidden).shape == (3,)


def test_a_generator_on_another_device_is_refused():
    elsewhere = SimpleNamespace(device=torch.device("cuda", 0))
    hidden = torch.ones(4, 4, dtype=torch.bool)
    with pytest.raises(UserError, match="the generator is on cuda:0 and the model on cpu"):
        sample(tiny_model((1, 4, 4)), 1, generator=elsewhere)
    with pytest.raises(UserError, match="the generator is on cuda:0 and the model on cpu"):
        complete_picture(
            torch.zeros(1, 4, 4, dtype=torch.uint8), hidden, InpaintingRNN((1, 4, 4), 2), generator=elsewhere
        )
