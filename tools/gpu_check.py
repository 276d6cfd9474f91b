"""Check pixelrnn on a GPU, and measure it: what the tests on a CPU cannot see.

python -m tools.gpu_check [device=cuda] [limit=150] [only=gradients,waits] [small=false]

Prints a report as it goes. A step that fails, or takes too long, does not end it. limit: seconds, after which the remaining
steps are skipped. small=true: tiny sizes, so that device=cpu tries the program itself. The exit code is 1 if a step that
checks a result has failed. Figures are medians of a few repeats. Other processes run beside the steps up to "tests", so
that the seconds of these say little.
"""

import copy
import gc
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = f"{ROOT / 'pixelrnn'}{os.sep}"
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Generator, Tensor  # noqa: E402

import pixelrnn  # noqa: E402
from benchmarks.speed import _bare_step, loop_alone  # noqa: E402
from pixelrnn import pretrained  # noqa: E402
from pixelrnn.completion import complete, cuda_graph, sample  # noqa: E402
from pixelrnn.errors import UserError  # noqa: E402
from pixelrnn.model import MODELS, Model  # noqa: E402
from pixelrnn.model.precision import full_float32  # noqa: E402
from pixelrnn.products import packed  # noqa: E402
from pixelrnn.training import Settings  # noqa: E402
from pixelrnn.training.update import make_objective, make_optimizer, update  # noqa: E402

LONGEST_STEP = 40.0  # seconds
RESERVED = 0.35  # of the time, for the steps from "memory" on
GRADIENTS = {"float32": 0.9999, "tf32": 0.999, "bf16": 0.97}  # the least cosine with those of a CPU
NATS = 0.1  # the largest difference of log p from a CPU's


class Result(NamedTuple):
    """A line of the report; holds is None for a figure, and False for a result that is wrong."""

    step: str
    holds: bool | None


class TooLong(BaseException):  # so that nothing on the way takes it for an error of its own
    """A step took longer than it may."""


