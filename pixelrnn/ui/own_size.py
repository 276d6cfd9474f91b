"""The first tab, for a model of pictures of any size: paint on a picture at its own size, and watch the hole being filled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import torch
import torch.nn.functional as F
from gradio.components.image_editor import EditorData, EditorValue
from torch import Generator, Tensor

from pixelrnn.completion.describe import describe_model
from pixelrnn.completion.fill import Progress
from pixelrnn.completion.windows import WITHIN, PictureCompletions, complete_windows, interval_caveat
from pixelrnn.errors import UserError
from pixelrnn.figures.strips import as_heat
from pixelrnn.files.pictures import HALF, to_picture, to_tensor, with_channels
from pixelrnn.model import InpaintingRNN
from pixelrnn.own_picture.any_size import with_channels_as, with_channels_of
from pixelrnn.own_picture.picture import OwnPicture, read
from pixelrnn.ui import views
from pixelrnn.ui.events import QUICK, DrawPanel, answer_at_once, save
from pixelrnn.ui.request import LoadedModel, ModelCatalog, Target, check_choices, check_number
from pixelrnn.ui.views import Frame, View, Way

MAX_PIXELS = 24_000_000  # of a picture or a mask that a visitor sends: the time depends on the hidden part
SHOWN = 1280  # pixels of the larger side: a larger picture is painted on, and watched, reduced to this
MAX_DRAWN = 1_000_000  # hidden pixels times completions
TINT = (237, 140, 51)  # of hidden pixels, as in pixelrnn/figures
HINT = "Paint over what is to be completed, or send a mask file."


@dataclass(frozen=True, eq=False)
class PictureRequest:
    """Complete the hidden part of a picture at its own size. Raises UserError as Request does, and for too much work."""

    loaded: LoadedModel
    target: Target
    hidden: Tensor  # bool (height, width), at the picture's own size
    count: int = 6
    temperature: float = 1.0
    seed: int = 0
    first: int = 0  # the answer that is shown first: 0 for the mean, 1 for a draw

    def __post_init__(self) -> None:
        check_choices(self.count, self.temperature, self.seed)
        check_number("answer to show first", self.first, 0, 1)
        pixels = int(self.hidden.sum())
        if not pixels:
            raise UserError("nothing is hidden: paint over what is to be completed, or send a mask file")
        if pixels * self.count > MAX_DRAWN:
            raise UserError(
                f"{pixels:,} hidden pixels, {self.count} times, would take too long: the page draws up to {MAX_DRAWN:,}; hide "
                "less, ask for fewer completions, or use pixelrnn complete, which has no limit"
            )

    @property
    def picture(self) -> Tensor:
        """The picture, uint8 (channels, height, width)."""
        assert self.target.own
        return self.target.own.picture

    @property
    def forecast(self) -> str:
        """A sentence that says how much is drawn, and how."""
        at = "" if self.temperature == 1 else f" at temperature {self.temperature:g}"
        drawn = "exact samples of p(hidden | observed)" if not at else f"samples{at}, not of p(hidden | observed)"
        return f"{int(self.hidden.sum()):,} of {self.hidden.numel():,} pixels are hidden: {drawn}."


@dataclass(frozen=True, eq=False)
class PictureDrawn:
    """The answers to a request: the mean, which is number 0, and the draws."""

    request: PictureRequest
    found: PictureCompletions
    files: list[str]  # the answers as PNG files, and behind them the picture with its hidden part tinted

    def answer(self, number: int) -> Tensor:
        """An answer with the picture's own channels, uint8 (channels, height, width)."""
        picture = self.found.draw(number - 1) if number else self.found.mean
        return with_channels_as(len(self.request.picture), picture)

    @property
    def words(self) -> list[str]:
        """The words below each answer."""
        below = (
            f"{fact['log_prob_nats']:,.0f} nats, {fact['bits_per_dim']:.2f} bits per value" for fact in self.found.facts
        )
        draws = (f"draw {k}: {words}".replace("-", "\N{MINUS SIGN}") for k, words in enumerate(below, 1))
        return ["mean", *draws]


