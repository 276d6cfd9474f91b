"""Draw the answers to a request, with everything known about them, and pack them as files."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from pixelrnn import uncertainty
from pixelrnn.completion.describe import how_drawn, of_completions
from pixelrnn.completion.fill import Progress, complete_in_detail
from pixelrnn.completion.parts import Completions
from pixelrnn.completion.windows import WITHIN, complete_windows, interval_caveat
from pixelrnn.errors import notes_to
from pixelrnn.figures.strips import as_heat, as_rgb
from pixelrnn.files.pictures import to_picture
from pixelrnn.model import InpaintingRNN
from pixelrnn.own_picture.typical import say_if_unlike
from pixelrnn.pixels import in_8_bits
from pixelrnn.ui.request import Request, reduced


@dataclass(frozen=True, eq=False)
class Answer:
    """One picture that was drawn."""

    image: Tensor  # as the page shows it: uint8 or float, in the model's levels (channels, height, width)
    words: str  # below it
    full_size: Callable[[], Tensor]  # -> the same in 8 bits, at the picture's own size
    steps: Tensor  # int64 (height, width): the step at which each pixel of image is drawn, from 1; 0: it is observed
    file: str  # its name in the archive
    best: bool = False  # whether it is the most probable of several
    beside: tuple[Tensor, str] | None = None  # an image to compare it with, and words


@dataclass(frozen=True, eq=False)
class Drawn:
    """The answers to a request. All tensors are on the CPU."""

    request: Request
    rows: dict[str, list[Answer]]  # by headings, with or without words
    words: list[str]  # sentences that say how they were drawn
    note: str = ""  # what the words below the answers mean
    maps: Sequence[tuple[np.ndarray, str]] = ()  # colours (height, width, 3) in [0, 1], and their titles
    most: str = ""  # the value that the brightest colour of the last map stands for
    report: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Tensor] = field(default_factory=dict)  # more pictures for the archive, in 8 bits
    command: str = ""  # that draws the same from the files of the archive

    @property
    def answers(self) -> list[Answer]:
        return [answer for row in self.rows.values() for answer in row]

    def way(self, number: int) -> str:
        """The heading of the row of an answer."""
        return [title for title, row in self.rows.items() for _ in row][number]

    @property
    def first(self) -> int:
        """The number of the answer to look at first: the most probable one, if that is known."""
        return next((number for number, answer in enumerate(self.answers) if answer.best), 0)

    def archive(self) -> bytes:
        """Pack a zip file: each answer, what was given, the mask and the maps as PNG files, and a report in JSON."""
        request, settings = self.request, {"model": self.request.loaded.name}
        settings |= {name: getattr(request, name) for name in ("strategy", "order", "count", "temperature", "seed")}
        mask = request.full_size_mask[None].to(torch.uint8) * 255
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as packed:
            for answer in self.answers:  # one at a time: they may be large
                packed.writestr(answer.file, png(answer.full_size(), request.profile))
            packed.writestr("picture.png", png(request.given, request.profile))
            for name, picture in {"mask.png": mask, **self.files}.items():
                packed.writestr(name, png(picture))
            report = {"settings": settings, "command": self.command, **self.report}
            packed.writestr("completions.json", json.dumps(report, indent=2) + "\n")
        return file.getvalue()


def draw(request: Request, progress: Progress) -> Drawn:
    """Draw the completions of a request."""
    return draw_picture(request, progress) if request.loaded.any_size else draw_images(request, progress)


def draw_images(request: Request, progress: Progress) -> Drawn:
    """Draw completions by a model of images of one size."""
    model, levels = request.loaded.model, request.loaded.model.levels
    completions = complete(request, progress)
    facts, how = of_completions(completions, 0), how_drawn(model, completions, slice(0, 1))
    if request.target.own:
        with notes_to(how["notes"].append):
            say_if_unlike(model, "your picture", completions.images[0])
    (mean,), (entropy,) = uncertainty.maps(model, completions)
    hot, most = as_heat(entropy)
    answers = answers_of(request, completions)
    several = ", and its rank; the most probable one has a star, and is often the emptiest" * (len(facts) > 1)
    files = {"mean.png": in_8_bits(mean, levels - 1), "entropy.png": in_8_bits(entropy, most)[None]}
    report = {
        **{key: value for key, value in how.items() if key not in ("caption", "lines", "notes")},
        "completions": [{"file": answer.file, **fact} for answer, fact in zip(answers, facts, strict=True)],
        "entropy_bits_at_white": most,
    }
    sentences = [*(entry.split(maxsplit=1)[1] for entry in how["lines"][1:]), *how["notes"]]
    words = [request.forecast, *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)]
    return Drawn(
        request, {"": answers}, words, f"Below each image: {meaning_of_nats(request, how, facts)}{several}.",
        [(as_rgb(mean, levels), "mean"), (hot, "entropy of each pixel, in bits")], f"{most:.2g}", report, files,
        request.command,
    )  # fmt: skip


def complete(request: Request, progress: Progress) -> Completions:
    """Complete the image of a request for a model of images of one size."""
    model = request.loaded.model
    device = model.order.device
    return complete_in_detail(
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


def answers_of(request: Request, completions: Completions) -> list[Answer]:
    """The completions of the only image, with log p and rank in the words below."""
    answers, facts, steps = list[Answer](), of_completions(completions, 0), steps_along(request)
    for k, (image, fact) in enumerate(zip(completions.images[0].cpu(), facts, strict=True)):
        words, best = f"{fact['log_prob_nats']:.1f} nats".replace("-", "\N{MINUS SIGN}"), fact["rank"] == 1
        if len(facts) > 1:
            words += f", rank\N{NO-BREAK SPACE}{fact['rank']}"
        whole = partial(request.full_size, image)
        answers.append(Answer(image, words, whole, steps, f"{k:03d}.png", best and len(facts) > 1))
    return answers


def steps_along(request: Request) -> Tensor:
    """The step at which each hidden pixel is drawn, from 1: int64 (height, width), 0 for an observed one."""
    along = request.hidden.flatten()[request.visits]
    steps = torch.zeros_like(request.visits)
    steps[request.visits] = along.cumsum(0) * along
    return steps.view(request.hidden.shape)


def meaning_of_nats(request: Request, how: Mapping[str, Any], facts: Sequence[Mapping[str, float]]) -> str:
    """Name the quantity that Completions.log_probs is for these images."""
    if request.from_scratch:
        return "log p(x)"
    if not how["observed_ahead"] or request.loaded.model.sees_ahead:
        return "log p(hidden | observed)"
    if "log_prob_observed_nats" in facts[0]:
        return "log p(hidden | observed), estimated"
    return "the log-probability by the plain fill at temperature 1"


def draw_picture(request: Request, progress: Progress) -> Drawn:
    """Draw completions by a model of pictures of any size, at the picture's own size. The first answer is their mean."""
    model, hidden = request.loaded.model, request.full_size_mask
    assert isinstance(model, InpaintingRNN)
    steps, before = torch.zeros_like(hidden, dtype=torch.int64), request.picture[:, hidden] * 0

    def watched(done: int, total: int, images: Tensor) -> None:
        nonlocal before
        now, new = images[0][:, hidden], steps[hidden]
        steps[hidden] = new.where((now == before).all(0) | (new > 0), done)
        before = now
        progress(done, total, images)

    generator = Generator(model.order.device).manual_seed(request.seed)
    found = complete_windows(model, request.picture, hidden, request.count, request.temperature, generator, watched)
    steps[hidden] = steps[hidden].clamp_min(1)  # black pixels look as if they were still to come
    shown = F.adaptive_max_pool2d(steps[None].float(), request.target.image.shape[1:])[0].long()

    def full_size(number: int) -> Tensor:
        return request.full_size(found.draw(number - 1) if number else found.mean)

    answers = list[Answer]()
    for k, fact in enumerate([None, *found.facts]):
        below = f"draw {k}: {fact['bits_per_dim']:.2f} bits per value" if fact else "mean of the draws"
        name = f"{k - 1:03d}.png" if fact else "mean.png"
        answers.append(Answer(reduced(full_size(k)), below, partial(full_size, k), shown, name))
    files = {"interval.png": found.interval_widths.round().to(torch.uint8)[None]}
    hot, most = as_heat(F.adaptive_max_pool2d(found.interval_widths[None], request.target.image.shape[1:])[0])
    average = float((found.high.float() - found.low).mean())
    caveat = interval_caveat(request.count, request.temperature)
    words = [request.forecast, f"Their 90 % intervals are {average:.0f} of 256 levels wide on average."]
    if caveat:
        words.append(f"They do not hold 90 % of the hidden values: {caveat}.")
    report = {
        "hidden_pixels": int(hidden.sum()),
        "interval_share": None if caveat else WITHIN,
        "completions": [{"file": answer.file, **f} for answer, f in zip(answers[1:], found.facts, strict=True)],
    }
    note = "The mean is the best single answer. Each draw could be the original."
    title = "width of each 90\N{NO-BREAK SPACE}% interval: where it is bright, the draws differ"
    return Drawn(
        request, {"": answers}, words, note, [(hot, title)], f"{most:.0f} levels", report, files, request.command
    )


def png(image: Tensor, profile: bytes | None = None) -> bytes:
    """8-bit values (channels, height, width) as a PNG file, written quickly rather than small. profile: the ICC profile of its
    colours."""
    file = io.BytesIO()
    to_picture(image).save(file, format="PNG", compress_level=1, icc_profile=profile)
    return file.getvalue()
