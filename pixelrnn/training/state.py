"""The state of a training run, from which it goes on with the same numbers as if it had not stopped."""

import hashlib
import io
import json
import math
import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from pixelrnn import checkpoint, distributed, pretrained
from pixelrnn.data import Dataset
from pixelrnn.errors import ProcessLost, UserError
from pixelrnn.files.atomic import write_whole
from pixelrnn.model import Model
from pixelrnn.notes import note
from pixelrnn.registry import LONGEST, printable
from pixelrnn.training.update import Settings, learning_rate

STATE = "training.pt"
RECORDS = "metrics.jsonl"
ENDS = ("training.epochs", "training.max_minutes", "training.patience")  # the options that say when a run is over
ELSEWHERE = "choose another folder (hydra.run.dir=, of a sweep hydra.sweep.dir=)"


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    seconds: float = 0.0
    best_nats: float = math.inf  # of the hidden pixels, where training hides some
    best_bits_per_dim: float = math.inf
    validations_without_gain: int = 0
    recoveries: int = 0  # times that the run went back to its last saved state
    stopped_by: str = ""  # "", "patience", "max_minutes", "SIGINT" or "SIGTERM"
    run: dict[str, Any] = field(default_factory=dict)  # what it is trained on, and its options: see described()


def described(model: Model, data: Dataset, settings: Settings, seed: int) -> dict[str, Any]:
    """What a run is trained on, and its options but the model's own; UserError unless all processes have the same."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (data.train, data.valid):
        digest.update(f"{tuple(part.shape)} {data.dynamic}".encode())
        digest.update(part.cpu().flatten().numpy().data)
    options = {f"training.{name}": value for name, value in asdict(settings).items() if name != "resume"}
    run = {"images": digest.hexdigest(), "seed": seed, **options}
    if distributed.total(torch.tensor(float(run != distributed.from_main(run)))):
        raise UserError("the processes have different images or options; give all the same data and the same command")
    init = model.trained_on.get("init")
    place = init if init is None or init in pretrained.names() else os.path.abspath(init)
    return {"data": data.name, "model": type(model).__name__, "init": place, **run}


def rate(settings: Settings, at: Progress, images: int) -> float:
    """The learning rate of the next update, where training has so many images."""
    time_used = at.seconds / (60 * settings.max_minutes) if settings.max_minutes else 0.0
    done = at.step / updates(settings, images)
    return learning_rate(settings, at.step, max(done, time_used)) / 2**at.recoveries


def updates(settings: Settings, images: int) -> int:
    """How many updates all epochs have."""
    return settings.epochs * math.ceil(images / settings.batch_size)


def save_state(folder: Path, model: Model, average: Model, optimizer: torch.optim.Optimizer, at: Progress) -> None:
    """Writes folder/last: the averaged model, and in one file all that an exact continuation needs but the records so far."""
    checkpoint.save(average, folder / "last")
    state = {
        "arguments": json.dumps(model.arguments),
        "model": model.state_dict(),
        "average": average.state_dict(),
        checkpoint.DIGESTS: average.train_digests,
        "optimizer": optimizer.state_dict(),
        "progress": asdict(at),
    }
    file = io.BytesIO()  # not a file of torch's own, which does not say that a disk is full
    torch.save(state, file)
    write_whole(folder / "last" / STATE, lambda path: path.write_bytes(file.getbuffer()))


def load_state(
    resume: str,
    folder: Path,
    model: Model,
    average: Model,
    optimizer: torch.optim.Optimizer,
    run: dict[str, Any] | None = None,
) -> Progress:
    """Gives all processes the state that process 0 finds in the folder, or none where there is none. Changes no file.

    Raises UserError where `resume` is "never" and there is one, where it is damaged or of another model, and where `run`
    says that it is of other data, another init or another optimiser.
    """
    path, configured = folder / "last" / STATE, [{**group, "params": []} for group in optimizer.param_groups]
    try:
        content = distributed.by_main(lambda: path.read_bytes() if path.exists() else None)
        if content is None:
            return Progress()
        if resume == "never":
            raise UserError(f"{folder} already holds a training run; {ELSEWHERE}, or training.resume=auto to go on")
        state = torch.load(io.BytesIO(content), map_location=model.order.device, weights_only=True)
        at = _checked(Progress(**state["progress"]))
        if unlike := _unlike(state, at.run, model, run or at.run):
            way = "give the data it was trained on" if "other data" in unlike[0] else way_on(folder)
            raise UserError(f"{path} is of {', and of '.join(unlike)}; {way}, or {ELSEWHERE}")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        average.remember(state.get(checkpoint.DIGESTS))  # of the data as they were then
        optimizer.load_state_dict(state["optimizer"])
        for group, options in zip(optimizer.param_groups, configured, strict=True):  # as now asked for, not as then
            group.update({**options, "params": group["params"]})
    except (UserError, ProcessLost):
        raise
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged or of another version ({reason}); {ELSEWHERE}") from None
    at.stopped_by = ""
    return at


def way_on(folder: Path) -> str:
    """How to go on with a run, from any folder: it knows its own options."""
    return f"go on with: pixelrnn train {shlex.quote(f'training.resume={folder.absolute()}')}"


def _unlike(state: dict[str, Any], then: dict[str, Any], model: Model, now: dict[str, Any]) -> list[str]:
    """What a saved state is of that is not what this run is of, each with the difference."""
    differing, unlike = _differing(then or now, now), []
    if "images" in differing:
        unlike.append(f"a run on other data: {differing.get('data', 'other images, of the same name')}")
    others = [name for name in ("init", "training.optimizer", "training.batch_size") if name in differing]
    unlike += [f"a run with another {name}: {differing[name]}" for name in others]
    arguments = state["arguments"]
    options = _differing(json.loads(arguments) if arguments.startswith("{") else arguments, model.arguments)
    if "model" in differing:
        unlike.append(f"another model: {differing['model']}")
    elif options:
        unlike.append("another model: " + printable("; ".join(f"{name} {text}" for name, text in options.items()), 400))
    elif not torch.equal(state["model"]["orders"], model.orders):
        unlike.append("another model: it visits the pixels in another order")
    return unlike


def goes_on(folder: Path, at: Progress, settings: Settings, run: dict[str, Any], images: int) -> bool:
    """Says from where the run goes on and which options differ, or that nothing is left to do, and returns which.

    Raises UserError where nothing is left to do and the options are another run's.
    """
    total, then, over = updates(settings, images), _settings({**run, **at.run}), ""
    if at.step >= total or (at.step >= updates(then, images) and settings.epochs <= then.epochs):
        over = f"all {settings.epochs} epochs are done; training.epochs=… for more"
    elif settings.max_minutes and at.seconds > 60 * settings.max_minutes:
        over, at.stopped_by = f"training.max_minutes={settings.max_minutes:g} are up", "max_minutes"
    elif settings.patience and at.validations_without_gain >= settings.patience:
        over, at.stopped_by = f"no gain in training.patience={settings.patience} validations", "patience"
    differing = {name: f"{name} {text}" for name, text in _differing(at.run or run, run).items() if name != "data"}
    if over and (others := [text for name, text in differing.items() if name not in ENDS]):
        raise UserError(f"{folder} holds a run that is over, with other options: {'; '.join(others)}; {ELSEWHERE}")
    told = [f"nothing left to do: {over}" if over else f"goes on from update {at.step:,} of {total:,}"]
    told += differing.values()
    if not at.run:
        told.append("the state is of an earlier version: its data and options could not be compared with those of now")
    elif not over and (now := rate(settings, at, images)) != (before := rate(then, at, images)):
        told.append(
            f"the learning rate goes on at {now:.3g}; with the options recorded in the run it would be {before:.3g}"
        )
    for text in told if distributed.is_main() else ():
        note(text)
    return not over


def _differing(then: Any, now: Any) -> dict[str, str]:
    """The names of which two options differ, and their values, in words."""
    one, two = dict(_leaves(then)), dict(_leaves(now))
    words = {name: [printable(side.get(name, "null"), LONGEST) for side in (one, two)] for name in one | two}
    return {
        printable(name, LONGEST): f"{a} in the run, {b} now"
        for name, (a, b) in words.items()
        if one.get(name) != two.get(name)
    }


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """All values below this one, in words, by names such as ordering.name."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _settings(run: dict[str, Any]) -> Settings:
    """The settings in what a run says of itself."""
    return Settings(**{f.name: run[f"training.{f.name}"] for f in fields(Settings) if f"training.{f.name}" in run})


def _checked(at: Progress) -> Progress:
    """TypeError unless each field is of its kind."""
    for name, default in vars(Progress()).items():
        value, kind = getattr(at, name), type(default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise TypeError(f"progress.{name} is {value!r}")
    _settings(at.run)
    return at


def forget_after(folder: Path, step: int) -> None:
    """Removes the records after the step of the state: they will be made again."""
    if not (records := folder / RECORDS).exists():
        return
    lines = records.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
    write_whole(records, lambda path: path.write_text("".join(kept), encoding="utf-8"))


def _step(line: str) -> float:
    """Of a record; of a line that is none, infinity."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.inf
    return step if isinstance(step, int) else math.inf
