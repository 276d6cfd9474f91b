"""How fast, as ratios measured in one run: absolute times say more about the machine than about the program."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.memory import peak_memory
from pixelrnn.completion import complete, cuda_graph, sample
from pixelrnn.model import Model, SequenceRNN
from pixelrnn.occlusion import build as build_occlusion
from pixelrnn.pixels import to_sequence
from pixelrnn.products import PackedProduct, Product
from pixelrnn.training import Settings
from pixelrnn.training.update import make_objective, make_optimizer, update

BATCHES = (64, 1)  # where arithmetic costs most, and where small operations do
PASSES = 12  # of the naive sampler's, which runs one for each pixel, so many are timed
GROWTH = {"side": (8, 16, 32, 64), "batch": (16, 64, 256), "width": (128, 256, 512), "depth": (1, 2, 4)}
SMALL = 16  # the side of the images on which growth with batch, width and depth is measured

Make = Callable[..., Model]  # (shape, levels, **options) -> model


@dataclass(frozen=True)
class Row:
    """One measurement: the median with its spread over the repeats, and the target, if there is one."""

    what: str
    value: float
    low: float
    high: float
    unit: str = "ratio"
    target: str = ""

    def figures(self) -> tuple[str, str]:
        """The median with its unit, and the spread, for people."""
        digits = 2 if self.value < 20 else 0
        unit = "" if self.unit == "ratio" else f" {self.unit}"
        spread = f"{self.low:,.{digits}f} to {self.high:,.{digits}f}" if self.low < self.high else ""
        return f"{self.value:,.{digits}f}{unit}", spread

    def __str__(self) -> str:
        value, spread = self.figures()
        return f"{self.what:<70}{value:>14}  {spread:>18}  {self.target}".rstrip()


@dataclass(frozen=True)
class Bench:
    """Measures functions: `repeats` times after a warm-up, the two sides of a ratio in turn, so that a machine that is busy
    for a while slows both."""

    repeats: int
    device: str

    def seconds(self, function: Callable[[], Any]) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        function()
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started

    def rate(self, what: str, function: Callable[[], Any], count: int, target: str = "") -> Row:
        """Images a second of a function that makes `count`: this machine's, no ratio."""
        function()
        return _row(what, [count / self.seconds(function) for _ in range(self.repeats)], "images/s", target)

    def ratio(self, what: str, ours: Callable[[], Any], other: Callable[[], Any], target: str = "") -> Row:
        ours(), other()
        ratios = [self.seconds(ours) / self.seconds(other) for _ in range(self.repeats)]
        return _row(what, ratios, target=target)

    def slope(self, what: str, functions: dict[int, Callable[[], Any]], power: int = 1, target: str = "") -> Row:
        """The slope of log time over log size^power; 1 is proportional."""
        logs = power * torch.tensor([float(size) for size in functions]).log()
        for function in functions.values():
            function()

        def fit() -> float:
            times = torch.tensor([self.seconds(function) for function in functions.values()]).log()
            return float(((logs - logs.mean()) * (times - times.mean())).sum() / ((logs - logs.mean()) ** 2).sum())

        return _row(what, [fit() for _ in range(max(1, self.repeats // 2))], target=target)


def _row(what: str, values: list[float], unit: str = "ratio", target: str = "") -> Row:
    return Row(what, statistics.median(values), min(values), max(values), unit, target)


def benchmark(make: Make, size: int = 28, repeats: int = 5, device: str = "cpu", memory: bool = True) -> Iterator[Row]:
    """Measures a model on binary images of size × size: sampling, completion, training, memory."""
    bench, shape = Bench(repeats, device), (1, size, size)
    model = make(shape, 2).to(device).eval()
    images = torch.randint(0, 2, (max(BATCHES), *shape), dtype=torch.uint8, device=device)
    for batch in BATCHES:
        yield from _sampling(bench, model, images[:batch])
    yield _naive(bench, model, 16)
    yield from _completion(bench, model, images)
    yield from _training(bench, make, images)
    if memory:
        for what, mebibytes in peak_memory(make, shape, max(BATCHES), device, torch.get_num_threads()).items():
            yield Row(f"peak memory, {what}, {max(BATCHES)} images", mebibytes, mebibytes, mebibytes, "MiB")


def _sampling(bench: Bench, model: Model, images: Tensor) -> Iterator[Row]:
    batch = len(images)
    plain = isinstance(model, SequenceRNN) and not model.arguments["window"]
    ours, forward = partial(sample, model, batch), torch.inference_mode()(lambda: model.log_prob(images))
    yield bench.rate(f"sampling {batch}", ours, batch)
    target = {64: "1.35", 1: "5"}[batch] if plain else ""
    yield bench.ratio(f"sampling {batch} / one log_prob of {batch}", ours, forward, target)
    target = "1.8" if batch == 64 and plain else ""
    yield bench.ratio(f"sampling {batch} / its matrix products alone", ours, _products(model, batch), target)


def _products(model: Model, batch: int) -> Callable[[], Any]:
    """The matrix products of sampling a batch and nothing else: those of its steps, made again."""
    made: list[tuple[torch.Size, Tensor]] = []

    def recorded(product: Product, x: Tensor, added: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        made.append((x.shape, product.transposed))
        return Product.__call__(product, x, added, out)

    PackedProduct.__call__ = recorded  # type: ignore[assignment, method-assign]
    try:
        with loop_alone():  # a recorded step is called once
            sample(model, batch)
    finally:
        del PackedProduct.__call__  # which it then inherits again
    numbers = {shape: torch.rand(shape, device=model.order.device) for shape, _ in made}
    calls = [(numbers[shape], weight, numbers[shape] @ weight) for shape, weight in dict.fromkeys(made)]
    places = {call: place for place, call in enumerate(dict.fromkeys(made))}

    @torch.inference_mode()
    def products() -> None:
        for call in made:
            x, weight, out = calls[places[call]]
            torch.matmul(x, weight, out=out)

    return products


@contextmanager
def loop_alone() -> Iterator[None]:
    """Context manager: no step of the sampler is recorded."""
    before, cuda_graph.FEWEST = cuda_graph.FEWEST, 10**9
    try:
        yield
    finally:
        cuda_graph.FEWEST = before


def _naive(bench: Bench, model: Model, batch: int) -> Row:
    """A full pass for every pixel, as public programs draw: PASSES of the passes are timed, at equal distances."""
    canvas = torch.randint(0, 2, (batch, *model.shape), dtype=torch.uint8, device=model.order.device)
    steps = range(0, model.pixels, max(1, model.pixels // PASSES))

    @torch.inference_mode()
    def passes() -> None:
        for t in steps:
            canvas.flatten(2)[:, :, model.visits[t]] = model.likelihood.sample(model(canvas)[:, t]).to(torch.uint8)

    one = bench.ratio("", passes, partial(sample, model, batch))
    scale = model.pixels / len(steps)
    what = f"sampling {batch} by a pass for every pixel ({len(steps)} timed) / by steps"
    target = {"SequenceRNN": "200", "DiagonalBiLSTM": "50"}.get(type(model).__name__, "")
    return Row(what, scale * one.value, scale * one.low, scale * one.high, target=target)


def _completion(bench: Bench, model: Model, images: Tensor) -> Iterator[Row]:
    height, width = model.shape[1:]
    batch, few = len(images), max(1, len(images) // 8)
    lower, upper = (build_occlusion({"name": "half", "side": side}, height, width) for side in ("bottom", "top"))
    lower, upper = lower.to(images.device), upper.to(images.device)
    drawing = partial(sample, model, batch)
    each = partial(complete, model, images, lower)
    yield bench.rate(f"completing {batch} lower halves", each, batch)
    yield bench.ratio(f"completing {batch} lower halves / sampling {batch}", each, drawing)
    shared = partial(complete, model, images[:few], lower, batch // few)
    yield bench.ratio(f"completing {few} lower halves x {batch // few} / sampling {batch}", shared, drawing)
    if isinstance(model, SequenceRNN) and not model.sees_ahead:
        options = {key: value for key, value in model.arguments.items() if key not in ("shape", "levels")}
        encoder = SequenceRNN(model.shape, 2, **{**options, "bidirectional": True}).to(images.device).eval()
        plain, one = partial(complete, model, strategy="ancestral"), images[:1]
        yield bench.ratio(
            f"upper halves, {batch} images: with a recurrent encoder / plain fill",
            partial(complete, encoder, images, upper),
            partial(plain, images, upper),
        )
        particles = partial(complete, model, one, upper, strategy="particles")
        yield bench.ratio("1 upper half: 64 particles / plain fill", particles, partial(plain, one, upper))


def _training(bench: Bench, make: Make, images: Tensor) -> Iterator[Row]:
    settings, batch = Settings(), len(images)
    model = make(tuple(images.shape[1:]), 2).to(images.device)
    step = partial(update, make_objective(model, settings), make_optimizer(model, settings), images, settings)
    yield bench.rate(f"training, batch {batch}", step, batch)
    if isinstance(model, SequenceRNN) and model.arguments["cell"] == "lstm":
        target = "1.35" if model.arguments["window"] else "1.15"
        what = "training step / bare nn.LSTM, linear, cross-entropy, same optimiser"
        yield bench.ratio(what, step, _bare_step(model, images, settings), target)


def _bare_step(model: SequenceRNN, images: Tensor, settings: Settings) -> Callable[[], None]:
    """A training step of nn.LSTM of the same sizes, on the same sequence, by the same optimiser."""
    sizes, levels = model.arguments, model.levels
    embedding = nn.Embedding(levels, sizes["embedding"])
    lstm = nn.LSTM(sizes["embedding"], sizes["width"], sizes["depth"], batch_first=True)
    linear = nn.Linear(sizes["width"], levels)
    bare = nn.ModuleList([embedding, lstm, linear]).to(images.device)
    optimizer = make_optimizer(bare, settings)
    sequence = to_sequence(images, model.order)[..., 0]

    def step() -> None:
        logits = linear(lstm(F.pad(embedding(sequence[:, :-1]), (0, 0, 1, 0)))[0])
        loss = F.cross_entropy(logits.flatten(0, 1), sequence.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def growth(make: Make, repeats: int = 5, device: str = "cpu") -> Iterator[Row]:
    """How sampling time grows with the image's side, the batch, the width and the depth."""
    bench = Bench(repeats, device)

    def drawing(side: int = SMALL, batch: int = max(BATCHES), **options: int) -> Callable[[], Any]:
        return partial(sample, make((1, side, side), 2, **options).to(device).eval(), batch)

    for name, sizes in GROWTH.items():
        span, power = f"{sizes[0]} to {sizes[-1]}", 2 if name == "side" else 1
        what = f"log-log slope of sampling time over {'pixels, side' if name == 'side' else name} {span}"
        target = "1.1" if name == "side" else ""
        yield bench.slope(what, {size: drawing(**{name: size}) for size in sizes}, power, target)
