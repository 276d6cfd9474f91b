"""Saved models: a folder with model.safetensors (weights and order) and config.json (plain values), never a pickle.

They may be a stranger's. What config.json asks for is looked up in the package's tables and built under a budget that the
weights' file sets; after that every weight must have its place, and be a number.
"""

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn import pretrained
from pixelrnn.checkpoint.budget import within
from pixelrnn.errors import UserError, nearest
from pixelrnn.files.atomic import expanded, write_whole
from pixelrnn.model import MODELS, Model
from pixelrnn.registry import LONGEST, check_options, lookup, option_defaults, shown

FORMAT = 2
WEIGHTS, CONFIG = "model.safetensors", "config.json"
DIGESTS = "train_digests"  # beside the weights in their file, so that the two are always of one moment
MAX_CONFIG = 4 * 2**20  # bytes of config.json beside written out orders, and of the weights' header
ORDERS = 4  # bytes of config.json for each of the weights': a written out order takes up to 18 there, and 8 here
MAX_WEIGHTS = 2 * 2**30  # bytes of the weights
MAX_ORDERS = 1000  # of one model
MAX_NUMBER = 1_000_000  # of an option
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save(model: Model, folder: str | Path) -> None:
    """Writes the model into `folder`, which is made if it is not there; each file is whole or not there. UserError for a
    model that load() would refuse."""
    folder, (config, weights) = expanded(folder), check(model)
    write_whole(folder / CONFIG, lambda path: path.write_text(config, encoding="utf-8"), durable=True)
    # As bytes: what the system says of a full disk then arrives as it is.
    write_whole(folder / WEIGHTS, lambda path: path.write_bytes(weights), durable=True)


def check(model: Model) -> tuple[str, bytes]:
    """What config.json and the weights' file would hold; UserError where load() would refuse it, for which it is built."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if model.train_digests is not None:
        weights[DIGESTS] = model.train_digests
    name = type(model).__name__
    config = {"format": FORMAT, "model": name, "arguments": model.arguments, "trained_on": model.trained_on}
    try:
        text, data = json.dumps(config, indent=2, allow_nan=False) + "\n", as_bytes(weights)
        _check_size(len(data), int.from_bytes(data[:8], "little"))
        with torch.random.fork_rng(devices=[]):
            _build(_parse(text.encode(), MAX_CONFIG + ORDERS * len(data), CONFIG), weights, f"this {name}")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"this {name} is not saved, because it could not be loaded again: {error}") from None
    return text, data


def load(checkpoint: str | Path, device: str | torch.device = "cpu") -> Model:
    """The model of a folder, of a run's folder (its best weights, else its last), or of a bundled model's name, ready to
    evaluate or sample.

    Raises UserError, in one line, where the folder is missing or incomplete, of another format, damaged, or asks for more
    than its weights account for.
    """
    folder = find(checkpoint)
    config = _read_config(folder / CONFIG, folder / WEIGHTS)
    return _build(config, _read_weights(folder / WEIGHTS), shown(folder)).to(device).eval()


def _build(config: dict[str, Any], content: dict[str, Tensor], place: str) -> Model:
    """The model of a configuration and weights; UserError, which names the place, where it cannot be built."""
    weights = {name: tensor for name, tensor in content.items() if name != DIGESTS}
    kind, arguments = lookup("model", str(config.get("model")), MODELS), config.get("arguments")
    if not isinstance(arguments, dict) or "orders" not in weights:
        raise UserError(f"{place} is no complete model: config.json needs 'arguments' and {WEIGHTS} the 'orders'")
    _check_orders(weights["orders"], place)
    try:
        _check_arguments(kind, arguments)
        # The orders come from the weights, so that a model keeps its own even if an ordering's code should change.
        with within(weights):
            model = kind(**{**arguments, "ordering": weights["orders"]})
        model.load_state_dict(weights)
    # The sizes are a stranger's, and torch answers impossible ones with many kinds of error: MemoryError, OverflowError, …
    except Exception as error:
        reason = shown(" ".join(str(error).split()), 300)
        raise UserError(f"{place}: {CONFIG} and {WEIGHTS} do not fit together ({reason})") from None
    if broken := model.broken_weight():
        raise UserError(f"{place}: the weight {broken} holds a value that is not finite; copy it again, or train again")
    model.arguments = {**model.arguments, **arguments}  # the ordering by its name
    model.trained_on, model.train_digests = config["trained_on"], content.get(DIGESTS)
    return model


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
    folder = pretrained.FOLDER / checkpoint if str(checkpoint) in bundled else expanded(checkpoint)
    if not os.path.isdir(folder):  # which is no error where the name is too long for one
        raise UserError(
            f"checkpoint {shown(folder)}: no such folder{nearest(str(checkpoint), bundled)}; give the folder of a run "
            f"(outputs/train/…) or of a saved model, or a bundled one: {', '.join(bundled)}"
        )
    for candidate in (folder, folder / "best", folder / "last"):
        if (candidate / CONFIG).is_file() and (candidate / WEIGHTS).is_file():
            return candidate
    raise UserError(
        f"checkpoint {folder} is incomplete: it needs {CONFIG} and {WEIGHTS}, in itself or in best/ or last/"
    )


def _read_config(path: Path, weights: Path) -> dict[str, Any]:
    try:
        most = MAX_CONFIG + ORDERS * weights.stat().st_size
        with path.open("rb") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise UserError(f"{shown(path)} is damaged ({shown(error, 200)}); copy it again, or train again") from None
    return _parse(text, most, shown(path))


def _parse(text: bytes, most: int, place: str) -> dict[str, Any]:
    """The configuration in a text of at most so many bytes."""
    try:
        if len(text) > most:
            raise ValueError(f"it has more than {most / 2**20:.0f} MiB")
        config = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is damaged ({shown(error, 200)}); copy it again, or train again") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        version = config.get("format") if isinstance(config, dict) else None
        raise UserError(
            f"{place} has format version {shown(version, LONGEST)}; this program reads version {FORMAT}: use the "
            "pixelrnn that wrote it"
        )
    config["trained_on"] = trained_on = config.get("trained_on") or {}
    data = trained_on.get("data") if isinstance(trained_on, dict) else trained_on
    if not (data is None or (isinstance(data, dict) and isinstance(data.get("name"), str))):
        raise UserError(
            f"{place}: 'trained_on' names no data: it holds data={{name: …}}; copy it again, or train again"
        )
    return config


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors by name: numbers in floating point, and the orders."""
    try:
        with path.open("rb") as file:
            _check_size(path.stat().st_size, int.from_bytes(file.read(8), "little"))
        weights = load_file(path)
        for name, weight in weights.items():
            if name == DIGESTS and (weight.dtype != torch.uint8 or weight.ndim != 2 or weight.shape[1] != 16):
                raise ValueError(
                    f"{name} are {weight.dtype} of shape {tuple(weight.shape)}; they are uint8 (images, 16)"
                )
            if name not in ("orders", DIGESTS) and weight.dtype not in FLOATS:
                raise ValueError(f"the weight {name} is {weight.dtype}, and weights are in floating point")
    # What the library makes of a header that lies is SafetensorError, but also KeyError, MemoryError and others.
    except Exception as error:
        raise UserError(f"{shown(path)} is damaged ({shown(error, 200)}); copy it again, or train again") from None
    return weights


