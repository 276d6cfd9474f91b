"""Draws in a thread that can be watched and cancelled, and what the page shows of them, as HTML.

Gradio has no component for pixel-sharp pictures with words below them.
"""

import base64
import io
import json
import logging
import re
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from pixelrnn import uncertainty
from pixelrnn.completion.describe import how_drawn, of_completions
from pixelrnn.completion.fill import Progress, complete_in_detail
from pixelrnn.errors import UserError, is_out_of_memory, notes_to
from pixelrnn.figures.strips import as_heat, as_rgb, heat, occluded
from pixelrnn.files.pictures import to_picture
from pixelrnn.own_picture.typical import say_if_unlike
from pixelrnn.pixels import in_8_bits
from pixelrnn.ui.request import Request

T = TypeVar("T")
PERIOD = 0.2  # seconds from frame to frame
PASTED = 512  # pixels of the larger side of a visitor's picture, as it is shown
UPLOADS = re.compile(rf"{re.escape(tempfile.gettempdir())}/pixelrnn-serve-\w+/\w+/")  # see server.py

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Drawn:
    """The images drawn for a request, and everything known about them. All tensors are on the CPU."""

    request: Request
    images: Tensor  # uint8 (count, channels, height, width)
    facts: list[dict[str, float]]  # about each image, see describe.of_completions
    how: dict[str, Any]  # see describe.how_drawn
    mean: Tensor  # (channels, height, width) levels
    entropy: Tensor  # (height, width) bits


def draw(request: Request, progress: Progress) -> Drawn:
    """Draw the images of a request."""
    model = request.loaded.model
    device = model.order.device
    completions = complete_in_detail(
        model,
        request.target.image[None].to(device),
        request.hidden.to(device),
        generator=Generator(device).manual_seed(request.seed),
        progress=progress,
        count=request.count,
        strategy=request.strategy,
        temperature=request.temperature,
        order=request.order_index,
    )
    facts = of_completions(completions, 0)
    how = how_drawn(model, completions, slice(0, 1))
    if request.target.own:
        with notes_to(how["notes"].append):
            say_if_unlike(model, "your picture", completions.images[0])
    mean, entropy = uncertainty.maps(model, completions)
    return Drawn(request, completions.images[0].cpu(), facts, how, mean[0], entropy[0])


def archive(drawn: Drawn) -> bytes:
    """Pack a zip file: each image as PNG at full size, the mask and the maps, and a report in JSON."""
    request, most = drawn.request, float(drawn.entropy.max()) or 1.0
    pictures = {f"{k:03d}.png": request.full_size(image) for k, image in enumerate(drawn.images)}
    choices = {name: getattr(request, name) for name in ("strategy", "count", "temperature", "seed")}
    report: dict[str, Any] = {
        "settings": {"model": request.loaded.name, "order": request.order_index, **choices},
        **{key: value for key, value in drawn.how.items() if key not in ("caption", "lines", "notes")},
        "completions": [{"file": name, **fact} for name, fact in zip(pictures, drawn.facts, strict=True)],
        "entropy_bits_at_white": most,
    }
    pictures["mask.png"] = request.full_size_mask[None].to(torch.uint8) * 255
    pictures["mean.png"] = in_8_bits(drawn.mean, request.loaded.model.levels - 1)
    pictures["entropy.png"] = in_8_bits(drawn.entropy, most)[None]
    return pack({name: png(values) for name, values in pictures.items()}, report)


