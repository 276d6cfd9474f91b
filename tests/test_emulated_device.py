"""The program on two emulated cards (emulated_device.py): devices, waits, dtypes, captures and values, without a GPU.

The last tests break the program on purpose, each in one place, and see that a test above fails.
"""

import contextlib
import copy
import inspect
import textwrap
import threading
import warnings
from itertools import cycle

import pytest
import torch
from conftest import SMALL, TINY, generator, random_images, randomise, run, stripes
from emulated_device import Calls, emulated

from benchmarks import speed
from pixelrnn import checkpoint, complete, complete_picture, pixels, sample
from pixelrnn.cell import CELLS, cells
from pixelrnn.completion import cuda_graph as graphs
from pixelrnn.completion import fill, windows
from pixelrnn.errors import UserError, notes_to
from pixelrnn.likelihood import Categorical
from pixelrnn.model import MODELS, Ensemble, InpaintingRNN, Model, MultiScale, SequenceRNN, inputs
from pixelrnn.model.base import Model as Base
from pixelrnn.model.orders import OrderCursor
from pixelrnn.model.paper import raster
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTMLayer
from pixelrnn.model.paper.raster import RasterModel
from pixelrnn.occlusion import draw as draw_masks
from pixelrnn.training import Settings, loop, recorded
from pixelrnn.training import update as updates
from pixelrnn.training.update import make_objective, make_optimizer, update

GREY, COLOUR = ((1, 4, 4), 2), ((3, 4, 4), 8)
CASES = {  # name: kind of model, images, options
    **{name: ("SequenceRNN", GREY, {"cell": name, "dropout": 0.1}) for name in CELLS},
    "bernoulli": ("SequenceRNN", (*COLOUR[:1], 2), {"likelihood": "bernoulli", "layer_norm": True, "depth": 2}),
    "categorical": ("SequenceRNN", COLOUR, {"window": 3, "residual": True, "depth": 2}),
    "logistic_mixture": ("SequenceRNN", COLOUR, {"likelihood": "logistic_mixture", "ordering": "hilbert"}),
    "encoder": ("SequenceRNN", GREY, {"bidirectional": True, "window": 3, "orders": ["raster", "spiral"]}),
    "convolutional encoder": (
        "SequenceRNN",
        GREY,
        {"bidirectional": True, "encoder": "convolutional", "orders": "symmetries"},
    ),
    "symmetries": ("SequenceRNN", GREY, {"orders": "symmetries"}),
    **{name: (name, GREY, {}) for name in MODELS if name != "SequenceRNN"},
    "InpaintingRNN, colour": ("InpaintingRNN", COLOUR, {"cell": "gru", "likelihood": "categorical"}),
    "PixelCNN, colour": ("PixelCNN", COLOUR, {"orders": "symmetries", "skip": True}),
    "MultiScale, bilstm": ("MultiScale", GREY, {"layer": "diagonal_bilstm"}),
    "MultiScale, colour": ("MultiScale", ((3, 4, 5), 8), {"layer": "pixelcnn", "scale": 3, "orders": "symmetries"}),
}
ENSEMBLES = {  # which are not trained
    "ensemble": ("lstm", "gru"),
    "ensemble, encoder": ("encoder", "encoder"),
    "ensemble, colour": ("categorical", "categorical"),
    "ensemble of kinds": ("lstm", "PixelCNN", "RowLSTM"),
}
WAITS = {"InpaintingRNN": {"inpainting.py:hidden_steps": 1}}  # of an update: for the largest number of hidden pixels
DRAWN = [name for name, (kind, _, _) in CASES.items() if MODELS[kind].position_as_tensor]

SLOW = ("rnn_relu", "rnn_sigmoid", "MultiScale, bilstm", "MultiScale, colour")  # and like another


