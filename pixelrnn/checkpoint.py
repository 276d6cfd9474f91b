"""Saved models: a folder with model.safetensors (weights and orders) and config.json (plain values), never a pickle.

The files may come from a stranger. Names in config.json are looked up in the package's tables. The model is first built
on torch's "meta" device, where tensors have a shape and no memory, and its shapes are compared with those of the weights:
options that ask for a huge model are refused before it takes any memory.

`initialise` starts a new model with the weights of a saved one.
"""

import json
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as as_bytes
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pixelrnn import ordering as orderings
from pixelrnn import pretrained
from pixelrnn.errors import UserError, in_one_line, is_out_of_memory, printable
from pixelrnn.files.atomic import expanded, write_text, write_whole
from pixelrnn.model import MODELS, Ensemble, Model, check_model
from pixelrnn.options import LONGEST, check_options, lookup, option_defaults

FORMAT = 2
WEIGHTS, CONFIG = "model.safetensors", "config.json"
DIGESTS = "train_digests"  # of the training images; in the weights' file, so that both are written at one moment
KINDS: dict[str, type[Model]] = {**MODELS, Ensemble.__name__: Ensemble}  # what is saved and loaded
# For `initialise`, options that must agree: otherwise no layer's weights would fit, or they would mean something else. So must
# the ordering.
SAME = ("cell", "layer", "width", "residual")


def save(model: Model, folder: str | Path, *, half: bool = False) -> None:
    """Write the model into `folder`, which is created if needed. Raise UserError if load() would refuse the model.

    half: round the weights to 16 bits (float16), for a file of half the size; load() computes with them in float32.
    """
    folder, (config, weights) = expanded(folder), check(model, half)
    write_text(folder / CONFIG, config)
    # Not by safetensors itself, whose error for a full disk is not the system's.
    write_whole(folder / WEIGHTS, lambda path: path.write_bytes(weights))


def check(model: Model, half: bool = False) -> tuple[str, bytes]:
    """Return the text of config.json and the bytes of the weights' file. Raise UserError if load() would refuse them."""
    check_model(model)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        weights = {name: w.half() if w.is_floating_point() else w for name, w in weights.items()}
    if model.train_digests is not None:
        weights[DIGESTS] = model.train_digests
    name = type(model).__name__
    config = {"format": FORMAT, "model": name, "arguments": model.arguments, "trained_on": model.trained_on}
    try:
        text, data = json.dumps(config, indent=2, allow_nan=False) + "\n", as_bytes(weights)
        with torch.random.fork_rng(devices=[]):
            _build(text.encode()[: _longest(data)], data, f"this {name}")
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"this {name} is not saved, because it could not be loaded again: {error}") from None
    return text, data


def load(checkpoint: str | Path | Sequence[str | Path], device: str | torch.device = "cpu") -> Model:
    """Load a model in evaluation mode from its folder, a run's folder (best/, else last/) or by a bundled model's name; from a
    list of these, their ensemble.

    Raises UserError, in one line, if the folder is missing or incomplete, its files are damaged, of another format or do not
    fit together, or the device is not there.
    """
    if isinstance(checkpoint, Sequence) and not isinstance(checkpoint, str):
        return Ensemble([load(member, device) for member in checkpoint])
    folder = find(checkpoint)
    try:
        data = (folder / WEIGHTS).read_bytes()
        with (folder / CONFIG).open("rb") as file:
            text = file.read(_longest(data))
    except OSError as error:
        raise _damaged(folder, error) from None
    model = _build(text, data, printable(folder))
    try:
        return model.to(torch.device(device)).eval()
    except (RuntimeError, TypeError, AssertionError) as error:  # torch has no error of its own for a device
        if is_out_of_memory(error):
            raise
        raise UserError(
            f"device={printable(device, LONGEST)} cannot be used ({in_one_line(error, 200)}); try device='cpu'"
        ) from None


def find(checkpoint: str | Path) -> Path:
    """The folder that holds the model: that of a bundled one's name, or `checkpoint` itself, or best/ or last/ below it."""
    folder = pretrained.find(checkpoint)
    for candidate in (folder, folder / "best", folder / "last"):
        if (candidate / CONFIG).is_file() and (candidate / WEIGHTS).is_file():
            return candidate
    raise UserError(
        f"checkpoint {printable(folder)} is incomplete: it needs {CONFIG} and {WEIGHTS}, in itself or in best/ or last/"
    )


