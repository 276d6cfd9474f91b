"""The first tab: paint the hidden region of an image, or draw one, and watch it being completed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr
import torch

from pixelrnn.errors import UserError, notes_to
from pixelrnn.figures.strips import as_rgb
from pixelrnn.files.pictures import open_picture, to_tensor
from pixelrnn.own_picture.picture import TINT, tint_of
from pixelrnn.ui import painted
from pixelrnn.ui.catalog import LoadedModel, ModelCatalog
from pixelrnn.ui.drawn import Drawn
from pixelrnn.ui.events import DrawPanel, answer_at_once, part
from pixelrnn.ui.request import MAX_PIXELS, STANDARD, NothingHidden, Request, Target, check_number, standard_mask
from pixelrnn.ui.session import DrawSession
from pixelrnn.ui.views import sentence, url
from pixelrnn.ui.ways import compare

PHOTOS = "photos"  # the model for pictures that another one cannot complete
STRATEGIES = [("exact if possible, else particles", "auto"), ("particles", "particles"), ("plain fill", "ancestral")]
ABOUT_STRATEGY = "what the model does about observed pixels that come after hidden ones in its order"
ABOUT_ORDER = "in which the pixels are drawn; the best one draws the hidden pixels last"
ABOUT_TEMPERATURE = "below 1 the images are more alike, above 1 more varied"
ABOUT_SEED = "another seed gives other images, the same one the same"
HINT = "Paint over what is to be completed, or choose one of the occlusions. A picture can be dropped or pasted here."
DRAW = (
    "Draw a part of a picture with White. Your strokes stay, and the model draws all the rest, also close around them. To keep "
    "the black as well, press Clear mask, and then hide a part, such as the bottom half."
)


class CompleteTab:
    """The components of the tab, and the answers to a visitor's events."""

    def __init__(self, models: ModelCatalog, model: gr.Dropdown, target: gr.State):
        """model: the menu of models; target: what is completed. The other tabs use them too."""
        self.models, self.model, self.target = models, model, target
        first = models[models.first]
        with gr.Row():
            with gr.Column(scale=5, min_width=320):
                self._add_image(first)
                with gr.Row(elem_classes="occlusions"):
                    self.occlusions = {title: gr.Button(title.capitalize(), size="sm") for title in STANDARD}
                self.panel = DrawPanel("Complete")
                self._add_choices(first)
            with gr.Column(scale=6, min_width=320, elem_id="results"):
                self.panel.add_results(HINT)
        self._connect()

    def _add_image(self, first: LoadedModel) -> None:
        self.examples = gr.HTML(0, pictures=example_buttons(first), elem_id="examples", **part("choices"))
        with gr.Row(elem_classes="sources"):
            self.picture = gr.UploadButton("Your own picture", size="sm", elem_id="own-picture", min_width=100)
            self.mask_file = gr.UploadButton("Mask file", size="sm", elem_id="mask-file", min_width=80)
            self.blank = gr.Button("Draw one yourself", size="sm", elem_id="blank", min_width=80, visible=draws(first))
        self.painter = gr.HTML(
            **painter_props(first, first_target(first)), elem_id="painter", **part("painter"), min_height=320
        )

    def _add_choices(self, first: LoadedModel) -> None:
        count = gr.Slider(1, 16, value=6, step=1, label="Completions", elem_id="count")
        with gr.Accordion("More settings", open=False, elem_id="settings"):
            with gr.Group(visible=not first.any_size) as self.ways_group:
                self.strategy = gr.Dropdown(
                    STRATEGIES,
                    value="auto",
                    label="Strategy",
                    info=ABOUT_STRATEGY,
                    elem_id="strategy",
                    visible=strategic(first),
                )
                self.order = gr.Dropdown(
                    order_choices(first), value="best", label="Order", info=ABOUT_ORDER, elem_id="order"
                )
            with gr.Row():
                temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature", info=ABOUT_TEMPERATURE)
                seed = gr.Number(0, precision=0, label="Seed", info=ABOUT_SEED, min_width=90)
            self.compare = gr.Button("Compare all ways to complete it", size="sm", elem_id="compare")
        self.choices = [self.strategy, self.order, count, temperature, seed]
        # A slider takes a value in its range when its box is left: a change event, and no input event.
        self.choice_events = [self.strategy.input, self.order.input, count.change, temperature.change, seed.input]

    def _connect(self) -> None:
        on, panel = partial(answer_at_once, self.panel.line), self.panel
        self.shown = shown = [self.target, self.painter, self.examples, *panel.shown]
        whole = [*shown, self.model, self.strategy, self.order, self.ways_group, self.blank]
        for events, function, inputs, outputs in (
            (self.model.input, self.choose_model, [self.model, self.target, self.painter], whole),
            (self.examples.input, self.choose_example, [self.examples, self.target], shown),
            (self.picture.upload, self.choose_picture, [self.picture, self.target], whole),
            (self.blank.click, self.choose_blank, [self.target], shown),
        ):
            on(events, self._replacing(function), [panel.session, *inputs], outputs)
        asked, masked = [self.target, self.painter, *self.choices], [self.target, self.painter, panel.earlier]
        sent = [self.mask_file, panel.drawn, self.target, *self.choices]
        on(self.mask_file.upload, self.choose_mask, sent, masked)
        for title, button in self.occlusions.items():
            on(button.click, partial(self.choose_occlusion, title), [panel.drawn, *asked], masked)
        on([self.painter.input, *self.choice_events], self.forecast, [panel.drawn, *asked], [panel.earlier])
        on(panel.further.click, self.go_on, panel.state, shown)
        panel.draw(panel.go, self.request, asked)
        panel.draw(self.compare, self.request, asked, lambda request, progress: compare(request, self.models, progress))

    def _replacing(self, function: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
        """The function with a session before its arguments, whose draw ends if the function shows another target."""

        def answer(session: DrawSession, *values: Any) -> dict[Any, Any]:
            shown = function(*values)
            if self.target in shown:
                session.replace()
            return shown

        answer.__name__ = function.__name__  # by which the page names the event
        return answer

    def choose_model(self, name: str, target: Target, text: object) -> dict[Any, Any]:
        """Show the same picture for another model if it can complete it, else the model's first example."""
        loaded, before = self.models[name], self.models[target.model]
        if loaded is before:  # the menu tells of a choice also when it is only left
            return {}
        if loaded.form == before.form and not loaded.any_size:
            hidden = painted.from_text(text, *target.image.shape[1:]) == painted.STATES.index("h")
            kept = target.hiding(target.at_full_size(hidden), loaded)
            shown = self._show_model(loaded, kept)
            return shown if kept.own else {**shown, self.painter: text}
        reason = "only a picture that you sent can go to a model of another form"
        if target.path:
            try:
                return self._show_model(loaded, Target.upload(loaded, target.path))
            except UserError as error:  # it may be gone by now, or not fit
                reason = str(error)
        shown = self._show_model(loaded, first_target(loaded))
        if not target.is_example:
            shown[self.panel.line] = (
                f"{loaded.name} cannot take over {target.words}: {reason}. {shown[self.panel.line]}"
            )
        return shown

    def _show_model(self, loaded: LoadedModel, target: Target) -> dict[Any, Any]:
        return {
            **self.show(target),
            self.model: loaded.name,
            self.examples: gr.HTML(0 if target.is_example else -1, pictures=example_buttons(loaded)),
            self.strategy: gr.Dropdown(value="auto", visible=strategic(loaded)),
            self.order: gr.Dropdown(choices=order_choices(loaded), value="best"),
            self.ways_group: gr.Group(visible=not loaded.any_size),
            self.blank: gr.Button(visible=draws(loaded)),
        }

    def choose_example(self, number: Any, target: Target) -> dict[Any, Any]:
        loaded = self.models[target.model]
        check_number("number of the example", number, 0, len(loaded.examples) - 1)
        shown = self.show(Target.example(loaded, number))
        del shown[self.examples]  # another one may have been clicked meanwhile, and counts
        return shown

    def choose_blank(self, target: Target) -> dict[Any, Any]:
        shown = self.show(Target.blank(self.models[target.model]), tool="2")
        return {**shown, self.panel.line: DRAW}

    def choose_picture(self, file: dict[str, Any], target: Target) -> dict[Any, Any]:
        """Show a visitor's picture. One in colour, for a model of grey images, goes to the model of photographs."""
        loaded, path = self.models[target.model], file["path"]
        other = None if loaded.any_size or PHOTOS not in self.models.names else self.models[PHOTOS]
        if other and loaded.model.shape[0] == 1 and tint_of(to_tensor(open_picture(path, MAX_PIXELS))) > TINT:
            shown = self._show_model(other, Target.upload(other, path))
            words = (
                f"{loaded.name} is for grey images, so model {PHOTOS} was chosen for your picture, which is in colour. "
            )
            return {**shown, self.panel.line: words + shown[self.panel.line]}
        shown = self.show(Target.upload(loaded, path))
        if other:
            shown[self.panel.line] += f" If it is a photograph, choose model {PHOTOS} above."
        return shown

    def go_on(self, drawn: Drawn, chosen: int) -> dict[Any, Any]:
        """Take an answer as the picture, of which nothing is hidden."""
        answer, words = drawn.answers[chosen], f"the completed picture ({drawn.answers[chosen].words})"
        return self.show(drawn.request.target.with_image(answer.image, answer.full_size(), words))

    def show(self, target: Target, tool: str = "1") -> dict[Any, Any]:
        """Show a new target, its mask if it has one, and no answers."""
        loaded = self.models[target.model]
        height, width = target.size
        words = f"{target.words[0].upper()}{target.words[1:]}, {width:,}x{height:,} pixels"
        if not loaded.any_size and target.own and target.own.changed:
            words += f", brought to the model's {loaded.form}; the completions are pasted back into it"
        elif loaded.any_size and target.own:
            grey = "" if len(target.own.picture) == loaded.model.shape[0] else ", in colour, and saved as grey"
            words += f", completed at its own size{grey}"
        count = 0 if target.mask is None else int(target.mask.sum())
        hidden = f" {count:,} pixels are hidden." if count else ""
        transparent = target.own.transparent if target.own else None
        if target.mask is not None and transparent is not None and torch.equal(target.mask, transparent):
            hidden = f" Its transparent part is hidden, {count:,} pixels; a completion is opaque."
        painter = gr.HTML(**painter_props(loaded, target, tool))
        line = f"{words}.{hidden or f' {HINT}'}"
        return {
            self.target: target, self.painter: painter, self.examples: gr.HTML(-1), self.panel.line: line,
            **self.panel.show_nothing(),
        }  # fmt: skip

    def choose_mask(self, file: dict[str, Any], drawn: Drawn | None, target: Target, *choices: Any) -> dict[Any, Any]:
        masked = target.with_mask_file(file["path"], self.models[target.model])
        answer = self.forecast(drawn, masked, masked.painted, *choices)
        return {**answer, self.target: masked, self.painter: self._painter(target, masked, masked.painted)}

    def _painter(self, before: Target, target: Target, text: object) -> object:
        """The painter's new value, and its picture if the model now sees another part of it."""
        if torch.equal(before.image, target.image):
            return text
        return gr.HTML(**{**painter_props(self.models[target.model], target), "value": text})

    def choose_occlusion(
        self, title: str, drawn: Drawn | None, target: Target, text: object, *choices: Any
    ) -> dict[Any, Any]:
        """Hide what an occlusion hides; what was drawn in white and black outside of it stays."""
        states = painted.from_text(text, *target.image.shape[1:])
        hidden = standard_mask(title, states.shape[0], states.shape[1], choices[-1])
        text = painted.to_text(states.where(states > 1, 0).masked_fill(hidden, painted.STATES.index("h")))
        whole = target.hiding(None, self.models[target.model])  # without what a mask file had hidden
        answer = self.forecast(drawn, whole, text, *choices)
        return {**answer, self.target: whole, self.painter: self._painter(target, whole, text)}

    def forecast(self, drawn: Drawn | None, *asked: Any) -> dict[Any, Any]:
        """Say how what is painted will be completed, or why not, and whether what was drawn is of an earlier choice."""
        told: str | UserError
        request = None
        try:
            request = self.request(*asked)
            told = request.forecast
        except NothingHidden:
            told = HINT
        except UserError as error:
            told = error
        return {self.panel.line: told, self.panel.earlier: self.panel.earlier_than(drawn, request)}

    def request(self, target: Target, text: object, *choices: Any) -> Request:
        """The request to complete the target under what is painted."""
        loaded = self.models[target.model]
        states = painted.from_text(text, *target.image.shape[1:])
        notes = list[str]()
        with notes_to(notes.append):
            target, hidden = target.after_painting(states, loaded)
        request = Request(loaded, target, hidden, *choices)
        return replace(request, notes=[f"{sentence(text)}." for text in notes if text not in target.said])


def first_target(loaded: LoadedModel) -> Target:
    """The first example, with its bottom half hidden."""
    target = Target.example(loaded, 0)
    return replace(target, mask=standard_mask("bottom half", *target.size, 0))


def example_buttons(loaded: LoadedModel) -> str:
    """The examples as a row of buttons, see choices.js."""
    buttons = (
        f'<button type="button" data-number="{i}">'
        f'<img src="{url(as_rgb(image, loaded.model.levels))}" alt="example {i + 1}"></button>'
        for i, image in enumerate(loaded.examples)
    )
    return f'<div class="choices" role="group" aria-label="examples {loaded.source}">{"".join(buttons)}</div>'


def strategic(loaded: LoadedModel) -> bool:
    """Whether the strategy makes a difference: an encoder sees every observed pixel, and a model of any size has one way."""
    return not loaded.model.sees_ahead and not loaded.any_size


def draws(loaded: LoadedModel) -> bool:
    """Whether one can draw in white and black on the model's images."""
    return not loaded.any_size and loaded.model.shape[0] == 1


def painter_props(loaded: LoadedModel, target: Target, tool: str = "1") -> dict[str, Any]:
    """The properties of the painter, see painter.js."""
    rows, columns = target.image.shape[1:]
    props = {"picture": url(as_rgb(target.image, loaded.model.levels)), "rows": rows, "columns": columns}
    value = target.painted or f"{rows * columns}."
    return {**props, "value": value, "draws": draws(loaded) and target.own is None, "tool": tool}


def order_choices(loaded: LoadedModel) -> list[tuple[str, Any]]:
    return [("best for what is hidden", "best"), *((name, index) for index, name in enumerate(loaded.order_names))]