def slow_marked(names):
    """These cases and the ensembles; those of SLOW are left to the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in (*names, *ENSEMBLES)]


RECORDABLE = [name for name in CASES if not name.startswith("InpaintingRNN") and name not in SLOW]


@pytest.fixture
def device():
    with emulated() as device:
        yield device


def make(case: str) -> Model:
    if case in ENSEMBLES:
        return Ensemble([make(member) for member in ENSEMBLES[case]])
    kind, (shape, levels), options = CASES[case]
    torch.manual_seed(1)
    return randomise(MODELS[kind](shape, levels, **{**TINY[kind], **options})).float()


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
        for step in range(2):  # the first one copies what is kept from then on
            device.forget()
            torch.manual_seed(step)
            update_of = update(objective, optimizer, images, settings, occlusion)
        found.append(update_of)
    assert device.operations and device.waits == WAITS.get(type(model).__name__, {}), f"waits: {device.waits}"
    parts = {p.device for p in [*on_card.parameters(), *(p.grad for p in on_card.parameters() if p.grad is not None)]}
    assert parts == {images.device}
    lowers = updates.uses_bf16(on_card, settings)
    assert lowers == (settings.bf16 is not False and not model.likelihood.fine)
    kinds = {
        (name == "rnn", dtype) for name, dtype, full in device.products if name not in ("baddbmm", "baddbmm_", "bmm")
    }
    assert all(dtype == torch.float32 for is_rnn, dtype in kinds if is_rnn or not lowers), f"dtypes: {kinds}"
    assert not lowers or (False, torch.bfloat16) in kinds, f"dtypes: {kinds}"
    assert {full for *_, full in device.products} == {False}, "TF32 is not allowed"
    if not lowers:
        pairs = [*zip(*found, strict=True), *zip(on_cpu.parameters(), on_card.parameters(), strict=True)]
        assert all(torch.allclose(a, b.cpu(), atol=1e-5) for a, b in pairs)


def check_results(device, case):
    """log_prob, completions by each strategy and samples are those of the CPU, in full float32, for inputs of the CPU."""
    model = make(case).eval()
    on_card = copy.deepcopy(model).to("cuda:1")
    images, hidden = images_of(model), some_hidden(model)
    device.forget()
    assert torch.allclose(on_card.log_prob(images).cpu(), model.log_prob(images), atol=1e-5)
    assert torch.allclose(on_card.fill_log_prob(images, hidden).cpu(), model.fill_log_prob(images, hidden), atol=1e-5)
    for draw in (
        *(
            lambda m, seed, s=s: complete(m, images, hidden, 2, strategy=s, generator=seed, particles=8)
            for s in ("ancestral", "particles")
        ),
        lambda m, seed: sample(m, 2, temperature=0.7, generator=seed),
    ):
        drawn = draw(on_card, torch.Generator("cuda:1").manual_seed(3))
        assert drawn.device == on_card.order.device
        assert torch.equal(drawn.cpu(), draw(model, torch.Generator().manual_seed(3)))
    assert device.products and {full for *_, full in device.products} == {True}, "TF32 is allowed"


def check_graph(device, case):
    """On each card, a captured step draws what the loop draws."""
    for card in (1, 0):
        check_graph_of(device, make(case).eval().to(f"cuda:{card}"), card)


def check_graph_of(device, model, card):
    images, holes = images_of(model), some_hidden(model)
    for hidden, order in ((holes, None), (torch.ones_like(holes), len(model.orders) - 1)):
        drawn = []
        device.captures.clear()
        device.pools.clear()
        for fewest in (1, 10**9):
            device.forget()
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(graphs, "FEWEST", fewest)
                seed = torch.Generator(model.order.device).manual_seed(5)
                drawn.append(complete(model, images, hidden, 3, strategy="ancestral", generator=seed, order=order))
            assert bool(device.replays) == (fewest == 1)
        assert torch.equal(*drawn), "the graph draws other values"
        assert {at for at, _ in device.captures} == {card}
    assert len({*device.pools}) == 1 and None not in device.pools[0], "graphs that share no memory"


def updated(device, case, records, between=lambda model: None):
    """Updates with other images, masks and dropout each: the losses, norms, gradients and weights, and the last update's
    operations. A batch of 4 is recorded, for the gru in two parts."""
    model, found = make(case).to("cuda:1"), []
    settings = Settings(batch_size=4, accumulate=2 if case == "gru" else 1)
    objective, optimizer = make_objective(model, settings), make_optimizer(model, settings)
    if not records:
        objective.recordings = None
    several = len(model.orders) > 1
    with pytest.MonkeyPatch.context() as patch:
        for step, order in enumerate((0, 0, 1, 0, 1, 0, 0) if several else (0, 0, 0, 0, 0)):
            patch.setattr(updates, "_draw_order", lambda *_, order=order: order)
            size = 3 if step == (5 if several else 3) else 4
            torch.manual_seed(step)
            images = torch.randint(model.levels, (size, *model.shape), dtype=torch.uint8).to("cuda:1")
            between(model)
            device.forget()
            found += update(objective, optimizer, images, settings, "mixed" if model.sees_ahead else None)
            found += [torch.tensor(torch.nan) if p.grad is None else p.grad.clone() for p in model.parameters()]
    return [*found, *model.parameters()], device.operations + device.replays


def check_recorded(device, case):
    """Recorded updates are those without a graph, bit for bit."""
    notes = []
    with notes_to(notes.append):
        found, operations = updated(device, case, True)
    assert not notes and device.replays, f"no replay: {notes}"
    assert device.waits == {}
    assert set(device.captures) == {(1, "thread_local")}, f"captures: {device.captures}"
    assert len({*device.pools}) == 1 and None not in device.pools[0], "graphs that share no memory"
    eager, without = updated(device, case, False)
    assert not device.replays and operations < without
    differ = [not torch.equal(a.nan_to_num(7), b.nan_to_num(7)) for a, b in zip(found, eager, strict=True)]
    assert not any(differ), f"other values: {differ}"


def check_refused(device, reason):
    """Where a pass cannot be recorded, updates go on with the same values, and a note says why."""
    expected, _ = updated(device, "encoder", False)
    notes = []
    with pytest.MonkeyPatch.context() as patch, notes_to(notes.append):
        if reason == "memory":
            left = cycle((100, 40))
            patch.setattr(torch.cuda, "mem_get_info", lambda device: (next(left), 100))
        elif reason == "capture":

            def fails():
                if len(device.captures) == 1:
                    raise torch.OutOfMemoryError("CUDA out of memory")

            device.during_capture = fails
        else:
            patch.setattr(recorded, "MOST", 1)
        found, _ = updated(device, "encoder", True)
    assert all(map(torch.equal, found, expected)), "other values"
    said = {"memory": "leave too little memory", "capture": "CUDA out of memory"}
    assert [said[reason] in text for text in notes] == [True] if reason in said else not notes, f"notes: {notes}"
    assert len(device.captures) == {"memory": 0, "capture": 1, "many": 1}[reason]


def check_moved(device, case):
    """A graph is not replayed once gradients lie elsewhere."""

    def forget(model):
        for p in model.parameters():
            p.grad = None

    (expected, _), (found, _) = (updated(device, case, records, between=forget) for records in (False, True))
    assert all(map(torch.equal, found, expected)), "other values"


def check_training(device, folder, kind):
    """A run waits in no update. It says nothing of scattered weights, goes on where it was, and its model can be loaded."""
    torch.manual_seed(1)
    model = MODELS[kind]((1, 4, 4), 2, **TINY[kind]).to("cuda:1")
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch, notes_to(lambda text: None):
        warnings.simplefilter("error")
        patch.setattr(loop.records, "show", lambda *_: None)  # the figures are the CPU's
        run(folder, model, epochs=1)
        assert run(folder, model, epochs=2).step == 10
    updating = ("loop.py:step", "update.py", "prepare.py", "cells.py")
    assert not [place for place in device.waits if place.startswith(updating)], f"waits: {device.waits}"
    assert device.waits["loop.py:record"] and device.replays
    on_card, on_cpu = checkpoint.load(folder, "cuda:1"), checkpoint.load(folder)
    assert torch.allclose(on_card.log_prob(stripes().test).cpu(), on_cpu.log_prob(stripes().test), atol=1e-5)


def check_picture(device):
    """A picture larger than the model's window."""
    model, picture = make("InpaintingRNN").eval(), random_images(1, (1, 6, 7), 2)[0]
    hidden = torch.zeros(6, 7, dtype=torch.bool)
    hidden[1:4, 2:6] = True
    found = []
    for at in ("cpu", "cuda:1"):
        seed = torch.Generator(at).manual_seed(3)
        found.append(complete_picture(picture, hidden, copy.deepcopy(model).to(at), count=2, generator=seed))
    assert torch.equal(found[0].draws, found[1].draws) and torch.equal(found[0].low, found[1].low)


