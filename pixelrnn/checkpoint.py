"""Saved models: a folder with model.safetensors (weights and order) and config.json (plain values), never a pickle."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pixelrnn import ordering as orderings
from pixelrnn import pretrained
from pixelrnn.errors import UserError, nearest
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
    """The model of a folder, of a run's folder (its best weights, else its last), or of a bundled model's name, ready to
    evaluate or sample.

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


@dataclass(frozen=True)
class Inherited:
    """What a model has from a saved one, in numbers of parameters, and which of its parts begin as made, and which of the
    saved ones found no place; a part is a module by its name, such as "encoder"."""

    taken: int
    parameters: int
    new: list[str]
    left: list[str]


# Options that have to agree, or no layer's weights would fit, or they would mean something else. The ordering is another.
SAME = ("cell", "layer", "width", "residual")


def initialise(model: Model, saved: Model) -> Inherited:
    """Gives a model the weights of a loaded one that have a place in it: those of the same name and shape.

    The rest is as made: a new encoder adds nothing at first, so that with all else alike the model is the saved one until
    it learns. Raises UserError where the saved model is of another kind, cell, width, residual form or first order.
    """
    differing = [] if type(saved) is type(model) else ["kind"]
    differing += [key for key in SAME if saved.arguments.get(key) != model.arguments.get(key)]
    if saved.shape[1:] == model.shape[1:]:
        same_order = torch.equal(saved.orders[0], model.orders[0])
    else:
        same_order = orderings.describe(saved.arguments["ordering"]) == orderings.describe(model.arguments["ordering"])
    differing += [] if same_order else ["ordering"]
    if differing:
        raise UserError(
            f"the model of init= and the one configured are not alike: {', '.join(differing)} differ; leave these options "
            "out, and the model is as the saved one"
        )
    weights, made = saved.state_dict(), model.state_dict()
    del weights["orders"], made["orders"]
    kept = {name: w for name, w in weights.items() if name in made and made[name].shape == w.shape}
    model.load_state_dict(kept, strict=False)
    return Inherited(
        sum(w.numel() for w in kept.values()),
        sum(w.numel() for w in made.values()),
        _parts(made.keys() - kept.keys(), made),
        _parts(weights.keys() - kept.keys(), weights),
    )


def _parts(names: Collection[str], all_names: Collection[str]) -> list[str]:
    """The modules of which all parameters are among these names: "encoder" where that is true of the whole one, else the
    part, "inputs.value"."""
    others = [name for name in all_names if name not in names]
    found = set()
    for name in names:
        words = name.split(".")
        prefixes = (".".join(words[:n]) for n in range(1, len(words)))
        whole = (prefix for prefix in prefixes if not any(other.startswith(f"{prefix}.") for other in others))
        found.add(next(whole, name))
    return sorted(found)


def find(checkpoint: str | Path) -> Path:
    """The folder that holds the model: that of a bundled one's name, or `checkpoint` itself, or best/ or last/ below it."""
    bundled = pretrained.names()
    folder = pretrained.FOLDER / checkpoint if str(checkpoint) in bundled else Path(checkpoint)
    if not folder.is_dir():
        raise UserError(
            f"checkpoint {folder}: no such folder{nearest(str(checkpoint), bundled)}; give the folder of a run "
            f"(outputs/train/…) or of a saved model, or a bundled one: {', '.join(bundled)}"
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
