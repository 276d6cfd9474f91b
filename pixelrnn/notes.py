"""Notes: one line to the user about what the library left out, changed or assumed."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], object] | None] = ContextVar("listener", default=None)


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