def png(image: Tensor) -> bytes:
    """8-bit values (channels, height, width) as a PNG file, written quickly rather than small."""
    file = io.BytesIO()
    to_picture(image).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def pack(files: Mapping[str, bytes], report: Mapping[str, Any]) -> bytes:
    """Pack a zip file: these files, and the report in JSON."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
        packed.writestr("completions.json", json.dumps(report, indent=2) + "\n")
    return file.getvalue()


class Cancelled(Exception):
    """A draw was cancelled before it was done."""


class Frame(NamedTuple):
    """A copy of the images when `done` of `total` pixels are drawn: uint8 (count, channels, height, width), on the CPU."""

    done: int
    total: int
    images: Tensor


@dataclass
class DrawSession:
    """The draw that a visitor waits for. A click on Cancel sets cancelled."""

    cancelled: bool = False


def drawing(work: Callable[[Progress], T], session: DrawSession) -> Iterator[Frame | T]:
    """Draw in a thread of its own: yield frames, one every PERIOD, and at the end the result.

    Raises Cancelled if the session is cancelled. Leaving the loop cancels it.
    """
    outcome: Future[T] = Future()
    latest: list[Frame] = []  # one at most

    def progress(done: int, total: int, images: Tensor) -> None:
        if session.cancelled:
            raise Cancelled
        if not latest:
            latest.append(Frame(done, total, images.cpu().clone()))

    def run() -> None:
        try:
            outcome.set_result(work(progress))
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        while not wait([outcome], PERIOD).done:
            if latest:
                yield latest.pop()
        yield outcome.result()
    finally:
        session.cancelled = True


class View(NamedTuple):
    """The page's answer: a line, pictures, and at the end what was drawn, and the pictures as files in a zip archive."""

    line: str
    pictures: str = ""
    archive: bytes | None = None
    drawn: Any = None


def line(words: str, kind: str = "told") -> str:
    """A message to the visitor, of kind "told", "working" or "wrong". It names a file sent by the visitor without its folder."""
    words = UPLOADS.sub("", words)
    return f'<p class="line {kind}" role="{"alert" if kind == "wrong" else "status"}">{escape(words)}</p>'


def progress_line(words: str, frame: Frame) -> str:
    """A message with a bar below it."""
    bar = f'<div class="bar"><i style="width: {frame.done / frame.total:.1%}"></i></div>'
    return line(words, "working") + bar


def url(picture: np.ndarray | bytes) -> str:
    """An address that contains a picture, so that the page asks no server for it: colours (height, width, 3) in [0, 1], or
    a PNG file."""
    if not isinstance(picture, bytes):
        file = io.BytesIO()
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(file, format="PNG")
        picture = file.getvalue()
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def tile(picture: np.ndarray, words: str, kind: str = "") -> str:
    """One picture and the words below it."""
    image = f'<img src="{url(picture)}" alt="{escape(words)}">'
    return f'<figure class="{kind}">{image}<figcaption>{escape(words)}</figcaption></figure>'


def tiles(row: list[str]) -> str:
    return f'<div class="tiles">{"".join(row)}</div>'


def heat_bar(most: str, unit: str) -> str:
    """The colours of a map, from 0 to `most` of the unit."""
    stops = ", ".join(f"rgb({r:.0%} {g:.0%} {b:.0%})" for r, g, b in heat(np.linspace(0, 1, 9)))
    return (
        f'<div class="heat-bar"><i style="background: linear-gradient(to right, {stops})"></i>'
        f"<span>0</span><span>{unit}</span><span>{most}</span></div>"
    )


def figure(file: bytes, words: str) -> str:
    """A figure, a PNG file, in the width of the page."""
    return f'<figure class="drawn"><img src="{url(file)}" alt="{escape(words)}"></figure>'


def view_frame(request: Request, frame: Frame) -> View:
    """The images as they are so far, with the pixels to come tinted."""
    first = int(request.hidden.flatten()[request.visits].nonzero()[0])
    steps = len(request.visits) - first  # at most, to draw all images once; with more particles this is repeated
    to_come = torch.zeros(request.hidden.numel(), dtype=torch.bool)
    to_come[request.visits[first + (frame.done - 1) % steps + 1 :]] = True
    to_come = to_come.view_as(request.hidden) & request.hidden
    levels = request.loaded.model.levels
    images = [tile(occluded(image, to_come, levels), "…") for image in frame.images]
    words = f"Drawing: {frame.done} of {frame.total} pixels. {request.forecast}"
    return View(progress_line(words, frame), tiles(given(request) + images))


