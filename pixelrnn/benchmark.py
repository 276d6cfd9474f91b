"""How fast, as ratios measured in one run: absolute times say more about the machine than about the program."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelrnn.completion import complete, sample
from pixelrnn.model import Model, SequenceRNN
from pixelrnn.occlusion import build as build_occlusion
from pixelrnn.pixels import to_sequence
from pixelrnn.update import Settings, make_optimizer, update

BATCHES = {16: 20.0, 256: 3.0}  # of the paper's models: small operations cost most, arithmetic does; targets
SIDES = (8, 16, 32, 64)  # images whose sampling times show the growth with the number of pixels


@dataclass(frozen=True)
class Row:
    """One ratio: what was measured, the median with its spread over the repeats, and the target, if there is one."""

    what: str
    ratio: float
    low: float
    high: float
    target: float | None = None

    def __str__(self) -> str:
        target = f"{self.target:8.2f}" if self.target else f"{'':8}"
        return f"{self.what:<66}{self.ratio:8.2f}  {self.low:6.2f} to {self.high:6.2f}{target}"


def benchmark(
    options: dict[str, Any], batch: int = 64, size: int = 28, repeats: int = 5, device: str = "cpu"
) -> list[Row]:
    """Measures a SequenceRNN of these options on binary images of size × size.

    The two sides of a ratio are run in turn, `repeats` times after a warm-up, so that a machine that is busy for a
    while slows both; the row holds the median, least and largest ratio.
    """
    model = SequenceRNN((1, size, size), 2, **options).to(device).eval()
    images = torch.randint(0, 2, (batch, 1, size, size), dtype=torch.uint8, device=device)
    hidden = build_occlusion("half", size, size).to(device)
    run = partial(_ratio, repeats=repeats, device=device)
    few = max(1, batch // 8)

    rows = [
        run(
            f"sampling {batch} images / one log_prob of {batch}",
            lambda: sample(model, batch),
            _forward(model, images),
            1.7,
        ),
        run("sampling 1 image / one log_prob of 1", lambda: sample(model, 1), _forward(model, images[:1]), 8),
        run(
            f"completing {batch} lower halves, {few} images x {batch // few} / sampling {batch}",
            lambda: complete(model, images[:few], hidden, batch // few),
            lambda: sample(model, batch),
            0.65,
        ),
        run(
            f"completing {batch} lower halves, {batch} images x 1 / sampling {batch}",
            lambda: complete(model, images, hidden),
            lambda: sample(model, batch),
        ),
        *_strategies(model, options, images, run),
        run("training step / bare nn.LSTM, linear, cross-entropy", *_training_steps(options, images), target=1.3),
    ]
    if "window" not in options or not options["window"]:
        windowed = {**options, "window": 7}
        rows.append(run("the same with a 7x7 causal window", *_training_steps(windowed, images)))
    few_images, few_model = images[:16, :, :16, :16], SequenceRNN((1, 16, 16), 2, **options).to(device).eval()
    rows.append(
        run(
            "sampling 16 images of 16x16 by forward passes / by steps",
            lambda: _naive_sample(few_model, len(few_images)),
            lambda: sample(few_model, len(few_images)),
            repeats=1,
        )
    )
    rows.append(_growth(options, batch, repeats, device))
    return rows


def benchmark_paper_model(
    make: Callable[..., Model], size: int = 28, repeats: int = 5, device: str = "cpu"
) -> list[Row]:
    """Measures one of the paper's models, make(shape, levels), on binary images of size × size, as `benchmark` does."""
    model = make((1, size, size), 2).to(device).eval()
    run = partial(_ratio, repeats=repeats, device=device)
    rows, images = [], torch.randint(0, 2, (max(BATCHES), 1, size, size), dtype=torch.uint8, device=device)
    for batch, target in BATCHES.items():
        forward = _forward(model, images[:batch])
        rows.append(run(f"sampling {batch} / one log_prob of {batch}", partial(sample, model, batch), forward, target))
    few = min(BATCHES)
    what = f"sampling {few} by forward passes / by steps (at least 50)"
    rows.append(run(what, partial(_naive_sample, model, few), partial(sample, model, few), repeats=1))

    settings, trained = Settings(), make((1, size, size), 2).to(device)
    step = partial(update, trained, make_optimizer(trained, settings), images[:few], settings)
    step()
    rates = [1 / _seconds(step, device) for _ in range(repeats)]
    what = f"training updates a second, batch {few}: no ratio, this machine's"
    rows.append(Row(what, statistics.median(rates), min(rates), max(rates)))
    return rows


