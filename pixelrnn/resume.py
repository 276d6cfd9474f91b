"""The state of a training run, from which it goes on with the same numbers as if it had not stopped."""

import io
import json
import math
import shutil
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import torch

from pixelrnn import checkpoint, distributed
from pixelrnn.errors import UserError
from pixelrnn.files import expanded, to_disk, write_whole
from pixelrnn.model import Model
from pixelrnn.plugins import shown

STATE = "training.pt"
RECORDS = "metrics.jsonl"


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


def save_state(folder: Path, model: Model, average: Model, optimizer: torch.optim.Optimizer, at: Progress) -> None:
    """Writes folder/last: the averaged model, and in one file all that an exact continuation needs but the records so far."""
    if (records := folder / RECORDS).exists():
        to_disk(records)
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
    write_whole(folder / "last" / STATE, lambda path: path.write_bytes(file.getbuffer()), durable=True)


def load_state(resume: str, folder: Path, model: Model, average: Model, optimizer: torch.optim.Optimizer) -> Progress:
    """Restores the state that `resume` names: "auto" (this folder's, if it has one), "never", or another run's folder.

    Of another run this one begins with all that it had, its best model too, and once it has a state of its own, goes on from
    that. Raises UserError where there is none, where it is damaged or of another model, and where "never" would overwrite it.
    """
    own = folder / "last" / STATE
    if resume == "never" and own.exists():
        raise UserError(
            f"{folder} already holds a training run; give another hydra.run.dir, or training.resume=auto to go on"
        )
    if resume == "never" or (resume == "auto" and not own.exists()):
        if distributed.is_main():
            (folder / RECORDS).unlink(missing_ok=True)
        return Progress()
    named = folder if resume == "auto" else expanded(resume)
    if not (path := named / "last" / STATE).is_file():
        raise UserError(f"training.resume={resume}: {path} is not there; give a run's folder, auto or never")
    begins = not own.exists()
    source = named if begins else folder
    at = _restored(source / "last" / STATE, model, average, optimizer)
    if distributed.is_main():
        if begins:
            _copy(source / "best", folder / "best")
        _forget_after(source / RECORDS, folder / RECORDS, at.step)
        if begins:
            _copy(source / "last", folder / "last")  # the state last of all: with it, the folder is a run of its own
    return at


def _restored(path: Path, model: Model, average: Model, optimizer: torch.optim.Optimizer) -> Progress:
    configured = [{**group, "params": []} for group in optimizer.param_groups]
    try:
        state = torch.load(path, map_location=model.order.device, weights_only=True)
        if state["arguments"] != json.dumps(model.arguments):
            raise UserError(
                f"{path} is of another model than the one configured: {shown(state['arguments'], 500)}; use the same settings"
            )
        if len(state["optimizer"]["param_groups"]) != len(configured):
            raise UserError(f"{path} is of a run with another training.optimizer; use the same settings")
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        average.remember(state.get(checkpoint.DIGESTS))  # of the data as they were then
        optimizer.load_state_dict(state["optimizer"])
        for group, options in zip(optimizer.param_groups, configured, strict=True):  # as now asked for, not as then
            group.update({**options, "params": group["params"]})
        at = _checked(Progress(**state["progress"]))
    except UserError:
        raise
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is damaged or of another version ({reason}); begin anew in another folder (hydra.run.dir=)"
        ) from None
    at.stopped_by = ""
    return at


def _copy(source: Path, target: Path) -> None:
    """The files of a saved model, and the state beside it if there is one, in an order that is safe to end anywhere."""
    for name in (checkpoint.CONFIG, checkpoint.WEIGHTS, STATE):
        if (source / name).exists():
            write_whole(target / name, partial(shutil.copyfile, source / name), durable=True)


def _checked(at: Progress) -> Progress:
    """TypeError unless each field is of its kind."""
    for field in fields(at):
        value, kind = getattr(at, field.name), type(field.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise TypeError(f"progress.{field.name} is {value!r}")
    return at


def _forget_after(source: Path, target: Path, step: int) -> None:
    """Copies the records up to the step of the state: those after it will be made again."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True) if source.exists() else []
    kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
    write_whole(target, lambda path: path.write_text("".join(kept), encoding="utf-8"), durable=True)


def _step(line: str) -> float:
    """Of a record; of a line that is none, infinity."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.inf
    return step if isinstance(step, int) else math.inf
