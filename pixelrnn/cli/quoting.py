"""Paths on the command line as a shell gives them, quoted for Hydra where its grammar has other plans for them."""

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

PATHS = {
    *("image", "mask", "occlusion.path", "checkpoint", "init", "training.resume", "root", "data.root", "table"),
    *("hydra.run.dir", "hydra.sweep.dir"),
}


def quoted(arguments: list[str]) -> list[str]:
    """The command line with its paths in quotes where Hydra's grammar has other plans: for "größe.png", "a=b (1).png"."""
    sweep = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [_quote(argument, sweep) for argument in arguments]


def _quote(argument: str, sweep: bool) -> str:
    option, _, value = argument.partition("=")
    if option.lstrip("+") not in PATHS or not value:
        return argument
    sweep = sweep and not option.startswith("hydra.")  # over which Hydra has no sweeps
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
    return f"{option}={','.join(QuotedString(part, Quote.single).with_quotes() for part in parts)}"