def _strategies(model: Model, options: dict[str, Any], images: Tensor, run: Callable[..., Row]) -> list[Row]:
    """What it costs to take in the observed pixels ahead of a hidden upper half, over the plain fill that ignores them."""
    height, width = model.shape[1:]
    hidden = build_occlusion({"name": "half", "side": "top"}, height, width).to(images.device)
    encoder = SequenceRNN(model.shape, 2, **{**options, "bidirectional": True}).to(images.device).eval()

    def fill(model: Model, images: Tensor, strategy: str) -> Callable[[], Any]:
        return lambda: complete(model, images, hidden, 1, strategy)

    plain, one, batch = fill(model, images, "ancestral"), images[:1], len(images)
    return [
        run(f"upper halves, {batch} images: with an encoder / plain fill", fill(encoder, images, "auto"), plain, 1.5),
        run(
            "1 upper half: with an encoder / plain fill", fill(encoder, one, "auto"), fill(model, one, "ancestral"), 1.5
        ),
        run("1 upper half: 64 particles / plain fill", fill(model, one, "particles"), fill(model, one, "ancestral"), 6),
    ]


def _forward(model: Model, images: Tensor) -> Callable[[], Any]:
    return torch.inference_mode()(lambda: model.log_prob(images))


def _training_steps(options: dict[str, Any], images: Tensor) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Our training step, and one of nn.LSTM of the same sizes on the same sequence, with the same optimiser."""
    settings = Settings()
    model = SequenceRNN(tuple(images.shape[1:]), 2, **options).to(images.device)
    optimizer = make_optimizer(model, settings)
    width, depth = options.get("width", 256), options.get("depth", 2)
    bare = nn.ModuleList(
        [
            nn.Embedding(2, model.arguments["embedding"]),
            nn.LSTM(model.arguments["embedding"], width, depth, batch_first=True),
            nn.Linear(width, 2),
        ]
    ).to(images.device)
    bare_optimizer = torch.optim.AdamW(bare.parameters())
    embedding, lstm, linear = bare
    sequence = to_sequence(images, model.order)[..., 0]

    def bare_step() -> None:
        logits = linear(lstm(F.pad(embedding(sequence[:, :-1]), (0, 0, 1, 0)))[0])
        loss = F.cross_entropy(logits.flatten(0, 1), sequence.flatten())
        bare_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        bare_optimizer.step()

    return lambda: update(model, optimizer, images, settings), bare_step


@torch.inference_mode()
def _naive_sample(model: Model, count: int) -> None:
    """What public programs do: a full pass for every pixel."""
    canvas = torch.zeros((count, *model.shape), dtype=torch.uint8, device=model.order.device)
    for t, pixel in enumerate(model.visits):
        canvas.flatten(2)[:, :, pixel] = model.likelihood.sample(model(canvas)[:, t]).to(torch.uint8)


def _growth(options: dict[str, Any], batch: int, repeats: int, device: str) -> Row:
    """The slope of log sampling time over log pixels, from the smallest to the largest image; 1 is linear."""
    models = {side: SequenceRNN((1, side, side), 2, **options).to(device).eval() for side in SIDES}
    logs = torch.tensor([float(side * side) for side in SIDES]).log()

    def slope() -> float:
        times = torch.tensor([_seconds(partial(sample, model, batch), device) for model in models.values()]).log()
        return float(((logs - logs.mean()) * (times - times.mean())).sum() / ((logs - logs.mean()) ** 2).sum())

    slopes = [slope() for _ in range(max(1, repeats // 2))]
    what = f"log-log slope of sampling time over pixels, {SIDES[0]}x{SIDES[0]} to {SIDES[-1]}x{SIDES[-1]}"
    return Row(what, statistics.median(slopes), min(slopes), max(slopes))


def _ratio(
    what: str,
    ours: Callable[[], Any],
    other: Callable[[], Any],
    target: float | None = None,
    repeats: int = 5,
    device: str = "cpu",
) -> Row:
    ours(), other()
    ratios = [_seconds(ours, device) / _seconds(other, device) for _ in range(repeats)]
    return Row(what, statistics.median(ratios), min(ratios), max(ratios), target)


def _seconds(function: Callable[[], Any], device: str) -> float:
    started = time.perf_counter()
    function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started