def check_threads(device):
    """A thread captures its step alone, and another one may wait for the device meanwhile."""
    model, seen = make("lstm").eval().to("cuda:1"), []

    def beside():
        with Calls(), contextlib.suppress(RuntimeError):
            seen.append(float(torch.ones(2, device="cuda").sum()))

    def during_capture():
        seen.append(graphs.recording.locked())
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join(60)

    device.during_capture = during_capture
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "FEWEST", 1)
        sample(model, 2)
    assert seen[0], "the lock is open"
    assert seen[1:] == [2.0], "the other thread fails"


def check_generator(device, case):
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
    pairs = [
        (a.grad, b.grad) for a, b in zip(on_card.parameters(), model.parameters(), strict=True) if b.grad is not None
    ]
    assert pairs and all(torch.allclose(a.cpu(), b, atol=1e-4) for a, b in pairs)


@pytest.mark.parametrize("case", CASES)
def test_an_update_waits_and_rounds_only_where_it_may(device, case):
    check_update(device, case)


@pytest.mark.parametrize("case", CASES)
def test_an_update_in_float32_is_that_of_the_cpu(device, case):
    accumulate = 1 if case.startswith("InpaintingRNN") else 2
    check_update(device, case, bf16=False, accumulate=accumulate)


@pytest.mark.parametrize("case", RECORDABLE)
def test_a_recorded_update_is_that_without_a_graph(device, case):
    check_recorded(device, case)