def draw(request: PictureRequest, progress: Progress) -> PictureDrawn:
    """Draw the completions of a request, and save them as files."""
    model = request.loaded.model
    assert isinstance(model, InpaintingRNN)
    generator = Generator(model.order.device).manual_seed(request.seed)
    given = with_channels_of(model, request.picture)
    found = complete_windows(model, given, request.hidden, request.count, request.temperature, generator, progress)
    drawn = PictureDrawn(request, found, [])
    for image in (*map(drawn.answer, range(request.count + 1)), tinted(request.picture, request.hidden)):
        drawn.files.append(save(views.png(image), ".png"))
    return drawn


def tinted(picture: Tensor, hidden: Tensor) -> Tensor:
    """A picture in colours, uint8 (3, height, width), with its hidden pixels, bool (height, width), tinted."""
    colours = picture.expand(3, -1, -1).clone()
    colours[:, hidden] = torch.tensor(TINT, dtype=torch.uint8)[:, None]
    return colours


def reduced(picture: Tensor) -> Tensor:
    """A picture, uint8 (channels, height, width), with at most SHOWN pixels on its larger side."""
    image = to_picture(picture)
    image.thumbnail((SHOWN, SHOWN))
    return to_tensor(image)


def view_frame(request: PictureRequest, frame: Frame) -> View:
    """The first completion as it is so far. Pixels to come are black in it, and tinted here."""
    picture, own = frame.images[0], request.target.own
    assert own
    shown = tinted(reduced(picture), own.reduce(request.hidden & (picture == 0).all(0)))
    words = f"Drawing: {frame.done:,} of {frame.total:,} pixels. {request.forecast}"
    return View(views.progress_line(words, frame), views.figure(views.png(shown), "the picture so far"))


def view_result(drawn: PictureDrawn) -> View:
    """How much was drawn, and the width of the intervals. The answers have components of their own."""
    request, found = drawn.request, drawn.found
    hot, most = as_heat(F.adaptive_max_pool2d(found.interval_widths[None], request.target.image.shape[1:])[0])
    heat = views.png(torch.from_numpy((hot * 255).round().astype(np.uint8)).permute(2, 0, 1))
    widths = "Width of each hidden pixel's 90 % interval, in levels: where it is bright, the draws differ."
    pictures = f'{views.figure(heat, widths)}<p class="note">{widths}</p>{views.heat_bar(f"{most:.0f}", "levels")}'
    average = float((found.high.float() - found.low).mean())
    words = f"Done: {request.forecast} Their 90 % intervals are {average:.0f} of 256 levels wide on average. "
    if caveat := interval_caveat(request.count, request.temperature):
        words += f"They do not hold 90 % of the hidden values: {caveat}. "
    words += "Choose one of the pictures to see it above, to download it, or to take it further."
    return View(views.line(words), pictures, archive(drawn), drawn)


def archive(drawn: PictureDrawn) -> bytes:
    """Pack a zip file: the mean, each draw, the mask, the width of the intervals, and a report in JSON."""
    request, names = drawn.request, ["mean.png", *(f"{k:03d}.png" for k in range(drawn.request.count))]
    files = {name: Path(path).read_bytes() for name, path in zip(names, drawn.files, strict=False)}
    files["mask.png"] = views.png(request.hidden[None].to(torch.uint8) * 255)
    files["interval.png"] = views.png(drawn.found.interval_widths.round().to(torch.uint8)[None])
    settings = {name: getattr(request, name) for name in ("count", "temperature", "seed")}
    completions = [{"file": name, **fact} for name, fact in zip(names[1:], drawn.found.facts, strict=True)]
    share = None if interval_caveat(request.count, request.temperature) else WITHIN
    report = {"settings": {"model": request.loaded.name, **settings}, "hidden_pixels": int(request.hidden.sum())}
    return views.pack(files, {**report, "interval_share": share, "completions": completions})


WAY = Way(draw, view_frame, view_result)


