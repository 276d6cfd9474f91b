"""Training learns, stops when it should, and goes on exactly where it stopped."""

import copy
import csv
import os
import re
import signal
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAST, failing, new_model, random_images, records, run, stripes, tiny_model
from torch._subclasses.fake_tensor import FakeTensorMode

import pixelrnn
from pixelrnn import SequenceRNN, UserError, load
from pixelrnn.cell import CELLS
from pixelrnn.datasets import Dataset
from pixelrnn.datasets.patches import Patches
from pixelrnn.errors import TrainingDiverged, notes_to
from pixelrnn.evaluation import Likelihoods, evaluate
from pixelrnn.files.pictures import to_picture
from pixelrnn.model import MODELS, inpainting
from pixelrnn.occlusion import build as occlude
from pixelrnn.training import Progress, Settings, loop, train
from pixelrnn.training.loop import Run, _on_card
from pixelrnn.training.state import load as load_state
from pixelrnn.training.update import _draw_order, make_objective, make_optimizer, update


@pytest.mark.parametrize(
    ("cell", "optimizer"),
    [
        ("lstm", "adamw"),
        ("lstm", "rmsprop"),
        ("gru_reset_before", "adamw"),
        pytest.param("gru_reset_before", "rmsprop", marks=pytest.mark.slow),
    ],
)
def test_training_finds_the_entropy_of_the_data(tmp_path, cell, optimizer):
    settings = {"epochs": 60, "learning_rate": 0.01, "average_decay": 0.9, "validate_every": 100}
    at = run(tmp_path, new_model(cell=cell), optimizer=optimizer, **settings)
    model = load(tmp_path)
    bits = evaluate(model, stripes().test).bits_per_dim
    assert 0.2 < bits < 0.4, "the rows are fair coins: 4 bits on 16 pixels"
    assert at.best_bits_per_dim < 0.4


def test_the_averaged_model_has_its_recurrent_weights_in_one_block(tmp_path, monkeypatch):
    """A copy has not, and on CUDA each call would copy them, with a warning."""
    flattened = []
    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", lambda layer: flattened.append(layer))
    model = new_model()
    of_run = Run(model, stripes(), Settings(), tmp_path, 0, False)
    assert {id(layer) for layer in flattened} >= {id(cell.layer) for cell in of_run.average.stack.layers}


def test_a_run_keeps_models_metrics_and_pictures(tmp_path):
    at = run(tmp_path, drawn=True, validate_every=3, samples=4)
    assert at.step == 20
    models = {f"{kind}/{file}" for kind in ("best", "last") for file in ("config.json", "model.safetensors")}
    written = {"run.json", "metrics.jsonl", "metrics.csv", "curves.png", "samples.png"}
    assert tree(tmp_path).keys() == models | {"last/training.pt", *written}
    valid = [record["step"] for record in records(tmp_path) if "valid_nats" in record]
    assert valid == [3, 6, 9, 12, 15, 18, 20]
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == valid, "one row for an update"
    assert all(row["train_bits_per_dim"] and row["valid_nats"] for row in rows)


def test_without_a_terminal_a_line_tells_the_progress_at_times(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "REPORT_EVERY", 0)
    run(tmp_path, progress=True)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("update")]
    assert len(lines) == 20
    assert re.fullmatch(
        r"update     20 of 20: [\d,.]+ images/s, 0 min left; bits/dim train [\d.]+, valid [\d.]+, best .*", lines[-1]
    )


def test_after_a_recovery_the_progress_is_told_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "REPORT_EVERY", 0)
    with pytest.warns(UserWarning, match="half the learning rate"):
        run(tmp_path, failing(at=15), progress=True, recoveries=1, validate_every=10)
    rates = re.findall(r"^update .*: ([-\d,.]+) images/s", capsys.readouterr().out, re.M)
    assert len(rates) > 20 and not any(rate.startswith("-") for rate in rates)


