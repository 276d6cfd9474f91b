"""Work in a thread of its own that a visitor can watch and cancel."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from torch import Tensor

from pixelrnn.completion.fill import Progress

T = TypeVar("T")
PERIOD = 0.2  # seconds from snapshot to snapshot


class Cancelled(Exception):
    """A draw was cancelled before it was done."""


class Snapshot(NamedTuple):
    """A copy of the images when `done` of `total` pixels are drawn: uint8 (count, channels, height, width), on the CPU."""

    done: int
    total: int
    images: Tensor


@dataclass
class DrawSession:
    """The draw that a visitor waits for. A click on Cancel sets cancelled; another draw or another picture replaces it."""

    cancelled: bool = False
    replaced: bool = False

    def replace(self) -> None:
        self.cancelled = self.replaced = True


def drawing(work: Callable[[Progress], T], session: DrawSession) -> Iterator[Snapshot | T | None]:
    """Draw in a thread of its own: yield snapshots, one every PERIOD, or None once the session is cancelled, and at the end the
    result.

    Raises Cancelled when a cancelled draw has ended. Leaving the loop cancels it.
    """
    outcome: Future[T] = Future()
    latest: list[Snapshot] = []  # one at most

    def progress(done: int, total: int, images: Tensor) -> None:
        if session.cancelled:
            raise Cancelled
        if not latest:
            latest.append(Snapshot(done, total, images.cpu().clone()))

    def run() -> None:
        try:
            outcome.set_result(work(progress))
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        while not wait([outcome], PERIOD).done:
            if session.cancelled:
                yield None
            elif latest:
                yield latest.pop()
        result = outcome.result()
        if session.cancelled:
            raise Cancelled
        yield result
    finally:
        session.cancelled = True
