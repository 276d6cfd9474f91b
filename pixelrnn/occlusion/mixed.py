"""The masks that a bidirectional model is trained on: of many kinds, so that it completes any."""

from random import Random

from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.occlusion.regions import everything, half
from pixelrnn.occlusion.scattered import random_boxes, random_pixels, strokes

SIDES = ("top", "bottom", "left", "right")


def mixed(height: int, width: int, everything_share: float = 0.25, seed: int = 0) -> Tensor:
    """One of the other kinds, drawn at random: everything; else a half (3 of 10), random pixels of any density (3), boxes
    (2) or strokes (2), and in half of the last two cases all but these. Never nothing.
    """
    if not 0 <= everything_share <= 1:
        raise UserError(f"occlusion.everything_share={everything_share}: it is in [0, 1]")
    draw = Random(seed)
    if draw.random() < everything_share:
        return everything(height, width)
    kind = draw.choices(("half", "pixels", "boxes", "strokes"), (3, 3, 2, 2))[0]
    if kind == "half":
        return half(height, width, draw.choice(SIDES)) if min(height, width) > 1 else everything(height, width)
    if kind == "pixels":
        return random_pixels(height, width, draw.uniform(0.05, 1), seed)
    if kind == "boxes":
        hidden = random_boxes(height, width, draw.randint(1, 3), seed)
    else:
        hidden = strokes(height, width, draw.randint(1, 4), draw.uniform(0.05, 0.3), seed)
    inverted = ~hidden if draw.random() < 0.5 else hidden
    return inverted if bool(inverted.any()) else everything(height, width)
