"""Files that are whole or not there: written beside their place, then moved into it."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pixelrnn.errors import UserError

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # what write_whole calls a file until it is whole
FIGURES = ("png", "svg", "pdf")  # the kinds of file that a figure can be


def expanded(path: str | Path) -> Path:
    """The path with a leading ~ or ~user replaced by that home folder; without such a user it stays as it is."""
    try:
        return Path(os.path.expanduser(path))
    except ValueError:  # no user can have such a name
        return Path(path)


def write_whole(path: Path, write: Callable[[Path], object], durable: bool = False) -> None:
    """Calls write(temporary path) and moves the result to `path`; a failure leaves what was there before.

    durable: so does a loss of power, at the price of some milliseconds. Raises UserError where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # TEMPORARY
    try:
        made = not path.parent.is_dir()
        path.parent.mkdir(parents=True, exist_ok=True)
        if made and durable:
            _names_to_disk(path.parent)
        try:
            write(temporary)
            if durable:
                _to_disk(temporary)
            os.replace(temporary, path)
            if durable:
                _to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def nothing_left(*places: Path) -> Iterator[None]:
    """Context manager: if its body fails, what it made at, below and above these places is removed."""

    def there() -> set[Path]:
        return {path for place in places for path in (*place.parents, place, *place.rglob("*")) if path.exists()}

    before = there()
    try:
        yield
    except BaseException:
        for path in sorted(there() - before, reverse=True):  # what is inside a folder goes first
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def append(path: Path, text: str) -> None:
    """Adds text at the end of a file; UserError where it cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(path, error) from error


def to_disk(path: Path) -> None:
    """Waits until a file that was added to, and its name, are on the disk; UserError where they cannot be."""
    try:
        _to_disk(path)
        _to_disk(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror or error}); what was there before is whole: make room, or choose another "
        "folder (hydra.run.dir=)"
    )


def _to_disk(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk."""
    if os.name != "posix" and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _names_to_disk(path: Path) -> None:
    """Sees to it that a file or folder that was made just now still has its name after a loss of power."""
    for above in path.absolute().parents:
        with suppress(OSError):  # one that may not be read was not made just now
            _to_disk(above)


@contextmanager
def only_writer(folder: Path, *below: str) -> Iterator[None]:
    """While it holds, no other process has this of the folder; what an earlier one left half written is removed, in the
    folder and in those of these names below it.

    Raises UserError where another one has it. The lock is the system's, and ends with the process, however that ends.
    """
    handle = _locked(folder)
    try:
        for place in (folder, *(folder / name for name in below)):
            for left in place.glob(".*.tmp"):
                if TEMPORARY.fullmatch(left.name) and left.is_file():
                    left.unlink(missing_ok=True)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """An open handle of the folder, with its lock; None on systems that have no such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(f"{folder} is being written by another run; choose another folder (hydra.run.dir=)") from None
    except OSError:  # a file system without locks
        pass
    return handle


def write_json(path: Path, values: Any, durable: bool = False) -> None:
    text = json.dumps(values, indent=2) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), durable)
