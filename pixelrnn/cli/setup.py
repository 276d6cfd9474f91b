"""Shared by several commands: the device, the model of the checkpoint, its data, and the progress bar."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from pixelrnn import checkpoint, distributed, pretrained
from pixelrnn.cli.compose import plain
from pixelrnn.cli.manual import page
from pixelrnn.completion.describe import describe, note_repeats, note_seen
from pixelrnn.completion.fill import Progress
from pixelrnn.datasets import Dataset, load
from pixelrnn.errors import DataMissing, UserError, note, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.model import Model


def choose_device(cfg: DictConfig) -> torch.device:
    """The device that cfg.device names; "auto" is the best there is. Also set the number of threads."""
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if cfg.device == "auto" and counts["cuda"] and (reason := _too_old()):
        note(f"{reason}; device=auto takes the CPU")
        return torch.device("cpu")
    name = next(name for name in counts if counts[name]) if cfg.device == "auto" else cfg.device
    kind, _, number = name.partition(":")
    if int(number or 0) >= counts[kind]:
        raise UserError(f"device={cfg.device} is not there on this machine; use device=auto or device=cpu")
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device(name)


def _too_old() -> str | None:
    """The reason if the current GPU is older than all GPUs that this build of torch has kernels for, else None."""
    built = [
        int(number[1]) for name in torch.cuda.get_arch_list() if (number := re.match(r"(?:sm|compute)_(\d+)", name))
    ]
    major, minor = torch.cuda.get_device_capability()
    if not built or 10 * major + minor >= min(built):
        return None
    least = f"{min(built) // 10}.{min(built) % 10}"
    return f"this PyTorch needs a GPU of compute capability {least} or more, and this one has {major}.{minor}"


def load_checkpoint(cfg: DictConfig) -> Model:
    """The model of cfg.checkpoint on the device of cfg.device; of a list of checkpoints, their ensemble."""
    return checkpoint.load(plain(cfg.checkpoint), choose_device(cfg))


def checkpoint_name(cfg: DictConfig) -> str:
    """cfg.checkpoint as the command line has it."""
    return as_given(plain(cfg.checkpoint))


def as_given(checkpoint: str | list[str]) -> str:
    """A checkpoint or a list of them as the command line has it."""
    return f"[{','.join(checkpoint)}]" if isinstance(checkpoint, list) else str(checkpoint)


def refuse_others(cfg: DictConfig, command: str, names: Iterable[str], why: str) -> None:
    """Raise UserError if any of these options, which have no effect here, is not at the command's default."""
    known = page(command).groups | page(command).options
    given = {name: plain(cfg.get(name)) for name in names}
    extra = {name: value for name, value in given.items() if value != known[name].value}
    if extra:
        words = [f"{name}={value['name'] if name == 'data' else value}" for name, value in extra.items()]
        leave = "leave it out" if len(words) == 1 else "leave them out"
        raise UserError(f"{', '.join(words)}: {checkpoint_name(cfg)} {why}; {leave}")


def count_repeats(cfg: DictConfig, model: Model, data: Dataset, images: Tensor) -> int | None:
    """How many of the images the model was trained on, with a note; None, also with a note, if nobody knows.

    A model that does not record its training images was trained on those of its own data, and perhaps on others before.
    """
    is_own, before = model.train_digests is None and "data" not in cfg, model.trained_on.get("before")
    known = data.train_digests if is_own else model.train_digests
    repeats = note_repeats(known, images, cfg.part)
    if is_own and before and not repeats:  # nobody knows about the others
        repeats = None
    if repeats is None:
        note(f"checkpoint {checkpoint_name(cfg)} does not record its training images, so repeats cannot be counted")
    return repeats


def load_data(cfg: DictConfig, model: Model, part: str = "test", any_size: bool = False) -> Dataset:
    """The data of cfg.data, or the checkpoint's own if that is null, from the folder cfg.root if that is given.

    any_size: the images may be of another size than the model's.
    If the test data of a bundled model are missing, or of an ensemble with one, which was trained on the same data, the examples
    that ship with the bundled model take their place, with a note.
    """
    own = "data" not in cfg
    try:
        spec = _own_data(cfg, model) if own else {**plain(cfg.data), **({"root": cfg.root} if cfg.root else {})}
        data = load(spec)
    except DataMissing:
        given, known = plain(cfg.checkpoint), pretrained.names()
        bundled = next((name for name in (given if isinstance(given, list) else [given]) if name in known), None)
        if not own or cfg.root is not None or part != "test" or bundled is None:
            raise
        images = pretrained.examples(bundled)
        note(
            f"the test data of {checkpoint_name(cfg)} are not on this machine and could not be downloaded; the {len(images)} "
            f"examples that ship with {bundled} are used instead of its test data (give root=<the folder of the data>)"
        )
        return Dataset(f"examples of {bundled}", model.levels, images[:0], images[:0], images)
    shape = (model.shape[0], *data.shape[1:]) if any_size else model.shape
    if data.shape != shape or data.levels != model.levels:
        raise UserError(
            f"{data.name} has images of {describe(data.shape, data.levels)}; checkpoint {checkpoint_name(cfg)} models "
            f"{describe(model.shape, model.levels)}: choose data.size, data.channels and data.levels to match"
        )
    if part == "valid":
        note_seen(model, spec)
    return data


def _own_data(cfg: DictConfig, model: Model) -> dict[str, Any]:
    """The options of the data that the checkpoint was trained on."""
    spec: dict[str, Any] | None = model.trained_on.get("data")
    if spec is None:
        raise UserError(
            f"checkpoint {checkpoint_name(cfg)} does not say what it was trained on; choose data=digits, data=mnist, …"
        )
    spec = {**spec, "root": cfg.root or spec.get("root")}
    own = {"folder": "folder of pictures", "photos": "folder of pictures", "array": "file of arrays"}.get(spec["name"])
    if own and not spec["root"]:
        raise DataMissing(
            f"checkpoint {checkpoint_name(cfg)} was trained on a {own}: give root=<such a {own.split()[0]}>, or data=…"
        )
    if own and not expanded(spec["root"]).exists():
        raise DataMissing(
            f"checkpoint {checkpoint_name(cfg)} was trained on a {own}, {printable(spec['root'])}, which is not there; give "
            f"root=<such a {own.split()[0]}>, or data=…"
        )
    return spec


@contextmanager
def pixel_bar(description: str) -> Iterator[Progress]:
    """Context manager: a progress bar, and the function that updates it; only in a terminal, and in the first process."""
    quiet = None if distributed.is_main() else True  # None: unless this is a terminal
    with tqdm(desc=description, unit="pixel", dynamic_ncols=True, disable=quiet) as bar:

        def update(done: int, total: int, _: Tensor) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
