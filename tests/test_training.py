"""Training learns, stops when it should, and goes on exactly where it stopped."""

import copy
import json
import os
import signal

import pytest
import torch
from conftest import random_images

from pixelrnn import SequenceRNN, UserError, load
from pixelrnn.data import Dataset
from pixelrnn.errors import TrainingDiverged
from pixelrnn.evaluation import evaluate
from pixelrnn.model import MODELS
from pixelrnn.occlusion import build as occlude
from pixelrnn.training import train
from pixelrnn.update import Settings, _draw_order, learning_rate, make_optimizer

FAST = {"epochs": 4, "batch_size": 8, "validate_every": 10, "warmup_steps": 2, "samples": 0}


def stripes(dynamic: bool = False) -> Dataset:
    """Images whose rows are all 0 or all 1: a quarter of a bit a pixel is all they hold."""
    rows = torch.randint(2, (60, 1, 4, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = rows.expand(60, 1, 4, 4).contiguous()
    return Dataset("stripes", 2, images[:40] * (255 if dynamic else 1), images[40:50], images[50:], dynamic)


def new_model(**options) -> SequenceRNN:
    torch.manual_seed(1)
    return SequenceRNN((1, 4, 4), 2, **{"width": 16, "depth": 2, "dropout": 0.1, "window": 3, **options})


def run(folder, model=None, data=None, **settings):
    folder.mkdir(exist_ok=True)
    return train(model or new_model(), data or stripes(), Settings(**{**FAST, **settings}), folder, progress=False)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_training_finds_the_entropy_of_the_data(tmp_path, cell, optimizer):
    settings = {"epochs": 60, "learning_rate": 0.01, "average_decay": 0.9, "validate_every": 100}
    at = run(tmp_path, new_model(cell=cell), optimizer=optimizer, **settings)
    model = load(tmp_path)
    bits = evaluate(model, stripes().test).bits_per_dim
    assert 0.2 < bits < 0.4, "the rows are fair coins: 4 bits on 16 pixels"
    assert at.best_bits_per_dim < 0.4


def test_a_run_keeps_models_metrics_and_pictures(tmp_path):
    at = run(tmp_path, validate_every=3, samples=4)
    assert at.step == 20
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    models = {f"{kind}/{file}" for kind in ("best", "last") for file in ("config.json", "model.safetensors")}
    assert names - {n for n in names if n.startswith("tensorboard")} == models | {
        "last/training.pt",
        "metrics.jsonl",
        "curves.png",
        "samples.png",
    }
    valid = [record["step"] for record in records(tmp_path) if "valid_nats" in record]
    assert valid == [3, 6, 9, 12, 15, 18, 20]


def test_the_saved_model_is_the_averaged_one(tmp_path):
    model = new_model()
    run(tmp_path, model)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    averaged = torch.cat([p.detach().flatten() for p in load(tmp_path / "last").parameters()])
    assert not torch.allclose(weights, averaged)
    assert float((weights - averaged).abs().max()) < 0.1


@pytest.mark.parametrize(("dynamic", "bf16"), [(False, None), (True, None), (False, True)])
@pytest.mark.parametrize("stop_at", [1, 5, 6, 13])
def test_a_resumed_run_has_the_numbers_of_an_uninterrupted_one(tmp_path, monkeypatch, dynamic, bf16, stop_at):
    """Bit for bit, dropout and dynamic binarisation included, wherever it is stopped."""
    data = stripes(dynamic)
    run(tmp_path / "whole", data=data, bf16=bf16)

    batches = Dataset.training_batch

    def interrupted(self, index, calls=[0]):  # noqa: B006
        calls[0] += 1
        if calls[0] == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return batches(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "training_batch", interrupted)
        at = run(tmp_path / "parts", data=data, bf16=bf16)
    assert (at.step, at.stopped_by) == (stop_at, "SIGTERM")
    torch.manual_seed(99)  # what happens between the parts must not matter
    at = run(tmp_path / "parts", new_model(), data, bf16=bf16)
    assert (at.step, at.stopped_by) == (20, "")

    whole, parts = (torch.load(tmp_path / name / "last" / "training.pt") for name in ("whole", "parts"))
    for name in ("model", "average"):
        assert all(torch.equal(whole[name][key], parts[name][key]) for key in whole[name])
    without_time = [[{**r, "seconds": 0} for r in records(tmp_path / name)] for name in ("whole", "parts")]
    validations = [[r for r in rs if "valid_nats" in r] for rs in without_time]
    assert validations[0] == validations[1]


def test_resume_from_another_folder_leaves_that_one_alone(tmp_path):
    run(tmp_path / "first", epochs=2)
    before = (tmp_path / "first" / "metrics.jsonl").read_text()
    at = run(tmp_path / "second", epochs=4, resume=str(tmp_path / "first"))
    assert at.step == 20
    assert (tmp_path / "first" / "metrics.jsonl").read_text() == before
    assert records(tmp_path / "second")[0] == records(tmp_path / "first")[0]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_begins_with_another_one_has_its_best_model(tmp_path):
    """Also where it never comes to a better one, or to any update at all."""
    run(tmp_path / "first", epochs=2)
    run(tmp_path / "over", epochs=2, resume=str(tmp_path / "first"))
    first, over = tree(tmp_path / "first"), tree(tmp_path / "over")
    assert all(over[name] == first[name] for name in first if name.split("/")[0] in ("best", "last", "metrics.jsonl"))
    ruined = {"learning_rate": 1e3, "clip_norm": 1e3, "average_decay": 0.0, "warmup_steps": 0}
    at = run(tmp_path / "ruined", epochs=4, resume=str(tmp_path / "first"), **ruined)
    assert at.step == 20 and evaluate(load(tmp_path / "ruined"), stripes().valid).nats == pytest.approx(at.best_nats)


def test_started_again_it_goes_on_from_its_own_state(tmp_path):
    run(tmp_path / "first", epochs=2)
    run(tmp_path / "second", epochs=4, resume=str(tmp_path / "first"))
    before = tree(tmp_path / "second")
    assert run(tmp_path / "second", epochs=4, resume=str(tmp_path / "first")).step == 20
    assert tree(tmp_path / "second") == before


def test_a_run_goes_on_with_the_weight_decay_that_is_asked_for_now(tmp_path):
    run(tmp_path, epochs=2)
    run(tmp_path, epochs=4, weight_decay=0.5)
    groups = torch.load(tmp_path / "last" / "training.pt")["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


def test_another_optimiser_does_not_resume(tmp_path):
    run(tmp_path, epochs=2)
    with pytest.raises(UserError, match=r"is of a run with another training\.optimizer"):
        run(tmp_path, epochs=4, optimizer="rmsprop")


def test_a_folder_is_made_and_may_be_named_by_a_string(tmp_path):
    train(new_model(), stripes(), Settings(**{**FAST, "epochs": 1}), str(tmp_path / "a" / "b"), progress=False)
    assert load(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("resume", "prepare", "says"),
    [
        ("never", lambda folder: None, "already holds a training run"),
        ("nowhere", lambda folder: None, "is not there"),
        ("auto", lambda folder: (folder / "last" / "training.pt").write_bytes(b"x"), "damaged"),
    ],
)
def test_bad_resumes_are_refused_and_overwrite_nothing(tmp_path, resume, prepare, says):
    run(tmp_path)
    prepare(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=says):
        run(tmp_path, resume=resume)
    assert before == tree(tmp_path)


def test_another_model_does_not_resume(tmp_path):
    run(tmp_path)
    with pytest.raises(UserError, match="of another model"):
        run(tmp_path, new_model(width=8))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(tmp_path):
    run(tmp_path, epochs=2)
    good = (tmp_path / "last" / "training.pt").read_bytes()
    model = new_model()
    forward = model.forward
    model.forward = lambda images, hidden=None: forward(images, hidden) * (torch.nan if model.training else 1.0)
    with pytest.raises(TrainingDiverged, match="not finite after 10 updates") as error:
        run(tmp_path, model)
    assert "\n" not in str(error.value)
    assert (tmp_path / "last" / "training.pt").read_bytes() == good
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_patience_ends_a_run_without_gain(tmp_path):
    at = run(tmp_path, learning_rate=1e-12, patience=3, epochs=50, average_decay=0.0, data=stripes())
    assert at.stopped_by == "patience"
    assert at.step < 100


def test_max_minutes_ends_a_run_with_a_validation(tmp_path):
    at = run(tmp_path, epochs=10_000, max_minutes=1e-3)
    assert at.stopped_by == "max_minutes"
    assert records(tmp_path)[-1]["step"] == at.step
    assert load(tmp_path)
    again = run(tmp_path, epochs=10_000, max_minutes=1e-3)
    assert again.step == at.step, "its time is up already"


def test_the_learning_rate_warms_up_and_decays():
    settings = Settings(learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate(settings, step, step / 100) for step in range(101)]
    assert rates[0] < rates[5] < rates[9] > rates[50] > rates[99]
    assert rates[100] == pytest.approx(0.01)


def test_weight_decay_spares_vectors():
    model = new_model()
    decayed, spared = make_optimizer(model, Settings()).param_groups
    assert spared["weight_decay"] == 0 < decayed["weight_decay"]
    assert all(p.ndim == 2 for p in decayed["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(
    "bad",
    [
        *({"epochs": 0}, {"learning_rate": -1.0}, {"optimizer": "sgd"}, {"average_decay": 1.0}, {"first_order": 2.0}),
        *({"max_minutes": -1.0}, {"samples": -1}, {"weight_decay": -1.0}, {"validate_every": -3}, {"patience": 0}),
        *({"valid_limit": 0}, {"occlusion": "mask"}, {"recoveries": -1}, {"segment": 0}, {"warmup_steps": -1}),
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        Settings(**bad)


def test_images_of_the_wrong_shape_are_refused(tmp_path):
    images = random_images(10, (1, 5, 5), 2)
    with pytest.raises(UserError, match=r"this model takes \(batch, 1, 4, 4\)"):
        run(tmp_path, data=Dataset("other", 2, images, images, images))


@pytest.mark.parametrize(
    "options", [{"bidirectional": True}, {"orders": "symmetries"}, {"bidirectional": True, "orders": "symmetries"}]
)
def test_it_learns_to_complete_what_lies_ahead(tmp_path, options):
    """Rows are all 0 or all 1, so a hidden left half is certain once the right half is seen."""
    at = run(tmp_path, new_model(dropout=0.0, **options), epochs=80, learning_rate=0.01, average_decay=0.9)
    model, images = load(tmp_path), stripes().test
    left = occlude({"name": "half", "side": "left"}, 4, 4)
    assert evaluate(model, images, left).nats < 2.5  # a plain model would not know more than 2.8, one bit a row
    assert evaluate(model, images).nats < 5  # 2.8 is all there is to know
    assert at.best_bits_per_dim < 0.3
    validated = [record for record in records(tmp_path) if "valid_nats" in record]
    assert ("valid_hidden_nats" in records(tmp_path)[-1]) == ("bidirectional" in options) and validated


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"orders": "symmetries"}])
def test_a_resumed_run_draws_the_same_masks_and_orders(tmp_path, options):
    model = new_model(**options)
    before = copy.deepcopy(model.state_dict())
    run(tmp_path / "whole", model, epochs=2)
    with pytest.MonkeyPatch.context() as patch:
        batches = Dataset.training_batch

        def interrupted(self, index, calls=[0]):  # noqa: B006
            calls[0] += 1
            if calls[0] == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return batches(self, index)

        patch.setattr(Dataset, "training_batch", interrupted)
        model.load_state_dict(before)
        run(tmp_path / "parts", model, epochs=2)
    torch.manual_seed(99)
    run(tmp_path / "parts", new_model(**options), epochs=2)
    whole, parts = (torch.load(tmp_path / name / "last" / "training.pt") for name in ("whole", "parts"))
    assert all(torch.equal(whole["model"][key], parts["model"][key]) for key in whole["model"])


@pytest.mark.parametrize("first", [None, 0.0, 0.7, 1.0])
def test_the_share_of_the_first_order(first):
    drawn = torch.tensor([_draw_order(4, first) for _ in range(2000)])
    shares = torch.bincount(drawn, minlength=4) / 2000
    expected = [0.25] * 4 if first is None else [first, *[(1 - first) / 3] * 3]
    torch.testing.assert_close(shares, torch.tensor(expected), rtol=0, atol=0.05)


def test_an_occlusion_is_for_models_that_see_ahead(tmp_path):
    with pytest.raises(UserError, match="does not see observed pixels ahead"):
        run(tmp_path, occlusion="mixed")
    with pytest.raises(UserError, match="did you mean 'mixed'"):
        run(tmp_path, new_model(bidirectional=True), occlusion="mixd")


@pytest.mark.parametrize("name", ["RowLSTM", "DiagonalBiLSTM", "PixelCNN", "MultiScale"])
def test_the_papers_models_learn(name, tmp_path):
    torch.manual_seed(1)
    data = stripes()
    model = MODELS[name]((1, 4, 4), 2, likelihood="bernoulli", width=8, depth=2, head=16)
    before = evaluate(model, data.test).nats
    run(tmp_path / "run", model, data, epochs=30, learning_rate=0.01)
    after = evaluate(load(tmp_path / "run"), data.test).nats
    assert before > 10 and after < 5  # 11.1 is chance, 2.8 all there is to know
