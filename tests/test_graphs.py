"""The recorded step draws what the loop draws: here without a recording, on a GPU with one."""

import pytest
import torch
from conftest import PAPER, every_pair, generator, ordering_spec, random_images, tiny_model

from pixelrnn.cell import CELLS
from pixelrnn.completion import complete
from pixelrnn.completion import cuda_graph as graphs
from pixelrnn.likelihood import LIKELIHOODS

IMAGES = [(1, 4, 4, 2), (3, 3, 4, 2), (1, 3, 5, 17)]


def fits(case):
    return case["likelihood"] != "bernoulli" or case["images"][-1] == 2


CASES = every_pair(
    fits,
    cell=list(CELLS),
    likelihood=list(LIKELIHOODS),
    ordering=["raster", "hilbert", "spiral"],
    window=[0, 3],
    bidirectional=[False, True],
    orders=[None, ["raster", "spiral"]],
    images=IMAGES,
) + every_pair(
    fits,
    model=PAPER["model"],
    layer=PAPER["layer"],
    scale=[2, 3],
    likelihood=list(LIKELIHOODS),
    ordering=["raster", "column"],
    orders=PAPER["orders"],
    kernel=PAPER["kernel"],
    skip=PAPER["skip"],
    images=IMAGES,
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
    return complete(
        model.to(device), images.to(device), hidden.to(device), 3, strategy="ancestral", generator=seed
    ).cpu()


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