@pytest.mark.parametrize("occlusion", ["mixed", "damage", "half"])
def test_masks_are_those_of_the_cpu_without_a_wait(device, occlusion):
    on_cpu, on_card = (draw_masks(occlusion, 40, 6, 5, generator(1), device=at) for at in ("cpu", "cuda:1"))
    assert on_card.device == torch.device("cuda:1") and not device.waits
    assert torch.equal(on_card.cpu(), on_cpu)


@pytest.mark.parametrize("reason", ["memory", "capture", "many"])
def test_an_update_that_cannot_be_recorded_goes_on(device, reason):
    check_refused(device, reason)


def test_an_update_is_recorded_anew_for_gradients_elsewhere(device):
    check_moved(device, "PixelCNN")


@pytest.mark.parametrize(
    "kind, options", [("InpaintingRNN", {}), ("lstm", {"bptt": "checkpointed"}), ("lstm", {"bptt": "truncated"})]
)
def test_these_updates_are_not_recorded(device, kind, options):
    assert make_objective(make(kind).to("cuda"), Settings(**options)).recordings is None


@pytest.mark.parametrize("case", slow_marked(CASES))
def test_a_card_computes_and_draws_what_the_cpu_does(device, case):
    check_results(device, case)


@pytest.mark.parametrize("bptt", ["checkpointed", "truncated"])
@pytest.mark.parametrize("case", ["lstm", "encoder", "RowLSTM"])
def test_an_update_in_segments_is_that_of_the_cpu(device, case, bptt):
    if case != "RowLSTM" or bptt == "checkpointed":
        check_update(device, case, bf16=False, bptt=bptt, segment=None if case == "RowLSTM" else 5)


@pytest.mark.parametrize("case", slow_marked(DRAWN))
def test_a_captured_step_draws_what_the_loop_draws(device, case):
    check_graph(device, case)


