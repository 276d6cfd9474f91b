"""Requests, draws and answers as HTML.

Gradio has no component for pixel-sharp pictures with words below them.
"""

import base64
import io
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelrnn.completion.fill import Progress
from pixelrnn.errors import UserError, is_out_of_memory
from pixelrnn.figures.strips import as_rgb, heat, occluded
from pixelrnn.ui.drawn import Answer, Drawn
from pixelrnn.ui.request import NothingHidden, Request, reduced
from pixelrnn.ui.session import Cancelled, DrawSession, Snapshot, drawing

TILE = 240  # pixels of the larger side of a tile; larger pictures are reduced
UPLOADS = re.compile(rf"{re.escape(tempfile.gettempdir())}/pixelrnn-serve-\w+/\w+/")  # see server.py
TERMS = {  # in the words below pictures and in the line; shown when the pointer rests on a term
    "p(hidden | observed)": "the model's distribution of the hidden pixels, given the observed ones",
    "p(x)": "the probability that the model gives to the whole image",
    "nats": "the unit of log p, with the natural logarithm; nearer to 0 is more probable",
    "bits per value": "how uncertain the model was of each number, on average",
    "exact samples": "drawn from the model's own distribution, not from an approximation of it",
    "particles": "many copies that are filled side by side; those that fit the observed pixels are kept",
    "effective": "how many particles of equal weight would be as good as these",
    "entropy of each pixel": "how uncertain a pixel is, in bits; 0 is certain",
    "temperature": "below 1 the images are more alike, above 1 more varied; 1 is the model's own",
    "orders": "the model can visit the pixels in several orders; best is one that draws the hidden pixels last",
    "rank": "1 is the most probable of these images",
    "encoder": "a network that reads all observed pixels before the first one is drawn",
    "plain fill": "draw each hidden pixel given the pixels before it in the order",
    "90 % intervals": "ranges that hold 90 % of the hidden values, if the model is right",
    "PSNR": "how near to the original, in decibels; more is better",
}

logger = logging.getLogger(__name__)


class View(NamedTuple):
    """The page's answer: a line, pictures, and at the end what was drawn."""

    line: str
    pictures: str = ""
    drawn: Drawn | None = None


def watch(
    ask: Callable[[], Request], draw: Callable[[Request, Progress], Drawn], session: DrawSession
) -> Iterator[View]:
    """Draw what ask() requests and yield a view of each snapshot and of the result. An error, in ask() too, becomes a line."""
    try:
        request = ask()
        for news in drawing(partial(draw, request), session):
            if news is not None:
                yield view_snapshot(request, news) if isinstance(news, Snapshot) else view_drawn(news)
            elif not session.replaced:
                yield View(line("Cancelling: it ends after this step.", "working"))
    except Cancelled:
        if not session.replaced:
            yield View(line("Cancelled before it was done."))
    except UserError as error:
        yield View(mistake(error))
    except Exception as error:
        if is_out_of_memory(error):
            yield View(line("The memory is full: ask for fewer completions, or for the plain fill.", "wrong"))
            return
        logger.exception("a draw of the page failed")
        yield View(line("The draw failed; the terminal in which pixelrnn serve runs says why.", "wrong"))


def line(words: str, kind: str = "told") -> str:
    """A message to the visitor, of kind "told", "working" or "wrong". It names a file sent by the visitor without its folder."""
    words = UPLOADS.sub("", words)
    return f'<p class="line {kind}" role="{"alert" if kind == "wrong" else "status"}">{explained(words)}</p>'


def mistake(error: UserError) -> str:
    """The line for an error of the visitor's. To have hidden nothing yet is none."""
    return line(sentence(str(error)), "told" if isinstance(error, NothingHidden) else "wrong")


def sentence(words: str) -> str:
    """Words that begin with a capital, unless they begin with the name of a file, a model or an option."""
    return f"{words[0].upper()}{words[1:]}" if words.split(maxsplit=1)[0].rstrip(",:").isalpha() else words


def progress_line(words: str, snapshot: Snapshot) -> str:
    """A message with a bar below it."""
    bar = f'<div class="bar"><i style="width: {snapshot.done / snapshot.total:.1%}"></i></div>'
    return line(words, "working") + bar


def explained(words: str) -> str:
    """Words as HTML, in which the first use of each of TERMS has its explanation: on hover, and when it is tapped or focused."""
    text = escape(words)
    found = sorted(((text.find(escape(term)), term) for term in TERMS), reverse=True)
    begun = len(text) + 1
    for at, term in found:
        if at < 0 or at + len(escape(term)) > begun:
            continue
        end, begun = at + len(escape(term)), at
        abbr = f'<abbr title="{escape(TERMS[term])}" tabindex="0">{escape(term)}</abbr>'
        text = text[:at] + abbr + text[end:]
    return text


