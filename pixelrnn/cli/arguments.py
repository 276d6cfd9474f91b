"""The words of a command line, before Hydra sees them: options, which are name=value, and Hydra's flags."""

from collections.abc import Callable
from difflib import get_close_matches
from itertools import zip_longest
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from pixelrnn.errors import UserError
from pixelrnn.plugins import LONGEST, shown


def arranged(arguments: list[str], command: str, known: Callable[[], list[str]]) -> list[str]:
    """The options and then the flags: Hydra takes no options on both sides of a flag.

    known() lists the command's options. Raises UserError for a word that is neither an option nor a flag, and for a folder
    that this run would not use.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        if word.startswith("-") and word.partition("=")[0] not in parser._option_string_actions:
            raise UserError(_no_option(word, following, command, known()))
    found = parser.parse_intermixed_args(arguments)
    for word, following in zip_longest(found.overrides, found.overrides[1:], fillvalue=""):
        if "=" not in word and not word.startswith("~"):  # with which Hydra deletes an option
            raise UserError(_no_option(word, following, command, known()))
    named = {word.lstrip("+").partition("=")[0] for word in found.overrides}
    sweeps = found.multirun or "hydra.mode=MULTIRUN" in found.overrides
    if sweeps and "hydra.run.dir" in named:
        raise UserError("hydra.run.dir= is the folder of a single run, and -m asks for a sweep: give hydra.sweep.dir=")
    if not sweeps and (unused := named & {"hydra.sweep.dir", "hydra.sweep.subdir"}):
        raise UserError(f"{min(unused)}= is for a sweep: add -m, or give hydra.run.dir= for a single run")
    return [*found.overrides, *(word for word in arguments if word not in found.overrides)]


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message}; pixelrnn --help shows how a command is called")


def _no_option(word: str, following: str, command: str, known: list[str]) -> str:
    """The line for a word that is no option: what the option would look like, if one is near."""
    name, equals, value = word.lstrip("-").partition("=")
    if not equals and not following.startswith("-") and "=" not in following:
        value = following
    option = nearest_option(name.replace("-", "_"), known)
    example = f", such as {option}={shown(value, LONGEST) or '<value>'}" if option else ""
    return f"{shown(word, LONGEST)}: options are name=value{example} (pixelrnn {command} --help lists them)"


def nearest_option(name: str, known: list[str]) -> str:
    """The option of this name, the only one that ends in it, or the most similar one; "" if none is similar."""
    ends = [option for option in known if option == name or option.endswith(f".{name}")]
    if name in ends or len(ends) == 1:
        return name if name in ends else ends[0]
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.5)), "")