@pytest.mark.parametrize("case", ["lstm", "encoder", "InpaintingRNN", "RowLSTM"])
def test_a_model_in_evaluation_mode_has_gradients(device, case):
    check_gradient(device, case)


@pytest.mark.parametrize("case", ["lstm", "InpaintingRNN"])
def test_a_generator_of_another_device_is_refused(device, case):
    check_generator(device, case)


@pytest.mark.parametrize("kind", ["SequenceRNN", "PixelCNN"])
def test_a_training_run_on_a_card(device, tmp_path, kind):
    check_training(device, tmp_path, kind)


def test_a_picture_is_completed_on_a_card(device):
    check_picture(device)


def test_a_thread_captures_alone_while_others_compute(device):
    check_threads(device)


def test_the_benchmark_counts_the_products_of_all_steps(device, monkeypatch):
    made, counts, product = [], [], torch.matmul
    monkeypatch.setattr(graphs, "FEWEST", 1)
    monkeypatch.setattr(torch, "matmul", lambda *given, **out: made.append(given) or product(*given, **out))
    for at in ("cpu", "cuda:1"):
        products = speed._products(make("lstm").eval().to(at), 2)
        made.clear()
        products()
        counts.append(len(made))
    assert counts[0] == counts[1] > 16


COMMANDS = {
    "evaluate": ["part=valid", "completions=1", "occlusion=half", "strategy=particles", "particles=8"],
    "complete": ["occlusion=half", "limit=2", "count=2"],
    "sample": ["count=3"],
    "verify": [],
}


def test_the_commands_run_on_a_card(device, call):
    device.memory = 2**28
    small = [*SMALL, "data.limit=12", "training.batch_size=8"]
    code, out, err = call("train", "data=digits", *small, "device=cuda:1", "hydra.run.dir=run")
    assert code == 0 and "on cuda:1" in out, err
    for name, words in COMMANDS.items():
        device.forget()
        code, _, err = call(name, "checkpoint=run", "device=auto", f"hydra.run.dir={name}", *words)
        assert code == 0 and device.operations, err


def test_a_card_without_enough_memory_gets_one_line(device, call):
    device.memory = 1000
    code, _, err = call("sample", "checkpoint=digits", "device=cuda")
    assert code == 2 and err.count("\n") == 1 and "the memory of the GPU is full" in err


