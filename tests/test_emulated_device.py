"""The program on two emulated cards (emulated_device.py): devices, waits, dtypes, captures and values, without a GPU.

The last tests break the program on purpose, each in one place, and see that a test above fails.
"""

import contextlib
import copy
import warnings

import pytest
import torch
from conftest import SMALL, TINY, generator, new_model, random_images, run, stripes
from emulated_device import CardTensor, emulated

from benchmarks import speed
from pixelrnn import checkpoint, complete, complete_picture, sample, verify
from pixelrnn.cell import CELLS, cells
from pixelrnn.completion import cuda_graph as graphs
from pixelrnn.completion import fill, windows
from pixelrnn.errors import UserError
from pixelrnn.evaluation import evaluate
from pixelrnn.likelihood import LIKELIHOODS, Categorical
from pixelrnn.model import MODELS, InpaintingRNN, Model, SequenceRNN, inputs
from pixelrnn.model.base import Model as Base
from pixelrnn.model.orders import OrderCursor
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTMLayer
from pixelrnn.training import Settings, loop
from pixelrnn.training import update as updates
from pixelrnn.training.update import make_objective, make_optimizer, update

GREY, COLOUR = ((1, 4, 4), 2), ((3, 4, 4), 8)
CASES = {  # name: kind of model, images, options
    **{name: ("SequenceRNN", GREY, {"cell": name, "dropout": 0.1}) for name in CELLS},
    "bernoulli": ("SequenceRNN", COLOUR[:1] + (2,), {"likelihood": "bernoulli", "layer_norm": True, "depth": 2}),
    "categorical": ("SequenceRNN", COLOUR, {"window": 3, "residual": True, "depth": 2}),
    "logistic_mixture": ("SequenceRNN", COLOUR, {"likelihood": "logistic_mixture", "ordering": "hilbert"}),
    "encoder": ("SequenceRNN", GREY, {"bidirectional": True, "window": 3, "orders": ["raster", "spiral"]}),
    "symmetries": ("SequenceRNN", GREY, {"orders": "symmetries"}),
    **{name: (name, GREY, {}) for name in MODELS if name != "SequenceRNN"},
    "InpaintingRNN, colour": ("InpaintingRNN", COLOUR, {"cell": "gru"}),
    "PixelCNN, colour": ("PixelCNN", COLOUR, {"orders": "symmetries", "skip": True}),
    "MultiScale, bilstm": ("MultiScale", GREY, {"layer": "diagonal_bilstm"}),
}
WAITS = {"InpaintingRNN": {"inpainting.py:hidden_steps": 1}}  # of an update: for the largest number of hidden pixels
SEQUENCES = [name for name, (kind, _, _) in CASES.items() if kind == "SequenceRNN"]


@pytest.fixture
def device():
    with emulated() as device:
        yield device


def make(case: str) -> Model:
    kind, (shape, levels), options = CASES[case]
    torch.manual_seed(1)
    return MODELS[kind](shape, levels, **{**TINY[kind], **options})


def images_of(model, count=3):
    return random_images(count, model.shape, model.levels)


def some_hidden(model, count=3):
    """Masks with a row that is read in one pass, and observed pixels after hidden ones."""
    hidden = torch.rand(count, *model.shape[1:], generator=generator(1)) < 0.6
    hidden[:, 1] = False
    hidden[:, 2, :2] = True
    return hidden


# --- what holds on a card ---------------------------------------------------------------------------------------------


def check_update(device, case, **options):
    """The waits and dtypes of an update; without bfloat16 its values are the CPU's."""
    model = make(case)
    occlusion, settings = "mixed" if model.sees_ahead else None, Settings(**options)
    on_cpu, on_card = copy.deepcopy(model), model.to("cuda:1")
    found = []
    for model in (on_cpu, on_card):
        objective, optimizer = make_objective(model, settings), make_optimizer(model, settings)
        images = images_of(model).to(model.order.device)
        for step in range(2):
            device.forget()
            torch.manual_seed(step)
            found.append(update(objective, optimizer, images, settings, occlusion))
    assert device.kernels and dict(device.waits) == WAITS.get(type(model).__name__, {})
    parts = {p.device for p in [*on_card.parameters(), *(p.grad for p in on_card.parameters() if p.grad is not None)]}
    assert parts == {images.device}
    lowers = updates.uses_bf16(on_card, settings)
    assert lowers == (settings.bf16 is not False and not model.likelihood.fine)
    kinds = {(name == "rnn", dtype) for name, dtype, full in device.products if name not in ("baddbmm", "baddbmm_", "bmm")}
    assert all(dtype == torch.float32 for is_rnn, dtype in kinds if is_rnn or not lowers)
    assert not lowers or (False, torch.bfloat16) in kinds
    assert {full for *_, full in device.products} == {False}  # TF32 is allowed
    if not lowers:
        assert all(torch.allclose(a.cpu(), b) for one, two in zip(found[2:], found, strict=False) for a, b in zip(one, two, strict=True))
        assert all(torch.allclose(a.cpu(), b, atol=1e-5) for a, b in zip(on_card.parameters(), on_cpu.parameters(), strict=True))


