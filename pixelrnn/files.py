"""Files that are whole or not there: written beside their place, then moved into it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pixelrnn.errors import UserError

FIGURES = ("png", "svg", "pdf")  # the kinds of file that a figure can be


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Calls write(temporary path) and moves the result to `path`; a failure leaves what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_figures(kind: str, option: str = "figures") -> str:
    """The kind; UserError unless figures can be of it."""
    if kind not in FIGURES:
        raise UserError(f"{option}={kind}: it is {', '.join(FIGURES[:-1])} or {FIGURES[-1]}")
    return kind


def write_json(path: Path, values: Any) -> None:
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8"))
