"""pixelrnn train"""

import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import TextIOBase
from pathlib import Path
from typing import Any

import torch

from pixelrnn import checkpoint, datasets, distributed
from pixelrnn.cli.app import SIGNALS, Stopped, record
from pixelrnn.cli.compose import Job, placed_root, plain
from pixelrnn.cli.setup import as_given, choose_device
from pixelrnn.completion.describe import describe, describe_model, note_repeats, note_seen
from pixelrnn.errors import ProcessLost, TrainingDiverged, UserError, note
from pixelrnn.files.atomic import append
from pixelrnn.model import MODELS, Ensemble, Model
from pixelrnn.options import configure
from pixelrnn.training.loop import train
from pixelrnn.training.state import STATE, Progress, Settings, way_on
from pixelrnn.training.update import occlusion_of


def run(job: Job) -> float:
    """Train, and return the best nats per validation image, which Hydra's sweepers minimise."""
    log = Log(job.folder / "train.log")

    def begins() -> None:
        record(job)
        log.open()

    with redirect_stdout(log):
        try:
            return _train(job, begins)
        except (UserError, TrainingDiverged, ProcessLost) as error:
            log.close_with(f"pixelrnn: {error}\n")
            raise


class Log(TextIOBase):
    """Standard output, and from open() on also a file. It begins with all that was printed before."""

    def __init__(self, path: Path):
        self.terminal, self.path, self.before, self.is_open = sys.stdout, path, "", False

    def open(self) -> None:
        append(self.path, self.before)
        self.is_open = True

    def write(self, text: str) -> int:
        if self.is_open:
            append(self.path, text)
        else:
            self.before += text
        return self.terminal.write(text)

    def close_with(self, text: str) -> None:
        """Add the line that ends the run, which goes to standard error."""
        if self.is_open:
            append(self.path, text)

    def flush(self) -> None:
        self.terminal.flush()


def _train(job: Job, begins: Callable[[], None]) -> float:
    """begins() is called before anything in the folder changes, and only if something is left to do."""
    cfg, folder = job.cfg, job.folder
    training, device = plain(cfg.training), choose_device(cfg)
    teacher = checkpoint.load(given, device) if (given := training.pop("teacher", None)) else None
    settings = Settings(**training)
    specs = {name: plain(cfg[name]) for name in ("data", "model", "ordering", "likelihood")}
    saved = checkpoint.load(cfg.init, device) if cfg.init else None
    if isinstance(saved, Ensemble):
        raise UserError(
            f"init={cfg.init} is an ensemble, which is not trained; give the checkpoint of one of its members"
        )
    if saved:
        specs = _as_saved(specs, saved, job.chosen)
    if not (folder / "last" / STATE).exists():  # a run of an earlier version may go on
        _check_ordering(specs["model"].get("orders"), job.chosen)
    data = datasets.load(specs["data"])
    torch.manual_seed(cfg.seed)
    make = configure("model", specs["model"], MODELS)
    model = make(data.shape, data.levels, ordering=specs["ordering"], likelihood=specs["likelihood"]).to(device)
    seen = dict(specs["data"])
    if seen.get("root"):  # evaluate works from any working folder
        seen["root"] = placed_root(seen["root"])
    model.trained_on = {"data": seen, "seed": cfg.seed}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"data       {data.name}; {describe(data.shape, data.levels)}")
    if saved:
        _inherit(model, saved, f"init={cfg.init}")
    if teacher:
        _inherit(model, teacher, f"training.teacher={as_given(given)}")
    model.remember(data.train_digests)
    known = data.train_digests if model.train_digests is None else model.train_digests
    for part in ("valid", "test"):
        note_repeats(known, getattr(data, part), part)
    print(f"model      {describe_model(model)}, {parameters:,} parameters, on {device}")
    if saved:
        _begin_with(model, saved, cfg.init)
    if teacher:
        model.trained_on["teacher"] = given
        print(f"teacher    {as_given(given)}: {describe_model(teacher)}")
    note_seen(model, specs["data"])
    processes = f", {distributed.size()} processes" if distributed.size() > 1 else ""
    print(f"folder     {folder}{processes}", flush=True)

    try:
        at = train(model, data, settings, folder, cfg.seed, begins=begins, teacher=teacher)
    except ProcessLost as error:
        raise ProcessLost(f"{error}; the last saved state is in {folder / 'last'}; {way_on(folder)}") from error
    except TrainingDiverged as error:
        kept = f"; the last good checkpoint is in {folder}" if (folder / "last").is_dir() else ""
        raise TrainingDiverged(f"{error}{kept}") from None

    _report(at, settings, model, folder, len(data.train))
    return at.best_nats


