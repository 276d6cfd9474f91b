"""Shared by the test files: commands, small training runs, images and models, and combinations of options."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pixelrnn import SequenceRNN
from pixelrnn.cell import CELLS
from pixelrnn.datasets import Dataset
from pixelrnn.errors import UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model import MODELS, Ensemble, Model
from pixelrnn.options import option_defaults
from pixelrnn.training import Settings, train

os.environ["MPLBACKEND"] = "Agg"
torch.set_num_threads(1)  # the workers of pytest -n share the cores


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items):
    """Tests of a GPU or in a browser are skipped, visibly, where there is none."""
    missing = {}
    if not torch.cuda.is_available():
        missing["gpu"] = "needs a CUDA device"
    if not (CHROMIUM and importlib.util.find_spec("playwright")):
        missing["browser"] = "needs Chromium and Playwright: make test-browser installs them"
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)


# --- commands ---------------------------------------------------------------------------------------------------------

SMALL = ["model.width=16", "model.depth=1", "training.epochs=1", "data.limit=64", "training.samples=4"]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """call("train", "data=digits", …) runs a command in an empty folder and returns (exit code, stdout, stderr)."""
    from pixelrnn import cli

    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["pixelrnn", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def picture(path, values):
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return path


def files(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


# --- training runs ----------------------------------------------------------------------------------------------------

FAST = {"epochs": 4, "batch_size": 8, "validate_every": 10, "warmup_steps": 2, "samples": 0}


def stripes(dynamic: bool = False) -> Dataset:
    """Images whose rows are all 0 or all 1: a quarter of a bit a pixel is all they hold."""
    rows = torch.randint(2, (60, 1, 4, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = rows.expand(60, 1, 4, 4).contiguous()
    return Dataset("stripes", 2, images[:40] * (255 if dynamic else 1), images[40:50], images[50:], dynamic)


def new_model(**options) -> SequenceRNN:
    torch.manual_seed(1)
    return SequenceRNN((1, 4, 4), 2, **{"width": 16, "depth": 2, "dropout": 0.1, "window": 3, **options})


def run(folder, model=None, data=None, drawn=False, progress=False, teacher=None, **settings):
    """Trains; the pictures, which take most of the time of a small run, are drawn if asked for."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr("pixelrnn.training.records.show", lambda *_: None)
        settings = Settings(**{**FAST, **settings})
        return train(model or new_model(), data or stripes(), settings, folder, progress=progress, teacher=teacher)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def failing(at, times=1):
    """A model whose loss is not finite at these calls of its training."""
    model, calls = new_model(), [0]
    forward = model.forward

    def fails(images, hidden=None):
        calls[0] += model.training
        return forward(images, hidden) * (torch.nan if model.training and at <= calls[0] < at + times else 1.0)

    model.forward = fails
    return model


# --- images and models ------------------------------------------------------------------------------------------------


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_images(channels: int, height: int, width: int, levels: int) -> Tensor:
    """Every image of this size there is: uint8 (levels ^ values, channels, height, width)."""
    values = product(range(levels), repeat=channels * height * width)
    return torch.tensor(list(values), dtype=torch.uint8).view(-1, channels, height, width)


def random_images(batch: int, shape: Sequence[int], levels: int, seed: int = 0) -> Tensor:
    return torch.randint(levels, (batch, *shape), generator=generator(seed), dtype=torch.uint8)


def randomise(module: nn.Module, seed: int = 0, gain: float = 1.5) -> nn.Module:
    """Double precision and strong random numbers in every parameter: initial states, couplings and biases as well.

    A fresh network's outputs hardly depend on its inputs, so that a leak or a mistake would hide in the rounding.
    """
    draw = generator(seed)
    module.double()
    with torch.no_grad():
        for p in module.parameters():
            inputs = p.shape[-1] if p.ndim == 2 else p[0].numel() if p.ndim == 4 else 4
            spread = gain / inputs**0.5
            p.copy_(spread * torch.randn(p.shape, generator=draw, dtype=p.dtype))
    return module.eval()


TINY: dict[str, dict[str, Any]] = {
    "SequenceRNN": {"cell": "lstm", "width": 6, "depth": 1, "embedding": 5, "encoder_width": 4},
    "InpaintingRNN": {"width": 6, "embedding": 4, "head": 16, "window": 3, "encoder_width": 3, "encoder_depth": 1},
    "RowLSTM": {"width": 4, "depth": 1, "head": 8},
    "DiagonalBiLSTM": {"width": 4, "depth": 1, "head": 8},
    "PixelCNN": {"width": 5, "depth": 1, "head": 8},
    "MultiScale": {"width": 4, "depth": 1, "head": 8, "small_width": 3, "small_depth": 1, "upsampled": 4},
}
SYMMETRIES = [  # the raster's eight
    {"name": name, "transforms": list(flips)}
    for name in ("raster", "column")
    for flips in ((), ("flip_rows",), ("flip_columns",), ("reverse",))
]
PAPER = {  # the factors of the paper's models; a model takes those that it has
    "model": ["RowLSTM", "DiagonalBiLSTM", "PixelCNN", "MultiScale"],
    "layer": ["row_lstm", "diagonal_bilstm", "pixelcnn"],
    "ordering": SYMMETRIES,
    "orders": [None, "symmetries"],
    "likelihood": list(LIKELIHOODS),
    "depth": [1, 2, 3],
    "kernel": [3, 5],
    "residual": [True, False],
    "skip": [False, True],
}