def _check_size(size: int, header: int) -> None:
    """ValueError if the weights' file, or its header, is larger than any model's."""
    if size > MAX_WEIGHTS or header > MAX_CONFIG:
        raise ValueError(f"it has more than {MAX_WEIGHTS >> 30} GiB, or its header more than {MAX_CONFIG >> 20} MiB")


def _check_orders(orders: Tensor, place: str) -> None:
    """UserError unless orders are int64 (orders, pixels), and few enough to be looked at one after the other."""
    if orders.dtype != torch.int64 or orders.ndim != 2 or not orders.numel():
        raise UserError(
            f"{place}: the orders are {orders.dtype} of shape {tuple(orders.shape)}; they are int64 (orders, pixels)"
        )
    if len(orders) > MAX_ORDERS:
        raise UserError(f"{place}: {len(orders):,} orders; a model has at most {MAX_ORDERS:,} orders")


def _check_arguments(kind: type[Model], arguments: dict[str, Any]) -> None:
    """UserError where a model's arguments are not of the kind that they should be, or larger than any model's."""
    options = {key: value for key, value in arguments.items() if key not in ("shape", "levels")}
    check_options("model", kind.__name__, options, option_defaults(kind))
    shape, levels, likelihood = arguments.get("shape"), arguments.get("levels"), options.get("likelihood")
    if type(levels) is not int or not isinstance(shape, list) or any(type(size) is not int for size in shape):
        raise UserError("shape is a list of three whole numbers, and levels a whole number")
    of_likelihood = likelihood if isinstance(likelihood, dict) else {}
    for key, value in (*options.items(), *of_likelihood.items()):
        # Models count up to some of these in Python, where no budget sees it.
        if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:
            raise UserError(f"model.{shown(key, LONGEST)}={shown(value, LONGEST)}: it is at most {MAX_NUMBER:,}")
    ordering, orders = options.get("ordering", "raster"), options.get("orders")
    if not isinstance(orders, str | list | None):
        raise UserError(f"orders={shown(orders, LONGEST)}: it is symmetries, or a list of orderings")
    for spec in (ordering, *(orders if isinstance(orders, list) else ())):
        named = spec.get("name") if isinstance(spec, dict) else spec
        transforms = (spec.get("transforms") or []) if isinstance(spec, dict) else []
        words = [named, *(transforms if isinstance(transforms, list) else [transforms])]
        if not all(isinstance(word, str) and word.isprintable() and len(word) <= LONGEST for word in words):
            raise UserError(f"ordering={shown(spec, LONGEST)}: it is a name, or a name with transforms and options")
    orderings.specs(ordering, orders)
