"""How the tabs answer: errors as a line, draws frame by frame."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from pixelrnn.errors import UserError
from pixelrnn.ui import html
from pixelrnn.ui.html import View
from pixelrnn.ui.watch import Errand

KEPT = 600  # seconds that a file lies in the temporary folder, about

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ONE_BY_ONE: dict[str, Any] = {
    "concurrency_id": "draw",
    "concurrency_limit": 1,
    "show_progress": "hidden",
    "api_visibility": "private",
}


def told(line: gr.HTML) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Of a function that answers with values of components: where it raises UserError, only the line is changed."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def answer(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except UserError as error:
                return {line: html.line(str(error), "wrong")}

        return answer

    return decorate


@contextmanager
def received(path: str) -> Iterator[None]:
    """A file that a visitor sent is spoken of by its name. Gradio removes it after KEPT seconds: its place is named after its
    content, so that another visitor may have sent the same."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(path, Path(path).name)) from None


def begin(errand: Errand) -> tuple[str, str, Any]:
    errand.begin()
    return html.line("Waiting for its turn.", "working"), "", gr.DownloadButton(value=None, interactive=False)


def end(errand: Errand) -> None:
    errand.end()


def shown(view: View, line: gr.HTML, pictures: gr.HTML, files: gr.DownloadButton) -> dict[Any, Any]:
    shown: dict[Any, Any] = {line: view.line}
    if view.pictures:
        shown[pictures] = view.pictures
    if view.archive:
        for old in Path(os.environ["GRADIO_TEMP_DIR"]).glob("pixelrnn-*.zip"):  # Gradio has a copy of each
            if time.time() - old.stat().st_mtime > KEPT:
                old.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(
            prefix="pixelrnn-", suffix=".zip", dir=os.environ["GRADIO_TEMP_DIR"], delete=False
        ) as file:
            file.write(view.archive)
        shown[files] = gr.DownloadButton(value=file.name, interactive=True)
    return shown
