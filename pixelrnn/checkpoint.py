"""Saved models: a folder with model.safetensors (weights and order) and config.json (plain values), never a pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pixelrnn.errors import UserError
from pixelrnn.files import write_json, write_whole
from pixelrnn.model import MODELS, Model
from pixelrnn.plugins import lookup

FORMAT = 2
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def save(model: Model, folder: str | Path) -> None:
    """Writes the model into `folder`, which is made if it is not there; each file is whole or not there."""
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    config = {
        "format": FORMAT,
        "model": type(model).__name__,
        "arguments": model.arguments,
        "trained_on": model.trained_on,
    }
    write_json(folder / CONFIG, config)
    write_whole(folder / WEIGHTS, lambda path: save_file(weights, path))


def load(checkpoint: str | Path, device: str | torch.device = "cpu") -> Model:
    """The model of a folder, or of a run's folder (its best weights, else its last), ready to evaluate or sample.

    Raises UserError, in one line, where the folder is missing or incomplete, of another format, or damaged.
    """
    folder = find(checkpoint)
    config = _read_config(folder / CONFIG)
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{folder / WEIGHTS} is damaged ({error}); copy it again, or train again") from None
    kind = lookup("model", str(config.get("model")), MODELS)
    arguments = config.get("arguments")
    if not isinstance(arguments, dict) or "orders" not in weights:
        raise UserError(f"{folder} is no complete model: config.json needs 'arguments' and {WEIGHTS} the 'orders'")
    try:
        # The orders come from the weights, so that a model keeps its own even if an ordering's code should change.
        model = kind(**{**arguments, "ordering": weights["orders"]})
        model.load_state_dict(weights)
    except (TypeError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder}: {CONFIG} and {WEIGHTS} do not fit together ({reason[:300]})") from None
    model.arguments = {**model.arguments, **arguments}  # the ordering by its name
    model.trained_on = config.get("trained_on") or {}
    return model.to(device).eval()


# What a model may have beyond the one whose weights it begins with, and options that change no weight.
ADDITIONS = ("bidirectional", "encoder_width", "encoder_depth", "orders", "dropout")


def initialise(model: Model, checkpoint: str | Path) -> None:
    """Gives a model the weights of a saved one that has no encoder, or a single order, where it may have more.

    What it has more is as made: a new encoder adds nothing at first, so the model is the saved one until it learns.
    Raises UserError where the saved model is of another kind, form, size or first order.
    """
    saved = load(checkpoint, model.order.device)
    differing = [] if type(saved) is type(model) else ["kind"]
    theirs, own = ({**m.arguments, "orders": None} for m in (saved, model))
    differing += [key for key in own if key not in ADDITIONS and key != "ordering" and theirs.get(key) != own[key]]
    differing += [] if torch.equal(saved.orders[0].cpu(), model.orders[0].cpu()) else ["ordering"]
    if differing:
        raise UserError(
            f"init={checkpoint} is of another model than the one configured: {', '.join(differing)} differ; it may differ in "
            f"{', '.join(ADDITIONS)}"
        )
    weights, new = saved.state_dict(), model.state_dict()
    kept = {name: weights[name] for name in weights if name != "orders"}
    unfit = [name for name in kept if name not in new or new[name].shape != kept[name].shape]
    if unfit:
        raise UserError(
            f"init={checkpoint} has weights without a place in the model configured: {', '.join(unfit[:3])}"
        )
    model.load_state_dict(kept, strict=False)


def find(checkpoint: str | Path) -> Path:
    """The folder that holds the model: `checkpoint` itself, or best/ or last/ below it."""
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise UserError(
            f"checkpoint {folder}: no such folder; give the folder of a run (outputs/train/…) or of a saved model"
        )
    for candidate in (folder, folder / "best", folder / "last"):
        if (candidate / CONFIG).is_file() and (candidate / WEIGHTS).is_file():
            return candidate
    raise UserError(
        f"checkpoint {folder} is incomplete: it needs {CONFIG} and {WEIGHTS}, in itself or in best/ or last/"
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); copy it again, or train again") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        version = config.get("format") if isinstance(config, dict) else None
        raise UserError(
            f"{path} has format version {version}; this program reads version {FORMAT}: use the pixelrnn that wrote it"
        )
    return config
