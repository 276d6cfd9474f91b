"""The training loop: maximum likelihood by back-propagation through time, validated on averaged weights."""

import copy
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pixelrnn import checkpoint, distributed
from pixelrnn.cell.cells import flatten
from pixelrnn.datasets import Dataset, limited
from pixelrnn.errors import TrainingDiverged, UserError, note
from pixelrnn.evaluation.likelihoods import Likelihoods, evaluate, log_probs
from pixelrnn.files.atomic import ELSEWHERE, append, expanded, only_writer, write_json
from pixelrnn.model import Ensemble, Model
from pixelrnn.occlusion import draw as draw_occlusions
from pixelrnn.options import MAX_LEVELS, checked
from pixelrnn.own_picture.typical import Typical
from pixelrnn.pixels import check_images, send
from pixelrnn.training import records, state
from pixelrnn.training.state import Settings
from pixelrnn.training.update import make_objective, make_optimizer, occlusion_of, update, uses_bf16

RECORD_EVERY = 50  # updates
REPORT_EVERY = 30  # seconds between lines about the progress, where no terminal can show a bar
SAVE_EVERY = 300  # seconds that a run which is killed loses at most
STOPS = ("SIGINT", "SIGTERM")


def train(
    model: Model,
    data: Dataset,
    settings: Settings,
    folder: str | Path,
    seed: int = 0,
    progress: bool = True,
    begins: Callable[[], object] = lambda: None,
    teacher: Model | None = None,
) -> state.Progress:
    """Train `model` on its device, and keep in `folder`: best/ and last/ (models with averaged weights, and the state to
    resume from), run.json, metrics.jsonl, metrics.csv, curves.png and samples.png.

    A run that the folder holds goes on; notes say from where and which settings differ. begins() is called before anything
    in the folder changes, and only if something is left to do. The model also learns from a teacher (teacher.py), if one is
    given, a model on the same device. SIGINT and SIGTERM finish the update, save the state, and return with
    progress.stopped_by set. A loss, a gradient or a weight that is not finite is never saved: the run goes back to its last
    saved state with half the learning rate, at most settings.recoveries times. Several processes (pixelrnn/distributed.py)
    train one model, with the numbers of one process; the first one reads and writes.

    Raises UserError if the folder cannot be written, or holds a run with other data, another model, batch size, optimiser,
    init or teacher, or one that is over with other settings, or if the model is an ensemble; TrainingDiverged if the
    recoveries are used up.
    """
    if isinstance(model, Ensemble):
        raise UserError("an ensemble is not trained; train its members one by one")
    folder, seed = expanded(folder), checked("seed", seed)
    checkpoint.check(model)
    with ExitStack() as lock:
        distributed.by_main(lambda: lock.enter_context(only_writer(folder, "best", "last")))
        run = Run(model, data, settings, folder, seed, progress, teacher)
        if not run.resume():
            return run.progress
        run.begin(begins)
        with signals_received() as received, run.bar:
            while run.progress.step < run.total and not run.progress.stopped_by:
                try:
                    run.step()
                    run.progress.stopped_by = run.stop_reason(received)
                    run.record()
                    if run.is_validation_due():
                        run.validate()
                    elif run.progress.stopped_by or run.progress.seconds > run.saved_at + SAVE_EVERY:
                        run.save()
                    run.report()
                except FloatingPointError as error:
                    run.recover(str(error))
        if run.tensorboard:
            run.tensorboard.close()
    return run.progress


