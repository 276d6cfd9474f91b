"""The settings of a run, how far it is, and its saved state: a resumed run has the numbers of one that was not stopped."""

import hashlib
import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelrnn import checkpoint, distributed, pretrained
from pixelrnn.datasets import Dataset
from pixelrnn.errors import ProcessLost, UserError, in_one_line, is_out_of_memory, note, printable
from pixelrnn.files.atomic import ELSEWHERE, write_whole
from pixelrnn.model import Model
from pixelrnn.options import LONGEST, check_fields

STATE = "training.pt"
# These cannot change in a run.
FIXED = ("model.", "init", "image_digest", "teacher_digest", "training.optimizer", "training.batch_size")
LIMITS = ("training.epochs", "training.max_minutes", "training.patience")  # these may, even in a run that is over


@dataclass(frozen=True)
class Settings:
    """How to train. conf/train.yaml lists the same names and explains each. Raises UserError for a value out of range.

    Messages name a setting as Python does; for the command line it has the prefix "training.".
    """

    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 64
    accumulate: int = 1
    bptt: str = "full"
    segment: int | None = None
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_norm: float = 1.0
    average_decay: float = 0.999
    validate_every: int | None = None
    valid_limit: int | None = 1000
    patience: int | None = None
    samples: int = 25
    occlusion: str | None = None
    first_order: float | None = None
    bf16: bool | None = None
    figures: str = "png"
    recoveries: int = 0
    resume: str = "auto"

    def __post_init__(self) -> None:
        check_fields(self, "training.")
        if self.occlusion == "mask":
            raise UserError("occlusion=mask: one file hides the same pixels of all images; use mixed")
        if self.segment and self.bptt == "full":
            raise UserError(f"segment={self.segment}: bptt=full has no segments; leave it out, or choose another bptt")
        if self.optimizer == "rmsprop" and self.weight_decay != Settings.weight_decay:
            raise UserError(f"weight_decay={self.weight_decay:g}: optimizer=rmsprop has none; leave it out")
        if self.resume not in ("auto", "never"):
            raise UserError(f"resume={self.resume}: it is auto or never; in Python, a run's folder is given as folder=")


@dataclass
class Progress:
    """How far a run is. Raises TypeError for a value of another type."""

    step: int = 0
    seconds: float = 0.0
    best_nats: float = math.inf  # of the hidden pixels, if training hides some
    best_bits_per_dim: float = math.inf
    validations_without_gain: int = 0
    validated_from: int = 0  # the update since which all validations are on the same images and masks
    recoveries: int = 0  # how often the run went back to its last saved state
    records: int = field(default=0, repr=False)  # lines of metrics.jsonl
    losses: list = field(default_factory=list, repr=False)  # of the updates since the last record, in bits/dim
    stopped_by: str = ""  # "", "patience", "max_minutes", "SIGINT" or "SIGTERM"
    run: dict = field(default_factory=dict, repr=False)  # from describe_run()

    def __post_init__(self) -> None:
        for each in fields(self):
            if type(value := getattr(self, each.name)) is not each.type:
                raise TypeError(f"progress.{each.name} is {value!r}")

    def learning_rate(self, settings: Settings, batches: int) -> float:
        """The learning rate of the next update, for so many batches an epoch: linear warm-up, then half a cosine down to a
        hundredth, by the updates or by the time, whichever is further; half of that after each recovery."""
        time_used = self.seconds / (60 * settings.max_minutes) if settings.max_minutes else 0.0
        done = min(1.0, max(self.step / (settings.epochs * batches), time_used))
        warmup = min(1.0, (self.step + 1) / max(1, settings.warmup_steps))
        rate = settings.learning_rate * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        return rate / 2**self.recoveries

    def limit_reached(self, settings: Settings) -> str:
        """The setting that ends the run before all epochs are done: "max_minutes", "patience" or ""."""
        if settings.max_minutes and self.seconds > 60 * settings.max_minutes:
            return "max_minutes"
        return "patience" if settings.patience and self.validations_without_gain >= settings.patience else ""


def describe_run(
    model: Model, data: Dataset, settings: Settings, seed: int, teacher: Model | None = None
) -> dict[str, Any]:
    """Everything that a run depends on, as plain values; UserError unless all processes have the same."""
    run = {
        "image_digest": _digest(*data.train_tensors, data.valid, torch.tensor(data.dynamic)),
        "teacher_digest": _digest(*teacher.state_dict().values()) if teacher else None,
        "seed": seed,
        "model": {"name": type(model).__name__, **model.arguments, "order_digest": _digest(model.orders)},
        "training": {name: value for name, value in asdict(settings).items() if name != "resume"},
    }
    if distributed.all_reduce_sum(torch.tensor(float(run != distributed.broadcast(run)))):
        raise UserError("the processes have different images or options; give all the same data and the same command")
    return {"data": data.name, "init": pretrained.placed(model.trained_on.get("init")), **run}


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.cpu().flatten().numpy().data)
    return digest.hexdigest()


