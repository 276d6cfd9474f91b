"""Families of plug-ins (orderings, cells, occlusions, …): from a name and options in a configuration to the function."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from pixelrnn.errors import UserError, nearest, printable

T = TypeVar("T")
LONGEST = 80  # characters of a name or a value in a message


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
        _check_type(f"{family}.{key}", value, defaults[key])


def option_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The options of a function: its parameters with a default. The caller passes the others, such as a size."""
    parameters = inspect.signature(function).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}


def _check_type(name: str, value: Any, default: Any) -> None:
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
