"""Files that are complete or absent: written under a temporary name, then moved into place."""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pixelrnn.errors import UserError, printable

ELSEWHERE = "choose another folder (on the command line by hydra.run.dir=, of a sweep by hydra.sweep.dir=)"


def expanded(path: str | Path) -> Path:
    """The path with a leading ~ or ~user replaced by that home folder; without such a user it stays as it is.

    Raises UserError for what is no path.
    """
    if not isinstance(path, str | os.PathLike) or "\0" in str(path):
        raise UserError(f"{printable(repr(path))} is no path; give a text such as outputs/mine, or a pathlib.Path")
    try:
        return Path(os.path.expanduser(path))
    except ValueError:  # no user can have such a name
        return Path(path)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary path), bring the file to the disk and move it to `path`. A failure leaves the old file there.

    Missing folders are created. Raises UserError if the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.pixelrnn-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, with write_whole."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, without nan, with write_whole."""
    write_text(path, json.dumps(without_nan(values), indent=2) + "\n")


def without_nan(value: Any) -> Any:
    """Plain values for JSON, which has no nan: None in its place."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def append(path: Path, text: str) -> None:
    """Add text to the end of a file. Raise UserError if it cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror or error}); what was there before is whole: make room, or {ELSEWHERE}"
    )


@contextmanager
def nothing_left(*places: Path) -> Iterator[None]:
    """Context manager: if its body fails, remove the files and folders that it created at these paths,
    inside them, or as their parents."""

    def existing() -> set[Path]:
        return {path for place in places for path in (*place.parents, place, *place.rglob("*")) if path.exists()}

    before = existing()
    try:
        yield
    except BaseException:
        for path in sorted(existing() - before, reverse=True):  # the content of a folder before the folder
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


@contextmanager
def only_writer(folder: Path, *below: str) -> Iterator[None]:
    """Context manager: make the folder, lock it against other processes, and remove the half-written files of a killed one.

    They are looked for in the folder and in its subfolders `below`. The system ends the lock with the process, even if
    it is killed. Raises UserError if the folder cannot be made, and if another process holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        for place in (folder, *(folder / name for name in below)):
            for left in place.glob(".*.pixelrnn-*.tmp"):
                left.unlink()
        yield
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Context manager: make the folder, and wait until no other process is here with the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path, wait: bool = False) -> int | None:
    """An open handle of the folder that holds its lock; None on systems without such locks. wait: until another process lets
    go of it; otherwise UserError if one holds it."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(handle)
        raise UserError(f"{folder} is being written by another run; {ELSEWHERE}") from None
    except OSError:  # a file system without locks
        pass
    return handle
