"""What a visitor sees of a draw: frame by frame, and at last the images with what is known of them."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.figures.strips import as_heat, as_rgb, occluded
from pixelrnn.files.pictures import to_picture
from pixelrnn.ui import html
from pixelrnn.ui.archive import pack
from pixelrnn.ui.drawing import Drawing, Ended, Frame
from pixelrnn.ui.draws import Drawn, Request, fulfil
from pixelrnn.ui.html import View

SHOWN = 512  # pixels of the larger side of a visitor's picture, as it is shown

logger = logging.getLogger(__name__)


@dataclass
class Errand:
    """What a visitor waits for, and may end."""

    drawing: Drawing[Drawn] | None = None
    ended: bool = False

    def begin(self) -> None:
        """Of two that are asked for one after the other, only the later is of interest."""
        self.end()
        self.drawing, self.ended = None, False

    def end(self) -> None:
        self.ended = True
        if self.drawing:
            self.drawing.end()


def watch(ask: Callable[[], Request], errand: Errand) -> Iterator[View]:
    """Draws what ask() requests, frame by frame; the errand can end it. Any error, of ask() too, becomes a line."""
    try:
        yield from _watch(ask(), errand)
    except Ended:
        yield View(html.line("Ended before it was done."))
    except UserError as error:
        yield View(html.line(str(error), "wrong"))
    except Exception as error:
        logger.error("the page could not show a draw", exc_info=error)
        yield View(html.line("That failed; the terminal in which pixelrnn serve runs says why.", "wrong"))
    finally:
        errand.drawing = None  # a session lives on, and would keep the images


def _watch(request: Request, errand: Errand) -> Iterator[View]:
    errand.drawing = drawing = Drawing(lambda progress: fulfil(request, progress), request.offer.lock)
    if errand.ended:
        raise Ended
    for frame in drawing.frames():
        words = f"Drawing: {frame.done} of {frame.total} pixels. {request.plan.words}"
        yield View(html.bar(words, frame.done / frame.total), html.tiles(_given(request) + _so_far(request, frame)))
    drawn = drawing.result
    said = [*(line.split(maxsplit=1)[1] for line in drawn.how["lines"]), *drawn.how["notes"]]
    words = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said)
    if not request.subject:
        words = words.replace("p(hidden | observed)", "p(x)")
    yield View(html.line(f"Done: {words}"), _all_that_is_known(drawn), pack(drawn))


def _given(request: Request) -> list[str]:
    if not request.subject:
        return []
    return [html.tile(occluded(request.subject.image, request.hidden, request.offer.model.levels), "given")]


def _so_far(request: Request, frame: Frame) -> list[str]:
    """The images as they are; what is not drawn yet is tinted."""
    order = request.offer.orders[request.plan.order]
    to_come = torch.zeros(order.shape, dtype=torch.bool)
    # The longest that drawing them once takes; with more particles it begins again.
    once = len(order) - request.plan.first
    to_come[order[request.plan.first + (frame.done - 1) % once + 1 :]] = True
    to_come = to_come.view_as(request.hidden) & request.hidden
    return [html.tile(occluded(image, to_come, request.offer.model.levels), "…") for image in frame.images]


def _all_that_is_known(drawn: Drawn) -> str:
    request, facts, levels = drawn.request, drawn.facts, drawn.request.offer.model.levels
    row = _given(request)
    for image, fact in zip(drawn.images, facts, strict=True):
        words = f"{fact['log_prob_nats']:.1f} nats".replace("-", "\N{MINUS SIGN}")
        rank = f"rank\N{NO-BREAK SPACE}{fact['rank']}" if fact["rank"] > 1 else "the most probable"
        words += f", {rank}" * (len(facts) > 1)
        row.append(html.tile(as_rgb(image, levels), words, "first" if fact["rank"] == 1 < len(facts) else ""))
    below = f"Below each image: {_number(drawn)}, and its rank among them. The most probable is often the emptiest."
    if not request.subject or drawn.mean is None or drawn.entropy is None:
        return html.tiles(row) + html.note(below)
    if not request.subject.own:
        row.append(html.tile(as_rgb(request.subject.image, levels), "original"))
    heat, most = as_heat(drawn.entropy)
    maps = [html.tile(_grey(drawn.mean, levels), "mean"), html.tile(heat, "entropy of each pixel")]
    if request.subject.own and request.subject.own.resized:
        most_probable = drawn.images[[fact["rank"] for fact in facts].index(1)]
        pasted = to_picture(request.subject.finished(most_probable, request.hidden, levels)).convert("RGB")
        pasted.thumbnail((SHOWN, SHOWN))
        maps.append(html.tile(np.asarray(pasted) / 255, "the most probable, in your picture", "own"))
    return html.tiles(row) + html.note(below) + html.tiles(maps) + html.heat_bar(most, "bits")


def _number(drawn: Drawn) -> str:
    """What completion.log_probs gives of each image."""
    request = drawn.request
    if not request.subject:
        return "log p(x)"
    if not drawn.how["observed_ahead"] or request.offer.model.sees_ahead:
        return "log p(hidden | observed)"
    if "log_prob_observed_nats" in drawn.facts[0]:
        return "log p(hidden | observed), estimated"
    return "the log-probability by the plain fill at temperature 1"


def _grey(mean: Tensor, levels: int) -> np.ndarray:
    """Mean levels (channels, height, width) as colours (height, width, 3)."""
    values = (mean.double() / (levels - 1)).movedim(0, -1).numpy()
    return np.broadcast_to(values, (*values.shape[:2], 3))
