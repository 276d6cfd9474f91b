"""Back-propagation through time: recomputed, the same gradient in less memory; cut, the gradient of a cut sequence."""

import os
import platform
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import PAPER, every_pair, generator, random_images, tiny_model
from torch.overrides import TorchFunctionMode

from pixelrnn.cell import CELLS
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.pixels import to_sequence
from pixelrnn.training import Settings
from pixelrnn.training.update import Objective, make_objective, make_optimizer, update, uses_bf16

CASES = every_pair(
    cell=list(CELLS),
    window=[0, 3],
    depth=[1, 2],
    dropout=[0.0, 0.4],
    bidirectional=[False, True],
    orders=[None, "symmetries"],
    segment=[None, 1, 5, 100],
) + every_pair(model=PAPER["model"], layer=PAPER["layer"], skip=[False, True], orders=[None, "symmetries"])


def make(case, side=4):
    return tiny_model((1, side, side), 3, **{name: value for name, value in case.items() if name != "segment"}).train()


def gradients(model, bptt, segment=None, hidden=None, images=None):
    """The objective and its gradients, dropout drawn alike."""
    torch.manual_seed(3)
    model.zero_grad(set_to_none=True)
    images = random_images(5, model.shape, model.levels) if images is None else images
    objective = Objective(model, bptt, segment)(images, hidden)
    objective.backward()
    return objective.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [False, True])
def test_recomputed_gradients_are_the_same(case, masked, monkeypatch):
    model = make(case)
    hidden = torch.rand(5, 4, 4, generator=generator(1)) < 0.6 if masked else None
    found, found_gradients = gradients(model, "checkpointed", case.get("segment"), hidden)
    if case.get("dropout"):  # drawn segment by segment: compared with the same segments, nothing recomputed
        monkeypatch.setattr(
            "pixelrnn.training.update.checkpoint", lambda run, *arguments, use_reentrant: run(*arguments)
        )
        expected, expected_gradients = gradients(model, "checkpointed", case.get("segment"), hidden)
    else:
        expected, expected_gradients = gradients(model, "full", hidden=hidden)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, expected in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], expected, rtol=1e-10, atol=1e-10, msg=name)
        assert "encoder" in name or "row" in name or expected.abs().max() > 0, name


def saved_bytes(model, bptt, images):
    """Bytes that the forward pass keeps for the backward pass, each storage once."""
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        kept.append(tensor)  # so that no storage is used again for another tensor
        return tensor

    kept = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Objective(model, bptt)(images)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    return sum(size for place, size in storages.items() if place not in parameters)


@pytest.mark.parametrize(
    "case", [{"cell": "lstm"}, {"cell": "gru_reset_before"}, {"cell": "lstm", "window": 3}], ids=str
)
def test_recomputing_segments_keeps_little(case):
    model, images = make({"depth": 2, "width": 16, **case}, side=24), random_images(4, (1, 24, 24), 3)
    assert saved_bytes(model, "checkpointed", images) < 0.25 * saved_bytes(model, "full", images)


@pytest.mark.parametrize(
    ("model", "share"), [("RowLSTM", 0.3), ("DiagonalBiLSTM", 0.3), ("PixelCNN", 0.7), ("MultiScale", 0.7)]
)
def test_recomputing_blocks_keeps_less(model, share):
    deep, images = make({"model": model, "depth": 8, "width": 16}, side=12), random_images(4, (1, 12, 12), 3)
    assert saved_bytes(deep, "checkpointed", images) < share * saved_bytes(deep, "full", images)