def _build(text: bytes, data: bytes, place: str) -> Model:
    """Make the model from the contents of its two files; `place` names them in errors."""
    config = _parse(text, place)
    try:
        weights = from_bytes(data)
    except Exception as error:  # for a header that lies, SafetensorError, but also KeyError, MemoryError and others
        raise _damaged(f"{place}: {WEIGHTS}", error) from None
    digests, kind = weights.pop(DIGESTS, None), lookup("model", str(config.get("model")), KINDS)
    try:
        make = _maker(kind, config.get("arguments"), weights)
        _check_shapes(make, weights)
        if digests is not None and (digests.dtype != torch.uint8 or digests.shape[1:] != (16,)):
            raise ValueError(f"{DIGESTS} must be uint8 (images, 16), not {digests.dtype} {tuple(digests.shape)}")
        model = make()
        model.load_state_dict(weights)
    except Exception as error:  # torch refuses impossible sizes with MemoryError, OverflowError and many others
        reason = in_one_line(error, 300)
        raise UserError(f"{place}: {CONFIG} and {WEIGHTS} do not fit together ({reason})") from None
    if broken := model.broken_weight():
        raise UserError(f"{place}: the weight {broken} holds a value that is not finite; copy it again, or train again")
    model.trained_on = config["trained_on"]
    if digests is not None or model.trained_on:
        model.remember(digests)
    return model


def _longest(data: bytes) -> int:
    """Bytes of config.json that are read. A written out order takes up to 18 bytes a pixel in it, and 8 in the weights."""
    return 2**20 + 4 * len(data)


def _parse(text: bytes, place: str) -> dict[str, Any]:
    """The content of config.json."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"{place}: {CONFIG}", error) from None
    version = config.get("format") if isinstance(config, dict) else None
    if version != FORMAT:
        raise UserError(
            f"{place}: {CONFIG} has format version {printable(version, LONGEST)}; this program reads version {FORMAT}: use the "
            "pixelrnn that wrote it"
        )
    config["trained_on"] = trained_on = config.get("trained_on") or {}
    before = trained_on.get("before", []) if isinstance(trained_on, dict) else None
    if not isinstance(before, list) or not all(
        isinstance(data, dict) and isinstance(data.get("name"), str)
        for data in (*before, trained_on.get("data"))
        if data is not None
    ):
        raise _damaged(f"{place}: {CONFIG}", "'trained_on' must name its data: {data: {name: …}}")
    return config


def _damaged(place: object, reason: object) -> UserError:
    return UserError(f"{printable(place)} is damaged ({printable(reason, 200)}); copy it again, or train again")


def _check_shapes(make: Callable[[], Model], weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the weights are, by name and shape, those of the model that make() makes."""
    with torch.device("meta"), _NoNormal():
        expected = make().state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        found, wanted = (tuple(side[name].shape) if name in side else "missing" for side in (weights, expected))
        if found != wanted:
            raise ValueError(f"{name} is {found} in {WEIGHTS}, and {wanted} in the model of these options")


class _NoNormal(TorchFunctionMode):
    """Context manager: skip nn.init.normal_. On the meta device it does nothing, but imports torch's compiler (4 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **(kwargs or {}))


def _maker(kind: type[Model], arguments: Any, weights: Mapping[str, Tensor]) -> Callable[[], Model]:
    """The function that makes a model of these arguments and of the weights' orders, both of which are checked first."""
    orders = weights.get("orders")
    if not isinstance(arguments, dict) or orders is None or orders.dtype != torch.int64 or orders.ndim != 2:
        raise ValueError(f"a model needs 'arguments' in {CONFIG}, and 'orders' in {WEIGHTS}, int64 (orders, pixels)")
    if kind is Ensemble:
        return _ensemble_maker(arguments, weights)
    _check_arguments(kind, arguments, weights)

    def make() -> Model:
        # The orders come from the weights: a model keeps its own even if the code of an ordering changes.
        model = kind(**{**arguments, "ordering": orders})
        model.arguments = {**model.arguments, **arguments}  # with the ordering's name
        return model

    return make


