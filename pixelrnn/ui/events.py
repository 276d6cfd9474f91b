"""How the tabs answer a visitor's events: at once, or frame by frame while images are drawn."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import gradio as gr

from pixelrnn.errors import UserError, notes_to
from pixelrnn.ui import views
from pixelrnn.ui.views import IMAGES, DrawSession, Way

KEPT = 600  # seconds that a file stays in the temporary folder, about

# Of events that come while one is answered, the last one counts. The tabs check what a browser sends: Gradio's own check
# (preprocess) fails if a box is empty.
QUIET: dict[str, Any] = {
    "trigger_mode": "always_last",
    "preprocess": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
QUICK: dict[str, Any] = {"queue": False, **QUIET}
ONE_BY_ONE: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 1, **QUIET}


def answer_at_once(
    line: gr.HTML, events: Any, function: Callable[..., dict[Any, Any]], inputs: Sequence[Any], outputs: Sequence[Any]
) -> None:
    """On these events call the function with the values of inputs. It returns the words for the line, and new values of
    outputs. Notes are added to its words. If it raises UserError, only the line changes."""

    @wraps(function)
    def answer(*values: Any) -> dict[Any, Any]:
        notes = list[str]()
        try:
            with notes_to(lambda text: notes.append(f"{text}.")):
                answer = function(*values)
        except UserError as error:
            return {line: views.line(str(error), "wrong")}
        return {**answer, line: views.line(" ".join([answer[line], *notes]))}

    gr.on(events, answer, [*inputs], [line, *outputs], **QUICK)


class DrawPanel:
    """The part of a tab that draws: the buttons to start and cancel, the line, the pictures and the files."""

    def __init__(self, verb: str, hint: str, prefix: str = ""):
        self.session = gr.State(DrawSession())
        with gr.Row():
            self.go = gr.Button(verb, variant="primary", elem_id=f"{prefix}go")
            self.cancel = gr.Button("Cancel", elem_id=f"{prefix}cancel")
        self.line = gr.HTML(views.line(hint), elem_id=f"{prefix}line")
        self.pictures = gr.HTML(elem_id=f"{prefix}pictures")
        self.files = gr.DownloadButton(
            "Download the PNGs and the JSON", interactive=False, size="sm", elem_id=f"{prefix}files"
        )

    def draw(
        self,
        request: Callable[..., Any],
        inputs: Sequence[Any],
        way: Way = IMAGES,
        show: Callable[[Any], dict[Any, Any]] = lambda drawn: {},
        more: Sequence[Any] = (),
    ) -> None:
        """Draw what request() returns for the inputs' values, each time the visitor clicks the first button.

        show() returns new values of the components `more` for what is drawn, and for None when a draw begins."""
        outputs = [self.line, self.pictures, self.files, *more]

        def begin(session: DrawSession) -> dict[Any, Any]:
            session.cancelled = True  # the draw before
            line = views.line("Waiting for its turn.", "working")
            files = gr.DownloadButton(value=None, interactive=False)
            return {self.line: line, self.pictures: "", self.files: files, self.session: DrawSession(), **show(None)}

        def draw(session: DrawSession, *values: Any) -> Iterator[dict[Any, Any]]:
            for view in views.watch(lambda: request(*values), session, way):
                shown: dict[Any, Any] = {self.line: view.line}
                if view.pictures:
                    shown[self.pictures] = view.pictures
                if view.archive:
                    shown[self.files] = gr.DownloadButton(value=save(view.archive, ".zip"), interactive=True)
                if view.drawn:
                    shown |= show(view.drawn)
                yield shown

        def cancel(session: DrawSession) -> None:
            session.cancelled = True

        begun = self.go.click(begin, self.session, [*outputs, self.session], **QUICK)
        begun.then(draw, [self.session, *inputs], outputs, **ONE_BY_ONE)
        self.cancel.click(cancel, self.session, **QUICK)


def save(data: bytes, suffix: str) -> str:
    """Save a file in Gradio's own folder, where it makes no copy and removes the file after KEPT seconds."""
    folder = os.environ["GRADIO_TEMP_DIR"]
    with tempfile.NamedTemporaryFile(prefix="pixelrnn-", suffix=suffix, dir=folder, delete=False) as file:
        file.write(data)
    return file.name
