"""Completions and samples: what is asked for, and all that is known of it when it has been drawn."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from pixelrnn.completion import uncertainty
from pixelrnn.completion.describe import how_drawn, of_completions
from pixelrnn.completion.fill import Progress, complete_in_detail, log_probs
from pixelrnn.completion.parts import Completions
from pixelrnn.notes import notes_to
from pixelrnn.own_picture.typical import say_if_unlike
from pixelrnn.ui.plan import Choice, Plan, plan
from pixelrnn.ui.shelf import Offer
from pixelrnn.ui.subject import Subject


@dataclass(frozen=True, eq=False)
class Request:
    """To complete the hidden region of a subject, or without one to draw images from scratch."""

    offer: Offer
    subject: Subject | None
    hidden: Tensor  # bool (height, width)
    choice: Choice

    @cached_property
    def plan(self) -> Plan:
        return plan(self.offer, self.hidden, self.choice)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What came of a request."""

    request: Request
    completions: Completions
    facts: list[dict[str, float]]  # of each image, see report.of_completions
    how: dict[str, Any]  # see report.how_drawn
    mean: Tensor | None  # (channels, height, width) levels, on the CPU; None without a subject
    entropy: Tensor | None  # (height, width) bits; likewise

    @property
    def images(self) -> Tensor:
        """uint8 (count, channels, height, width), on the CPU"""
        return self.completions.images[0].cpu()


def fulfil(request: Request, progress: Progress) -> Drawn:
    """Draws what is requested."""
    model, choice = request.offer.model, request.choice
    device = model.order.device
    hidden = request.hidden.to(device)
    image = request.subject.image if request.subject else torch.zeros(model.shape, dtype=torch.uint8)
    completions = complete_in_detail(
        model,
        image[None].to(device),
        hidden,
        generator=Generator(device).manual_seed(choice.seed),
        progress=progress,
        count=choice.count,
        strategy=choice.strategy,
        temperature=choice.temperature,
        order=request.plan.order,
    )
    facts = of_completions(completions, 0, log_probs(model, completions))
    how = how_drawn(model, completions, slice(0, 1))
    if request.subject and request.subject.own:
        with notes_to(how["notes"].append):
            say_if_unlike(model, "your picture", completions.images[0])
    if not request.subject:
        return Drawn(request, completions, facts, how, None, None)
    mean, entropy = uncertainty.maps(model, completions)
    return Drawn(request, completions, facts, how, mean[0], entropy[0])