def _ensemble_maker(arguments: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Callable[[], Model]:
    """The function that makes an ensemble of these arguments. Each member is checked like a model of its own."""
    known = dict.fromkeys(("shape", "levels", "ordering", "orders", "members"))
    check_options("model", Ensemble.__name__, arguments, known)
    makers = []
    for i, member in enumerate(arguments["members"]):
        prefix = f"members.{i}."
        own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        makers.append(_maker(lookup("member", member["model"], MODELS), member["arguments"], own))

    def make() -> Model:
        model = Ensemble([make_member() for make_member in makers])
        for name in set(arguments) - {"members"}:
            if arguments[name] != model.arguments[name]:
                raise ValueError(f"{name} is {printable(arguments[name], LONGEST)}, and its members' is another one")
        return model

    return make


def _check_arguments(kind: type[Model], arguments: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raise UserError for options of a wrong type, and for those that take time or memory even on the meta device."""
    check_options("model", kind.__name__, arguments, {"shape": None, "levels": 2, **option_defaults(kind)})
    for spec in orderings.specs(arguments.get("ordering", "raster"), arguments.get("orders")):
        if not orderings.describe(spec).isprintable():
            raise UserError("the name of an ordering is not printable")
    for key, value in arguments.items():
        if key.endswith("depth") and value > len(weights):
            raise UserError(f"model.{key}={printable(value, LONGEST)}: the weights are those of fewer layers")
    # A window's neighbours are tabulated along the orders before it is known which of them have weights.
    window, size = arguments.get("window", 0), sum(weight.nbytes for weight in weights.values())
    if weights["orders"].numel() * window**2 > 2**22 + 8 * size:
        raise UserError(f"model.window={printable(window, LONGEST)}: it is too large for a model of these weights")


@dataclass(frozen=True)
class Inherited:
    """The parameters that a model took from a saved one. A module is listed by its name, such as "encoder"."""

    taken: int  # parameters that were copied
    parameters: int  # parameters of the new model
    new: list[str]  # modules of the new model that keep their initial weights
    left: list[str]  # modules of the saved model that have no place in the new one


def initialise(model: Model, saved: Model) -> Inherited:
    """Copy each weight of a saved model that has the same name and shape in `model`; the others stay as they are.

    A new encoder adds nothing at first: if all else is equal, the model computes what the saved one does until it is
    trained. Raises UserError if the models differ in kind, cell, layer, width, residual or first order.
    """
    differing = [] if type(saved) is type(model) else ["kind"]
    differing += [key for key in SAME if saved.arguments.get(key) != model.arguments.get(key)]
    if saved.shape[1:] == model.shape[1:]:
        same_order = torch.equal(saved.orders[0], model.orders[0])
    else:
        theirs, ours = (
            orderings.describe_first(each.arguments["ordering"], each.arguments["orders"]) for each in (saved, model)
        )
        same_order = theirs == ours
    differing += [] if same_order else ["ordering"]
    if differing:
        raise UserError(
            f"the model of init= and the configured one differ in {', '.join(differing)}; leave these options out to take "
            "them from the saved model, or set them to its values, if an experiment sets them to others"
        )
    weights, own = saved.state_dict(), model.state_dict()
    del weights["orders"], own["orders"]
    kept = {name: weight for name, weight in weights.items() if name in own and own[name].shape == weight.shape}
    model.load_state_dict(kept, strict=False)
    return Inherited(
        sum(weight.numel() for weight in kept.values()),
        sum(weight.numel() for weight in own.values()),
        _modules(own.keys() - kept.keys(), own.keys()),
        _modules(weights.keys() - kept.keys(), weights.keys()),
    )


def _modules(names: Set[str], all_names: Set[str]) -> list[str]:
    """Collapse parameter names to the largest modules they cover completely, such as "encoder" or "inputs.value"."""
    found = set()
    for name in names:
        words = name.split(".")
        prefixes = (".".join(words[:n]) for n in range(1, len(words)))
        covered = (p for p in prefixes if not any(other.startswith(f"{p}.") for other in all_names - names))
        found.add(next(covered, name))
    return sorted(found)
