"""The words of a command line: options, which are name=value, and flags. Paths are quoted for Hydra's grammar."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from os.path import expanduser

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from pixelrnn.cli.manual import option_names
from pixelrnn.errors import UserError, printable
from pixelrnn.registry import LONGEST

PATHS = {
    *("image", "mask", "occlusion.path", "checkpoint", "init", "training.resume", "root", "data.root"),
    *("hydra.run.dir", "hydra.sweep.dir"),
}
HYDRA = {"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.searchpath"}


@dataclass
class Arguments:
    """A command line: its options, with their paths in quotes, and its flags."""

    overrides: list[str] = field(default_factory=list)
    sweep: bool = False  # -m
    cfg: str = ""  # --cfg job
    config_dir: str = ""  # --config-dir <folder>


def parse(words: list[str], command: str) -> Arguments:
    """The options and flags of a command line. UserError for another word, and for a folder that this run would not use."""
    found, help_hint = Arguments(), f"(pixelrnn {command} --help lists the options)"
    found.sweep = not {"-m", "--multirun"}.isdisjoint(words)
    rest = iter(enumerate(words))
    for i, word in rest:
        name, equals, value = word.partition("=")
        if name in ("-c", "--cfg", "-cd", "--config-dir"):
            if not (value := value or next(rest, (0, ""))[1]):
                raise UserError(f"{word} needs a value: --cfg job, or --config-dir <folder> {help_hint}")
            setattr(found, "cfg" if name in ("-c", "--cfg") else "config_dir", value)
        elif (equals and not word.startswith("-")) or word.startswith("~"):  # with ~, Hydra deletes an option
            found.overrides.append(quoted(word, found.sweep))
        elif word not in ("-m", "--multirun"):
            raise UserError(f"{_not_an_option(command, *words[i:])} {help_hint}")
    if found.cfg not in ("", "job"):
        raise UserError(f"--cfg {found.cfg}: it is --cfg job {help_hint}")
    named = {name_of(override) for override in found.overrides}
    if unknown := next((name for name in named - HYDRA if re.match("hydra[./]", name)), ""):
        raise UserError(
            f"{unknown}=: of Hydra's own options, {', '.join(sorted(HYDRA))} can be set; the jobs of a sweep run one after the "
            "other, in this process"
        )
    if found.sweep and "hydra.run.dir" in named:
        raise UserError("hydra.run.dir= is the folder of a single run, and -m asks for a sweep: give hydra.sweep.dir=")
    if not found.sweep and (unused := named & {"hydra.sweep.dir", "hydra.sweep.subdir"}):
        raise UserError(f"{min(unused)}= is for a sweep: add -m, or give hydra.run.dir= for a single run")
    return found


def name_of(override: str) -> str:
    """The option that an override such as "+model.width=3" or "~data" sets."""
    return override.lstrip("+~").partition("=")[0]


def _not_an_option(command: str, word: str, following: str = "", *_: str) -> str:
    """Say how the option is written, if one is near."""
    name, equals, value = word.lstrip("-").partition("=")
    if not equals and not following.startswith("-") and "=" not in following:
        value = following
    option = nearest_option(name.replace("-", "_"), option_names(command))
    example = f", such as {option}={printable(value, LONGEST) or '<value>'}" if option else ""
    return f"{printable(word, LONGEST)}: options are name=value{example}"


def nearest_option(name: str, known: Collection[str]) -> str:
    """The option of this name, the only one that ends in it, or the most similar one; "" if none is similar."""
    ends = [option for option in known if option.endswith(f".{name}")]
    near = [name] if name in known else ends if len(ends) == 1 else get_close_matches(name, known, n=1, cutoff=0.5)
    return near[0] if near else ""


def quoted(override: str, sweep: bool = False) -> str:
    """The override with its path in quotes if Hydra's grammar would read it otherwise, as for "größe.png" and "a=b (1).png".

    A leading ~ becomes the home folder: bash leaves it as it is after a name with dots, and zsh after any name.
    """
    option, _, value = override.partition("=")
    if option == "occlusions":
        return re.sub(r"(\bpath: *)(~[^,}\]]*)", lambda found: found[1] + in_quotes(expanduser(found[2])), override)
    if option.lstrip("+") not in PATHS or not value:
        return override
    sweep = sweep and not option.startswith("hydra.")
    parts = [expanduser(part) for part in (value.split(",") if sweep else [value])]
    override = f"{option}={','.join(parts)}"
    try:
        parsed = OverridesParser.create().parse_override(override)
        read, by_hand = parsed.value(), value[0] in "'\"" or "\\" in value
        if (sweep and parsed.is_sweep_override()) or read in (None, parts[0]) or (by_hand and isinstance(read, str)):
            return override
    except HydraException:  # it has special characters
        pass
    return f"{option}={','.join(map(in_quotes, parts))}"


def in_quotes(path: str) -> str:
    """The path as Hydra's grammar quotes it."""
    return QuotedString(path, Quote.single).with_quotes()