def save(folder: Path, model: Model, average: Model, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write folder/last: the averaged model, and one file with everything that an exact continuation needs."""
    checkpoint.save(average, folder / "last")
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        checkpoint.DIGESTS: average.train_digests,
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
    }
    file = io.BytesIO()  # torch.save to a path hides that the disk is full
    torch.save(state, file)
    write_whole(folder / "last" / STATE, lambda path: path.write_bytes(file.getbuffer()))


def load(
    folder: Path, model: Model, average: Model, optimizer: torch.optim.Optimizer, run: dict[str, Any] | None = None
) -> Progress:
    """Load the state that process 0 finds in the folder, in all processes; a new Progress if there is none.

    Raises UserError if the state is damaged, or of a run that differs from `run` in FIXED. Changes no file.
    """
    path = folder / "last" / STATE
    try:
        content = distributed.by_main(lambda: path.read_bytes() if path.exists() else None)
        if content is None:
            return Progress()
        # Onto the CPU: the digests and the optimiser's step counts stay there; load_state_dict moves the rest.
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        progress = Progress(**state["progress"] | {"stopped_by": ""})
        Settings(**progress.run.get("training", {}))
        differing = differences(progress.run, progress.run if run is None else run)
        if any(name.startswith(FIXED) for name in differing):
            texts = "; ".join(text for name, text in differing.items() if name.startswith((*FIXED, "data")))
            way_out = f"give the options it was trained with (on the command line, {way_on(folder)})"
            way_out = "give the data it was trained on" if "image_digest" in differing else way_out
            raise UserError(f"{path} is of another run: {printable(texts, 400)}; {way_out}, or {ELSEWHERE}")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        average.remember(state[checkpoint.DIGESTS])
        # The optimiser keeps its own options: they may have changed.
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state["optimizer"]["state"]})
    except (UserError, ProcessLost):
        raise
    except Exception as error:  # a damaged file can raise anything
        if is_out_of_memory(error):
            raise
        reason = in_one_line(error, 200)
        raise UserError(f"{path} is damaged or of another version ({reason}); {ELSEWHERE}") from None
    return progress


def way_on(folder: Path) -> str:
    """The command that resumes a run from any working folder, with the options that it was trained with."""
    return f"go on with: pixelrnn train {shlex.quote(f'training.resume={folder.absolute()}')}"


def note_resumption(folder: Path, progress: Progress, run: dict[str, Any], batches: int, hides: bool) -> bool:
    """Note where a run resumes and what differs, or that nothing is left to do; returns whether something is left.

    hides: whether pixels are hidden in training. If the validation is now on other images or masks, the best is forgotten.
    Raises UserError if nothing is left to do but more than LIMITS differs.
    """
    settings, before = (Settings(**description["training"]) for description in (run, progress.run))
    total, over = settings.epochs * batches, ""
    if progress.step >= total:
        over = f"all {settings.epochs} epochs are done; epochs=… for more"
    elif limit := progress.limit_reached(settings):
        over, progress.stopped_by = f"{limit}={getattr(settings, limit):g} is reached", limit
    differing = differences(progress.run, run)
    differing.pop("data", None)  # another name for the same images
    if over and (others := [text for name, text in differing.items() if name not in LIMITS]):
        raise UserError(f"{folder} holds a run that is over, with other options: {'; '.join(others)}; {ELSEWHERE}")
    notes = [f"nothing left to do: {over}" if over else f"goes on from update {progress.step:,} of {total:,}"]
    notes += differing.values()
    then, now = (progress.learning_rate(each, batches) for each in (before, settings))
    if not over and now != then:
        notes.append(
            f"the learning rate goes on at {now:.3g}; with the options recorded in the run it would be {then:.3g}"
        )
    on = [validated_on(dict(leaves(description)), hides) for description in (progress.run, run)]
    if not over and on[0] != on[1] and progress.best_nats < math.inf:
        progress.best_nats, progress.best_bits_per_dim, progress.validations_without_gain = math.inf, math.inf, 0
        progress.validated_from = progress.step
        notes.append(
            "the validation is on other images or masks than before: the best is looked for anew, from here on"
        )
    for text in notes if distributed.is_main() else ():
        note(text)
    return not over


def validated_on(facts: Mapping[str, str], hides: bool) -> tuple[str | None, ...]:
    """All that the validations of a run depend on, given its leaves: the images, and the masks if pixels are hidden."""
    images = facts.get("image_digest"), facts.get("training.valid_limit")
    occlusion = facts.get("training.occlusion", "null").replace("null", "mixed")  # the default where pixels are hidden
    return (*images, occlusion, facts.get("seed")) if hides else images


def differences(then: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """By name, such as "model.width", the values that differ between a saved run and this one, in words."""
    old, new = dict(leaves(then)), dict(leaves(now))
    both = {name: [values.get(name, "null") for values in (old, new)] for name in old | new}
    words = {name: [printable(value, LONGEST) for value in (a, b)] for name, (a, b) in both.items() if a != b}
    return {
        name: f"{printable(name.removeprefix('training.'), LONGEST)} {a} in the run, {b} now"
        for name, (a, b) in words.items()
    }


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The values in nested dicts, in words, with names such as "model.ordering.name"."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, f"{name}.{key}" if name else str(key))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)
