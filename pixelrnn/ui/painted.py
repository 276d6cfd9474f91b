"""What a visitor paints on an image, as the text that the painter (painter.js) and the page exchange.

The text has runs of equal pixels, row by row: a number and a letter, such as "12.3h". The letters are those of STATES.
"""

import re

import numpy as np
import torch
from torch import Tensor

from pixelrnn.errors import UserError

STATES = ".hwb"  # a pixel is as the image has it, hidden, painted white, or painted black
RUNS = re.compile(rf"(?:\d{{1,9}}[{STATES}])*")


def to_text(states: Tensor) -> str:
    """Write a mask, bool (height, width), or what from_text returned."""
    pixels = states.flatten().numpy()
    begins = np.flatnonzero(np.append(True, pixels[1:] != pixels[:-1]))
    lengths = np.diff(begins, append=len(pixels))
    return "".join(f"{length}{STATES[int(pixels[begin])]}" for begin, length in zip(begins, lengths, strict=True))


def from_text(text: object, height: int, width: int) -> Tensor:
    """Read what is painted on an image of this size: uint8 (height, width), for each pixel its index in STATES.

    Raises UserError unless the text, which may be anything that a browser sends, describes so many pixels.
    """
    runs = re.findall(r"(\d+)(.)", text) if isinstance(text, str) and RUNS.fullmatch(text) else []
    lengths = [int(length) for length, _ in runs]
    if sum(lengths) != height * width:
        raise UserError(f"what was painted does not have {width}x{height} pixels; choose the picture again")
    states = np.repeat(np.array([STATES.index(state) for _, state in runs], dtype=np.uint8), lengths)
    return torch.from_numpy(states).view(height, width)