def test_a_validation_that_is_not_finite_is_a_divergence(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_validate", lambda *_: Likelihoods.of(torch.tensor([torch.nan]), 16))
    with pytest.raises(TrainingDiverged, match="validation nan nats"):
        run(tmp_path)
    assert not (tmp_path / "best").exists() and not any("valid_nats" in record for record in records(tmp_path))


def test_a_state_is_saved_at_times_between_validations(tmp_path, monkeypatch):
    saved = []
    keep = loop.state.save
    monkeypatch.setattr(loop.state, "save", lambda *args: (saved.append(args[-1].step), keep(*args)))
    run(tmp_path / "a", validate_every=10)
    monkeypatch.setattr(loop, "SAVE_EVERY", 0)
    run(tmp_path / "b", validate_every=10)
    assert saved == [10, 20, *range(1, 21)]


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
    assert without_time[0] == without_time[1]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def notes():
    heard = []
    with notes_to(heard.append):
        yield heard


def test_a_run_says_from_where_it_goes_on_and_which_settings_differ(tmp_path, notes):
    run(tmp_path, epochs=2)
    assert not notes
    data, settings = stripes(), Settings(**{**FAST, "learning_rate": 0.1, "patience": 9})
    train(new_model(), data, settings, tmp_path, seed=7, progress=False)
    assert notes == [
        "goes on from update 10 of 20",
        "seed 0 in the run, 7 now",
        "epochs 2 in the run, 4 now",
        "learning_rate 0.002 in the run, 0.1 now",
        "patience null in the run, 9 now",
        "the learning rate goes on at 0.0505; with the options recorded in the run it would be 2e-05",
    ]
    notes.clear()
    train(new_model(), data, settings, tmp_path, seed=7, progress=False)
    assert notes == ["nothing left to do: all 4 epochs are done; epochs=… for more"]


def test_more_epochs_on_a_finished_run_say_what_becomes_of_the_learning_rate(tmp_path, notes):
    run(tmp_path, epochs=2)
    run(tmp_path, epochs=4)
    assert notes[-1] == "the learning rate goes on at 0.00101; with the options recorded in the run it would be 2e-05"


@pytest.mark.parametrize("changed", [{"learning_rate": 0.1}, {"batch_size": 5}, {"seed": 7}], ids=str)
@pytest.mark.parametrize(
    "ends", [{}, {"patience": 1, "learning_rate": 1e-12, "epochs": 50}], ids=["epochs", "patience"]
)
def test_a_run_that_is_over_does_not_pass_for_another_one(tmp_path, notes, ends, changed):
    run(tmp_path, average_decay=0.0, **ends)
    before = tree(tmp_path)
    run(tmp_path, average_decay=0.0, **ends)
    assert notes.pop().startswith("nothing left to do") and tree(tmp_path) == before
    (name, value), *_ = changed.items()
    settings = {**FAST, "average_decay": 0.0, **ends, **changed}
    seed = settings.pop("seed", 0)
    with pytest.raises(UserError, match=rf"(is over|of another run).*{name}.* \S+ in the run, {value} now"):
        train(new_model(), stripes(), Settings(**settings), tmp_path, seed, progress=False)
    assert tree(tmp_path) == before and not notes


def other_images(data):
    return replace(data, valid=data.valid.flip(0))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (other_images, "of another run: image_digest [0-9a-f]{16} in the run, [0-9a-f]{16} now; give the data it was"),
        (
            lambda data: replace(other_images(data), name="dots"),
            "of another run: data stripes in the run, dots now; image_",
        ),
        (lambda data: replace(data, train=data.train[1:]), "image_digest"),
    ],
)
def test_a_run_on_other_images_is_refused_before_anything_is_touched(tmp_path, data, says):
    run(tmp_path, epochs=2)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=says):
        run(tmp_path, data=data(stripes()), recoveries=1)
    assert tree(tmp_path) == before


def test_a_refusal_names_only_what_differs(tmp_path):
    run(tmp_path)
    with pytest.raises(
        UserError,
        match=r"of another run: model\.width 16 in the run, 8 now; give the options .*go on with: pixelrnn train tr",
    ):
        run(tmp_path, new_model(width=8))
    with pytest.raises(
        UserError, match=r"another run: model\.ordering raster in the run, snake now; model\.order_digest \w+ in"
    ):
        run(tmp_path, new_model(ordering="snake"))
    torch.manual_seed(1)
    with pytest.raises(UserError, match=r"another run: model\.name SequenceRNN in the run, PixelCNN now; "):
        run(tmp_path, MODELS["PixelCNN"]((1, 4, 4), 2))


def test_another_order_tensor_does_not_resume(tmp_path):
    """Their arguments are the same: {"name": "custom"}."""
    run(tmp_path, new_model(ordering=torch.arange(16)), epochs=2)
    with pytest.raises(
        UserError, match=r"of another run: model\.order_digest \w+ in the run, \w+ now; give the options"
    ):
        run(tmp_path, new_model(ordering=torch.arange(16).flip(0)))
    assert run(tmp_path, new_model(ordering=torch.arange(16))).step == 20


