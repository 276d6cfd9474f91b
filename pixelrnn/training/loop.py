"""The training loop: maximum likelihood by back-propagation through time, validated on averaged weights."""

import copy
import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from pixelrnn import checkpoint, distributed
from pixelrnn.completion.fill import sample
from pixelrnn.data import Dataset, limited
from pixelrnn.errors import TrainingDiverged
from pixelrnn.evaluation.likelihoods import Likelihoods, evaluate, log_probs
from pixelrnn.files.atomic import append, expanded, only_writer
from pixelrnn.model import Model
from pixelrnn.notes import note
from pixelrnn.occlusion import draw as draw_occlusions
from pixelrnn.own_picture.typical import Typical
from pixelrnn.training.signals import STOPS, signals_received
from pixelrnn.training.state import (
    RECORDS,
    Progress,
    described,
    forget_after,
    goes_on,
    load_state,
    rate,
    save_state,
    updates,
)
from pixelrnn.training.update import Settings, make_objective, make_optimizer, occlusion_of, rounds, update

RECORD_EVERY = 50  # updates
Begins = Callable[[], object]


def train(
    model: Model,
    data: Dataset,
    settings: Settings,
    folder: str | Path,
    seed: int = 0,
    progress: bool = True,
    begins: Begins = lambda: None,
) -> Progress:
    """Trains `model` on its device and keeps in `folder`, made if it is not there: best/ and last/ (models with averaged
    weights, and the state to resume from), metrics.jsonl, curves.png and samples.png.

    A run that the folder holds goes on, and notes say from where and which settings differ. UserError says where it is of
    another model or other data, or over and of other settings. begins() is called before anything in the folder changes,
    and only where there is something to do.

    SIGINT and SIGTERM finish the step, save, and return with progress.stopped_by set. A loss, a gradient or a weight that
    is not finite is never saved: the run goes back to its last saved state with half the learning rate, settings.recoveries
    times, and then raises TrainingDiverged. Several processes (pixelrnn/distributed.py) train one model, as one process
    would; the first one reads and writes, and UserError says where it cannot.
    """
    folder = expanded(folder)
    checkpoint.check(model)
    if distributed.is_main():
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as lock:
        distributed.by_main(lambda: lock.enter_context(only_writer(folder, "best", "last")))
        return _train(model, data, settings, folder, seed, progress, begins)


