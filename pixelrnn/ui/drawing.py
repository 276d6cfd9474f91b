"""A draw that can be watched and ended: it runs in a thread of its own, and tells from time to time how far it is."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from pixelrnn.completion.fill import Progress
from pixelrnn.errors import UserError

logger = logging.getLogger(__name__)

PERIOD = 0.2  # seconds between two frames, at least
PATIENCE = 20.0  # seconds in which nobody asks for the next frame, after which a draw ends itself

Result = TypeVar("Result")


class Ended(Exception):
    """A draw was ended before it was done."""


@dataclass(frozen=True)
class Frame:
    """done of total pixels, and a copy of the images so far: uint8 (count, channels, height, width), on the CPU."""

    done: int
    total: int
    images: Tensor


class Drawing(Generic[Result]):
    """Calls work(progress) once frames() is iterated; result is what it returned, once that has come to its end."""

    result: Result

    def __init__(self, work: Callable[[Progress], Result], lock: threading.Lock):
        """While it works it holds the lock."""
        self._work, self._lock = work, lock
        self._news = threading.Condition()
        self._latest: Frame | None = None
        self._error: Exception | None = None
        self._finished = self._ending = self._awaited = False
        self._told = self._asked = time.monotonic()

    def end(self) -> None:
        """Ends the draw at its next pixel; frames() then raises Ended."""
        self._ending = True

    def frames(self) -> Iterator[Frame]:
        """The latest frame each time there is a new one, and at last what the work raised, if it raised."""
        self._awaited = True
        threading.Thread(target=self._run, daemon=True).start()
        try:
            while True:
                with self._news:
                    self._awaited = True
                    self._news.wait_for(lambda: self._latest or self._finished)
                    frame, self._latest, self._awaited, self._asked = self._latest, None, False, time.monotonic()
                if frame:
                    yield frame
                elif self._error:
                    raise self._error.with_traceback(None)
                else:
                    return
        finally:
            self.end()  # nobody looks any more

    def _run(self) -> None:
        with self._lock:
            try:
                self.result = self._work(self._progress)
            except Exception as error:
                if not isinstance(error, Ended | UserError):
                    logger.exception("a draw of the page failed")
                self._error = error.with_traceback(None)  # which would keep the canvas, the noise and the states
        with self._news:
            self._finished = True
            self._news.notify()

    def _progress(self, done: int, total: int, images: Tensor) -> None:
        now = time.monotonic()
        if self._ending or (not self._awaited and now - self._asked > PATIENCE):
            raise Ended
        if now - self._told >= PERIOD or done == total:
            self._told = now
            frame = Frame(done, total, images.cpu().clone())
            with self._news:
                self._latest = frame
                self._news.notify()
