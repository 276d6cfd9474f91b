"""Check the values of options. The defaults in conf/ give the type of each option; RULES are stricter about some.

Checked before torch is imported. A name means the same in each command.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from os.path import exists, expanduser
from typing import Any, NamedTuple

from pixelrnn import pretrained
from pixelrnn.cli.manual import members, page
from pixelrnn.errors import UserError, nearest, printable
from pixelrnn.registry import LONGEST, check_options


class Rule(NamedTuple):
    """A rule in words, and a test of a value; the names to choose from, if it is a choice."""

    words: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()


def _number(least: float, most: float = 10**9, kind: type = int) -> Rule:
    words = f"a {'whole ' if kind is int else ''}number from {least:.10g}" + (f" to {most}" if most != 10**9 else "")
    return Rule(words, lambda value: type(value) in (int, kind) and least <= value <= most)  # true is of type bool


def _or(rule: Rule, *others: Any) -> Rule:
    names = ["null" if other is None else str(other) for other in others]
    words = f"{rule.words}, or {' or '.join(names)}"
    return Rule(words, lambda value: value in others or rule.holds(value), (*rule.names, *(set(names) - {"null"})))


def _choice(*names: str) -> Rule:
    return Rule(f"{', '.join(names[:-1])} or {names[-1]}", lambda value: value in names, names)


def _is_occlusion(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("name"), str))


def _are_occlusions(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_occlusion, value))
    return value in (None, "halves_and_centre")


SWITCH = Rule("true or false", lambda value: isinstance(value, bool), ("true", "false"))
TEXT = Rule("a name or a path", lambda value: isinstance(value, str))
DEVICE = re.compile(r"auto|(cpu|cuda|mps)(:(0|[1-9][0-9]?))?")
RULES: dict[str, Rule] = {
    **dict.fromkeys(("count", "batch_size", "completed_images"), _number(1)),
    **dict.fromkeys(("limit", "training.segment", "training.validate_every"), _or(_number(1), None)),
    **dict.fromkeys(("training.valid_limit", "training.patience"), _or(_number(1), None)),
    "order": _or(_number(0), None),
    **dict.fromkeys(("training.max_minutes", "training.first_order"), _or(_number(0, kind=float), None)),
    **dict.fromkeys(("maps", "ensemble", "open"), SWITCH),
    **dict.fromkeys(("checkpoint", "image", "mask", "root", "init", "name", "training.occlusion"), _or(TEXT, None)),
    "training.bf16": _or(SWITCH, None),
    "invert": _or(SWITCH, "auto"),
    "completions": _number(0),
    "particles": _or(_number(1), "auto"),
    "seed": _number(0, 2**32 - 1),
    "threads": _or(_number(1, 1024), None),
    "port": _number(1, 65535),
    "temperature": _number(1e-6, kind=float),
    "fit": _choice("auto", "stretch", "none"),
    "strategy": _choice("auto", "ancestral", "particles"),
    "part": _choice("train", "valid", "test"),
    **dict.fromkeys(("figures", "training.figures"), _choice("png", "svg", "pdf")),
    "host": Rule("an address, such as 127.0.0.1", TEXT.holds),
    "device": Rule(
        "auto, cpu, cuda or mps, or one of several, such as cuda:1",
        lambda value: isinstance(value, str) and bool(DEVICE.fullmatch(value)),
        ("auto", "cpu", "cuda", "mps"),
    ),
    "training": Rule("a group of options, such as training.epochs=5", lambda value: isinstance(value, dict)),
    "occlusions": Rule("halves_and_centre, or a list such as [strokes,{name:half,side:top}]", _are_occlusions),
}


def check(command: str, options: Mapping[str, Any]) -> None:
    """UserError for the first of a command's options, as plain values, that is not what it must be."""
    defaults = {name: option.value for name, option in page(command).options.items()}
    for group in page(command).groups:
        if isinstance(spec := options.get(group), dict):
            defaults |= _defaults_of_member(group, spec)
    for path, value in _values(options):
        section, _, name = path.rpartition(".")
        if rule := RULES["seed"] if name == "seed" else RULES.get(path):
            if not rule.holds(value):
                raise UserError(f"{path}={written(value)}: it is {rule.words}{nearest(str(value), rule.names)}")
        elif path in defaults:
            check_options(section, section, {name: value}, {name: defaults[path]})
    for name in ("image", "mask"):
        if options.get(name) and not exists(expanduser(options[name])):
            raise UserError(f"{name}={printable(options[name], LONGEST)}: no such file")
    if "checkpoint" in options and not options["checkpoint"]:
        raise UserError(
            "which model? give checkpoint=<the folder of a run or of a saved model>, such as checkpoint=outputs/demo, or a "
            f"bundled one: {', '.join(pretrained.names())}"
        )
    for name in ("checkpoint", "init"):
        if options.get(name):
            pretrained.find(options[name])


def _defaults_of_member(group: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of the member that a group is set to, from its yaml file; of a user's own member, of the one it names."""
    if "name" not in spec:
        raise UserError(f"{group}.{next(iter(spec), '')} needs {group}=<a name>, whose options these are")
    pages = (page(f"{group}/{member}").options for member in members(group))
    options = next((options for options in pages if options["name"].default == spec["name"]), {})
    return {f"{group}.{name}": option.value for name, option in options.items()}


def written(value: Any) -> str:
    """A value for a message, as the command line has it: null, true."""
    text = value if isinstance(value, str | float) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text, LONGEST)


def _values(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """This value and all below it, with their paths, such as occlusions[1].seed."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _values(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _values(below, f"{path}[{i}]")