class Check:
    """The options, the report so far, and the processes beside it."""

    def __init__(self, device: str = "cuda", limit: float = 150.0, only: str = "", small: bool = False):
        self.device, self.limit, self.small = torch.device(device), limit, small
        self.only = [name for name in only.split(",") if name]
        self.started, self.step, self.results = time.monotonic(), "", list[Result]()
        self.stopped = list[str]()
        self.measures = not self.only or not set(self.only) <= set(ALONGSIDE)  # whether speed is measured later
        self.folder = Path(tempfile.mkdtemp(prefix="gpu_check_"))
        self.pool, self.processes = ThreadPoolExecutor(7), list[subprocess.Popen[str]]()
        self.beside: dict[str, list[tuple[str, Future[tuple[int, str, float]]]]] = {}

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def left(self) -> float:
        return self.limit - (time.monotonic() - self.started)

    def line(self, name: str, result: str, holds: bool | None = None, seconds: float | None = None) -> None:
        """Print a line, and remember whether its result is right."""
        self.results.append(Result(self.step, holds))
        mark = {None: "    ", True: "ok  ", False: "FAIL"}[holds]
        took = "" if seconds is None else f"  [{seconds:.1f} s]"
        print(f"{mark} {name:<44} {result}{took}", flush=True)

    def error(self, name: str, error: BaseException) -> None:
        """Print the end of an error's traceback; the result is wrong."""
        self.line(name, f"{type(error).__name__}: {first_line(error)}", False)
        for line in "".join(traceback.format_tb(error.__traceback__)).splitlines()[-6:]:
            print(f"       {line.strip()[:160]}", flush=True)

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Context manager: an error ends this case and not the step."""
        try:
            yield
        except Exception as error:
            self.error(name, error)
            if self.on_gpu:
                torch.cuda.synchronize()  # raises if the device is lost, and so ends the step
        finally:
            self.free()

    def free(self) -> None:
        gc.collect()
        if self.on_gpu:
            with suppress(Exception):
                torch.cuda.empty_cache()

    def seconds(self, function: Callable[[], Any], repeats: int = 3) -> float:
        """The median time of a function after one call to warm up."""
        function()
        return statistics.median(self.once(function) for _ in range(1 if self.small else repeats))

    def once(self, function: Callable[[], Any]) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        started = time.perf_counter()
        function()
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def command(self, *words: str, limit: float = 90.0) -> tuple[int, str, float]:
        """Run Python with these words: the exit code, the last lines of its output, and the seconds."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = os.environ.get("OMP_NUM_THREADS", "2")
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg", "OMP_NUM_THREADS": threads}
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder if "pytest" not in words else ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.processes.append(process)
        try:
            output = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            kill(process)
            output = process.communicate()[0] + f"\nstopped after {limit:.0f} s"
        return process.returncode, output, time.monotonic() - started

    def stop_beside(self) -> None:
        """Stop the processes beside the steps."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in self.processes:
            if process.poll() is None:
                kill(process)
        self.pool.shutdown(wait=True)

    def end(self) -> None:
        self.stop_beside()
        shutil.rmtree(self.folder, ignore_errors=True)


def kill(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:320] if lines else "no output"


# --- models -----------------------------------------------------------------------------------------------------------

GREY, COLOUR = ((1, 14, 14), 2), ((3, 12, 12), 256)
SEQUENCE = {"width": 64, "depth": 2, "embedding": 32}
PAPER = {"width": 16, "depth": 2, "head": 32}
KINDS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    **{name: ("SequenceRNN", GREY, {**SEQUENCE, "cell": name}) for name in ("lstm", "gru", "rnn", "gru_reset_before")},
    "lstm with an encoder": ("SequenceRNN", GREY, {**SEQUENCE, "bidirectional": True, "encoder_width": 32}),
    "lstm, window, norm, residual": (
        "SequenceRNN",
        GREY,
        {**SEQUENCE, "window": 5, "layer_norm": True, "residual": True, "orders": "symmetries"},
    ),
    "lstm, colour, logistic_mixture": ("SequenceRNN", COLOUR, {**SEQUENCE, "likelihood": "logistic_mixture"}),
    "RowLSTM": ("RowLSTM", GREY, PAPER),
    "DiagonalBiLSTM": ("DiagonalBiLSTM", GREY, PAPER),
    "PixelCNN, colour": ("PixelCNN", COLOUR, PAPER),
    "MultiScale": ("MultiScale", GREY, {**PAPER, "small_depth": 2, "upsampled": 8}),
    "InpaintingRNN, colour": ("InpaintingRNN", COLOUR, {"encoder_width": 24, "width": 48}),
}


def make(kind: str, side: int | None = None) -> Model:
    """A model of this kind on the CPU, with the same random weights each time; side: that of other images."""
    name, (shape, levels), options = KINDS[kind]
    torch.manual_seed(0)
    return MODELS[name]((shape[0], side or shape[1], side or shape[2]), levels, **options)


def images_of(model: Model, count: int) -> Tensor:
    """Smooth random images, so that there is something to learn."""
    draw = Generator().manual_seed(1)
    height, width = model.shape[1:]
    small = torch.rand(count, model.shape[0], 4, 4, generator=draw)
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")
    noisy = large + 0.1 * torch.randn(large.shape, generator=draw)
    return (noisy.clamp(0, 1) * (model.levels - 1)).round().to(torch.uint8)


def occlusion_of(model: Model) -> str | None:
    """A fixed mask, a quarter of the image, for the models that learn to fill."""
    return "centre" if model.sees_ahead else None


# --- steps: what must hold --------------------------------------------------------------------------------------------


def machine(check: Check) -> None:
    check.line("torch", f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    check.line(
        "processor", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, Python {sys.version.split()[0]}"
    )
    if check.on_gpu:
        card = torch.cuda.get_device_properties(check.device)
        free, total = torch.cuda.mem_get_info(check.device)
        check.line(
            "card", f"{card.name}, capability {card.major}.{card.minor}, {card.multi_processor_count} processors"
        )
        check.line("memory", f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} free")
    precision: dict[str, Any] = {
        "cudnn rnn": torch.backends.cudnn.rnn,
        "cudnn conv": torch.backends.cudnn.conv,  # type: ignore[attr-defined]
        "products": torch.backends.cuda.matmul,
    }
    found = ", ".join(f"{name} {backend.fp32_precision}" for name, backend in precision.items())
    check.line("float32 precision after import pixelrnn", found)


def log_prob(check: Check) -> None:
    """log p of the bundled models' examples, against the CPU's."""
    for name in pretrained.names()[: 2 if check.small else None]:
        with check.case(name):
            images = pretrained.examples(name)[: 2 if check.small else None]
            model = pixelrnn.load(name)
            with model.evaluating():
                expected = model.log_prob(images).double()
            model = model.to(check.device)

            def difference() -> float:
                with model.evaluating():
                    return float((model.log_prob(images.to(check.device)).double().cpu() - expected).abs().max())

            default = difference()
            with full_float32():
                full = difference()
            text = f"differs by {default:.2g} nats, {full:.2g} in full float32, of {float(-expected.mean()):.0f}"
            check.line(name, text, max(default, full) < NATS)


def gradients(check: Check) -> None:
    """An update's gradients in each precision, against the CPU's in float32."""
    batch = 4 if check.small else 64
    for kind in KINDS:
        with check.case(kind):
            model = make(kind, 8 if check.small else None)
            images = images_of(model, batch)
            expected = gradient(model, images, torch.device("cpu"), False)
            for precision, least in GRADIENTS.items():
                if precision == "float32":
                    with full_float32():
                        found = gradient(model, images, check.device, False)
                else:
                    found = gradient(model, images, check.device, precision == "bf16")
                compared(check, f"{kind}, {precision}", expected, found, least)
    with check.case("lstm, a large batch, bf16"):
        model = make("lstm", 8 if check.small else 28)
        images = images_of(model, 8 if check.small else 2048)
        with full_float32():
            expected = gradient(model, images, check.device, False)
        found = gradient(model, images, check.device, True)
        compared(check, f"lstm, batch {len(images)}, bf16 to float32", expected, found, GRADIENTS["bf16"])


def gradient(model: Model, images: Tensor, device: torch.device, bf16: bool) -> dict[str, Tensor]:
    """What one update leaves in the gradients, on the CPU in float64."""
    settings, model = Settings(bf16=bf16, clip_norm=1e6), copy.deepcopy(model).to(device)
    torch.manual_seed(1)
    update(
        make_objective(model, settings),
        make_optimizer(model, settings),
        images.to(device),
        settings,
        occlusion_of(model),
    )
    return {name: p.grad.double().cpu() for name, p in model.named_parameters() if p.grad is not None}


def compared(check: Check, name: str, expected: dict[str, Tensor], found: dict[str, Tensor], least: float) -> None:
    """Cosine and difference of all gradients, and the cosine of the weight where it is smallest."""
    norm = math.sqrt(sum(float(g.square().sum()) for g in expected.values()))

    def cosine(names: list[str]) -> float:
        a, b = (torch.cat([gradients[name].flatten() for name in names]) for gradients in (expected, found))
        return float(a @ b / (a.norm() * b.norm()).clamp_min(1e-300))

    both = [name for name in expected if name in found]
    difference = math.sqrt(sum(float((expected[name] - found[name]).square().sum()) for name in both)) / norm
    worst, at = min((cosine([name]), name) for name in both if float(expected[name].norm()) > 1e-5 * norm)
    whole = cosine(both)
    text = f"cosine {whole:.6f}, difference {difference:.1e}; least cosine {worst:.4f} ({at})"
    check.line(name, text, whole >= least and len(both) == len(expected) == len(found))


def recorded(check: Check) -> None:
    """The gradients of replayed passes, against those without a graph for the same weights, images, masks and dropout."""
    for kind, dropout in [*((kind, 0.0) for kind in KINDS), ("lstm", 0.2)]:
        name = f"{kind}, dropout" if dropout else kind
        with check.case(name):
            model, twin = (make(kind, 8 if check.small else None).to(check.device) for _ in range(2))
            for stack in (model.stack, twin.stack) if dropout else ():
                stack.dropout.p = dropout  # type: ignore[union-attr, assignment]
            images, settings = images_of(model, 4 if check.small else 64), Settings(learning_rate=1e-3, first_order=0.7)
            settings = replace(settings, batch_size=len(images))
            objectives: list[Any] = [make_objective(each, settings) for each in (model, twin)]
            optimizers, worst = [make_optimizer(each, settings) for each in (model, twin)], 0.0
            objectives[1].recordings = None
            for step in range(6):
                twin.load_state_dict(model.state_dict())
                batch = images.roll(step, 2).to(check.device)
                for objective, optimizer in zip(objectives, optimizers, strict=True):
                    torch.manual_seed(step)
                    update(objective, optimizer, batch, settings, "mixed" if model.sees_ahead else None)
                worst = max(worst, gradients_apart(model, twin))
            recordings = objectives[0].recordings
            graphs = sum(found is not None for found in recordings.passes.values()) if recordings else 0
            expected = check.on_gpu and model.fixed_training
            text = f"{graphs} graphs, largest difference of a gradient {worst:.1e} of the largest one"
            check.line(name, text, worst < 1e-4 and bool(graphs) == expected)


def gradients_apart(model: Model, other: Model) -> float:
    """The largest difference of two models' gradients, relative to the largest gradient of the same weight."""
    worst = 0.0
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        if p.grad is None or q.grad is None:
            worst = max(worst, 0.0 if p.grad is q.grad else math.inf)
        elif difference := float((p.grad - q.grad).abs().max()):
            worst = max(worst, difference / max(float(q.grad.abs().max()), 1e-30))
    return worst


