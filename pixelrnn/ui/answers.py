"""How the tabs answer: errors as a line, draws frame by frame."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from pixelrnn.errors import UserError
from pixelrnn.notes import notes_to
from pixelrnn.ui import html
from pixelrnn.ui.html import View
from pixelrnn.ui.watch import Errand

KEPT = 600  # seconds that a file lies in the temporary folder, about

# Of events that come while one is answered, the last one counts. What a browser sends is checked here, not by Gradio, which
# fails where a box is empty.
QUIET: dict[str, Any] = {
    "trigger_mode": "always_last",
    "preprocess": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
QUICK: dict[str, Any] = {"queue": False, **QUIET}
ONE_BY_ONE: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 1, **QUIET}


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
def received(file: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """The path of a file that a visitor sent, and the notes on it; both speak of it by its name. Gradio removes it after KEPT
    seconds: its place is named after its content, so that another visitor may have sent the same."""
    path, notes = file["path"], list[str]()

    def spoken(text: str) -> str:
        return text.replace(path, Path(path).name)

    try:
        with notes_to(lambda text: notes.append(f"{spoken(text)}.")):
            yield path, notes
    except UserError as error:
        raise UserError(spoken(str(error))) from None


def begin(errand: Errand) -> tuple[str, str, Any]:
    errand.begin()
    return html.line("Waiting for its turn.", "working"), "", gr.DownloadButton(value=None, interactive=False)


def end(errand: Errand) -> None:
    errand.end()


def shown(view: View, line: gr.HTML, pictures: gr.HTML, files: gr.DownloadButton) -> dict[Any, Any]:
    shown: dict[Any, Any] = {line: view.line}
    if view.pictures:
        shown[pictures] = view.pictures
    if view.archive:  # where it lies already, Gradio makes no copy, and removes it after KEPT seconds
        with tempfile.NamedTemporaryFile(
            prefix="pixelrnn-", suffix=".zip", dir=os.environ["GRADIO_TEMP_DIR"], delete=False
        ) as file:
            file.write(view.archive)
        shown[files] = gr.DownloadButton(value=file.name, interactive=True)
    return shown
