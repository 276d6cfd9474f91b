"""Draw what a visitor asks for, in a thread that can be watched and cancelled."""

import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from pixelrnn.completion import uncertainty
from pixelrnn.completion.describe import how_drawn, of_completions
from pixelrnn.completion.fill import Progress, complete_in_detail, log_probs
from pixelrnn.errors import notes_to
from pixelrnn.files.pictures import to_picture
from pixelrnn.own_picture.typical import say_if_unlike
from pixelrnn.pixels import in_8_bits
from pixelrnn.ui.request import Request

PERIOD = 0.2  # seconds from frame to frame


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
    facts = of_completions(completions, 0, log_probs(model, completions))
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
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, values in pictures.items():
            with packed.open(name, "w") as place:
                to_picture(values).save(place, format="PNG")
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


class Drawing:
    """A draw in a thread of its own. Iterate over it once: it yields frames, one every PERIOD, and at the end the result.

    Raises Cancelled if the session is cancelled. Leaving the loop cancels it.
    """

    def __init__(self, work: Callable[[Progress], Drawn], session: DrawSession):
        self._work, self._session = work, session
        self._outcome: Future[Drawn] = Future()
        self._latest: Frame | None = None

    def __iter__(self) -> Iterator[Frame | Drawn]:
        threading.Thread(target=self._run, daemon=True).start()
        try:
            while not wait([self._outcome], PERIOD).done:
                if self._latest:
                    frame, self._latest = self._latest, None
                    yield frame
            yield self._outcome.result()
        finally:
            self._session.cancelled = True

    def _run(self) -> None:
        try:
            self._outcome.set_result(self._work(self._progress))
        except Exception as error:
            self._outcome.set_exception(error)

    def _progress(self, done: int, total: int, images: Tensor) -> None:
        if self._session.cancelled:
            raise Cancelled
        if not self._latest:
            self._latest = Frame(done, total, images.cpu().clone())