class OwnSize:
    """The components, and the answers to a visitor's events."""

    def __init__(self, models: ModelCatalog, first: LoadedModel | None):
        """first: the model that is chosen when the page opens; None: one of another kind."""
        self.models = models
        target = target_of(first, first.examples[0]) if first else None
        self.target, self.drawn, self.chosen = gr.State(target), gr.State(), gr.State(0)
        with gr.Column(scale=5, min_width=320):
            with gr.Row():
                self.picture = gr.UploadButton("Your own picture", size="sm", elem_id="own-size-picture")
                self.mask_file = gr.UploadButton("Mask file (white is hidden)", size="sm", elem_id="own-size-mask")
            colour = "#{:02x}{:02x}{:02x}".format(*TINT)
            self.editor = gr.ImageEditor(
                editor_value(target) if target else None,
                sources=(), transforms=(), layers=False, format="png", show_label=False, height=520, elem_id="editor",
                brush=gr.Brush(default_size=16, colors=[colour], default_color=colour, color_mode="fixed"),
            )  # fmt: skip
        with gr.Column(scale=6, min_width=320):
            with gr.Accordion("Settings", open=False, elem_id="own-size-settings"):
                with gr.Row():
                    count = gr.Slider(1, 16, value=6, step=1, label="Completions", elem_id="own-size-count")
                    temperature = gr.Slider(0.1, 2, value=1, step=0.05, label="Temperature")
                    seed = gr.Number(0, precision=0, label="Seed", min_width=90)
                order = gr.Radio([("the mean", 0), ("a draw", 1)], value=0, label="Show first", elem_id="show-first")
            self.panel = DrawPanel("Complete", HINT, "own-size-")
            self.panel.pictures.unrender()
            self.panel.files.unrender()
            with gr.Column(visible=False) as self.results:
                self.slider = gr.ImageSlider(
                    format="png", label="Before and after", buttons=["fullscreen"], elem_id="before-after", interactive=False
                )  # fmt: skip
                with gr.Row():
                    self.file = gr.DownloadButton("Download this picture (PNG)", size="sm", elem_id="own-size-file")
                    self.further = gr.Button("Take it further", size="sm", elem_id="further")
                self.gallery = gr.Gallery(
                    format="png", show_label=False, buttons=[], columns=3, object_fit="contain",
                    elem_id="answers", interactive=False, height="auto", allow_preview=False,
                )  # fmt: skip
            self.panel.pictures.render()
            self.panel.files.render()
        on = partial(answer_at_once, self.panel.line)
        shown = [self.results, self.slider, self.file, self.gallery, self.drawn, self.chosen]
        self.outputs = [self.panel.line, self.panel.pictures, self.panel.files, self.target, self.editor, *shown]
        on(self.picture.upload, self.choose_picture, [self.picture, self.target], self.outputs[1:])
        on(self.mask_file.upload, self.choose_mask, [self.mask_file, self.target], self.outputs[1:])
        on(self.further.click, self.take_further, [self.drawn, self.chosen], self.outputs[1:])
        asked = [self.target, self.editor, count, temperature, seed]
        changes = [self.editor.input, count.change, temperature.change, seed.input]
        on(changes, self.forecast, asked, [])
        self.gallery.select(self.choose_answer, self.drawn, [self.slider, self.file, self.chosen], **QUICK)
        self.panel.draw(self.request, [*asked, order], WAY, self.show, shown)

    def begin(self, loaded: LoadedModel) -> dict[Any, Any]:
        """Show the first example of a model that was chosen."""
        words = f"{loaded.name}: {describe_model(loaded.model)}. It completes a picture of any size at its own size."
        shown = self.show_target(target_of(loaded, loaded.examples[0]), "")
        return {**shown, self.panel.line: views.line(f"{words} {HINT}")}

    def choose_picture(self, file: dict[str, Any], target: Target) -> dict[Any, Any]:
        loaded = self.models[target.model]
        own, mask = read(file["path"], loaded.model.levels, max_pixels=MAX_PIXELS)
        assert own.file
        with_channels(own.file.colours, loaded.model.shape[0], own.file.name)  # refuses colour for a grey model
        height, width = own.picture.shape[1:]
        grey = "" if len(own.picture) == loaded.model.shape[0] else ", in colour, and saved as grey"
        words = f"Your picture of {width:,}x{height:,} pixels is completed at its own size{grey}. "
        words += HINT if mask is None else f"Its transparent part is hidden, {int(mask.sum()):,} pixels."
        return self.show_target(target_of(loaded, own.picture, own, mask), words)

    def choose_mask(self, file: dict[str, Any], target: Target) -> dict[Any, Any]:
        target = target.with_mask_file(file["path"], MAX_PIXELS)
        assert target.mask is not None
        return self.show_target(target, f"{int(target.mask.sum()):,} of {target.mask.numel():,} pixels are hidden.")

    def take_further(self, drawn: PictureDrawn, chosen: int) -> dict[Any, Any]:
        """Go on from an answer: it becomes the picture, of which nothing is hidden."""
        request = drawn.request
        target = target_of(request.loaded, drawn.answer(chosen), request.target.own)
        return self.show_target(target, f"The completed picture, {drawn.words[chosen]}. {HINT}")

    def show_target(self, target: Target, words: str) -> dict[Any, Any]:
        """Show a new target and what is hidden of it, and no answers."""
        return {
            **self.show(None), self.target: target, self.editor: editor_value(target), self.panel.line: words,
            self.panel.pictures: "", self.panel.files: gr.DownloadButton(value=None, interactive=False),
        }  # fmt: skip

    def forecast(self, *asked: Any) -> dict[Any, Any]:
        """Say what the painted mask hides."""
        return {self.panel.line: self.request(*asked).forecast}

    def request(self, target: Target, painted: Any, *choices: Any) -> PictureRequest:
        """The request to complete what is painted in the editor."""
        value = self.editor.preprocess(EditorData.model_validate(painted)) if painted else None
        layers = [np.asarray(layer) for layer in value["layers"]] if value else []
        return PictureRequest(self.models[target.model], target, hidden_part(target, layers), *choices)

    def show(self, drawn: PictureDrawn | None) -> dict[Any, Any]:
        """Show what was drawn; None: no answers."""
        if drawn is None:
            return {self.results: gr.Column(visible=False), self.drawn: None, self.chosen: 0}
        return {
            self.results: gr.Column(visible=True),
            self.gallery: list(zip(drawn.files, drawn.words, strict=False)),
            self.drawn: drawn,
            **self.show_answer(drawn, drawn.request.first),
        }

    def show_answer(self, drawn: PictureDrawn, number: int) -> dict[Any, Any]:
        file = drawn.files[number]
        return {self.slider: (drawn.files[-1], file), self.file: file, self.chosen: number}

    def choose_answer(self, drawn: PictureDrawn, choice: gr.SelectData) -> dict[Any, Any]:
        return self.show_answer(drawn, choice.index)