@pytest.mark.parametrize("case", [{"cell": cell, "depth": 2} for cell in CELLS], ids=str)
def test_a_cut_gradient_is_that_of_a_state_without_history(case):
    model, images = make(case), random_images(5, (1, 4, 4), 3)
    loss, whole = gradients(model, "full", images=images)
    same_loss, uncut = gradients(model, "truncated", 16, images=images)
    cut_loss, cut = gradients(model, "truncated", 9, images=images)
    assert loss == pytest.approx(same_loss, rel=1e-12) and loss == pytest.approx(cut_loss, rel=1e-12)
    model.zero_grad(set_to_none=True)
    values = to_sequence(images, model.order)
    before, state = model.read(images, 0, 9, model.start(images))
    after, _ = model.read(images, 9, 16, (_constant(state[0]), None))
    model.likelihood.log_prob(torch.cat([before, after], 1), values).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(uncut[name], whole[name], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(cut[name], parameter.grad, rtol=1e-10, atol=1e-10)
    recurrent = [name for name in whole if "stack" in name and (whole[name] - cut[name]).abs().max() > 1e-6]
    assert recurrent  # the border is felt


def _constant(states):
    return [tuple(part.detach() for part in state) for state in states]


@pytest.mark.parametrize("occlusion", [None, "mixed"])
@pytest.mark.parametrize("batch", [7, 2])
def test_a_gradient_accumulated_in_parts_is_that_of_the_batch(batch, occlusion):
    found = {}
    for accumulate in (1, 3):
        torch.manual_seed(0)
        model = tiny_model((1, 4, 4), 3, bidirectional=bool(occlusion))
        settings = Settings(accumulate=accumulate)
        optimizer, images = make_optimizer(model, settings), random_images(batch, (1, 4, 4), 3)
        loss, norm = update(make_objective(model, settings), optimizer, images, settings, occlusion)
        found[accumulate] = float(loss), float(norm), [p.grad.clone() for p in model.parameters()]
    assert found[1][:2] == pytest.approx(found[3][:2], rel=1e-10)
    for one, parts in zip(found[1][2], found[3][2], strict=True):
        torch.testing.assert_close(parts, one, rtol=1e-9, atol=1e-12)


ROUNDED = [
    *({"cell": cell, "depth": 2, "window": 3, "likelihood": "bernoulli"} for cell in CELLS),
    *(
        {"likelihood": likelihood, "levels": 256, "bidirectional": True}
        for likelihood in ("categorical", "logistic_mixture")
    ),
    *({"model": model, "levels": 256, "likelihood": "categorical"} for model in PAPER["model"]),
]


@pytest.mark.parametrize("case", ROUNDED, ids=str)
@pytest.mark.parametrize("bptt", ["full", "checkpointed"])
def test_products_in_bfloat16_give_nearly_the_same_gradient(case, bptt):
    """Three digits in the products, and no more lost: log-probabilities are summed in float32, weights stay float32."""
    options = {name: value for name, value in case.items() if name != "levels"}
    model = tiny_model((1, 6, 6), case.get("levels", 2), gain=1.0, **options).float()
    images, found = random_images(8, (1, 6, 6), model.levels), {}
    for bf16 in (False, True):
        settings = Settings(bf16=bf16, bptt=bptt, learning_rate=1e-9)
        loss, _ = update(make_objective(model, settings), make_optimizer(model, settings), images, settings)
        assert loss.dtype == torch.float32
        found[bf16] = float(loss), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert found[True][0] == pytest.approx(found[False][0], rel=5e-3)
    assert (found[True][0] != found[False][0]) == uses_bf16(model, Settings(bf16=True))
    assert torch.cosine_similarity(found[True][1], found[False][1], dim=0) > 0.999


class Copied(TorchFunctionMode):
    """Context manager: list the calls that copy numbers from Python to the device, for which they wait."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        index = args[1] if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) else ()
        if func is torch.tensor or any(isinstance(i, list) for i in (index if isinstance(index, tuple) else (index,))):
            self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "options", [{}, {"window": 3}, {"model": "PixelCNN"}, {"model": "RowLSTM"}, {"model": "DiagonalBiLSTM"}], ids=str
)
def test_an_update_copies_no_list_to_the_device(options):
    model, images, settings = tiny_model((1, 4, 4), **options), random_images(4, (1, 4, 4), 2), Settings()
    step = partial(update, make_objective(model, settings), make_optimizer(model, settings), images, settings)
    step()  # what is made once for a size
    with Copied() as copied:
        step()
    assert copied.calls == []


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"full, checkpointed or truncated"):
        Settings(bptt="cut")
    with pytest.raises(UserError, match="from 1, or null"):
        Settings(segment=0)
    for model in PAPER["model"]:
        with pytest.raises(UserError, match=r"use bptt=checkpointed"):
            Objective(tiny_model(model=model), "truncated")
        with pytest.raises(UserError, match=r"segment=4: \w+ has no sequence to cut"):
            Objective(tiny_model(model=model), "checkpointed", segment=4)
    with pytest.raises(UserError, match=r"^accumulate=0"):
        Settings(accumulate=0)


@pytest.mark.parametrize("likelihood", list(LIKELIHOODS))
def test_bfloat16_is_left_to_new_gpus_and_kept_from_narrow_logistics(likelihood, monkeypatch):
    capability = [8, 0]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: tuple(capability))

    def on(device):
        order = SimpleNamespace(device=torch.device(device))
        return SimpleNamespace(order=order, likelihood=LIKELIHOODS[likelihood], modules=lambda: [])

    assert not uses_bf16(on("cpu"), Settings()) and uses_bf16(on("cpu"), Settings(bf16=True))
    assert uses_bf16(on("cuda"), Settings()) == (likelihood != "logistic_mixture")
    assert not uses_bf16(on("cuda"), Settings(bf16=False))
    capability[:] = 7, 5
    assert not uses_bf16(on("cuda"), Settings()) and uses_bf16(on("cuda"), Settings(bf16=True))


def test_bfloat16_falls_back_to_float32_where_the_cpu_has_no_such_lstm(tmp_path):
    """oneDNN is told to use AVX2 alone, so the test is the same on every x86 CPU."""
    arguments = ["train", "training.epochs=1", "training.bf16=true", "data.limit=8", "training.samples=0"]
    options = ["model.width=8", "model.depth=1", "training.valid_limit=4", f"hydra.run.dir={tmp_path}"]
    run = subprocess.run(
        [sys.executable, "-m", "pixelrnn", *arguments, *options],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    said = "note       bf16=true: this CPU cannot compute an LSTM in bfloat16, so training uses float32"
    assert said in run.stdout or platform.machine().lower() not in ("x86_64", "amd64")
