"""Names and options: from those in a configuration to the function, and the rules for their values.

Orderings, cells, occlusions, … are families of functions with names. The rules hold on the command line and in Python. The
command line checks options before torch is imported, so this module does without it.
"""

import inspect
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar

from pixelrnn.errors import UserError, nearest, printable

T = TypeVar("T")
LONGEST = 80  # characters of a name or a value in a message
MAX_LEVELS = 256  # of an image; a pixel is a uint8


def lookup(family: str, name: str, members: Mapping[str, T]) -> T:
    """Return the member of a family with this name. Raise UserError with the nearest name if there is none."""
    if not isinstance(name, str) or name not in members:
        name = printable(name, LONGEST)
        raise UserError(f"unknown {family} '{name}'{nearest(name, members)} (known: {', '.join(members)})")
    return members[name]


def as_options(family: str, spec: Any) -> dict[str, Any]:
    """The member's name and options as {"name": …, option: value}; UserError if `spec` is neither that nor a name."""
    if not isinstance(spec, str | Mapping):
        raise UserError(f"{family}={printable(spec, LONGEST)}: it is a name, or a name with options")
    return {"name": spec} if isinstance(spec, str) else dict(spec)


def configure(family: str, spec: str | Mapping[str, Any], members: Mapping[str, Callable[..., T]]) -> Callable[..., T]:
    """Return the member named by `spec`, a name or {"name": …, option: value}, with its options bound.

    Raises UserError for an unknown name or option, with the nearest one, and for a value of another type than the
    option's default.
    """
    options = as_options(family, spec)
    name = str(options.pop("name", None))
    function = lookup(family, name, members)
    check_options(family, name, options, option_defaults(function))
    return partial(function, **options)


def check_options(family: str, name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise UserError for an option that has no default, with the nearest one, and for a value of another type."""
    for key, value in options.items():
        if key not in defaults:
            known, key = ", ".join(defaults) or "none", printable(key, LONGEST)
            raise UserError(f"{family} '{name}' has no option '{key}'{nearest(key, defaults)} (options: {known})")
        check_type(f"{family}.{key}", value, defaults[key])
        if key == "seed":
            check_rule(f"{family}.seed", value, RULES["seed"])


def option_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The options of a function: its parameters with a default. The caller passes the others, such as a size."""
    parameters = inspect.signature(function).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}


def check_type(name: str, value: Any, default: Any) -> None:
    """Raise UserError if the value's type differs from that of a default that is a number, a word or a truth value.

    A null in place of a word is left to the function, whose message is more specific.
    """
    if not isinstance(default, bool | int | float | str):
        return
    if isinstance(default, str) and not isinstance(value, bool | int | float | str | list):
        return  # a model's ordering may be a name with options, or a tensor
    allowed: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, allowed):
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[type(default)]
        given = "null" if value is None else printable(value, LONGEST)
        raise UserError(f"{name}={given}: it must be {kind}, such as {default}")


class Rule(NamedTuple):
    """A rule in words, and a test of a value; the names to choose from, if it is a choice."""

    words: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()


def _number(least: float, most: float = 10**9, kind: Any = Integral) -> Rule:
    words = f"a {'whole ' if kind is Integral else ''}number from {least:.10g}"
    words += f" to {most}" if most != 10**9 else ""
    return Rule(words, lambda value: isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most)


def _or(rule: Rule, *others: Any) -> Rule:
    names = ["null" if other is None else str(other) for other in others]
    words = f"{rule.words}, or {' or '.join(names)}"
    return Rule(words, lambda value: value in others or rule.holds(value), (*rule.names, *(set(names) - {"null"})))


def _choice(*names: str) -> Rule:
    return Rule(f"{', '.join(names[:-1])} or {names[-1]}", lambda value: value in names, names)


def _is_occlusion(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("name"), str))


def _are_occlusions(value: Any) -> bool:
    return value is None or (isinstance(value, list) and bool(value) and all(map(_is_occlusion, value)))


DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:(0|[1-9][0-9]?))?")
SWITCH = Rule("true or false", lambda value: isinstance(value, bool), ("true", "false"))
TEXT = Rule("a name or a path", lambda value: isinstance(value, str))
TEXTS = Rule(
    f"{TEXT.words}, or a list of several, such as [outputs/a,outputs/b]",
    lambda value: TEXT.holds(value) or (isinstance(value, list) and all(map(TEXT.holds, value))),
)
NUMBER, COUNT, AT_LEAST_ONE = _number(0, kind=Real), _number(0), _number(1)
POSITIVE = _number(math.ulp(0), math.inf, Real)._replace(words="a number of more than 0")
# Logits are divided by the temperature in float32, and a smaller one overflows.
TEMPERATURE = _number(1e-6, kind=Real)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("count", "batch_size", "completed_images"), AT_LEAST_ONE),
    **dict.fromkeys(("training.epochs", "training.batch_size", "training.accumulate"), AT_LEAST_ONE),
    **dict.fromkeys(("limit", "training.segment", "training.validate_every"), _or(AT_LEAST_ONE, None)),
    **dict.fromkeys(("training.valid_limit", "training.patience"), _or(AT_LEAST_ONE, None)),
    **dict.fromkeys(("training.warmup_steps", "training.samples", "training.recoveries"), COUNT),
    **dict.fromkeys(("order", "completions"), _or(COUNT, None)),
    "particles": _or(AT_LEAST_ONE, "auto"),
    **dict.fromkeys(("data.size", "data.limit"), _or(AT_LEAST_ONE, None)),
    "data.channels": _or(Rule("1 (grey), 3 (RGB)", lambda value: _number(1).holds(value) and value in (1, 3)), None),
    "data.levels": _or(_number(2, MAX_LEVELS), None),
    "data.binarization": _or(_choice("dynamic", "threshold", "fixed"), None),
    "seed": _number(0, 2**32 - 1),
    "threads": _or(_number(1, 1024), None),
    "port": _number(1, 65535),
    "temperature": TEMPERATURE._replace(words=f"{TEMPERATURE.words}; 1 samples the model, less is more cautious"),
    **dict.fromkeys(("training.learning_rate", "training.clip_norm"), POSITIVE),
    "training.max_minutes": _or(POSITIVE, None),
    "training.weight_decay": NUMBER,
    "training.average_decay": _number(0, math.nextafter(1, 0), Real)._replace(words="a number in [0, 1)"),
    "training.first_order": _or(_number(0, 1, Real), None),
    **dict.fromkeys(("animation", "maps", "ensemble", "baselines", "open"), SWITCH),
    "training.bf16": _or(SWITCH, None),
    "invert": _or(SWITCH, "auto"),
    "checkpoint": _or(TEXTS, None),
    "training.teacher": _or(Rule(TEXTS.words, lambda value: bool(value) and TEXTS.holds(value)), None),
    **dict.fromkeys(("image", "mask", "root", "init", "name", "training.occlusion"), _or(TEXT, None)),
    "fit": _choice("auto", "stretch", "none"),
    "strategy": _choice("auto", "ancestral", "particles"),
    "part": _choice("train", "valid", "test"),
    "estimate": _choice("mean", "draw"),
    "training.bptt": _choice("full", "checkpointed", "truncated"),
    "training.optimizer": _choice("adamw", "rmsprop"),
    **dict.fromkeys(("figures", "training.figures"), _choice("png", "svg", "pdf")),
    "runs": Rule(
        "a list of folders, such as [outputs/a,outputs/b]",
        lambda value: isinstance(value, list) and all(isinstance(folder, str) and folder for folder in value),
    ),
    "host": Rule("an address, such as 127.0.0.1", TEXT.holds),
    "device": Rule(
        "auto, cpu, cuda or mps, or one of several, such as cuda:1",
        lambda value: isinstance(value, str) and bool(DEVICE.fullmatch(value)),
        ("auto", "cpu", "cuda", "mps"),
    ),
    "training": Rule("a group of options, such as training.epochs=5", lambda value: isinstance(value, dict)),
    "occlusions": Rule("a list, such as [top half,strokes,{name:box,rows:9}]", _are_occlusions),
}


def check_rule(name: str, value: Any, rule: Rule) -> None:
    """Raise UserError unless the rule holds for the value of the option of this name."""
    if not rule.holds(value):
        # As the command line has it: null, true.
        text = value if isinstance(value, str | float) else json.dumps(value, ensure_ascii=False, default=str)
        raise UserError(f"{name}={printable(text, LONGEST)}: it is {rule.words}{nearest(str(value), rule.names)}")


def check_fields(options: Any, section: str = "") -> None:
    """Raise UserError for the first field of a dataclass that breaks its rule. A number of NumPy becomes Python's.

    section: the prefix of their names in RULES, such as "training.". The message leaves it out, because Python does without it.
    """
    for name, value in vars(options).items():
        object.__setattr__(options, name, checked(name, value, section))


def check_size(height: Any, width: Any) -> None:
    """Raise UserError unless both are whole numbers of at least 1."""
    check_rule("height", height, AT_LEAST_ONE)
    check_rule("width", width, AT_LEAST_ONE)


def checked(name: str, value: Any, section: str = "") -> Any:
    """The value of the option of this name; a number of NumPy as Python's. Raise UserError if it breaks the option's rule."""
    if rule := RULES.get(f"{section}{name}"):
        check_rule(name, value, rule)
    return as_plain(value)


def as_plain(value: Any) -> Any:
    """A number of another library as int or float, which torch and JSON need; anything else as it is."""
    if isinstance(value, Real) and not isinstance(value, int | float):
        return int(value) if isinstance(value, Integral) else float(value)
    return value
