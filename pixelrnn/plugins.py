"""Families of plug-ins (orderings, cells, occlusions, …): from a name and options in a configuration to the function."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from pixelrnn.errors import UserError, nearest

T = TypeVar("T")


def lookup(family: str, name: str, members: Mapping[str, T]) -> T:
    """The member of a family that has this name; UserError with the nearest name if none has."""
    if name not in members:
        raise UserError(f"unknown {family} '{name}'{nearest(name, members)} (known: {', '.join(members)})")
    return members[name]


def configure(family: str, spec: str | Mapping[str, Any], members: Mapping[str, Callable[..., T]]) -> Callable[..., T]:
    """The member named by `spec`, a name or {"name": …, option: value}, with its options bound."""
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(options.pop("name", None))
    function = lookup(family, name, members)
    defaults = option_defaults(function)
    for key, value in options.items():
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise UserError(f"{family} '{name}' has no option '{key}'{nearest(key, defaults)} (options: {known})")
        _check_type(f"{family}.{key}", value, defaults[key])
    return partial(function, **options)


def option_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """What has a default is an option; what has none (a size, an image) comes from the caller."""
    parameters = inspect.signature(function).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}


def _check_type(name: str, value: Any, default: Any) -> None:
    """UserError where a number, a word or a truth value of a configuration is of another kind than the default."""
    if not isinstance(value, bool | int | float | str) or not isinstance(default, bool | int | float | str):
        return
    allowed: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, allowed):
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}[type(default)]
        raise UserError(f"{name}={value}: it must be {kind}, such as {default}")
