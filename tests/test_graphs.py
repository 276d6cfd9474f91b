"""The recorded step draws what the loop draws: here without a recording, on a GPU with one."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from conftest import every_pair, generator, ordering_spec, random_images, tiny_model

from pixelrnn.cell import CELLS
from pixelrnn.completion import complete
from pixelrnn.completion import cuda_graph as graphs
from pixelrnn.likelihood import LIKELIHOODS

CASES = every_pair(
    lambda case: case["likelihood"] != "bernoulli" or case["images"][-1] == 2,
    cell=list(CELLS),
    likelihood=list(LIKELIHOODS),
    ordering=["raster", "hilbert", "spiral"],
    window=[0, 3],
    bidirectional=[False, True],
    orders=[None, ["raster", "spiral"]],
    images=[(1, 4, 4, 2), (3, 3, 4, 2), (1, 3, 5, 17)],
)


def draw(case, device="cpu"):
    channels, height, width, levels = case["images"]
    options = {key: value for key, value in case.items() if key not in ("images", "ordering")}
    shape = (channels, height, width)
    model = tiny_model(shape, levels, ordering=ordering_spec(case["ordering"], height, width), depth=2, **options)
    images = random_images(4, shape, levels)
    hidden = torch.rand(4, height, width, generator=generator(1)) < 0.6
    hidden[:, 2, :2] = True
    hidden[:, 1] = False  # a row that is read in a pass
    seed = torch.Generator(device).manual_seed(5)
    return complete(model.to(device), images.to(device), hidden.to(device), 3, "ancestral", generator=seed).cpu()


def recorded(monkeypatch, case, device="cpu"):
    steps = []
    run = graphs.DrawnStep.__call__

    def counted(self, *arguments):
        steps.append(self)
        return run(self, *arguments)

    monkeypatch.setattr(graphs, "records", lambda model, device, steps: True)
    monkeypatch.setattr(graphs.DrawnStep, "__call__", counted)
    drawn = draw(case, device)
    assert len(steps) > 3
    return drawn


@pytest.mark.parametrize("case", CASES)
def test_the_step_with_its_position_in_a_tensor_draws_the_same(case, monkeypatch):
    expected = draw(case)
    assert torch.equal(recorded(monkeypatch, case), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_a_cuda_graph_draws_the_same(case, monkeypatch):
    monkeypatch.setattr(graphs, "FEWEST", 10**9)
    expected = draw(case, "cuda")
    assert torch.equal(recorded(monkeypatch, case, "cuda"), expected)


class FakeCuda:
    """Stands for torch.cuda, and notes the device that is current at each capture, and the stream's."""

    def __init__(self):
        self.current, self.captured = "first", []

    @contextmanager
    def device(self, device):
        before, self.current = self.current, device
        yield
        self.current = before

    def Stream(self, device=None):
        return SimpleNamespace(device=device or self.current, wait_stream=lambda other: None)

    current_stream = Stream
    stream = staticmethod(nullcontext)
    CUDAGraph = object

    @contextmanager
    def graph(self, graph, stream=None):
        self.captured += [
            self.current,
            getattr(stream, "device", "first"),
        ]  # torch keeps one stream for all its captures
        yield


def test_a_graph_is_captured_on_the_canvas_device(monkeypatch):
    model, canvas = tiny_model((1, 4, 4)).double(), random_images(2, (1, 4, 4), 2)
    step = graphs.DrawnStep(model, canvas, torch.ones(2, 16, dtype=torch.bool), 1.0)
    fake = FakeCuda()
    monkeypatch.setattr(graphs.torch, "cuda", fake)
    with model.evaluating():
        step.state, step.noise = model.begin(canvas, torch.ones(2, 4, 4, dtype=torch.bool)), torch.rand(2, 1).double()
        step.t.fill_(1)
        step.state = graphs.pick(step.state, torch.arange(2))
        step._record()
    assert fake.captured == [canvas.device] * 2 and fake.current == "first"


def test_only_a_gpu_records():
    model = tiny_model((1, 4, 4))
    assert not graphs.records(model, torch.device("cpu"), 784)
    assert graphs.records(model, torch.device("cuda"), 784) and not graphs.records(model, torch.device("cuda"), 3)
    assert not graphs.records(tiny_model((1, 4, 4), model="RowLSTM"), torch.device("cuda"), 784)