def check_results(device, case):
    """log_prob, completions by each strategy and samples are those of the CPU, in full float32, for inputs of the CPU."""
    model = make(case).eval()
    on_card = copy.deepcopy(model).to("cuda:1")
    images, hidden = images_of(model), some_hidden(model)
    device.forget()
    assert torch.allclose(on_card.log_prob(images).cpu(), model.log_prob(images), atol=1e-5)
    assert torch.allclose(on_card.fill_log_prob(images, hidden).cpu(), model.fill_log_prob(images, hidden), atol=1e-5)
    for draw in (
        *(lambda m, seed, s=s: complete(m, images, hidden, 2, s, generator=seed, particles=8) for s in ("ancestral", "particles")),
        lambda m, seed: sample(m, 2, 0.7, seed),
    ):
        drawn = draw(on_card, torch.Generator("cuda:1").manual_seed(3))
        assert drawn.device == on_card.order.device
        assert torch.equal(drawn.cpu(), draw(model, torch.Generator().manual_seed(3)))
    assert device.products and {full for *_, full in device.products} == {True}


def check_graph(device, case, card):
    """A captured step draws what the loop draws."""
    model = make(case).eval().to(f"cuda:{card}")
    images, hidden = images_of(model), some_hidden(model)
    drawn = []
    for fewest in (1, 10**9):
        device.forget()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(graphs, "FEWEST", fewest)
            seed = torch.Generator(model.order.device).manual_seed(5)
            drawn.append(complete(model, images, hidden, 3, "ancestral", generator=seed))
        assert bool(device.replays) == (fewest == 1)
    assert torch.equal(*drawn)
    assert device.captures and {at for at, _ in device.captures} == {card}


def check_training(device, folder):
    """A run waits in no update; it says nothing of scattered weights, and its model can be loaded."""
    model = new_model(window=0, bidirectional=True).to("cuda:1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        progress = run(folder, model, samples=2)
    assert progress.step == 20
    in_updates = [place for place in device.waits if place.split(":")[0] in ("update.py", "cells.py", "inputs.py")]
    assert not in_updates and device.waits["loop.py:step"] == 0
    loaded = checkpoint.load(folder, "cuda:1")
    assert torch.allclose(loaded.log_prob(stripes().test).cpu(), checkpoint.load(folder).log_prob(stripes().test), atol=1e-5)


def check_inputs(device, case):
    """A generator of another device is refused in one line."""
    model = make(case).eval().to("cuda:1")
    with pytest.raises(UserError, match="the generator is on cpu and the model on cuda:1"):
        sample(model, 1, generator=torch.Generator())


def check_gradient(device, case):
    """The gradient of log_prob of a model in evaluation mode."""
    model = make(case).eval()
    on_card = copy.deepcopy(model).to("cuda")
    for m in (model, on_card):
        m.log_prob(images_of(model)).sum().backward()
    pairs = [(a.grad, b.grad) for a, b in zip(on_card.parameters(), model.parameters(), strict=True) if b.grad is not None]
    assert pairs and all(torch.allclose(a.cpu(), b, atol=1e-4) for a, b in pairs)


@pytest.mark.parametrize("case", CASES)
def test_an_update_waits_and_rounds_only_where_it_may(device, case):
    check_update(device, case)


@pytest.mark.parametrize("case", CASES)
def test_an_update_in_float32_is_that_of_the_cpu(device, case):
    accumulate = 1 if case.startswith("InpaintingRNN") else 2
    check_update(device, case, bf16=False, accumulate=accumulate)


@pytest.mark.parametrize("case", CASES)
def test_a_card_computes_and_draws_what_the_cpu_does(device, case):
    check_results(device, case)


@pytest.mark.parametrize("card", [0, 1])
@pytest.mark.parametrize("case", SEQUENCES)
def test_a_captured_step_draws_what_the_loop_draws(device, case, card):
    check_graph(device, case, card)


@pytest.mark.parametrize("case", ["lstm", "encoder", "InpaintingRNN", "RowLSTM"])
def test_a_model_in_evaluation_mode_has_gradients(device, case):
    check_gradient(device, case)