def test_weights_to_begin_with_are_no_part_of_a_run_that_has_begun(tmp_path):
    run(tmp_path, epochs=2)
    model = new_model()
    model.trained_on = {"init": "digits"}
    with pytest.raises(UserError, match="another run: init null in the run, digits now"):
        run(tmp_path, model)


def test_a_run_goes_on_with_the_weight_decay_that_is_asked_for_now(tmp_path):
    run(tmp_path, epochs=2)
    run(tmp_path, epochs=4, weight_decay=0.5)
    groups = torch.load(tmp_path / "last" / "training.pt")["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


@pytest.mark.parametrize("change", [{"occlusion": "half"}, {"valid_limit": 3}], ids=str)
def test_a_run_that_is_validated_on_something_else_looks_for_its_best_anew(tmp_path, change):
    before = run(tmp_path, new_model(bidirectional=True), epochs=2, occlusion="centre")
    with notes_to((said := []).append):
        at = run(
            tmp_path,
            new_model(bidirectional=True),
            **{"epochs": 4, "occlusion": "centre", "learning_rate": 1e-9, **change},
        )
    assert "the best is looked for anew" in " ".join(said)
    assert ("validation takes 3 of the 10 validation images" in " ".join(said)) == ("valid_limit" in change)
    figures = [
        r["valid_hidden_nats"] for r in records(tmp_path) if r["step"] > before.step and "valid_hidden_nats" in r
    ]
    assert at.best_nats == min(figures) and at.best_nats != before.best_nats


def test_the_default_masks_by_their_name_are_the_same_masks(tmp_path):
    before = run(tmp_path, new_model(bidirectional=True), epochs=2)
    with notes_to((said := []).append):
        at = run(tmp_path, new_model(bidirectional=True), epochs=4, occlusion="mixed", learning_rate=1e-9)
    assert "looked for anew" not in " ".join(said) and at.best_nats <= before.best_nats


def test_another_optimiser_does_not_resume(tmp_path):
    run(tmp_path, epochs=2)
    with pytest.raises(UserError, match=r"is of another run: optimizer adamw in the run, rmsprop now"):
        run(tmp_path, epochs=4, optimizer="rmsprop")


def test_a_folder_is_made_and_may_be_named_by_a_string(tmp_path):
    train(new_model(), stripes(), Settings(**{**FAST, "epochs": 1}), str(tmp_path / "a" / "b"), progress=False)
    assert load(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("resume", "prepare", "says"),
    [
        ("never", lambda folder: None, "already holds a training run"),
        ("nowhere", lambda folder: None, "it is auto or never"),
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
    rates = [Progress(step=step).learning_rate(settings, batches=5) for step in range(101)]
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
        *(
            {"valid_limit": 0},
            {"occlusion": "mask"},
            {"bptt": "cut"},
            {"recoveries": -1},
            {"segment": 0},
            {"warmup_steps": -1},
        ),
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        Settings(**bad)


def test_images_of_the_wrong_shape_are_refused(tmp_path):
    images = random_images(10, (1, 5, 5), 2)
    with pytest.raises(UserError, match=r"this model takes \(batch, 1, 4, 4\)"):
        run(tmp_path, data=Dataset("other", 2, images, images, images))


@pytest.mark.parametrize("part", ["train", "valid"])
def test_images_of_more_levels_are_refused_before_the_first_update(tmp_path, part):
    bright = replace(stripes(), **{part: getattr(stripes(), part) + 1})
    with pytest.raises(UserError, match="images hold the value 2; this model has 2 levels"):
        Run(new_model(), bright, Settings(**FAST), tmp_path, 0, False)
    photographs = Patches(torch.zeros(75, dtype=torch.uint8), torch.tensor([[0, 5, 5]]), 4, 1)
    with pytest.raises(UserError, match="stripes has 256 levels; this model has 2"):
        Run(new_model(), replace(stripes(), levels=256, train=photographs), Settings(**FAST), tmp_path, 0, False)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"bidirectional": True}, marks=pytest.mark.slow),
        pytest.param({"orders": "symmetries"}, marks=pytest.mark.slow),
        pytest.param({"bidirectional": True, "orders": "symmetries"}, marks=pytest.mark.slow),
    ],
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
    run(tmp_path / "run", model, data, epochs=30, learning_rate=0.01, validate_every=50)
    after = evaluate(load(tmp_path / "run"), data.test).nats
    assert before > 10 and after < 5  # 11.1 is chance, 2.8 all there is to know


