"""What a command finds around it: streams that nobody reads, or that are closed, and a home that may not be there."""

import contextlib
import errno
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def prepare_streams() -> None:
    """What is written to a closed stream, or to one whose reader has left, is dropped from then on; a character that the
    stream's encoding lacks becomes a question mark."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _fill(number)
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115
        elif number and stream is getattr(sys, f"__{name}__"):  # and not a test's or a notebook's own
            setattr(sys, name, _lasting(stream, number))


def _fill(number: int) -> None:
    """A closed descriptor leads nowhere, else the next file that is opened has its number, and what libraries print."""
    try:
        os.fstat(number)
    except OSError:
        _lead_nowhere(number)


def _lead_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _lasting(stream: Any, number: int) -> Any:
    raw = getattr(stream.buffer, "raw", stream.buffer)  # python -u has no buffer between
    if type(raw) is not io.FileIO:  # Windows' console
        stream.reconfigure(errors="replace")
        return stream
    lasting = _Lasting(number, "w", closefd=False)
    return io.TextIOWrapper(
        lasting if stream.write_through else io.BufferedWriter(lasting),  # type: ignore[type-var]
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Lasting(io.FileIO):
    """A descriptor that leads nowhere as soon as it cannot be written."""

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            number = self.fileno()
            _lead_nowhere(number)
            if number == 1 and error.errno != errno.EPIPE:  # a reader that left wanted no more; a full disk did
                with contextlib.suppress(OSError):
                    print(f"pixelrnn: goes on without its output ({error.strerror})", file=sys.stderr)
            return memoryview(data).nbytes


def lend_home() -> None:
    """matplotlib keeps a list of the fonts in the home folder; without one that can be written, in the temporary folder."""
    if "MPLCONFIGDIR" in os.environ or {"XDG_CONFIG_HOME", "XDG_CACHE_HOME"} <= os.environ.keys():
        return
    with contextlib.suppress(RuntimeError):  # nobody knows where it is
        home = Path.home()
        if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
            return
    with contextlib.suppress(OSError):
        folder = Path(tempfile.gettempdir()) / f"matplotlib-of-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.getuid():  # and not laid there by somebody else
            os.environ["MPLCONFIGDIR"] = str(folder)