@contextmanager
def signals_received() -> Iterator[list[str]]:
    """Context manager: collect the names of SIGINT and SIGTERM instead of ending the process; a second one acts as usual."""
    received: list[str] = []
    is_main = threading.current_thread() is threading.main_thread()  # only the main thread may set handlers
    handlers = {signal.Signals[name]: signal.getsignal(signal.Signals[name]) for name in STOPS if is_main}

    def receive(number: int, _frame: Any) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, handlers[signal.Signals(number)])

    try:
        for number in handlers:
            signal.signal(number, receive)
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Run:
    """A training run: the model and its average, the optimiser, the data, and how far they are."""

    # From begin() on, the clock starts and the state of the folder is known:
    started: float  # time.monotonic() less the seconds trained so far
    bar: tqdm
    tensorboard: Any  # a SummaryWriter, or None
    losses: list[Tensor]  # of the updates since the last record
    saved_at: float  # seconds trained when the state was last saved
    reported: tuple[int, float]  # updates and seconds at the last line about the progress
    # From the first step() on:
    learning_rate: float
    norm: Tensor  # of the gradient

    def __init__(
        self,
        model: Model,
        data: Dataset,
        settings: Settings,
        folder: Path,
        seed: int,
        show: bool,
        teacher: Model | None = None,
    ):
        self.model, self.data, self.settings, self.folder, self.seed = model, data, settings, folder, seed
        self.is_main, self.is_shown = distributed.is_main(), show and distributed.is_main()
        if settings.bf16 and not uses_bf16(model, settings) and self.is_main:
            note("bf16=true: this CPU cannot compute an LSTM in bfloat16, so training uses float32")
        if settings.first_order is not None and len(model.orders) == 1:
            raise UserError(f"first_order={settings.first_order:g}: the model has a single order; leave it out")
        self.batches = math.ceil(len(data.train) / settings.batch_size)  # of an epoch
        self.total = settings.epochs * self.batches
        self.validate_every = settings.validate_every or self.batches
        self.occlusion = occlusion_of(settings, model)
        self.valid = limited(data.valid, settings.valid_limit)
        if len(self.valid) < len(data.valid) and self.is_main:
            note(f"validation takes {len(self.valid):,} of the {len(data.valid):,} validation images (valid_limit)")
        self.description = state.describe_run(model, data, settings, seed, teacher)
        _check_data(data, model)
        if model.order.device.type == "cuda":
            self.data = _on_card(data, model.order.device)
        self.objective, self.optimizer = make_objective(model, settings, teacher), make_optimizer(model, settings)
        model.remember(data.train_digests)
        if teacher:
            model.inherit(teacher)
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        flatten(self.average)
        self.progress = state.Progress()
        self.bits: dict[str, str] = {}  # bits/dim, for the progress bar

    def resume(self) -> bool:
        """Load the state in the folder, if there is one; returns whether something is left to do."""
        if self.settings.resume == "never" and distributed.by_main((self.folder / "last" / state.STATE).exists):
            raise UserError(f"{self.folder} already holds a training run; {ELSEWHERE}, or resume=auto to go on")
        self.progress = state.load(self.folder, self.model, self.average, self.optimizer, self.description)
        if not self.progress.run:
            return True
        hides = self.occlusion is not None
        return state.note_resumption(self.folder, self.progress, self.description, self.batches, hides)

    def begin(self, begins: Callable[[], object]) -> None:
        """Prepare the folder, and start the clock and the progress bar."""
        self.progress.run = self.description
        if self.is_main:
            begins()
            write_json(self.folder / records.RUN, self.description)
        self.tensorboard = records.tensorboard(self.folder) if self.is_main else None
        self._restart()
        self.started = time.monotonic() - self.progress.seconds
        options = {"desc": "training", "unit": "update", "dynamic_ncols": True}
        hide = None if self.is_shown else True  # None: if there is no terminal
        self.bar = tqdm(total=self.total, initial=self.progress.step, disable=hide, **options)

    def step(self) -> None:
        """One update of the weights and of their average; FloatingPointError if the loss or its gradient is not finite."""
        step, batch_size = self.progress.step, self.settings.batch_size
        epoch, batch = divmod(step, self.batches)
        index = _epoch(len(self.data.train), batch_size, self.seed, epoch)[batch]
        self.learning_rate = self.progress.learning_rate(self.settings, self.batches)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        # A resumed run draws the same, on any number of processes. Each adds its rank.
        torch.manual_seed((self.seed * 1_000_003 + step) * 4096 % 2**63)
        batch_images = self.data.training_batch(send(index, self.data.train.device))
        images = send(batch_images, self.model.order.device)
        loss, self.norm = update(self.objective, self.optimizer, images, self.settings, self.occlusion)
        self.losses.append(loss)
        self.progress.step += 1
        with torch.no_grad():
            decay = min(self.settings.average_decay, (step + 1) / (step + 11))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        self.bar.update()

    def stop_reason(self, received: list[str]) -> str:
        """Take the time; returns why the run stops now, alike in all processes: a signal, a limit, or "" if it goes on."""
        seconds = time.monotonic() - self.started if self.is_main else 0.0
        values = torch.tensor([seconds, *(name in received for name in STOPS)], dtype=torch.float64)
        self.progress.seconds, *stops = distributed.all_reduce_sum(values).tolist()
        signals = [name for name, stop in zip(STOPS, stops, strict=True) if stop]
        return signals[0] if signals else self.progress.limit_reached(self.settings)

    def record(self) -> None:
        """Record the mean loss of the last updates every RECORD_EVERY updates, and before each validation."""
        step = self.progress.step
        if len(self.losses) < RECORD_EVERY and step % self.validate_every and step < self.total:
            return
        loss = float(sum(self.losses)) / len(self.losses)
        if not math.isfinite(loss + float(self.norm)):
            raise FloatingPointError(f"loss {loss:.4g}, gradient norm {self.norm:.4g}")
        self._write(train_bits_per_dim=loss, learning_rate=self.learning_rate, gradient_norm=float(self.norm))
        self.losses.clear()
        self.bits["train"] = f"{loss:.3f}"
        self.bar.set_postfix(self.bits)

    def report(self) -> None:
        """Where no terminal shows the bar, print a line at times: the speed, and the time that is left."""
        at, (step, seconds), limit = self.progress, self.reported, self.settings.max_minutes
        if not self.bar.disable or not self.is_shown or at.seconds < seconds + REPORT_EVERY or at.step == step:
            return
        rate = (at.step - step) / (at.seconds - seconds)
        left = min((self.total - at.step) / rate, 60 * limit - at.seconds if limit else math.inf) / 60
        images = f"{rate * self.settings.batch_size:,.1f} images/s, {max(left, 0):,.0f} min left"
        print(f"update     {at.step:,} of {self.total:,}: {images}; {self._bits()}", flush=True)
        self.reported = at.step, at.seconds

    def _bits(self) -> str:
        return f"bits/dim {', '.join(f'{name} {value}' for name, value in self.bits.items()) or 'not known yet'}"

    def is_validation_due(self) -> bool:
        """Whether this update ends an epoch (or validate_every updates), or the run."""
        step, stopped_by = self.progress.step, self.progress.stopped_by
        return step % self.validate_every == 0 or step == self.total or stopped_by == "max_minutes"

    def validate(self) -> None:
        """Evaluate the averaged model, keep it in best/ if it is the best so far, save the state, and draw the figures."""
        self._check_weights()
        at = self.progress
        found = _finite(_validate(self.average, self.valid, self.settings.batch_size))
        self._write(valid_bits_per_dim=found.bits_per_dim, valid_nats=found.nats)
        if self.occlusion:
            generator = torch.Generator().manual_seed(self.seed)
            hidden = draw_occlusions(self.occlusion, len(self.valid), *self.model.shape[1:], generator=generator)
            found = _finite(evaluate(self.average, self.valid, hidden, batch_size=self.settings.batch_size))
            self._write(valid_hidden_bits_per_dim=found.bits_per_dim, valid_hidden_nats=found.nats)
        at.validations_without_gain += 1
        if found.nats < at.best_nats:
            at.best_nats, at.best_bits_per_dim, at.validations_without_gain = found.nats, found.bits_per_dim, 0
            if self.is_main:
                checkpoint.save(self.average, self.folder / "best")
        self.save()
        if self.is_main:
            records.show(self.folder, self.average, self.settings, self.seed, self.data.name)
        self.bits |= {"valid": f"{found.bits_per_dim:.3f}", "best": f"{at.best_bits_per_dim:.3f}"}
        self.bar.set_postfix(self.bits)
        if self.bar.disable and self.is_shown:
            print(f"validated  after {at.step:,} of {self.total:,} updates: {self._bits()}", flush=True)
        at.stopped_by = at.stopped_by or at.limit_reached(self.settings)

    def save(self) -> None:
        """Save the state; FloatingPointError if a weight is not finite."""
        self._check_weights()
        self.saved_at = self.progress.seconds
        self.progress.losses = [float(loss) for loss in self.losses]
        if self.is_main:
            state.save(self.folder, self.model, self.average, self.optimizer, self.progress)
            records.write_table(self.folder)

    def recover(self, problem: str) -> None:
        """Go back to the last saved state with half the learning rate; TrainingDiverged if the recoveries are used up."""
        failed, recoveries = self.progress.step, self.progress.recoveries
        if recoveries >= self.settings.recoveries:
            raise TrainingDiverged(
                f"the loss, its gradient or a weight is not finite after {failed} updates ({problem}): try a smaller "
                "learning_rate, or recoveries=3"
            )
        self.progress = state.load(self.folder, self.model, self.average, self.optimizer)
        self.progress.recoveries = recoveries + 1
        self._restart()
        if self.is_main:
            note(f"not finite after {failed} updates ({problem}): back to {self.progress.step}, half the learning rate")
        self.bar.n = self.progress.step

    def _restart(self) -> None:
        """Drop the records after the loaded state, and save it as the one to go back to."""
        self.losses = list(torch.tensor(self.progress.losses, device=self.model.order.device))
        self.saved_at = self.progress.seconds
        self.reported = self.progress.step, self.progress.seconds
        if self.is_main:
            records.keep(self.folder, self.progress.records)
        if self.settings.recoveries:
            self.save()

    def _check_weights(self) -> None:
        if broken := self.model.broken_weight():
            raise FloatingPointError(f"the weight {broken}")

    def _write(self, **values: float) -> None:
        """Add a line to the records."""
        at = self.progress
        at.records += 1
        if self.is_main:
            record = {"step": at.step, "epoch": at.step / self.batches, "seconds": at.seconds, **values}
            if at.validated_from:
                record["validated_from"] = at.validated_from
            append(self.folder / records.RECORDS, json.dumps(record) + "\n")
            for name, value in values.items() if self.tensorboard else ():
                self.tensorboard.add_scalar(name, value, at.step)