def _train(
    model: Model, data: Dataset, settings: Settings, folder: Path, seed: int, progress: bool, begins: Begins
) -> Progress:
    device, is_main = model.order.device, distributed.is_main()
    if settings.bf16 and not rounds(model, settings) and is_main:
        note("training.bf16=true: this CPU cannot compute an LSTM in bfloat16, so training uses float32")
    model.remember(data.train_digests)
    valid = limited(data.valid, settings.valid_limit)
    batches, total_steps = math.ceil(len(data.train) / settings.batch_size), updates(settings, len(data.train))
    validate_every = settings.validate_every or batches
    occlusion, valid_hidden = occlusion_of(settings, model), None
    if occlusion:
        drawn = torch.Generator().manual_seed(seed)
        valid_hidden = draw_occlusions(occlusion, len(valid), *model.shape[1:], generator=drawn)
    run = described(model, data, settings, seed)
    objective, optimizer = make_objective(model, settings), make_optimizer(model, settings)
    average = copy.deepcopy(model).requires_grad_(False).eval()  # of the weights that all processes have
    at = load_state(settings.resume, folder, model, average, optimizer, run)
    if (at.step or at.run) and not goes_on(folder, at, settings, run, len(data.train)):
        return at
    at.run = run
    if is_main:
        begins()
        forget_after(folder, at.step)
        if settings.recoveries:
            save_state(folder, model, average, optimizer, at)  # to go back to, if the first updates fail
    started, seconds_before = time.monotonic(), at.seconds
    if device.type == "cuda":  # 8 bits a value, once, instead of a batch at a time
        data = replace(data, train=data.train.to(device))
    check_every = 1 if device.type == "cpu" else RECORD_EVERY  # to look at a number waits for the device
    quiet = not (progress and is_main)
    bar = tqdm(
        total=total_steps, initial=at.step, desc="training", unit="update", dynamic_ncols=True, disable=quiet or None
    )
    in_lines = bar.disable and not quiet  # where there is no terminal, a line for each validation instead of a bar
    writer = _tensorboard(folder) if is_main else None

    def record(**values: float) -> None:
        if not is_main:
            return
        now = {"step": at.step, "epoch": at.step / batches, "seconds": at.seconds}
        append(folder / RECORDS, json.dumps({**now, **values}) + "\n")
        for name, value in values.items():
            if writer:
                writer.add_scalar(name, value, at.step)

    def validate() -> None:
        likelihood = _validate(average, valid, settings.batch_size)
        record(valid_bits_per_dim=likelihood.bits_per_dim, valid_nats=likelihood.nats)
        if valid_hidden is not None:
            likelihood = evaluate(average, valid, valid_hidden, settings.batch_size)
            record(valid_hidden_bits_per_dim=likelihood.bits_per_dim, valid_hidden_nats=likelihood.nats)
        at.validations_without_gain += 1
        if likelihood.nats < at.best_nats:
            at.best_nats, at.best_bits_per_dim = likelihood.nats, likelihood.bits_per_dim
            at.validations_without_gain = 0
            if is_main:
                checkpoint.save(average, folder / "best")
        if is_main:
            save_state(folder, model, average, optimizer, at)
            _draw(folder, average, settings, seed, data.name)
        now = {"train": running, "valid": likelihood.bits_per_dim, "best": at.best_bits_per_dim}
        shown = {name: f"{bits:.3f}" for name, bits in now.items()}
        bar.set_postfix(shown)
        if in_lines:
            told = ", ".join(f"{name} {bits}" for name, bits in shown.items())
            print(f"update     {at.step:,} of {total_steps:,}: {told} bits/dim", flush=True)

    def recover(what: str) -> None:
        """Goes back to the last saved state, with half the learning rate; TrainingDiverged where that was done enough."""
        nonlocal at
        failed, before = at.step, at.recoveries
        if before < settings.recoveries:
            at = load_state("auto", folder, model, average, optimizer, run)
            at.recoveries = before + 1
            losses.clear()
            if is_main:
                forget_after(folder, at.step)
                save_state(folder, model, average, optimizer, at)
            if not quiet:
                bar.write(
                    f"recovered  not finite after {failed} updates ({what}): back to {at.step}, half the learning rate"
                )
            bar.n = at.step
        else:
            raise TrainingDiverged(
                f"the loss, its gradient or a weight is not finite after {failed} updates ({what}); the last good checkpoint "
                f"is in {folder}: try a smaller training.learning_rate, or training.recoveries=3"
            )

    running = math.nan  # bits/dim over the last updates
    losses: list[Tensor] = []  # since the last record
    with signals_received() as received, bar:
        while at.step < total_steps and not at.stopped_by:
            epoch, done = divmod(at.step, batches)
            for index in _epoch(len(data.train), settings.batch_size, seed, epoch)[done:]:
                step_size = rate(settings, at, len(data.train))
                for group in optimizer.param_groups:
                    group["lr"] = step_size
                torch.manual_seed(_step_seed(seed, at.step))
                images = data.training_batch(index.to(data.train.device)).to(device)
                loss, norm = update(objective, optimizer, images, settings, occlusion)
                losses.append(loss)
                due = len(losses) >= RECORD_EVERY or at.step + 1 == total_steps or (at.step + 1) % validate_every == 0
                if (due or at.step % check_every == 0) and not math.isfinite((sum(losses) if due else loss) + norm):
                    recover(f"loss {loss:.4g}, gradient norm {norm:.4g}")
                    break
                at.step += 1
                stop, at.seconds = _agreed(received, seconds_before + time.monotonic() - started)
                _average(average, model, min(settings.average_decay, at.step / (at.step + 10)))

                if due:
                    running = float(sum(losses)) / len(losses)
                    record(train_bits_per_dim=running, learning_rate=step_size, gradient_norm=float(norm))
                    losses.clear()
                    bar.set_postfix(train=f"{running:.3f}", best=f"{at.best_bits_per_dim:.3f}")
                bar.update()

                if stop:
                    at.stopped_by = stop
                elif settings.max_minutes and at.seconds > 60 * settings.max_minutes:
                    at.stopped_by = "max_minutes"
                to_validate = at.step % validate_every == 0 or at.step == total_steps or at.stopped_by == "max_minutes"
                if (to_validate or at.stopped_by in STOPS) and model.broken_weight():
                    recover("a weight")
                    break
                if to_validate:
                    validate()
                    if settings.patience and at.validations_without_gain >= settings.patience:
                        at.stopped_by = "patience"
                if at.stopped_by:
                    break
        if at.stopped_by in STOPS and is_main:
            save_state(folder, model, average, optimizer, at)
    if writer:
        writer.close()
    return at


def _step_seed(seed: int, step: int) -> int:
    """Of all that an update draws: a function of the step, so that a resumed run draws the same, on any number of
    processes; each of these adds its rank."""
    return (seed * 1_000_003 + step) * 4096 % 2**63


def _agreed(received: list[str], seconds: float) -> tuple[str, float]:
    """The signal for which all processes stop, "" for none, and the clock of the first one."""
    if distributed.size() == 1:
        return received[0] if received else "", seconds
    clock = seconds if distributed.is_main() else 0.0
    *stops, clock = distributed.total(torch.tensor([*(name in received for name in STOPS), clock])).tolist()
    return next((name for name, said in zip(STOPS, stops, strict=True) if said), ""), clock


def _validate(model: Model, images: Tensor, batch_size: int) -> Likelihoods:
    """-log p(x); of a model with several orders their mean, each image along one of them in turn. The model keeps what is
    typical of the images."""
    along = []
    for order in range(min(len(model.orders), len(images))):
        with model.along(order):
            along.append(log_probs(model, images[order :: len(model.orders)], batch_size=batch_size))
    found = torch.cat(along)
    model.trained_on = {**model.trained_on, "typical": Typical.of(images, model.levels, found).as_dict()}
    return Likelihoods.of(found, model.dimensions)


def _epoch(images: int, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """The batches' indices; a function of seed and epoch alone, so that a resumed run sees the same ones."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).split(batch_size)


@torch.no_grad()
def _average(average: Model, model: Model, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def _draw(folder: Path, model: Model, settings: Settings, seed: int, name: str) -> None:
    from pixelrnn import figures  # matplotlib, only where a picture is made

    lines = (folder / RECORDS).read_text(encoding="utf-8").splitlines()
    figures.save_figure(
        figures.curves([json.loads(line) for line in lines], name), folder / f"curves.{settings.figures}"
    )
    if settings.samples:
        generator = torch.Generator(model.order.device).manual_seed(seed)
        samples = figures.grid(sample(model, settings.samples, generator=generator), model.levels)
        figures.save_figure(samples, folder / f"samples.{settings.figures}")


def _tensorboard(folder: Path) -> Any:
    """A TensorBoard writer, if TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
