"""What the program says when the input is at fault."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Bad input: one line that names the value, the rule and the way out.

    The library raises it wherever a caller's value is at fault; the command line prints it and exits with 2.
    """


class DataMissing(UserError):
    """A data set that is not on this machine, and could not be downloaded."""


class TrainingDiverged(RuntimeError):
    """The loss is no longer a finite number; the last good checkpoint has been kept."""


class ProcessLost(RuntimeError):
    """Of a run on several processes, another one is gone."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean 'snake'?' for a name that resembles a known one, else the empty string."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""
