"""How the tabs answer a visitor's events: at once, or one snapshot after the other while images are drawn."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from pixelrnn.completion.fill import Progress
from pixelrnn.errors import UserError, notes_to
from pixelrnn.figures.animation import save_animation
from pixelrnn.ui import drawn as drawing
from pixelrnn.ui import views
from pixelrnn.ui.drawn import Drawn
from pixelrnn.ui.request import Request, check_number
from pixelrnn.ui.session import DrawSession

HERE = Path(__file__).parent
KEPT = 600  # seconds that a file stays in the temporary folder, about
EARLIER = (
    '<p class="line earlier">Made with the earlier mask or settings. Press the button again to draw with these.</p>'
)

# Brings the line and what is below it into view.
LOOK = "() => document.querySelector('{}').scrollIntoView({{ block: innerWidth < 700 ? 'start' : 'nearest' }})"

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


def part(name: str) -> dict[str, Any]:
    """The template of a component of ours, and its program: name.html and name.js."""
    html, program = ((HERE / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "js"))
    return {"html_template": html, "js_on_load": program}


def answer_at_once(
    line: gr.HTML, events: Any, function: Callable[..., dict[Any, Any]], inputs: Sequence[Any], outputs: Sequence[Any]
) -> None:
    """On these events call the function with the values of inputs. It returns the words for the line, or a UserError, and new
    values of outputs. Notes are added to its words. If it raises UserError, only the line changes; if it returns nothing,
    nothing does."""

    @wraps(function)
    def answer(*values: Any) -> dict[Any, Any]:
        notes = list[str]()
        try:
            with notes_to(lambda text: notes.append(f"{views.sentence(text)}.")):
                answer = function(*values)
        except UserError as error:
            answer = {line: error}
        if not answer:
            return {line: gr.skip()}
        told = answer[line]
        if isinstance(told, UserError):
            return {**answer, line: views.mistake(told)}
        return {**answer, line: views.line(" ".join([told, *notes]))}

    gr.on(events, answer, [*inputs], [line, *outputs], **QUICK)


class DrawPanel:
    """The part of a tab that draws: the buttons to start, to cancel and to draw others, the line, and what was drawn, to look at
    and to save."""

    def __init__(self, verb: str, prefix: str = ""):
        self.prefix = prefix
        self.session, self.drawn, self.chosen = gr.State(DrawSession()), gr.State(), gr.State(0)
        with gr.Row(elem_classes="go"):
            self.go = gr.Button(verb, variant="primary", elem_id=f"{prefix}go", min_width=120)
            self.cancel = gr.Button("Cancel", elem_id=f"{prefix}cancel", min_width=80, interactive=False)

    def add_results(self, hint: str) -> None:
        """Add the line, and the components that show what was drawn."""
        prefix = self.prefix
        self.line = gr.HTML(views.line(hint), elem_id=f"{prefix}line")
        self.earlier = gr.HTML(elem_id=f"{prefix}earlier")
        self.pictures = gr.HTML(0, pictures="", elem_id=f"{prefix}pictures", **part("choices"))
        with gr.Column(elem_id=f"{prefix}chosen"):  # page.css hides it while there are no pictures to choose from
            nothing: dict[str, Any] = dict.fromkeys(("before", "after", "steps", "words", "command"), "")
            self.player = gr.HTML("stop", elem_id=f"{prefix}player", **part("player"), **nothing)
            self.pasted = gr.HTML(elem_id=f"{prefix}pasted")
            with gr.Row(elem_classes="saves"):
                self.others = gr.Button("Draw others", size="sm", elem_id=f"{prefix}others", min_width=120)
                self.further = gr.Button(
                    "Go on from this picture", size="sm", elem_id=f"{prefix}further", min_width=120
                )
                self.file = gr.DownloadButton("Save it (PNG)", elem_id=f"{prefix}file", size="sm", min_width=120)
                self.gif = gr.Button("Save the replay (GIF)", size="sm", elem_id=f"{prefix}gif", min_width=120)
                self.gif_file = gr.DownloadButton("GIF", elem_id=f"{prefix}gif-file", elem_classes="unseen")
                self.files = gr.DownloadButton("Save all (ZIP)", elem_id=f"{prefix}files", size="sm", min_width=120)
        self.maps = gr.HTML(elem_id=f"{prefix}maps")
        around = [self.maps, self.pictures, self.earlier, self.drawn, self.files]
        self.shown = [*around, *self._of_choice]
        self.cancel.click(self.cancel_draw, self.session, **QUICK)
        self.pictures.input(self.choose, [self.pictures, self.drawn], self._of_choice, **QUICK)
        made = self.gif.click(self.animate, self.state, self.gif_file, **QUICK)
        made.then(None, js=f"() => document.querySelector('#{prefix}gif-file').click()")

    @property
    def state(self) -> list[Any]:
        """The components that hold the last result, and the number of the answer that is enlarged."""
        return [self.drawn, self.chosen]

    @property
    def _of_choice(self) -> list[Any]:
        return [self.player, self.pasted, self.file, self.chosen]

    def draw(
        self,
        button: gr.Button,
        request: Callable[..., Request],
        inputs: Sequence[Any],
        how: Callable[[Request, Progress], Drawn] = drawing.draw,
    ) -> None:
        """Draw what request() returns for the inputs' values, each time the visitor clicks the button. The last input is the seed;
        the button to draw others adds 1 to it first."""
        outputs = [self.line, self.cancel, *self.shown]

        def begin(session: DrawSession) -> dict[Any, Any]:
            session.replace()
            line = views.line("Waiting for its turn: one visitor's pictures are drawn at a time.", "working")
            shown = {self.line: line, self.cancel: gr.Button(interactive=True), self.session: DrawSession()}
            return {**shown, **self.show_nothing()}

        def draw(session: DrawSession, *values: Any) -> Iterator[dict[Any, Any]]:
            yield {self.cancel: gr.Button(interactive=True)}  # the end of a draw before may have come since begin()
            for view in views.watch(lambda: request(*values), how, session):
                shown: dict[Any, Any] = {self.line: view.line}
                if view.pictures:
                    shown[self.pictures] = gr.HTML(view.drawn.first if view.drawn else 0, pictures=view.pictures)
                if view.drawn:
                    shown |= self.show(view.drawn)
                if session.replaced:
                    break
                yield shown
            yield {self.cancel: gr.Button(interactive=False)}

        def check(drawn: Drawn | None, *values: Any) -> str:
            try:
                return self.earlier_than(drawn, request(*values))
            except UserError:
                return self.earlier_than(drawn, None)

        clicks = [(button, button.click)]
        if button is self.go:
            with_next_seed = self.others.click(next_seed, inputs[-1], inputs[-1], **QUICK)
            clicks.append((self.others, with_next_seed.then))
        for clicked, start in clicks:
            begun = start(begin, self.session, [*outputs, self.session], **QUICK)
            done = begun.then(draw, [self.session, *inputs], outputs, **ONE_BY_ONE)
            done.then(check, [self.drawn, *inputs], self.earlier, **QUICK)
            clicked.click(None, js=LOOK.format(f"#{self.prefix}line"))

    def earlier_than(self, drawn: Drawn | None, request: Request | None) -> str:
        """The words that what was drawn is not what the request would draw; none if it is. None: what is asked for now is no
        request."""
        return EARLIER if drawn and not (request and request.is_like(drawn.request)) else ""

    def cancel_draw(self, session: DrawSession) -> None:
        session.cancelled = True

    def show_nothing(self) -> dict[Any, Any]:
        """Clear what was drawn, which belongs to another picture."""
        return {
            self.pictures: gr.HTML(pictures=""), self.maps: "", self.earlier: "", self.drawn: None, self.chosen: 0,
            self.files: gr.DownloadButton(value=None),
        }  # fmt: skip

    def show(self, drawn: Drawn) -> dict[Any, Any]:
        """Show what was drawn, and the answer to look at first enlarged."""
        return {
            self.drawn: drawn,
            self.maps: views.maps(drawn),
            self.files: gr.DownloadButton(value=save(drawn.archive(), "completions.zip")),
            **self._show_answer(drawn, drawn.first, play=True),
        }

    def choose(self, number: Any, drawn: Drawn | None) -> dict[Any, Any]:
        """Show the answer that was clicked."""
        if drawn is None:
            return {self.chosen: 0}
        check_number("number of the picture", number, 0, len(drawn.answers) - 1)
        return self._show_answer(drawn, number)

    def _show_answer(self, drawn: Drawn, number: int, play: bool = False) -> dict[Any, Any]:
        whole = drawing.png(drawn.answers[number].full_size(), drawn.request.profile)
        own = drawn.request.target.own if not drawn.request.loaded.any_size else None
        pasted = views.figure(whole, "in your picture", below=True) if own and own.resized else ""
        player = gr.HTML(**views.player_props(drawn, number, play))
        return {
            self.player: player,
            self.pasted: pasted,
            self.file: gr.DownloadButton(value=save(whole, "completion.png")),
            self.chosen: number,
        }

    def animate(self, drawn: Drawn, number: int) -> Any:
        """The replay of the chosen answer as a GIF file."""
        answer, path = drawn.answers[number], place("completion.gif")
        times = answer.steps / answer.steps.max()
        save_animation(answer.image[None, None], times[None], drawn.request.loaded.model.levels, path)
        return gr.DownloadButton(value=str(path))


def next_seed(seed: Any) -> Any:
    """The seed after this one; what is no number stays, and the request refuses it."""
    return seed + 1 if isinstance(seed, int) else seed


def place(name: str) -> Path:
    """A place for a file of this name in Gradio's own folder, where it makes no copy and removes the file after KEPT seconds."""
    return Path(tempfile.mkdtemp(prefix="pixelrnn-", dir=os.environ["GRADIO_TEMP_DIR"])) / name


def save(data: bytes, name: str) -> str:
    """Save a file at such a place."""
    (path := place(name)).write_bytes(data)
    return str(path)
