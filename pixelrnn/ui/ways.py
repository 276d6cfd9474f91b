"""Ways to complete the same image, side by side: models and strategies of ours, and classical inpainting."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from pixelrnn.completion.fill import Progress
from pixelrnn.errors import UserError, notes_to
from pixelrnn.evaluation.baselines import classical_fills
from pixelrnn.evaluation.likelihoods import psnr
from pixelrnn.model.orders import observed_ahead
from pixelrnn.ui.catalog import ModelCatalog
from pixelrnn.ui.drawn import Answer, Drawn, answers_of, complete, draw_picture, steps_along
from pixelrnn.ui.request import Request, reduced

NOTE = (
    "Below each image: log p(hidden | observed) where the way is exact, and an estimate of it by particles. The number of the "
    "plain fill ignores observed pixels too: do not compare it with the others."
)
CLASSICAL = {"Telea": 1_000_000, "biharmonic": 20_000}  # hidden pixels at most


def compare(request: Request, models: ModelCatalog, progress: Progress) -> Drawn:
    """Complete the target of a request in all ways there are, a row for each."""
    rows = dict[str, list[Answer]]()
    asked, most = list(ways(request, models)), 0
    for number, (title, way) in enumerate(asked):

        def part(done: int, total: int, images: Tensor, number: int = number) -> None:
            nonlocal most  # a way may begin anew, with another number of particles
            most = max(most, number * 1000 + 1000 * done // total)
            progress(most, 1000 * len(asked), images)

        if way.loaded.any_size:
            answers = draw_picture(way, part).answers
            like = likeness(way, [answers[0].image])  # the mean
        else:
            answers = answers_of(way, complete(way, part))
            like = likeness(way, [answer.image for answer in answers])
        rows[f"{title}{like}"] = answers
    rows |= classical(request)
    for number, (title, row) in enumerate(rows.items()):  # the same names come in each row
        rows[title] = [replace(answer, file=f"{number:02d}-{answer.file}") for answer in row]
    words = [f"{int(request.full_size_mask.sum()):,} pixels are hidden. Each row completes them in another way."]
    words += request.notes
    report = [{"way": title, "files": [answer.file for answer in row]} for title, row in rows.items()]
    return Drawn(request, rows, words, NOTE if not request.loaded.any_size else "", report={"ways": report})


def ways(request: Request, models: ModelCatalog) -> Iterator[tuple[str, Request]]:
    """The ways of the request's model, and of other models for such images: a title and a request for each."""
    first = request.loaded
    others = (models[name] for name in models.names if name != first.name)
    for loaded in (first, *(other for other in others if not other.any_size and other.form == first.form)):
        way = replace(request, strategy="auto", order="best")
        if loaded is not first:
            with notes_to(lambda text: None):  # the request has those on its own model
                target = request.target.hiding(request.full_size_mask, loaded)
            hidden = target.own.reduce(request.full_size_mask) if target.own else request.hidden
            way = replace(way, loaded=loaded, target=target, hidden=hidden)
        ahead = 0 if loaded.any_size else int(observed_ahead(way.hidden[None], way.visits))
        if loaded.model.sees_ahead:
            yield f"{loaded.name}: exact; its encoder sees every observed pixel", way
        elif not ahead:
            yield f"{loaded.name}: exact; its order draws the hidden pixels last", way
        else:
            unseen = f"{ahead:,} observed pixels that come later in the order"
            yield f"{loaded.name}, plain fill: ignores {unseen}", replace(way, strategy="ancestral")
            yield f"{loaded.name}, particles: takes in {unseen}, approximately", replace(way, strategy="particles")


def classical(request: Request) -> dict[str, list[Answer]]:
    """Classical inpainting of the target, at its own size; without the libraries, or for two levels, a heading says why not."""
    levels, any_size = request.loaded.model.levels, request.loaded.any_size
    if levels == 2:
        return {"Classical inpainting: not for images of two levels": []}
    try:
        fills = classical_fills(levels)
    except UserError as error:
        return {f"Classical inpainting: {error}": []}
    picture = request.given if any_size else request.target.image
    hidden = request.full_size_mask if any_size else request.hidden
    rows = dict[str, list[Answer]]()
    for name, most in CLASSICAL.items():
        if int(hidden.sum()) > most:
            rows[f"{name}: left out, because it takes long for more than {most:,} hidden pixels"] = []
            continue
        image = fills[name](picture, hidden)
        shown, steps = (reduced(image), request.hidden.long()) if any_size else (image, steps_along(request))
        rows[f"{name}: classical inpainting{likeness(request, [shown])}"] = [
            Answer(shown, "one answer", partial(request.full_size, image), steps, f"{name}.png")
        ]
    return rows


def likeness(request: Request, images: list[Tensor]) -> str:
    """How near the images come to the original under the mask, in words; nothing if nobody knows it."""
    if not request.target.is_example:
        return ""
    hidden, levels = request.hidden, request.loaded.model.levels
    drawn, original = torch.stack(images), request.target.image
    if levels == 2:
        same = (drawn == original)[..., hidden].float().mean()
        return f" ({float(same):.0%} of the hidden pixels are as in the original)"
    decibels = psnr(original[None], drawn[None], hidden, levels)
    return f" (PSNR under the mask {float(decibels.mean()):.1f} dB on average)"
