"""The signals that ask a command to come to an end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOPS = ("SIGINT", "SIGTERM")


@contextmanager
def signals_received() -> Iterator[list[str]]:
    """Collects SIGINT and SIGTERM instead of dying of them; a second one acts as usual."""
    received: list[str] = []
    before: dict[signal.Signals, Any] = {}

    def receive(number: int, _frame: Any) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, before[signal.Signals(number)])

    try:
        for number in map(signal.Signals.__getitem__, STOPS):
            before[number] = signal.signal(number, receive)
    except ValueError:  # not the main thread: signals go elsewhere
        pass
    try:
        yield received
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)
