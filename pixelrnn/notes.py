"""The one way in which the library says what it left out, changed or assumed."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], object] | None] = ContextVar("listener", default=None)


def note(text: str) -> None:
    """Tell the user one line: to the listener of this context if there is one, else as a Python warning."""
    if listener := _listener.get():
        listener(text)
    else:
        warnings.warn(text, stacklevel=3)


@contextmanager
def notes_to(listener: Callable[[str], object]) -> Iterator[None]:
    """Context manager: notes of this thread go to listener(text)."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)
