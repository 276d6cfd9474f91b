"""The signals that ask a command to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOPS = ("SIGINT", "SIGTERM")


@contextmanager
def signals_received() -> Iterator[list[str]]:
    """Context manager: collect the names of SIGINT and SIGTERM instead of ending the process; a second one acts as usual."""
    received: list[str] = []
    is_main = threading.current_thread() is threading.main_thread()  # only the main thread may set handlers
    handlers = {signal.Signals[name]: signal.getsignal(signal.Signals[name]) for name in STOPS if is_main}

    def receive(number: int, _frame: Any) -> None:
        received.append(signal.Signals(number).name)
        signal.signal(number, handlers[signal.Signals(number)])

    try:
        for number in handlers:
            signal.signal(number, receive)
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