def _finite(found: Likelihoods) -> Likelihoods:
    if not math.isfinite(found.nats):
        raise FloatingPointError(f"validation {found.nats} nats")
    return found


def _check_data(data: Dataset, model: Model) -> None:
    """UserError unless the model takes the images; once for all updates, because a look at a batch would wait for a GPU."""
    check_images(data.valid, model.shape, model.levels)
    if isinstance(data.train, Tensor):
        check_images(data.train, model.shape, MAX_LEVELS if data.dynamic else model.levels)
    if data.levels > model.levels:  # of patches, too, which are not drawn yet
        raise UserError(f"{data.name} has {data.levels} levels; this model has {model.levels}")


def _on_card(data: Dataset, device: torch.device) -> Dataset:
    """The data with all training images on the card, 8 bits a value; unchanged, with a note, if they would take more than half
    of its free memory, which training needs too."""
    size, free = sum(tensor.nbytes for tensor in data.train_tensors), torch.cuda.mem_get_info(device)[0]
    if size <= free // 2:
        return replace(data, train=data.train.to(device))
    if distributed.is_main():
        note(
            f"the training images, {size / 2**30:.2f} GiB, stay in the machine's memory: they would take more than half of the "
            f"{free / 2**30:.2f} GiB that are free on the GPU"
        )
    return data


@lru_cache(maxsize=1)
def _epoch(images: int, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """The indices of each batch; they depend on seed and epoch alone, so that a resumed run has the same ones."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).split(batch_size)


def _validate(model: Model, images: Tensor, batch_size: int) -> Likelihoods:
    """-log p(x), each image along one of the model's orders in turn. The model keeps what is typical of the images."""
    found = []
    for order in range(min(len(model.orders), len(images))):
        with model.along(order):
            found.append(log_probs(model, images[order :: len(model.orders)], batch_size=batch_size))
    joined = torch.cat(found)
    model.trained_on = {**model.trained_on, "typical": Typical.of(images, model.levels, joined).as_dict()}
    return Likelihoods.of(joined, model.dimensions)