def target_of(
    loaded: LoadedModel, picture: Tensor, own: OwnPicture | None = None, mask: Tensor | None = None
) -> Target:
    """A picture, uint8 (channels, height, width), as the target: its image is what the editor shows. own: the file it is from."""
    shown = reduced(picture)
    own = replace(own, picture=picture, image=shown) if own else OwnPicture(picture, shown, loaded.model.levels)
    return Target(loaded.name, shown, own, mask)


def editor_value(target: Target) -> EditorValue:
    """The target for the editor: its image, and what is hidden of it as a layer."""
    layers = list[Any]()
    if target.mask is not None and target.own:
        layer = np.zeros((*target.image.shape[1:], 4), dtype=np.uint8)
        layer[target.own.reduce(target.mask).numpy()] = (*TINT, 255)
        layers.append(layer)
    image = to_picture(target.image).convert("RGB")
    return {"background": np.asarray(image), "layers": layers, "composite": None}


def hidden_part(target: Target, layers: Sequence[np.ndarray]) -> Tensor:
    """The mask that the layers of the editor, uint8 (height, width, 4), paint on a target: bool, at the picture's own size."""
    painted = torch.zeros(target.image.shape[1:], dtype=torch.bool)
    for layer in layers:
        if layer.shape[:2] != painted.shape:
            raise UserError("the painted mask has another size than the picture; choose the picture again")
        painted |= torch.from_numpy(layer[..., 3] >= HALF)
    assert target.own
    return target.own.refine(painted, target.mask)