class Waits:
    """Counts the places at which a stretch of code waits for the device, by the product's own line."""

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()

    def seen(self, message: Any, *_: Any, **__: Any) -> None:
        if "synchronizing" not in str(message) or "prototype" in str(message):
            return
        frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside the package"
        self.places[place] += 1

    @contextmanager
    def counted(self, on_gpu: bool) -> Iterator[None]:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = self.seen  # which catch_warnings puts back
            if on_gpu:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                yield
            finally:
                if on_gpu:
                    torch.cuda.set_sync_debug_mode("default")

    def __str__(self) -> str:
        found = ", ".join(f"{place} ×{count}" for place, count in self.places.most_common(8))
        return f"{self.places.total()} waits{': ' * bool(found)}{found}"


def waits(check: Check) -> None:
    """The waits of an update, replayed if it can be, and of a sampling call, after one of each to warm up."""
    for kind in KINDS:
        with check.case(kind):
            model = make(kind, 8).to(check.device)
            images = images_of(model, 8).to(check.device)
            step = updating(model, images, Settings(), "mixed" if model.sees_ahead else None, records=True)
            draw = partial(sample, model, 4)
            functions: dict[str, Callable[[], Any]] = {"an update": step, "sampling, 64 steps": draw}
            for what, function in functions.items():
                function()
                found = Waits()
                with found.counted(check.on_gpu):
                    function()
                check.line(f"{kind}: {what}", str(found))


