"""What the options of all commands may be: a name means the same in each. Their defaults stand in conf/.

The options of a group (a model's, an occlusion's) are checked by the group's own functions, those of training by Settings.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from pixelrnn.completion.parts import LEAST_TEMPERATURE, STRATEGIES
from pixelrnn.errors import UserError, nearest
from pixelrnn.files.atomic import FIGURES
from pixelrnn.own_picture.picture import FITS
from pixelrnn.registry import LONGEST, printable

GROUPS = ("data", "model", "ordering", "likelihood", "occlusion")


class Rule(NamedTuple):
    """What a value must be, in words, and whether it is."""

    words: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()  # of which a value that is none of them may mean the nearest


def _whole(least: int, most: int = 10**9) -> Rule:
    def holds(value: Any) -> bool:
        return type(value) is int and least <= value <= most  # and not true, which Python takes for 1

    return Rule(f"a whole number from {least} to {most}", holds)


def _one_of(*names: str) -> Rule:
    return Rule(f"{', '.join(names[:-1])} or {names[-1]}", lambda value: value in names, names)


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.words}, or null", lambda value: value is None or rule.holds(value))


def _is_occlusion(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("name"), str))


def _are_occlusions(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_occlusion, value))
    return value is None or value == "halves_and_centre"


INTEGER = Rule("a whole number", lambda value: type(value) is int)  # those who take it know its range
SWITCH = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule("a name or a path", lambda value: isinstance(value, str))
DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:(0|[1-9][0-9]?))?")
RULES: dict[str, Rule] = {
    **dict.fromkeys(("count", "batch_size", "completed_images"), _whole(1)),
    **dict.fromkeys(("limit", "order"), _or_null(INTEGER)),
    **dict.fromkeys(("maps", "ensemble", "open"), SWITCH),
    **dict.fromkeys(("checkpoint", "image", "mask", "root", "init", "name"), _or_null(TEXT)),
    "completions": _whole(0),
    "particles": Rule("auto, or a whole number from 1", lambda value: value == "auto" or _whole(1).holds(value)),
    "seed": _whole(0, 2**32 - 1),
    "threads": _or_null(_whole(1, 1024)),
    "fit": _one_of(*FITS),
    "invert": Rule("auto, true or false", lambda value: value == "auto" or isinstance(value, bool)),
    "port": Rule("a number from 1 to 65535", _whole(1, 65535).holds),
    "host": Rule("an address, such as 127.0.0.1", TEXT.holds),
    "device": Rule(
        "auto, cpu, cuda or mps, or one of several, such as cuda:1",
        lambda value: isinstance(value, str) and bool(DEVICE.fullmatch(value)),
    ),
    "temperature": Rule(
        f"a number, at least {LEAST_TEMPERATURE:g}",
        lambda value: type(value) in (int, float) and LEAST_TEMPERATURE <= value < 1e300,
    ),
    "strategy": _one_of(*STRATEGIES),
    "figures": _one_of(*FIGURES),
    "part": _one_of("train", "valid", "test"),
    "occlusions": Rule(
        "halves_and_centre, or a list of occlusions, such as [strokes,{name:half,side:top}]", _are_occlusions
    ),
    "training": Rule("a group of options, such as training.epochs=5", lambda value: isinstance(value, dict)),
}


def check(options: Mapping[str, Any]) -> None:
    """UserError for the first of a command's options, as plain values, that is not what it must be."""
    for name, value in options.items():
        if name in RULES:
            _check(name, value, RULES[name])
        elif name in GROUPS and isinstance(value, dict) and "name" not in value:
            raise UserError(f"{name}.{next(iter(value), '')} needs {name}=<a name>, whose options these are")
    for path, value in _leaves(options):
        if path.endswith(".seed"):
            _check(path, value, RULES["seed"])


def _check(name: str, value: Any, rule: Rule) -> None:
    if not rule.holds(value):
        raise UserError(f"{name}={written(value)}: it is {rule.words}{nearest(str(value), rule.names)}")


def written(value: Any) -> str:
    """A value for a message, as the command line has it: null, true."""
    text = value if isinstance(value, str | float) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text, LONGEST)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values below this one, with their paths, such as occlusions[1].seed."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _leaves(below, f"{path}[{i}]")
    else:
        yield path, value
