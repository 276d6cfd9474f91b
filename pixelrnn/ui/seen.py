"""An ordering on its way through an image: what the model has seen at a step."""

import math
from collections.abc import Sequence

from torch import Tensor

from pixelrnn import figures
from pixelrnn import ordering as orderings
from pixelrnn.ui import html
from pixelrnn.ui.html import View
from pixelrnn.ui.shelf import Offer


def seen(offer: Offer, image: Tensor, ordering: str, transforms: Sequence[str], step: int) -> View:
    """What the model has seen at a step: along one of its own orders, "0", "1", …, or along an ordering by its name."""
    names = [str(index) for index in range(len(offer.orders))]
    own = names.index(ordering) if ordering in names else None
    spec = {"name": ordering, "transforms": transforms}
    order = orderings.build(spec, *offer.size) if own is None else offer.orders[own]
    step = min(max(int(step), 0), len(order))
    words = f"Step {step} of {len(order)}: the model has seen {step} pixels"
    if step < len(order):
        row, column = divmod(int(order[step]), offer.size[1])
        words += f"; the next one is in row {row + 1}, column {column + 1}."
        given = None if own is None else _probability(offer, image, own, step)
        if given is not None:
            words += f" Given these, the model gives its true value {given:.1%}: {-math.log2(given):.2f} bits."
    else:
        words += ", all of them."
    picture = figures.seen(image, offer.model.levels, order, step, offer.window)
    return View(html.line(words), html.drawn(figures.as_png(picture), words))


def _probability(offer: Offer, image: Tensor, order: int, step: int) -> float | None:
    """p(x_t | x_<t) of what the image has at a step; None while the model draws for somebody."""
    if not offer.lock.acquire(blocking=False):
        return None
    try:
        with offer.model.evaluating(), offer.model.along(order):
            log_p = offer.model.pixel_log_probs(image[None].to(offer.model.order.device))[0, step]
        return max(math.exp(float(log_p)), 1e-30)
    finally:
        offer.lock.release()