def completing(check: Check) -> None:
    """Completions of each kind, by each strategy; the graph against the loop."""
    side = 4 if check.small else 8
    for kind in KINDS:
        with check.case(kind):
            model = make(kind, side).to(check.device).eval()
            images = images_of(model, 4).to(check.device)
            hidden = torch.rand(4, side, side, generator=Generator().manual_seed(2)) < 0.6
            hidden[:, 1, 1] = True
            hidden = hidden.to(check.device)
            draw: Callable[..., Tensor] = partial(complete, model, images, hidden, 2)
            wrong = []
            for strategy in ("ancestral", "particles", "auto"):
                seed = Generator(check.device).manual_seed(3)
                particles = 8 if strategy == "particles" else "auto"
                found = draw(strategy, generator=seed, particles=particles)
                kept = torch.equal(
                    found.masked_fill(hidden[:, None, None], 0),
                    images[:, None].expand_as(found).masked_fill(hidden[:, None, None], 0),
                )
                if not kept or found.device != images.device or int(found.max()) >= model.levels:
                    wrong.append(
                        f"{strategy}: observed pixels {'kept' if kept else 'changed'}, up to {int(found.max())}"
                    )
            check.line(f"{kind}: strategies", "; ".join(wrong) or "observed pixels kept, values in range", not wrong)
            drawn = sample(model, 4, generator=Generator(check.device).manual_seed(3))
            again = sample(model, 4, generator=Generator(check.device).manual_seed(3))
            spread = float(drawn.double().std())
            good = torch.equal(drawn, again) and spread > 0 and int(drawn.max()) < model.levels
            check.line(
                f"{kind}: sample", f"the same twice, deviation {spread:.2f}" if good else "differs or flat", good
            )
            if model.position_as_tensor:
                with loop_alone():
                    loop = sample(model, 4, generator=Generator(check.device).manual_seed(3))
                differ = int((loop != drawn).sum())
                check.line(f"{kind}: graph and loop", f"{differ} of {loop.numel()} values differ", differ == 0)


# --- steps: processes beside the others -------------------------------------------------------------------------------


def step_difference(model: Model) -> str:
    """The largest difference between the sampler's steps and the parallel pass, over all steps."""
    images, largest = images_of(model, 2).to(model.order.device), torch.zeros((), device=model.order.device)
    hidden = torch.ones_like(images[:, 0], dtype=torch.bool)
    with model.evaluating(), packed(model):
        parameters, state = model(images, hidden), model.begin(images, hidden)
        for t in range(model.pixels):
            stepped, state = model.step(images, t, state)
            largest = torch.maximum(largest, (stepped - parameters[:, t]).abs().max())
        return f"largest difference {float(largest):.1e} of outputs up to {float(parameters.abs().max()):.1f}"


