"""A saved model loads as the same model; missing and damaged files are refused in one line."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import generator, random_images, tiny_model

import pixelrnn
from pixelrnn import UserError, checkpoint
from pixelrnn.cell import CELLS
from pixelrnn.checkpoint import CONFIG, WEIGHTS, initialise
from pixelrnn.datasets import Dataset, digests
from pixelrnn.training import Settings, train


@pytest.fixture
def saved(tmp_path):
    model = tiny_model((1, 4, 4), 3, window=3, ordering="hilbert").float()
    model.trained_on = {"data": {"name": "digits"}}
    pixelrnn.save(model, tmp_path / "model")
    return model, tmp_path / "model"


@pytest.mark.parametrize("cell", CELLS)
def test_a_loaded_model_is_the_saved_one(cell, tmp_path):
    model = tiny_model(
        (3, 3, 4), 4, cell=cell, depth=2, ordering={"name": "random", "seed": 5}, layer_norm=True
    ).float()
    pixelrnn.save(model, tmp_path)
    loaded = pixelrnn.load(tmp_path)
    images = random_images(5, (3, 3, 4), 4)
    assert torch.equal(loaded.log_prob(images), model.log_prob(images))
    assert loaded.arguments == model.arguments
    assert not loaded.training


@pytest.mark.parametrize("name", ["RowLSTM", "DiagonalBiLSTM", "PixelCNN", "MultiScale"])
def test_a_loaded_model_of_the_paper_is_the_saved_one(name, tmp_path):
    ordering = {"name": "column", "transforms": ["flip_rows"]}
    model = tiny_model((3, 5, 4), 4, model=name, depth=2, ordering=ordering, kernel=5, layer="pixelcnn").float()
    pixelrnn.save(model, tmp_path)
    loaded = pixelrnn.load(tmp_path)
    images = random_images(5, (3, 5, 4), 4)
    assert type(loaded).__name__ == name and torch.equal(loaded.order, model.order)
    assert torch.equal(loaded.log_prob(images), model.log_prob(images))
    assert torch.equal(
        pixelrnn.sample(loaded, 3, generator=generator()), pixelrnn.sample(model, 3, generator=generator())
    )


@pytest.mark.parametrize(
    "options", [{"orders": "symmetries"}, {"orders": ["raster", "spiral"]}, {"bidirectional": True}]
)
def test_orders_and_encoder_come_back(options, tmp_path):
    model = tiny_model((1, 4, 4), 3, window=3, **options).float()
    pixelrnn.save(model, tmp_path)
    loaded, images = pixelrnn.load(tmp_path), random_images(5, (1, 4, 4), 3)
    hidden = torch.rand(5, 4, 4) < 0.5
    assert torch.equal(loaded.orders, model.orders) and loaded.arguments == model.arguments
    for index in range(len(model.orders)):
        with model.along(index), loaded.along(index):
            assert torch.equal(loaded.fill_log_prob(images, hidden), model.fill_log_prob(images, hidden))


@pytest.mark.parametrize("options", [{"orders": "symmetries"}, {"bidirectional": True}, {"dropout": 0.5}])
@pytest.mark.parametrize("window", [0, 3])
def test_a_model_computes_at_first_what_its_init_does(options, window, tmp_path):
    torch.manual_seed(0)
    sizes = {"width": 8, "depth": 2, "window": window}
    plain, images = pixelrnn.SequenceRNN((1, 4, 4), 2, **sizes), random_images(5, (1, 4, 4), 2)
    pixelrnn.save(plain.eval(), tmp_path)
    model = pixelrnn.SequenceRNN((1, 4, 4), 2, **sizes, **options).eval()
    assert not torch.allclose(model.log_prob(images), plain.log_prob(images))
    initialise(model, pixelrnn.load(tmp_path))
    with torch.no_grad():
        if model.inputs.which_order:
            model.inputs.which_order.weight.zero_()
        torch.testing.assert_close(model.log_prob(images), plain.log_prob(images))


@pytest.mark.parametrize(
    ("other", "new", "left"),
    [
        ({}, [], []),
        ({"bidirectional": True, "orders": "symmetries"}, ["decode", "encoder", "inputs.which_order"], []),
        ({"levels": 3}, ["inputs.value", "likelihood.logits"], ["inputs.value", "likelihood.logits"]),
        ({"shape": (1, 5, 4)}, ["inputs.row"], ["inputs.row"]),
        ({"depth": 2}, ["stack.layers.1"], []),
        ({"window": 3}, ["inputs.window"], []),
    ],
)
def test_init_copies_weights_that_fit_and_names_the_others(other, new, left, tmp_path):
    saved = tiny_model((1, 4, 4)).float()
    pixelrnn.save(saved, tmp_path)
    model = tiny_model(**{"shape": (1, 4, 4), "seed": 1, **other}).float()
    before = {name: weights.clone() for name, weights in model.state_dict().items() if name != "orders"}
    inherited = initialise(model, pixelrnn.load(tmp_path))
    theirs, taken = saved.state_dict(), 0
    for name, weights in model.state_dict().items():
        if name in theirs and name != "orders" and theirs[name].shape == weights.shape:
            assert torch.equal(weights, theirs[name])
            taken += weights.numel()
        elif name != "orders":
            assert torch.equal(weights, before[name])
    assert (inherited.taken, inherited.parameters) == (taken, sum(w.numel() for w in before.values()))
    assert (inherited.new, inherited.left) == (new, left)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"cell": "gru"}, "differ in cell;"),
        ({"cell": "gru", "residual": True}, "differ in cell, residual;"),
        ({"ordering": "snake"}, "differ in ordering;"),
        ({"ordering": "snake", "shape": (1, 5, 5)}, "differ in ordering;"),
        ({"orders": ["column", "raster"], "shape": (1, 5, 5)}, "differ in ordering;"),
        ({"model": "PixelCNN"}, "differ in kind"),
        ({"width": 9}, "differ in width;"),
    ],
)
def test_init_refuses_a_model_that_differs(other, says, tmp_path):
    pixelrnn.save(tiny_model((1, 4, 4)), tmp_path)
    with pytest.raises(UserError, match=says):
        initialise(tiny_model(**{"shape": (1, 4, 4), **other}), pixelrnn.load(tmp_path))


def test_a_model_keeps_what_it_was_trained_on(saved):
    model, folder = saved
    assert pixelrnn.load(folder).trained_on == {"data": {"name": "digits"}}
    assert pixelrnn.load(folder).train_digests is None
    first, second = digests(random_images(9, (1, 4, 4), 3)), digests(random_images(5, (1, 4, 4), 3, seed=1))
    model.remember(first)
    model.remember(second)
    model.remember(first)
    pixelrnn.save(model, folder)
    assert torch.equal(pixelrnn.load(folder).train_digests, torch.cat([first, second]).unique(dim=0))


def test_training_images_that_are_known_in_part_are_not_known(saved):
    """A model that began with one that does not record its images, or that learns from images which are drawn anew."""
    first = digests(random_images(9, (1, 4, 4), 3))
    began, drawn = tiny_model((1, 4, 4)), tiny_model((1, 4, 4))
    began.inherit(pixelrnn.load(saved[1]))
    began.remember(first)
    drawn.remember(first)
    drawn.remember(None)
    drawn.remember(first)
    assert began.train_digests is None and drawn.train_digests is None


def test_the_order_comes_from_the_weights(saved, tmp_path):
    model, folder = saved
    config = json.loads((folder / CONFIG).read_text())
    config["arguments"]["ordering"] = "raster"
    (folder / CONFIG).write_text(json.dumps(config))
    loaded = pixelrnn.load(folder)
    images = random_images(5, (1, 4, 4), 3)
    assert torch.equal(loaded.order, model.order)
    assert torch.equal(loaded.log_prob(images), model.log_prob(images)), "the windows follow the order that was loaded"


def test_an_order_tensor_serves_as_ordering(tmp_path):
    model = tiny_model(ordering=torch.tensor([3, 1, 0, 2])).float()
    pixelrnn.save(model, tmp_path)
    assert pixelrnn.load(tmp_path).visits == [3, 1, 0, 2]


def test_a_run_folder_serves_with_its_best_weights(saved, tmp_path):
    shutil.copytree(saved[1], tmp_path / "run" / "best")
    assert pixelrnn.load(tmp_path / "run").arguments == saved[0].arguments


def test_saving_leaves_nothing_but_the_two_files(saved):
    assert sorted(path.name for path in saved[1].iterdir()) == [CONFIG, WEIGHTS]


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def _edit(path, **changes):
    config = json.loads(path.read_text())
    config["arguments"].update(changes.pop("arguments", {}))
    path.write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: (folder / WEIGHTS).unlink(), "incomplete"),
        (lambda folder: (folder / CONFIG).unlink(), "incomplete"),
        (lambda folder: _truncate(folder / WEIGHTS), "damaged"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), "damaged"),
        (lambda folder: (folder / CONFIG).write_text("{"), "damaged"),
        (lambda folder: (folder / CONFIG).write_text("[]"), "format version None"),
        (lambda folder: _edit(folder / CONFIG, format=99), "format version 99"),
        (lambda folder: _edit(folder / CONFIG, model="SequenceRN"), "did you mean 'SequenceRNN'"),
        (lambda folder: _edit(folder / CONFIG, arguments={"width": 7}), "do not fit together"),
        (lambda folder: _edit(folder / CONFIG, arguments={"shape": [1, 5, 5]}), "25 pixels"),
        (lambda folder: _edit(folder / CONFIG, arguments={"height": 7}), "do not fit together"),
        (lambda folder: _edit(folder / CONFIG, arguments={"cell": "ltsm"}), "did you mean 'lstm'"),
    ],
)
def test_a_bad_checkpoint_is_refused_in_one_line(saved, damage, says):
    damage(saved[1])
    with pytest.raises(UserError, match=says) as error:
        pixelrnn.load(saved[1])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", ["gpu", None, "cpu:-1"])
def test_a_device_that_is_not_there_is_refused(saved, device):
    with pytest.raises(UserError, match=f"device={device} cannot be used .*try device='cpu'") as error:
        pixelrnn.load(saved[1], device)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", [0, None, b"bytes", "a\0b"])
def test_what_is_no_path_is_refused(saved, path):
    with pytest.raises(UserError, match="is no path; give a text such as outputs/mine"):
        pixelrnn.load(path)
    with pytest.raises(UserError, match="is no path; give a text such as outputs/mine"):
        pixelrnn.save(saved[0], path)


def test_a_failed_save_keeps_the_model_that_was_there(saved, monkeypatch):
    folder = saved[1]
    before = (folder / WEIGHTS).read_bytes()

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("pixelrnn.files.atomic.os.replace", full_disk)
    with pytest.raises(UserError, match="No space left"):
        pixelrnn.save(tiny_model((1, 4, 4), 3, window=3, ordering="hilbert", seed=9).float(), folder)
    assert (folder / WEIGHTS).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def test_large_models_are_saved_and_loaded(tmp_path):
    """The written out orders alone take 4 MiB of config.json."""
    orders = [{"name": "permutation", "order": torch.randperm(256 * 256).tolist()} for _ in range(4)]
    model = tiny_model((1, 256, 256), ordering=orders[0], orders=orders)
    model.trained_on = {"data": {"name": "digits", "size": (256, 256)}}
    pixelrnn.save(model, tmp_path)
    assert torch.equal(pixelrnn.load(tmp_path).orders, model.orders)
    checkpoint.check(tiny_model((1, 720, 720), orders="symmetries"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda model: model.trained_on.update(data={"root": "/x"}), "'trained_on' must name its data"),
        (lambda model: model.trained_on.update(before={"name": "digits"}), "'trained_on' must name its data"),
        (lambda model: model.trained_on.update(before=["digits"]), "'trained_on' must name its data"),
        (lambda model: model.trained_on.update(data={"name": "digits", "root": Path()}), "not JSON serializable"),
        (lambda model: model.trained_on.update(seed=torch.tensor(1)), "not JSON serializable"),
        (lambda model: model.trained_on.update(seed=np.int64(1)), "not JSON serializable"),
        (lambda model: model.trained_on.update(loss=math.nan), "not JSON compliant"),
        (lambda model: model.arguments.update(dropout=math.inf), "not JSON compliant"),
        (lambda model: model.arguments.update(width=2_000_000), "do not fit together"),
        (lambda model: model.arguments.update(depth=5), "do not fit together"),
        (lambda model: model.arguments.update(more=1), "no option 'more'"),
        (lambda model: next(model.parameters()).data.fill_(math.nan), "not finite"),
        (lambda model: model.register_buffer("extra", torch.zeros(1)), "extra"),
        (lambda model: setattr(model, "__class__", type("Own", (pixelrnn.SequenceRNN,), {})), "unknown model 'Own'"),
    ],
)
def test_a_model_that_load_would_refuse_is_neither_saved_nor_trained(change, says, saved, tmp_path):
    model, before = saved[0], (saved[1] / WEIGHTS).read_bytes()
    change(model)
    with pytest.raises(UserError, match=f"is not saved, because it could not be loaded again: .*{says}"):
        pixelrnn.save(model, saved[1])
    assert (saved[1] / WEIGHTS).read_bytes() == before and pixelrnn.load(saved[1])
    images = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(UserError, match=says):
        train(model, Dataset("blank", 3, images, images, images), Settings(epochs=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_saving_draws_no_random_numbers(saved):
    before = torch.get_rng_state()
    pixelrnn.save(*saved)
    assert torch.equal(torch.get_rng_state(), before)