def view_result(drawn: Drawn) -> View:
    """The images with their log-probabilities, how they were drawn, and the maps."""
    request, levels, several = drawn.request, drawn.request.loaded.model.levels, len(drawn.facts) > 1
    row = given(request)
    for image, fact in zip(drawn.images, drawn.facts, strict=True):
        below, best = f"{fact['log_prob_nats']:.1f} nats".replace("-", "\N{MINUS SIGN}"), fact["rank"] == 1
        if several:
            below += ", the most probable" if best else f", rank\N{NO-BREAK SPACE}{fact['rank']}"
        row.append(tile(as_rgb(image, levels), below, "first" if best and several else ""))
    if not request.target.own and not request.from_scratch:
        row.append(tile(as_rgb(request.target.image, levels), "original"))
    note = f"Below each image: {meaning_of_nats(drawn)}, and its rank. The most probable image is often the emptiest."
    hot, most = as_heat(drawn.entropy)
    maps = [tile(as_rgb(drawn.mean, levels), "mean"), tile(hot, "entropy of each pixel")]
    if request.target.own and request.target.own.resized:
        best_index = [fact["rank"] for fact in drawn.facts].index(1)
        pasted = to_picture(request.full_size(drawn.images[best_index])).convert("RGB")
        pasted.thumbnail((PASTED, PASTED))
        maps.append(tile(np.asarray(pasted) / 255, "the most probable, in your picture", "own"))
    sentences = [*(entry.split(maxsplit=1)[1] for entry in drawn.how["lines"]), *drawn.how["notes"]]
    words = " ".join(["Done:", *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)])
    words = words.replace("p(hidden | observed)", "p(x)") if request.from_scratch else words
    pictures = f'{tiles(row)}<p class="note">{note}</p>{tiles(maps)}{heat_bar(f"{most:.2g}", "bits")}'
    return View(line(words), pictures, archive(drawn))


def given(request: Request) -> list[str]:
    """The target with its hidden region tinted, unless all of it is hidden."""
    levels = request.loaded.model.levels
    return [] if request.from_scratch else [tile(occluded(request.target.image, request.hidden, levels), "given")]


def meaning_of_nats(drawn: Drawn) -> str:
    """Name the quantity that Completions.log_probs is for these images."""
    if drawn.request.from_scratch:
        return "log p(x)"
    if not drawn.how["observed_ahead"] or drawn.request.loaded.model.sees_ahead:
        return "log p(hidden | observed)"
    if "log_prob_observed_nats" in drawn.facts[0]:
        return "log p(hidden | observed), estimated"
    return "the log-probability by the plain fill at temperature 1"


class Way(NamedTuple):
    """A way to draw a kind of request, and to show what comes of it."""

    draw: Callable[[Any, Progress], Any]
    view_frame: Callable[[Any, Frame], View]
    view_result: Callable[[Any], View]


IMAGES = Way(draw, view_frame, view_result)


def watch(ask: Callable[[], Any], session: DrawSession, way: Way = IMAGES) -> Iterator[View]:
    """Draw what ask() requests and yield a view of each frame and of the result. An error, in ask() too, becomes a line."""
    try:
        request = ask()
        for news in drawing(partial(way.draw, request), session):
            yield way.view_frame(request, news) if isinstance(news, Frame) else way.view_result(news)
    except Cancelled:
        yield View(line("Cancelled before it was done."))
    except UserError as error:
        yield View(line(str(error), "wrong"))
    except Exception as error:
        if is_out_of_memory(error):
            yield View(line("The memory is full: ask for fewer completions, or for strategy ancestral.", "wrong"))
            return
        logger.exception("a draw of the page failed")
        yield View(line("The draw failed; the terminal in which pixelrnn serve runs says why.", "wrong"))