def verify_one(name: str, device: str) -> None:
    """For a process of its own: verify a bundled model as torch is set, and if it is refused, in full float32 as well.

    Exits with 1 if it is refused at first.
    """
    model = pixelrnn.load(name, device)
    held, text = _verified(model)
    print(f"as set: {text}", end="\n" if held else "; ")
    if not held:
        with full_float32():
            print(f"full float32: {_verified(model)[1]}")
        sys.exit(1)


def _verified(model: Model) -> tuple[bool, str]:
    found = step_difference(model)
    try:
        return True, f"{len(pixelrnn.verify(model))} properties hold, {found}"
    except UserError as error:
        return False, f"{error}, {found}"


def begin_beside(check: Check, selected: list[str]) -> None:
    """Start the processes of the selected steps, so that they run while the first steps do."""

    def start(step: str, name: str, function: Callable[[], tuple[int, str, float]]) -> None:
        check.beside.setdefault(step, []).append((name, check.pool.submit(function)))

    if "commands" in selected:
        for name, words in command_lines(check).items():
            start("commands", name, partial(check.command, "-m", "pixelrnn", *words))
        resumed = check.pool.submit(partial(training, check))
        check.beside["commands"].append(("train, resume", resumed))
    if "verify" in selected:
        for name in ["digits"] if check.small else pretrained.names():
            code = f"from tools.gpu_check import verify_one; verify_one({name!r}, {str(check.device)!r})"
            start("verify", name, partial(check.command, "-c", code))
    if "tests" in selected:
        found = [path for path in sorted((ROOT / "tests").glob("test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
        spread = ["-n", "4"] if find_spec("xdist") and not check.small else []
        words = ["-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *spread, *map(str, found)]
        start("tests", "pytest -m gpu", partial(check.command, *words))


def command_lines(check: Check) -> dict[str, list[str]]:
    device = f"device={check.device}"
    return {
        "verify": ["verify", "checkpoint=digits", device],
        "evaluate": ["evaluate", "checkpoint=digits", "limit=8", "completions=0", "hydra.run.dir=evaluate", device],
        "complete": ["complete", "checkpoint=digits", "limit=2", "count=2", "hydra.run.dir=complete", device],
        "sample": ["sample", "checkpoint=digits", "count=4", "hydra.run.dir=sample", device],
    }


def training(check: Check) -> tuple[int, str, float]:
    """Train on the device, and go on from copies of the run on the CPU and on the device; each prints its last loss."""
    model = ["model.width=16", "model.depth=1", "data=digits", "data.limit=64", "training.samples=4"]
    words = ["-m", "pixelrnn", "train", *model, "training.batch_size=16"]
    device, started = f"device={check.device}", time.monotonic()
    code, output, _ = check.command(*words, "training.epochs=2", "hydra.run.dir=run", device)
    if code:
        return code, f"train: {last_line(output)}", time.monotonic() - started
    jobs = {}
    for name, where in {"cpu": "device=cpu", "same": device}.items():
        shutil.copytree(check.folder / "run", check.folder / name)
        options = ["training.epochs=4", f"hydra.run.dir={name}", where]
        jobs[name] = check.pool.submit(check.command, *words, *options)
    codes, ends = [], []
    for name, job in jobs.items():
        code, output, _ = job.result()
        losses = [json.loads(line) for line in (check.folder / name / "metrics.jsonl").read_text().splitlines()]
        bits = [record["valid_bits_per_dim"] for record in losses if "valid_bits_per_dim" in record]
        codes.append(code)
        ends.append(f"resumed on {name}: exit {code}, {bits[-1]:.4f} bits/dim" if not code else last_line(output))
    return max(codes, key=abs), "; ".join(ends), time.monotonic() - started


def collect(check: Check) -> None:
    """Report the processes of the current step."""
    for name, future in check.beside.get(check.step, []):
        with check.case(name):
            code, output, seconds = future.result()
            check.line(name, f"exit {code}: {last_line(output)}", code == 0, seconds)
            if code and check.step != "verify":
                for line in [line for line in output.splitlines() if line.strip()][-6:-1]:
                    print(f"       {line.strip()[:160]}", flush=True)


# --- steps: misuse, speed ---------------------------------------------------------------------------------------------


def memory(check: Check) -> None:
    """What comes out if the memory does not suffice, and if tensors lie on different devices."""
    if check.on_gpu and not check.small:
        with check.case("out of memory"):
            huge = [
                "data.size=64",
                "model.width=512",
                "model.depth=4",
                "training.batch_size=1000",
                "training.samples=0",
            ]
            words = ["train", "data=digits", *huge, "hydra.run.dir=huge", f"device={check.device}"]
            code, output, seconds = check.command("-m", "pixelrnn", *words, limit=45)
            lines = [line for line in output.splitlines() if line.strip()]
            told = code in (1, 2) and "Traceback" not in output and "stopped after" not in output
            check.line("a training too large", f"exit {code}, {len(lines)} lines: {last_line(output)}", told, seconds)
    model = make("lstm", 4).to(check.device).eval()
    images, hidden = images_of(model, 2), torch.ones(4, 4, dtype=torch.bool)
    here = images.to(check.device)
    cases: dict[str, Callable[[], Any]] = {
        "a generator of the CPU": lambda: sample(model, 2, generator=Generator().manual_seed(0)),
        "a mask of the CPU": lambda: complete(model, here, hidden),
        "images of the CPU": lambda: complete(model, images, hidden.to(check.device)),
        "images and mask of the CPU": lambda: complete(model, images, hidden),
        "log_prob of images of the CPU": lambda: model.log_prob(images),
    }
    for name, function in cases.items():
        with check.case(name):
            try:
                found = function()
                check.line(name, f"accepted, result on {found.device}", True)
            except UserError as error:
                check.line(name, f"refused: {first_line(error)}", True)
    with check.case("gradients of log_prob of a loaded model"):
        loaded = pixelrnn.load("digits", check.device)
        loaded.log_prob(pretrained.examples("digits")[:2].to(check.device)).sum().backward()
        norm = float(torch.cat([p.grad.flatten() for p in loaded.parameters() if p.grad is not None]).norm())
        check.line("gradients of log_prob of a loaded model", f"norm {norm:.4g}", math.isfinite(norm) and norm > 0)


def large_lstm(check: Check) -> pixelrnn.SequenceRNN:
    torch.manual_seed(0)
    shape, size = ((1, 8, 8), 16) if check.small else ((1, 28, 28), 256)
    return pixelrnn.SequenceRNN(shape, 2, width=size, depth=2)


def sampling(check: Check) -> None:
    """Sampling an LSTM by graph and by loop."""
    model = large_lstm(check).to(check.device).eval()
    sample(model, 2)
    for batch in (4, 8) if check.small else (64, 4096):
        with check.case(f"sampling {batch}"):
            graph_and_loop(check, "LSTM 2x256", model, batch)


def graph_and_loop(check: Check, name: str, model: Model, batch: int, repeats: int = 3) -> None:
    """Sampling by graph and by loop: the speed of both, after how many steps the recordings pay, and the same images."""
    recordings: list[float] = []
    drawn: list[Tensor] = []
    record: Any = cuda_graph.DrawnStep._record

    def timed(*arguments: Any) -> Any:
        made: list[Any] = []
        recordings.append(check.once(lambda: made.append(record(*arguments))))
        return made[0]

    def draw() -> None:
        drawn.append(sample(model, batch, generator=Generator(check.device).manual_seed(0)))

    cuda_graph.DrawnStep._record = timed  # type: ignore[method-assign]
    try:
        graph = check.seconds(draw, repeats)
    finally:
        cuda_graph.DrawnStep._record = record  # type: ignore[method-assign]
    calls, by_graph = len(drawn), drawn[-1]
    with loop_alone():
        loop = check.seconds(draw, repeats)
    rates = f"graph {batch / graph:,.1f} images/s, loop {batch / loop:,.1f}"
    if recordings:
        each = sum(recordings) / calls
        saved = (loop - graph + each) / model.pixels
        steps = f"{each / saved:.0f} steps" if saved > 0 else "never"
        rates += f"; recording {1e3 * each:.1f} ms ({len(recordings)} in {calls} calls)"
        rates += f", saves {1e6 * saved:.0f} µs a step, pays after {steps}"
    check.line(f"{name}, {batch} images", rates)
    differ = drawn[-1] != by_graph
    text = f"{int(differ.sum())} of {differ.numel()} values differ, in {int(differ.flatten(1).any(1).sum())} images"
    check.line(f"{name}: graph and loop, {batch} images", text, not bool(differ.any()))


def speed(check: Check) -> None:
    """Training the LSTM, against a bare nn.LSTM."""
    for batch in (4,) if check.small else (64, 256, 2048):
        for bf16 in (False, True):
            name = f"LSTM 2x256, batch {batch}, {'bf16' if bf16 else 'float32 (TF32)'}"
            with check.case(name):
                model = large_lstm(check).to(check.device)
                images, settings = images_of(model, batch).to(check.device), Settings(bf16=bf16)
                step = updating(model, images, settings)
                ours, peak = check.seconds(step), peak_memory(check)
                launches = launched(check, step)
                del step
                replayed(check, name, model, images, settings)
                check.free()
                bare_step = _bare_step(model, images, settings)
                with torch.autocast(check.device.type, torch.bfloat16, enabled=bf16):
                    bare = check.seconds(bare_step)
                text = f"{batch / ours:,.0f} images/s, {1e3 * ours:.1f} ms, bare {1e3 * bare:.1f} ms, ratio {ours / bare:.2f}"
                check.line(name, f"{text}; {launches}{peak}")
                del bare_step, model


def paper(check: Check) -> None:
    """Training and sampling the paper's models, which launch many kernels; sampling by graph and by loop."""
    shape, batch = ((1, 8, 8), 4) if check.small else ((1, 28, 28), 64)
    kinds: list[tuple[str, dict[str, Any]]] = [
        *[
            (name, {"width": 32, "depth": 1 if check.small else 7})
            for name in ("PixelCNN", "RowLSTM", "DiagonalBiLSTM", "MultiScale")
        ],
        ("SequenceRNN", {"width": 256, "depth": 2, "cell": "gru_reset_before"}),
    ]
    for kind, options in kinds:
        form = f"{options.get('cell', kind)} {options['depth']}x{options['width']}"
        name = f"{form}, batch {batch}"
        with check.case(name):
            torch.manual_seed(0)
            model = MODELS[kind](shape, 2, **options).to(check.device)
            images = images_of(model, batch).to(check.device)
            step = updating(model, images, Settings())
            trained, peak = check.seconds(step, 2), peak_memory(check)
            text = f"training {batch / trained:,.0f} images/s, {1e3 * trained:.0f} ms"
            check.line(name, f"{text}; {launched(check, step)}{peak}")
            replayed(check, name, model, images, Settings())
            graph_and_loop(check, form, model, batch, repeats=1)


def inpainting(check: Check) -> None:
    """Training InpaintingRNN, a quarter of each image hidden; and with the masks of its training."""
    shape, batches = ((3, 8, 8), (2,)) if check.small else ((3, 64, 64), (32, 128, 256))
    for batch in batches:
        for occlusion in ("centre", "mixed") if batch == batches[0] else ("centre",):
            name = f"InpaintingRNN {'x'.join(map(str, shape))}, batch {batch}, {occlusion}"
            with check.case(name):
                torch.manual_seed(0)
                model = pixelrnn.InpaintingRNN(shape, 256).to(check.device)
                step = updating(model, images_of(model, batch).to(check.device), Settings(), occlusion)
                seconds, peak = check.seconds(step), peak_memory(check)
                text = f"{batch / seconds:,.0f} images/s, {1e3 * seconds:.0f} ms"
                check.line(name, f"{text}; {launched(check, step)}{peak}")


def updating(
    model: Model, images: Tensor, settings: Settings, occlusion: str | None = None, records: bool = False
) -> Callable[[], Any]:
    """An update of the weights, without a CUDA graph; with records, after the updates that record it."""
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats(images.device)
    settings = replace(settings, batch_size=len(images), first_order=1.0)
    objective: Any = make_objective(model, settings)
    step = partial(update, objective, make_optimizer(model, settings), images, settings, occlusion)
    if not records:
        objective.recordings = None
    for _ in range(3 * records):
        step()
    return step


def replayed(check: Check, name: str, model: Model, images: Tensor, settings: Settings) -> None:
    """Report the speed of updates that replay a recorded pass."""
    step = updating(model, images, settings, records=True)
    seconds, peak = check.seconds(step), peak_memory(check)
    text = f"{len(images) / seconds:,.0f} images/s, {1e3 * seconds:.1f} ms"
    check.line(f"{name}, replayed", f"{text}; {launched(check, step)}{peak}")


def peak_memory(check: Check) -> str:
    return f", {torch.cuda.max_memory_allocated(check.device) / 2**30:.1f} GiB" if check.on_gpu else ""


def launched(check: Check, function: Callable[[], Any]) -> str:
    """How many kernels a call launches."""
    if not check.on_gpu:
        function()
        return "launches are counted on a GPU only"
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            check.once(function)
        events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
        names = Counter(event.name() for event in events)
    except Exception as error:
        return f"launches not counted ({type(error).__name__}: {first_line(error)})"
    kernels = sum(n for name, n in names.items() if name.startswith(("cudaLaunchKernel", "cuLaunchKernel")))
    graphs = sum(n for name, n in names.items() if name.startswith("cudaGraphLaunch"))
    if not kernels:  # then the kernels that ran
        kernels = sum(str(event.device_type()).endswith("CUDA") for event in events)
    return f"{kernels:,} launches" + (f" and {graphs:,} graphs" if graphs else "")


# --- the run ----------------------------------------------------------------------------------------------------------

STEPS: dict[str, Callable[[Check], None]] = {
    "machine": machine,
    "log_prob": log_prob,
    "gradients": gradients,
    "recorded": recorded,
    "waits": waits,
    "completing": completing,
    "verify": collect,
    "commands": collect,
    "tests": collect,
    "memory": memory,
    "sampling": sampling,
    "speed": speed,
    "inpainting": inpainting,
    "paper": paper,
}
ALONGSIDE = list(STEPS)[: list(STEPS).index("memory")]  # the steps with other processes beside them


def run_step(check: Check, name: str) -> bool:
    """Run a step within its time; returns whether the device is still there."""
    check.step = name
    print(f"\n{name}  ({time.monotonic() - check.started:.0f} s so far)", flush=True)
    reserved = RESERVED * check.limit if name in ALONGSIDE and check.measures else 0.0
    allowed, started = max(1.0, min(LONGEST_STEP, check.left() - reserved)), time.monotonic()

    def stop(*_: Any) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, allowed)
        STEPS[name](check)
    except TooLong:
        check.line(name, f"stopped after {allowed:.0f} s; what it had found stands above")
        check.stopped.append(name)
    except Exception as error:
        check.error(name, error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    check.free()
    try:
        if check.on_gpu:
            torch.cuda.synchronize()
    except Exception as error:
        check.error(f"{name}: the device is lost", error)
        return False
    finally:
        print(f"     {name} took {time.monotonic() - started:.1f} s", flush=True)
    return True


def run(check: Check) -> int:
    """Run the steps, and print the summary; returns the exit code."""
    selected = [name for name in STEPS if not check.only or name in check.only]
    skipped, code = list[str](), 0
    try:
        begin_beside(check, selected)
        for name, following in pairwise([*selected, ""]):
            if name not in ALONGSIDE:
                check.stop_beside()
            if check.left() < 3:
                skipped.append(name)
            elif not run_step(check, name) and following:
                rest = selected[selected.index(following) :]  # in a new process, which gets the device anew
                check.end()
                print(f"the rest in a new process: {', '.join(rest)}", flush=True)
                words = [f"device={check.device}", f"limit={check.left():.0f}", f"only={','.join(rest)}"]
                words.append(f"small={str(check.small).lower()}")
                code = subprocess.run([sys.executable, __file__, *words]).returncode
                break
    finally:
        check.end()
    print(f"\nsummary, after {time.monotonic() - check.started:.0f} s", flush=True)
    for name in selected:
        found = [result.holds for result in check.results if result.step == name]
        failed, held = found.count(False), found.count(True)
        state = (
            "skipped, no time left" if name in skipped else f"{held} ok, {failed} FAILED" if failed else f"{held} ok"
        )
        state += ", stopped before its end" * (name in check.stopped)
        print(f"{name:<12} {state}, {found.count(None)} figures and notes", flush=True)
    return 1 if code or any(result.holds is False for result in check.results) else 0


def main(words: list[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    unknown = given.keys() - {"device", "limit", "only", "small"} or set(given.get("only", "").split(",")) - {
        "",
        *STEPS,
    }
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))} (steps: {', '.join(STEPS)})\n\n{__doc__}", file=sys.stderr)
        return 2
    device = given.get("device", "cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "there is no CUDA device on this machine; device=cpu small=true tries the program itself", file=sys.stderr
        )
        return 2
    small = given.get("small", "false") == "true"
    torch.set_num_threads(min(4, torch.get_num_threads()))  # the other processes need processors too
    return run(Check(device, float(given.get("limit", 150)), given.get("only", ""), small))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
