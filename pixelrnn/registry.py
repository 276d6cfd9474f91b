"""Families of plug-ins (orderings, cells, occlusions, …): from a name and options in a configuration to the function."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from pixelrnn.errors import UserError, nearest

T = TypeVar("T")
LONGEST = 80  # characters of a name or a value in a message


def shown(value: object, most: int = 4096) -> str:
    """What a stranger may have written, for a message: at most so many characters in one line, none of which controls a
    terminal."""
    text = str(value)
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:most])
    return line if len(text) <= most else f"{line}…"


def lookup(family: str, name: str, members: Mapping[str, T]) -> T:
    """The member of a family that has this name; UserError with the nearest name if none has."""
    if not isinstance(name, str) or name not in members:
        name = shown(name, LONGEST)
        raise UserError(f"unknown {family} '{name}'{nearest(name, members)} (known: {', '.join(members)})")
    return members[name]


def configure(family: str, spec: str | Mapping[str, Any], members: Mapping[str, Callable[..., T]]) -> Callable[..., T]:
    """The member named by `spec`, a name or {"name": …, option: value}, with its options bound.

    Raises UserError for an unknown name or option, with the nearest one, and for a value of another kind than the default.
    """
    if not isinstance(spec, str | Mapping):
        raise UserError(f"{family}={shown(spec, LONGEST)}: it is a name, or a name with options")
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(options.pop("name", None))
    function = lookup(family, name, members)
    check_options(family, name, options, option_defaults(function))
    return partial(function, **options)


def check_options(family: str, name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """UserError for an option that is none of the defaults', with the nearest one, and for a value of another kind."""
    for key, value in options.items():
        if key not in defaults:
            known, key = ", ".join(defaults) or "none", shown(key, LONGEST)
            raise UserError(f"{family} '{name}' has no option '{key}'{nearest(key, defaults)} (options: {known})")
        _check_type(f"{family}.{key}", value, defaults[key])


def option_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """What has a default is an option; what has none (a size, an image) comes from the caller."""
    parameters = inspect.signature(function).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}


def _check_type(name: str, value: Any, default: Any) -> None:
    """UserError where the default is a number, a word or a truth value, and the value of another kind, or null; of a null
    in place of a word, those who take it know more to say."""
    if not isinstance(default, bool | int | float | str):
        return
    if isinstance(default, str) and not isinstance(value, bool | int | float | str | list):
        return  # a model's ordering may be a name with options, or a tensor
    allowed: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, allowed):
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[type(default)]
        given = "null" if value is None else shown(value, LONGEST)
        raise UserError(f"{name}={given}: it must be {kind}, such as {default}")