def address(png: bytes) -> str:
    """An address that contains a picture file, so that the page asks no server for it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def url(picture: np.ndarray, side: int = 0) -> str:
    """The address of colours (height, width, 3), 8-bit or floats in [0, 1]; side: reduced to so many pixels at most."""
    values = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    image, file = Image.fromarray(values), io.BytesIO()
    if side:
        image.thumbnail((side, side))
    image.save(file, format="PNG")
    return address(file.getvalue())


def tile(picture: np.ndarray, words: str) -> str:
    """One picture and the words below it."""
    return f"<figure>{thumbnail(picture, words)}<figcaption>{explained(words)}</figcaption></figure>"


def thumbnail(picture: np.ndarray, words: str) -> str:
    smooth = "smooth" if max(picture.shape[:2]) > TILE else ""
    return f'<img class="{smooth}" src="{url(picture, TILE)}" alt="{escape(words)}">'


def answer_tile(answer: Answer, levels: int, number: int) -> str:
    """An answer that can be chosen by its number, see choices.js, and the image to compare it with."""
    image = thumbnail(as_rgb(answer.image, levels), answer.words)
    html = (
        f'<button type="button" data-number="{number}" title="enlarge, replay, save or go on from it">{image}</button>'
    )
    html += f"<figcaption>{explained(answer.words)}</figcaption>"
    if answer.beside:
        other, words = answer.beside
        html = f"<div>{html}</div><div>{thumbnail(as_rgb(other, levels), words)}<figcaption>{words}</figcaption></div>"
    return f'<figure class="{"first" if answer.best else ""}{" pair" if answer.beside else ""}">{html}</figure>'


def tiles(row: list[str], request: Request) -> str:
    """A row of tiles; photographs are shown larger."""
    return f'<div class="tiles{" large" if request.loaded.any_size else ""}">{"".join(row)}</div>'


def heat_bar(most: str) -> str:
    """The colours of a map, from 0 to `most`."""
    stops = ", ".join(f"rgb({r:.0%} {g:.0%} {b:.0%})" for r, g, b in heat(np.linspace(0, 1, 9)))
    return (
        f'<div class="heat-bar"><i style="background: linear-gradient(to right, {stops})"></i>'
        f"<span>0</span><span>{most}</span></div>"
    )


def figure(file: bytes, words: str, below: bool = False) -> str:
    """A picture file in the width of the page, and perhaps the words below it."""
    caption = f"<figcaption>{escape(words)}</figcaption>" if below else ""
    return f'<figure class="drawn"><img src="{address(file)}" alt="{escape(words)}">{caption}</figure>'


def given(request: Request) -> list[str]:
    """The target with its hidden region tinted, unless all of it is hidden."""
    levels = request.loaded.model.levels
    return [] if request.from_scratch else [tile(occluded(request.target.image, request.hidden, levels), "given")]


def view_snapshot(request: Request, snapshot: Snapshot) -> View:
    """The images as they are so far. Pixels to come are tinted."""
    words = f"Drawing, {100 * snapshot.done / snapshot.total:.0f} %. {request.forecast}"
    levels = request.loaded.model.levels
    if request.loaded.any_size:
        picture, own = snapshot.images[0], request.target.own
        assert own
        to_come = own.reduce(request.full_size_mask & (picture == 0).all(0))  # black, as pixels to come are
        images = [tile(occluded(reduced(picture), to_come, levels), "the first draw so far")]
    else:
        images = [tile(as_rgb(image, levels), f"{k}") for k, image in enumerate(snapshot.images, 1)]
    return View(progress_line(words, snapshot), tiles(given(request) + images, request))


def view_drawn(drawn: Drawn) -> View:
    """How the answers were drawn, and the answers in rows, with the original if it is known."""
    request, levels, html, number = drawn.request, drawn.request.loaded.model.levels, "", 0
    for title, answers in drawn.rows.items():
        row = [] if html else given(request)
        for answer in answers:
            row.append(answer_tile(answer, levels, number))
            number += 1
        if not html and request.target.is_example and not request.from_scratch:
            row.append(tile(as_rgb(request.target.image, levels), "original"))
        html += (f'<p class="way">{explained(title)}</p>' if title else "") + tiles(row, request)
    note = f'<p class="note">{explained(drawn.note)}</p>' if drawn.note else ""
    return View(line(" ".join(["Done:", *drawn.words])), html + note, drawn)


def maps(drawn: Drawn) -> str:
    """The maps of what was drawn, and the colours of the last one."""
    if not drawn.maps:
        return ""
    return tiles([tile(picture, title) for picture, title in drawn.maps], drawn.request) + heat_bar(drawn.most)


def player_props(drawn: Drawn, number: int, play: bool = False) -> dict[str, Any]:
    """The properties of the player, see player.js, for an answer; play: whether it begins to play at once."""
    answer, request, levels = drawn.answers[number], drawn.request, drawn.request.loaded.model.levels
    return {
        "value": "play" if play else "stop",
        "before": url(as_rgb(request.target.image, levels)),
        "after": url(as_rgb(answer.image, levels)),
        "steps": steps_url(answer),
        "words": f"{way}: {answer.words}" if (way := drawn.way(number)) else answer.words,
        "command": drawn.command,
    }


def steps_url(answer: Answer) -> str:
    """The steps of an answer as a picture, whose red, green and blue are the three bytes of a step."""
    steps: Tensor = answer.steps
    return url(torch.stack([steps >> 16, (steps >> 8) & 255, steps & 255], -1).to(torch.uint8).numpy())