def test_an_old_card_is_left_alone(device, call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_120", "compute_120"])
    for capability, used in (((6, 1), False), ((7, 5), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        device.forget()
        code, out, _ = call("sample", "checkpoint=digits", "count=1", "device=auto")
        said = (
            "note       this PyTorch needs a GPU of compute capability 7.5 or more, and this one has 6.1; device=auto"
        )
        assert code == 0 and bool(device.operations) == used and (said in out) == (not used)


# --- the device itself ------------------------------------------------------------------------------------------------


def test_the_device_refuses_what_a_card_does(device):
    one, two, host = torch.ones(2, device="cuda"), torch.ones(2, device="cuda:1"), torch.ones(2)
    for mistake in (lambda: one + two, lambda: one + host, lambda: torch.cat([one, host]), lambda: host[one.long()]):
        with pytest.raises(RuntimeError, match="on the same device"):
            mistake()
    for mistake in (
        one.numpy,
        lambda: torch.ones(1, device="cuda:2"),
        lambda: one.normal_(generator=torch.Generator()),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            mistake()
    assert (one + torch.tensor(1.0)).device == one.device and not device.waits  # a number of the CPU may be used


def test_the_device_counts_waits(device):
    x, mask = (
        torch.arange(4, device="cuda"),
        torch.tensor([True, False, True, True]).pin_memory().to("cuda", non_blocking=True),
    )
    allowed = [
        lambda: x.sum() + x[1:] * 2,
        lambda: x.masked_fill(mask, 0),
        lambda: x.clone().index_put_((mask,), x[0]),
        lambda: x[x],
        lambda: x.__setitem__(slice(0, 2), 1),
        lambda: torch.zeros(3, device="cuda"),
    ]
    waits = [
        lambda: int(x.max()),
        lambda: x.tolist(),
        lambda: bool(mask.any()),
        lambda: torch.tensor([1, 2], device="cuda"),
        lambda: x[[0, 1]],
        lambda: x[torch.tensor([0, 1])],
        lambda: x[mask],
        lambda: mask.nonzero(),
        lambda: x.unique(),
        lambda: torch.ones(1).to("cuda"),
        lambda: x.cpu(),
        lambda: torch.equal(x, x),
        lambda: torch.cuda.synchronize(),
    ]
    for expected, calls in ((0, allowed), (1, waits)):
        for number, function in enumerate(calls):
            device.forget()
            function()
            assert device.waits.total() == expected, number


def captured(step):
    made = torch.cuda.CUDAGraph()
    with torch.cuda.graph(made):
        step()
    return made


def test_a_capture_computes_nothing_and_a_replay_does(device):
    x, noise, kept = torch.ones(2, device="cuda"), torch.zeros(2, device="cuda"), {}

    def step():
        kept["twice"] = x * 2
        x.add_(1)
        noise.normal_()

    torch.manual_seed(1)
    graph = captured(step)
    assert x.tolist() == [1, 1] and kept["twice"].isnan().all() and noise.tolist() == [0, 0]
    graph.replay()
    graph.replay()
    assert x.tolist() == [3, 3] and kept["twice"].tolist() == [4, 4]
    second = noise.tolist()
    torch.manual_seed(1)
    assert [noise.normal_().tolist() for _ in range(2)][1] == second  # a replay draws as the default generator does


def test_a_capture_refuses_waits_draws_and_other_cards(device):
    x, other = torch.ones(2, device="cuda"), torch.ones(2, device="cuda:1")
    for mistake in (
        lambda: x.sum().item(),
        lambda: x.normal_(generator=torch.Generator("cuda")),
        lambda: other + 1,
        torch.cuda.synchronize,
        lambda: captured(x.sum),
    ):
        with pytest.raises(RuntimeError, match="captur"):
            captured(mistake)


def test_torch_is_as_before_after_the_emulation():
    before = [
        torch.cuda.is_available,
        torch.Generator,
        torch.__future__.get_overwrite_module_params_on_conversion(),
        fill.Generator,
    ]
    with emulated() as device:
        assert torch.Generator is not before[1] and fill.Generator is torch.Generator
    assert before == [
        torch.cuda.is_available,
        torch.Generator,
        torch.__future__.get_overwrite_module_params_on_conversion(),
        fill.Generator,
    ]
    model = make("lstm")
    update(make_objective(model, Settings()), make_optimizer(model, Settings()), images_of(model), Settings())
    assert not device.operations


# --- mistakes made on purpose -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def mutated(function, old, new):
    """Context manager: the function with a part of its text replaced."""
    function = inspect.unwrap(function)
    text = textwrap.dedent(inspect.getsource(function))
    assert text.count(old) == 1, f"{function.__qualname__} no longer holds this once: {old}"
    text = "\n" * (function.__code__.co_firstlineno - 1) + text.replace(old, new)
    made, before = {}, function.__code__
    exec(compile("from __future__ import annotations\n" + text, before.co_filename, "exec"), function.__globals__, made)
    function.__code__ = inspect.unwrap(made[function.__name__]).__code__
    try:
        yield
    finally:
        function.__code__ = before


UPDATE, RESULTS, GRAPH, TRAINING = "check_update", "check_results", "check_graph", "check_training"
RECORDED, REPLAY, CLOSE = "check_recorded", recorded.RecordedPass.__call__, recorded.Recordings._close
MUTANTS = {  # name: the function, a part of its text, what stands there instead; the check that fails, its case, and how
    "images stay": (Base._here, "tensor.to(self.orders.device)", "tensor", RESULTS, "lstm", "found two, cpu, cuda:1"),
    "offsets stay": (Categorical.channel_logits, ", device=values.device", "", UPDATE, "categorical", "found two, cpu"),
    "rows stay": (InpaintingRNN.begin, ", device=canvas.device", "", UPDATE, "InpaintingRNN", "found two, cpu, cuda:1"),
    "windows stay": (windows.complete_windows, ".to(device) for x", " for x", "check_picture", None, "found two, cpu"),
    "masks are waited for": (pixels.send, ", non_blocking=True", "", UPDATE, "encoder", "waits.*pixels.py:send"),
    "masks in pageable memory": (
        pixels.send,
        "values.pin_memory()",
        "values",
        UPDATE,
        "encoder",
        "waits.*pixels.py:send",
    ),
    "the loss is read": (
        updates._back_propagate,
        "return loss",
        "loss.item(); return loss",
        UPDATE,
        "gru",
        "waits.*_back_",
    ),
    "images are checked": (Base.training_log_prob, "self._pixel", "self.pixel", UPDATE, "rnn", "waits.*check_images"),
    "an order in a list": (
        inputs.PixelInputs._previous,
        "self.visits[self.cursor.index, max",
        "self.cursor.visits[max",
        UPDATE,
        "lstm",
        "waits.*inputs.py:_previous",
    ),
    "masks are counted": (SequenceRNN._encode, "if self.training:", "if False:", UPDATE, "encoder", "waits.*_encode"),
    "a table a layer": (
        DiagonalBiLSTMLayer.forward,
        "diagonals(",
        "diagonals.__wrapped__(",
        UPDATE,
        "DiagonalBiLSTM",
        "waits.*diagonals",
    ),
    "a run waits": (loop.Run.step, "append(loss)", "append(loss.cpu())", TRAINING, "PixelCNN", "waits.*loop.py:step"),
    "scattered weights": (
        loop.Run.__init__,
        "flatten(self.average)",
        "pass",
        TRAINING,
        "SequenceRNN",
        "single contiguous",
    ),
    "float16": (cells.fused, 'torch.autocast("cuda"', 'torch.autocast("cpu"', UPDATE, "lstm", "dtypes.*float16"),
    "no bfloat16": (updates._back_propagate, "enabled=bf16", "enabled=False", UPDATE, "PixelCNN", "dtypes"),
    "no TF32": (updates.update, "tf32_allowed(), ", "", UPDATE, "PixelCNN", "TF32 is not allowed"),
    "TF32 in results": (
        OrderCursor.alone,
        "self.lock, full_float32()",
        "self.lock",
        RESULTS,
        "PixelCNN",
        "TF32 is allowed",
    ),
    "evaluation mode": (
        cells.fused,
        "layer.train(torch.is_grad_enabled())",
        "pass",
        "check_gradient",
        "lstm",
        "training mode",
    ),
    "any generator": (
        fill.complete_in_detail,
        "check_generator(generator, device)",
        "pass",
        "check_generator",
        "lstm",
        "generator on card 1, but found one on cpu",
    ),
    "the first card": (
        graphs.DrawnStep._record,
        "(self.canvas.device)",
        "(0)",
        GRAPH,
        "lstm",
        "in a capture on cuda:0",
    ),
    "another's stream": (
        graphs.DrawnStep._record,
        "stream=self.stream, ",
        "",
        GRAPH,
        "lstm",
        "in a capture on cuda:1|share no memory",
    ),
    "memory of each graph": (graphs.DrawnStep._record, "pool=self.pool, ", "", GRAPH, "RowLSTM", "share no memory"),
    "one graph for all": (
        graphs.DrawnStep.__call__,
        "self.graphs[kind].r",
        "[*self.graphs.values()][0].r",
        GRAPH,
        "PixelCNN",
        "other values",
    ),
    "a row is not begun": (RasterModel.kind, "self.network.opens(t)", "False", GRAPH, "PixelCNN", "other values"),
    "a column is read": (
        raster.take,
        "isinstance(column, int)",
        "[column := int(column)]",
        GRAPH,
        "DiagonalBiLSTM",
        "capturing.*take",
    ),
    "a column is kept": (
        raster.Network.step,
        ", t % self.columns",
        ", t % self.columns if isinstance(t, int) else 1",
        GRAPH,
        "RowLSTM",
        "other values",
    ),
    "a row is read": (raster.Network.step, ", row)", ", int(row))", GRAPH, "MultiScale", "capturing.*step"),
    "an old small image": (
        MultiScale.kind,
        "t in (0, self.small_pixels)",
        "t == 0",
        GRAPH,
        "MultiScale, colour",
        "other values",
    ),
    "pixels that no step reads": (
        MultiScale.kind,
        "self._reads(t)",
        "(t < self.small_pixels, self._reads(t)[1][-1:])",
        GRAPH,
        "MultiScale, bilstm",
        "other values",
    ),
    "a new address": (
        graphs.DrawnStep._run,
        "_assign(self.state, state)",
        "self.state = state",
        GRAPH,
        "lstm",
        "other values",
    ),
    "a state moved on": (
        graphs.DrawnStep._record,
        "_assign(self.state, before[1])",
        "pass",
        GRAPH,
        "gru",
        "other values",
    ),
    "a number is read": (inputs.at_step, "isinstance(t, int)", "[t := int(t)]", GRAPH, "lstm", "capturing.*at_step"),
    "no lock": (graphs.DrawnStep._record, "recording, ", "", "check_threads", None, "the lock is open"),
    "an old batch": (REPLAY, "fixed.copy_(given)", "pass", RECORDED, "lstm", "other values"),
    "an old loss": (REPLAY, ".clone()", "", RECORDED, "gru", "other values"),
    "old gradients": (
        updates.update,
        "optimizer.zero",
        "recordings or optimizer.zero",
        RECORDED,
        "rnn",
        "other values",
    ),
    "gradients made anew": (updates.update, "=recordings is None", "=True", RECORDED, "PixelCNN", "no replay"),
    "gradients elsewhere": (
        recorded.Recordings._places,
        "0 if p.grad is None else p.grad.data_ptr()",
        "0",
        "check_moved",
        "PixelCNN",
        "other values",
    ),
    "another order": (updates.update, "model.cursor.index, bf16", "bf16,", RECORDED, "encoder", "other values"),
    "a number is read in an update": (
        updates._back_propagate,
        "return loss",
        "loss.item(); return loss",
        RECORDED,
        "RowLSTM",
        "no replay: .*capturing: a wait in update.py:_back_propagate",
    ),
    "a table made in a capture": (
        DiagonalBiLSTMLayer.forward,
        "diagonals(",
        "diagonals.__wrapped__(",
        RECORDED,
        "DiagonalBiLSTM",
        "no replay: .*capturing: a wait in diagonal_bilstm.py",
    ),
    "an update on another's stream": (
        recorded.RecordedPass.__init__,
        "pool=pool, stream=stream, ",
        "pool=pool, ",
        RECORDED,
        "lstm",
        "in a capture on cuda:0|captures: .*cuda:0|share no memory",
    ),
    "memory of its own": (recorded.RecordedPass.__init__, "pool=pool, ", "", RECORDED, "symmetries", "share no memory"),
    "an update ended by others": (
        recorded.RecordedPass.__init__,
        ', capture_error_mode="thread_local"',
        "",
        RECORDED,
        "lstm",
        "captures: .*global",
    ),
    "no memory is left": (
        recorded.Recordings._first,
        "if before - left > left",
        "if False",
        "check_refused",
        "memory",
        "notes",
    ),
    "a refusal is forgotten": (CLOSE, "False", "True", "check_refused", "memory", "notes"),
    "a failure is forgotten": (CLOSE, " if found}", "}", "check_refused", "capture", "assert 3 == 1"),
    "all threads": (
        graphs.DrawnStep._record,
        ', capture_error_mode="thread_local"',
        "",
        "check_threads",
        None,
        "the other thread fails",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_is_seen(device, tmp_path, name):
    function, old, new, check, case, seen = MUTANTS[name]
    arguments = [*([tmp_path] if check == TRAINING else []), *([case] if case else [])]
    with mutated(function, old, new), pytest.raises((AssertionError, RuntimeError, UserWarning), match=f"(?s){seen}"):
        globals()[check](device, *arguments)