def _report(at: Progress, settings: Settings, model: Model, folder: Path, images: int) -> None:
    """Say how far the run came, and where its results lie; Stopped if a signal ended it."""
    reasons = {"": "all epochs done", "patience": "no more gain", "max_minutes": "time is up"}
    reason = reasons.get(at.stopped_by, f"stopped by {at.stopped_by}")
    epochs = at.step / math.ceil(images / settings.batch_size)
    print(
        f"trained    {at.step:,} updates in {at.seconds / 60:.1f} min, {at.seconds / 60 / epochs:.2f} min an epoch ({reason})"
    )
    hidden = f" (hidden pixels, {occlusion})" if (occlusion := occlusion_of(settings, model)) else ""
    if at.best_nats < math.inf:
        print(f"best       {at.best_nats:.2f} nats per validation image, {at.best_bits_per_dim:.4f} bits/dim{hidden}")
    else:
        print("best       none: there was no validation yet")
    if at.stopped_by in SIGNALS:
        print(f"saved      {folder / 'last'}; {way_on(folder)}")
        raise Stopped(at.stopped_by)
    pictures = [folder / f"{name}.{settings.figures}" for name in ("curves", "samples")]
    if there := [str(path) for path in pictures if path.exists()]:  # a run that was over already draws none
        print(f"pictures   {', '.join(there)}")


def _check_ordering(orders: Any, chosen: set[str]) -> None:
    """UserError for an ordering= beside a list of orders, which takes its place."""
    if isinstance(orders, list) and (given := [name for name in chosen if name.split(".")[0] == "ordering"]):
        raise UserError(
            f"{given[0]}= has no effect beside model.orders=[…]: put the ordering into the list, or leave one out"
        )


def _inherit(model: Model, other: Model, source: str) -> None:
    """Count as seen what another model was trained on; a note if it does not know its images."""
    if other.train_digests is None:
        note(f"{source} does not record its training images, so repeats of them cannot be counted")
    model.inherit(other)


def _begin_with(model: Model, saved: Model, init: str) -> None:
    """Start a model with the weights of a saved one, and say which layers are new."""
    model.trained_on["init"] = init
    inherited = checkpoint.initialise(model, saved)
    print(f"init       {init}: {inherited.taken:,} of the {inherited.parameters:,} parameters taken over")
    for what, names in {"new": inherited.new, "left behind": inherited.left}.items():
        if names:
            print(f"           {what}: {', '.join(names)}")


def _as_saved(specs: dict[str, Any], saved: Model, chosen: set[str]) -> dict[str, Any]:
    """The configuration of a run with init=. Options that the command line does not set, which are not in `chosen`, are as
    in the saved model: the model's own, its ordering and likelihood, and the data's size, channels and levels. An
    experiment sets all options."""
    if "experiment" in chosen:
        return specs
    channels, height, width = saved.shape
    form = {"size": height if height == width else None, "channels": channels, "levels": saved.levels}
    data = {**specs["data"], **{key: value for key, value in form.items() if f"data.{key}" not in chosen}}
    saved_specs = {key: saved.arguments[key] for key in ("ordering", "likelihood")}
    if saved_specs["ordering"] == {"name": "custom"}:
        saved_specs["ordering"] = saved.orders.cpu()
    kept = {key: saved_specs[key] for key in saved_specs if not any(name.split(".")[0] == key for name in chosen)}
    if "model" in chosen:
        return {**specs, **kept, "data": data}
    options = {key: value for key, value in saved.arguments.items() if key not in ("shape", "levels", *saved_specs)}
    changed = {name.split(".")[1] for name in chosen if name.startswith("model.")}
    model = {"name": type(saved).__name__, **options, **{key: specs["model"].get(key) for key in changed}}
    return {**specs, **kept, "data": data, "model": model}