@pytest.mark.filterwarnings("ignore:.*from a non-meta parameter")
@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_a_state_is_loaded_onto_another_device(tmp_path, monkeypatch, optimizer):
    """The meta device stands for a card: it has no values, and refuses tensors of the CPU as a card does."""
    run(tmp_path, epochs=1, optimizer=optimizer)
    settings = Settings(**{**FAST, "optimizer": optimizer})
    model = new_model().to("meta")
    average = copy.deepcopy(model)
    average.remember(stripes().train_digests)
    monkeypatch.setattr(torch, "equal", lambda one, other: one.device == other.device)  # it compares values
    loaded = make_optimizer(model, settings)
    load_state(tmp_path, model, average, loaded)
    assert average.train_digests.tolist() == stripes().train_digests.unique(dim=0).tolist()
    own = loaded.state[next(model.parameters())]
    assert own["step"].device.type == "cpu"  # on a card, each update would wait for it
    assert all(value.is_meta for name, value in own.items() if name != "step")


def test_training_images_that_do_not_fit_stay_in_the_machine(monkeypatch, notes):
    data, card = stripes(), torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * data.train.nbytes - 1, 10**9))
    assert _on_card(data, card) is data
    (said,) = notes
    assert "stay in the machine's memory" in said
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * data.train.nbytes, 10**9))
    with FakeTensorMode(allow_non_fake_inputs=True):  # it knows where tensors are, without a card
        assert _on_card(data, card).train.device == card
    assert len(notes) == 1


@pytest.mark.parametrize("bptt", ["full", "checkpointed"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *[(name, {}) for name in MODELS],
        *[("SequenceRNN", {"cell": cell, "window": 3}) for cell in CELLS],
        ("SequenceRNN", {"bidirectional": True, "orders": ["raster", "spiral"]}),
        ("SequenceRNN", {"likelihood": "logistic_mixture"}),
        ("PixelCNN", {"likelihood": "logistic_mixture", "orders": "symmetries"}),
    ],
)
def test_an_update_never_waits_for_the_device(name, options, bptt, monkeypatch):
    """Tensors on the meta device have no values, so that each look at one raises. A card's would have to be waited for."""
    if name == "InpaintingRNN":
        if bptt == "checkpointed":
            return
        monkeypatch.setattr(inpainting, "hidden_steps", all_steps)  # the one that is allowed
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know this device
    model, settings = tiny_model((3, 4, 4), 4, model=name, **options).to("meta"), Settings(bptt=bptt, clip_norm=1.0)
    images, occlusion = random_images(4, (3, 4, 4), 4).to("meta"), "mixed" if model.sees_ahead else None
    loss, norm = update(make_objective(model, settings), make_optimizer(model, settings), images, settings, occlusion)
    assert loss.is_meta and norm.is_meta


def all_steps(hidden):
    return torch.arange(hidden.shape[1], device=hidden.device).expand(hidden.shape), hidden


# --- pixelrnn.train ---------------------------------------------------------------------------------------------------

QUICK = {"epochs": 2, "batch_size": 8, "warmup_steps": 2, "average_decay": 0.9}


@pytest.fixture
def training(monkeypatch):
    """pixelrnn.train without its pictures; returns the trained model, what train() returned, and its notes."""
    monkeypatch.setattr("pixelrnn.training.records.show", lambda *_: None)

    def trained(images, levels=2, channels=1, **options):
        torch.manual_seed(1)
        model, notes = SequenceRNN((channels, 4, 4), levels, width=8, depth=1), []
        with notes_to(notes.append):
            at = pixelrnn.train(model, images, progress=False, **{**QUICK, **options})
        return model, at, notes

    return trained


def test_training_on_arrays_and_pictures_is_that_on_tensors(training):
    images, valid = random_images(20, (3, 4, 4), 256), random_images(6, (3, 4, 4), 256, seed=1)
    expected, at, notes = training(images, 256, 3, valid=valid)
    assert at.step == 6 and notes == []
    forms = {
        "NumPy": [part.movedim(1, -1).numpy() for part in (images, valid)],
        "PIL": [[to_picture(image) for image in part] for part in (images, valid)],
        "data set": [Dataset("the same", 256, images, valid, valid), None],
    }
    for name, (train_on, held) in forms.items():
        model, again, _ = training(train_on, 256, 3, valid=held)
        assert again.best_nats == at.best_nats, name
        assert all(map(torch.equal, model.state_dict().values(), expected.state_dict().values())), name


