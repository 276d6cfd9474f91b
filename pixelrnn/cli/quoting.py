"""Paths on the command line as a shell gives them, quoted for Hydra where its grammar has other plans for them."""

import re
from os.path import expanduser

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

PATHS = {
    *("image", "mask", "occlusion.path", "checkpoint", "init", "training.resume", "root", "data.root"),
    *("hydra.run.dir", "hydra.sweep.dir"),
}
CONFIG_FOLDER = {"--config-dir", "-cd"}  # a flag of Hydra's, which no grammar reads


def quoted(arguments: list[str]) -> list[str]:
    """The command line with its paths in quotes where Hydra's grammar has other plans: for "größe.png", "a=b (1).png".

    A leading ~ is the home folder: bash leaves it as it is after a name with dots, and zsh after any name.
    """
    sweep = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [_quote(argument, sweep) for argument in arguments]


def _quote(argument: str, sweep: bool) -> str:
    option, _, value = argument.partition("=")
    if option == "occlusions":
        return re.sub(r"(\bpath: *)(~[^,}\]]*)", lambda found: found[1] + _in_quotes(expanduser(found[2])), argument)
    if option.lstrip("+") not in PATHS | CONFIG_FOLDER or not value:
        return argument
    sweep = sweep and not option.startswith("hydra.")  # over which Hydra has no sweeps
    value = ",".join(map(expanduser, value.split(",") if sweep else [value]))
    argument = f"{option}={value}"
    if option in CONFIG_FOLDER:
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
        read = override.value()
        by_hand = value[0] in "'\"" or "\\" in value  # the user has quoted
        if (
            (sweep and override.is_sweep_override())
            or read is None
            or (isinstance(read, str) and (by_hand or read == value))
        ):
            return argument
    except HydraException:  # not as it stands
        pass
    parts = value.split(",") if sweep else [value]
    return f"{option}={','.join(map(_in_quotes, parts))}"


def _in_quotes(path: str) -> str:
    return QuotedString(path, Quote.single).with_quotes()
