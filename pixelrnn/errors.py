"""Messages to the user: errors, notes, and the text of their messages.

A note is one line about what the library left out, changed or assumed.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches

_listener: ContextVar[Callable[[str], object] | None] = ContextVar("listener", default=None)


class UserError(ValueError):
    """Wrong input: one line that names the value, the rule and the way out.

    The library raises it wherever a caller's value is wrong; the command line prints it and exits with 2.
    """


class DataMissing(UserError):
    """The data set is not on this machine and could not be downloaded."""


class OutOfMemory(UserError):
    """The memory of the device or of the machine is full."""


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite; a checkpoint that was saved before is kept."""


class ProcessLost(RuntimeError):
    """Another process of the same run, or a job of a sweep, is gone."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left. Python and torch have errors of their own for it, but torch's for a CPU, cuDNN and
    cuBLAS is a plain RuntimeError."""
    says = ("out of memory", "allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in says)
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean 'snake'?' for a name that resembles a known one, else an empty string."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


def in_one_line(error: Exception, most: int = 4096) -> str:
    """The text of another library's error for a message: printable, with its line breaks as spaces."""
    return printable(" ".join(str(error).split()), most)


def printable(value: object, most: int = 4096) -> str:
    """Text of any origin as one line for a message: cut after `most` characters, control characters escaped."""
    text = str(value)
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:most])
    return line if len(text) <= most else f"{line}…"


def note(text: str) -> None:
    """Pass one line to the listener of this context; without a listener, issue a Python warning."""
    if listener := _listener.get():
        listener(text)
    else:
        warnings.warn(text, stacklevel=3)


@contextmanager
def notes_to(listener: Callable[[str], object]) -> Iterator[None]:
    """Context manager: pass the notes of this thread to listener(text)."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