ENSEMBLES = {  # kinds that can be members of one, and what their orders, likelihoods and inputs may be
    "model": ["Ensemble"],
    "members": [("SequenceRNN",), ("SequenceRNN", "PixelCNN"), ("RowLSTM", "DiagonalBiLSTM", "SequenceRNN")],
    "ordering": [SYMMETRIES[1], SYMMETRIES[6]],
    "orders": [None, "symmetries"],
    "likelihood": list(LIKELIHOODS),
    "window": [0, 3],
}
SEEING = {**ENSEMBLES, "members": [("SequenceRNN", "InpaintingRNN")], "bidirectional": [True], "window": [3]}

INPAINTING = {  # those of the model for pictures of any size
    "model": ["InpaintingRNN"],
    "cell": list(CELLS),
    "ordering": ["raster", "snake", "hilbert", "random"],
    "orders": [None, "symmetries"],
    "likelihood": list(LIKELIHOODS),
    "window": [3, 5],
    "depth": [1, 2],
}


def tiny_model(
    shape: Sequence[int] = (1, 2, 2),
    levels: int = 2,
    seed: int = 0,
    gain: float = 1.5,
    model: str = "SequenceRNN",
    **options: Any,
) -> Model:
    """A model small enough to enumerate, with strong random weights; options that it does not have are left away.

    model="Ensemble" takes members=, the names of models. The first has the likelihood that is asked for, others a softmax.
    """
    if model == "Ensemble":
        first, *rest = options.pop("members")
        others = {**options, "likelihood": "categorical"}
        parts = [tiny_model(shape, levels, seed, gain, first, **options)]
        parts += [tiny_model(shape, levels, seed + i, gain, kind, **others) for i, kind in enumerate(rest, 1)]
        ensemble = Ensemble(parts)
        ensemble.cursor.index = len(ensemble.orders) // 2
        return ensemble
    known = option_defaults(MODELS[model]).keys() | {"ordering"}
    if model != "SequenceRNN":  # one table of factors serves several models
        options = {name: value for name, value in options.items() if name in known}
    if options.get("likelihood", "categorical") == "categorical":
        options["likelihood"] = {"name": "categorical", "hidden": 12}  # not 128, most of the work of a tiny model
    made = MODELS[model](tuple(shape), levels, **{**TINY[model], **options})
    randomise(made, seed, gain)
    made.cursor.index = len(made.orders) // 2  # of several orders, not the first, so that all tests are of another one
    return made


def ordering_spec(name: str, height: int, width: int, transforms: Sequence[str] = ()) -> dict[str, Any]:
    """An ordering by name, with the options that it can't do without."""
    spec: dict[str, Any] = {"name": name, "transforms": list(transforms)}
    if name == "permutation":
        spec["order"] = Random(1).sample(range(height * width), height * width)
    return spec


def accepts(likelihood: str, levels: int) -> bool:
    """Whether a likelihood is for this number of levels."""
    try:
        LIKELIHOODS[likelihood](2, 1, levels)
    except UserError:
        return False
    return True


def influence(model: Model, image: Tensor, hidden: Tensor | None = None) -> Tensor:
    """How far a change of the pixel at step s moves the parameters at step t: [s, t], (pixels, pixels).

    A causal model has zeros on the diagonal and below it: nothing depends on itself or on what comes later. On some
    processors an image's place in a batch changes the last digits of its products: where one batch is not all zeros
    there, each image is read alone.
    """
    steps = range(model.pixels)
    changed = image.flatten(1).int().repeat(model.pixels, 1, 1)  # (steps, channels, pixels); 255 + 1 has to fit
    for s in steps:
        pixel = int(model.order[s])
        changed[s, :, pixel] = (changed[s, :, pixel] + 1) % model.levels
    images = torch.cat([image[None], changed.view(-1, *image.shape).to(torch.uint8)])
    for size in (len(images), 1):
        masks = [None] * len(images) if hidden is None else hidden.split(size)
        with torch.no_grad():
            parameters = torch.cat([model(some, mask) for some, mask in zip(images.split(size), masks, strict=False)])
        moved = (parameters[1:] - parameters[0]).abs().amax(2)
        if not moved.tril().any():
            break
    return moved


def every_pair(allowed: Callable[[dict[str, Any]], bool] = lambda case: True, **factors: Sequence[Any]) -> list[Any]:
    """Some combinations of the factors' values in which each allowed pair of values occurs; the same ones every time.

    The full product of cells, orderings, likelihoods and options has thousands of members; mistakes sit in pairs.
    """
    draw, cases = Random(0), []
    missing = {
        ((a, i), (b, j)): None  # a dict keeps its order from run to run, a set does not
        for a, b in combinations(factors, 2)
        for i, j in product(range(len(factors[a])), range(len(factors[b])))
    }
    while missing:
        pair, best = next(iter(missing)), None
        for _ in range(30):
            picked = {name: draw.randrange(len(values)) for name, values in factors.items()} | dict(pair)
            if not allowed({name: factors[name][i] for name, i in picked.items()}):
                continue
            covered = [p for p in combinations(picked.items(), 2) if p in missing]
            if best is None or len(covered) > len(best[1]):
                best = picked, covered
        if best is None:
            del missing[pair]  # no combination with it is allowed
            continue
        for p in best[1]:
            del missing[p]
        case = {name: factors[name][i] for name, i in best[0].items()}
        cases.append(pytest.param(case, id="-".join(_label(value) for value in case.values())))
    return cases


def _label(value: Any) -> str:
    if isinstance(value, dict):
        return "_".join([value["name"], *value["transforms"]])
    return "x".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