def test_the_model_has_the_weights_that_were_best_and_can_be_used_at_once(training, tmp_path):
    data = stripes()
    model, at, _ = training(data.train, valid=data.valid, folder=tmp_path / "run", epochs=6, learning_rate=0.05)
    assert not model.training and at.stopped_by == "" and len(repr(at)) < 200
    assert pixelrnn.evaluate(model, data.valid).nats == pytest.approx(at.best_nats)
    kept = load(tmp_path / "run" / "best")
    assert all(map(torch.equal, model.state_dict().values(), kept.state_dict().values()))
    assert model.trained_on == kept.trained_on
    _, again, notes = training(data.train, valid=data.valid, folder=tmp_path / "run", epochs=6, learning_rate=0.05)
    assert again.step == at.step and any("nothing left to do" in text for text in notes)


def test_a_tenth_is_kept_for_validation_with_a_note_and_nothing_on_the_disk(training, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model, _, notes = training(random_images(30, (1, 4, 4), 2))
    assert notes == ["valid=None: validation takes 3 of the 30 images"]
    assert len(model.train_digests) <= 27 and list(tmp_path.iterdir()) == []


def test_a_run_that_ends_before_its_first_validation_has_the_last_weights(training, monkeypatch):
    monkeypatch.setattr(Run, "stop_reason", lambda run, received: "SIGINT")
    model, at, notes = training(stripes().train, valid=stripes().valid, epochs=5)
    assert (at.step, at.stopped_by) == (1, "SIGINT") and "before its first validation" in notes[0]
    assert not model.training


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.rand(9, 1, 4, 4), {}, "images are float32; they must be uint8 levels in .0, 2."),
        (np.zeros((9, 5, 4), np.uint8), {}, r"images have shape \(9, 5, 4\); this model takes \(batch, 1, 4, 4\)"),
        (np.full((9, 4, 4), 255, np.uint8), {}, r"value 255; this model has 2 levels.*requantise\(images, 256, 2\)"),
        (np.zeros((1, 4, 4), np.uint8), {}, "0 images to train on and 1 for validation"),
        (stripes(), {"valid": stripes().valid}, "valid=…: a data set has validation images of its own"),
        (stripes().train, {"epoch": 3}, "unknown setting 'epoch'; did you mean 'epochs'"),
        (stripes().train, {"epochs": 0}, "^epochs=0: it is a whole number from 1"),
        (stripes().train, {"occlusion": "mask"}, "^occlusion=mask: one file hides"),
        (
            stripes().train,
            {"occlusion": "half"},
            "^occlusion=half in training: .*make the model with bidirectional=true",
        ),
        (
            stripes().train,
            {"resume": "run"},
            "^resume=run: it is auto or never; in Python, a run's folder is given as folder=",
        ),
        (stripes().train, {"seed": "a"}, "seed=a: it is a whole number from 0"),
        (stripes().train, {"seed": 1.5}, "seed=1.5: it is a whole number from 0"),
        (stripes().train, {"folder": 3}, "3 is no path; give a text such as outputs/mine"),
        (stripes().train, {"folder": __file__}, "test_training.py cannot be written .File exists."),
        (stripes().train, {"folder": f"{__file__}/run"}, "test_training.py/run cannot be written .Not a directory."),
        ("digits", {}, "images is a str; give a tensor, a NumPy array"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(training, images, options, message):
    with pytest.raises(UserError, match=message) as error:
        training(images, **options)
    assert "\n" not in str(error.value)


def test_messages_name_settings_and_folders_as_python_does(training, tmp_path):
    data = stripes()
    training(data.train, valid=data.valid, folder=tmp_path)
    _, _, notes = training(data.train, valid=data.valid, folder=tmp_path)
    assert notes == ["nothing left to do: all 2 epochs are done; epochs=… for more"]
    _, _, notes = training(data.train, valid=data.valid, folder=tmp_path, epochs=3)
    assert "epochs 2 in the run, 3 now" in notes
    with pytest.raises(UserError, match=r"batch_size 8 in the run, 4 now; give the options .*choose another folder \("):
        training(data.train, valid=data.valid, folder=tmp_path, batch_size=4)
    with pytest.raises(UserError, match=r"choose another folder \(.*\), or resume=auto to go on"):
        training(data.train, valid=data.valid, folder=tmp_path, resume="never")


def test_a_run_that_diverges_names_the_way_out_and_no_folder_that_is_gone(training, monkeypatch):
    monkeypatch.setattr(loop, "_validate", lambda *_: Likelihoods.of(torch.tensor([torch.nan]), 16))
    with pytest.raises(
        TrainingDiverged, match=r"\(validation nan nats\): try a smaller learning_rate, or recoveries=3$"
    ):
        training(stripes().train)
