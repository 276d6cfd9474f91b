"""The words of a command line, before Hydra sees them: options, which are name=value, and Hydra's flags."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from pixelrnn.errors import UserError
from pixelrnn.registry import LONGEST, printable


def arranged(arguments: list[str], command: str, known: Callable[[], list[str]]) -> list[str]:
    """The options and then the flags: Hydra takes no options on both sides of a flag.

    known() lists the command's options. Raises UserError for a word that is neither an option nor a flag, and for a folder
    that this run would not use.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    for i, word in enumerate(arguments):
        if word.startswith("-") and word.partition("=")[0] not in parser._option_string_actions:
            _refuse(_no_option(*arguments[i:], known=known()), command)
    found = parser.parse_intermixed_args(arguments)
    for i, word in enumerate(found.overrides):
        if "=" not in word and not word.startswith("~"):  # with which Hydra deletes an option
            _refuse(_no_option(*found.overrides[i:], known=known()), command)
    named = {word.lstrip("+").partition("=")[0] for word in found.overrides}
    sweeps = found.multirun or "hydra.mode=MULTIRUN" in found.overrides
    if sweeps and "hydra.run.dir" in named:
        raise UserError("hydra.run.dir= is the folder of a single run, and -m asks for a sweep: give hydra.sweep.dir=")
    if not sweeps and (unused := named & {"hydra.sweep.dir", "hydra.sweep.subdir"}):
        raise UserError(f"{min(unused)}= is for a sweep: add -m, or give hydra.run.dir= for a single run")
    return [*found.overrides, *(word for word in arguments if word not in found.overrides)]


def _refuse(message: str, command: str = "COMMAND") -> NoReturn:
    raise UserError(f"{message} (pixelrnn {command} --help lists the options)")


def _no_option(word: str, following: str = "", *_: str, known: list[str]) -> str:
    """What is said of a word that is no option: how the option is written, if one is near."""
    name, equals, value = word.lstrip("-").partition("=")
    if not equals and not following.startswith("-") and "=" not in following:
        value = following
    option = nearest_option(name.replace("-", "_"), known)
    example = f", such as {option}={printable(value, LONGEST) or '<value>'}" if option else ""
    return f"{printable(word, LONGEST)}: options are name=value{example}"


def nearest_option(name: str, known: list[str]) -> str:
    """The option of this name, the only one that ends in it, or the most similar one; "" if none is similar."""
    ends = [option for option in known if option.endswith(f".{name}")]
    near = [name] if name in known else ends if len(ends) == 1 else get_close_matches(name, known, n=1, cutoff=0.5)
    return near[0] if near else ""
