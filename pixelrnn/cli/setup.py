"""What several commands need: the device, the checkpoint, the data it was trained on."""

import re
from typing import Any

import torch
from omegaconf import DictConfig

from pixelrnn import checkpoint, pretrained
from pixelrnn.cli.app import plain
from pixelrnn.completion.describe import describe
from pixelrnn.data import Dataset, load
from pixelrnn.errors import DataMissing, UserError
from pixelrnn.model import Model
from pixelrnn.notes import note


def choose_device(cfg: DictConfig) -> torch.device:
    """The device that cfg.device names, "auto" being the best that is there; sets the number of threads as well."""
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    counts = {"cuda": torch.cuda.device_count() if cuda else 0, "mps": int(mps), "cpu": 1}
    if cfg.device == "auto":
        best = next(name for name, count in counts.items() if count)
        return torch.device(best, torch.cuda.current_device()) if best == "cuda" else torch.device(best)
    name, _, number = cfg.device.partition(":")
    if int(number or 0) >= counts[name]:
        raise UserError(f"device={cfg.device} is not there on this machine; use device=auto or device=cpu")
    device = torch.device(cfg.device)
    return torch.device("cuda", torch.cuda.current_device()) if cfg.device == "cuda" else device


def load_checkpoint(cfg: DictConfig) -> Model:
    """The model of cfg.checkpoint on the device of cfg.device."""
    if not cfg.checkpoint:
        raise UserError(
            "which model? give checkpoint=<the folder of a run or of a saved model>, such as checkpoint=outputs/demo, or a "
            f"bundled one: {', '.join(pretrained.names())}"
        )
    return checkpoint.load(cfg.checkpoint, choose_device(cfg))


def load_data(cfg: DictConfig, model: Model, part: str = "test") -> Dataset:
    """The data of cfg.data, or where it is null those of the checkpoint, at cfg.root if given; of the model's form.

    The examples that ship with a bundled model stand in for its test data where these are missing, with a note.
    """
    try:
        return _load_data(cfg, model)
    except DataMissing as error:
        if "data" in cfg or cfg.root is not None or part != "test" or cfg.checkpoint not in pretrained.names():
            raise
        images = pretrained.examples(cfg.checkpoint)
        reason = re.split(r"[:;] | \(", str(error))[0]
        note(
            f"{reason}; the {len(images)} examples that ship with {cfg.checkpoint} are used instead of its test data "
            "(give root=<the folder that holds them> to use these)"
        )
        return Dataset(f"examples of {cfg.checkpoint}", model.levels, images[:0], images[:0], images)


def _load_data(cfg: DictConfig, model: Model) -> Dataset:
    spec: dict[str, Any] | None = plain(cfg.data) if "data" in cfg else model.trained_on.get("data")
    if spec is None:
        raise UserError(
            f"checkpoint {cfg.checkpoint} does not say what it was trained on; choose data=digits, data=mnist, …"
        )
    if cfg.root is not None:
        spec = {**spec, "root": cfg.root}
    elif "data" not in cfg and spec["name"] == "folder" and not spec.get("root"):
        raise DataMissing(
            f"checkpoint {cfg.checkpoint} was trained on a folder of pictures: give root=<such a folder>, or data=…"
        )
    data = load(spec)
    if data.shape != model.shape or data.levels != model.levels:
        raise UserError(
            f"{data.name} has images of {describe(data.shape, data.levels)}; checkpoint {cfg.checkpoint} models "
            f"{describe(model.shape, model.levels)}: choose data.size, data.channels and data.levels to match"
        )
    return data
