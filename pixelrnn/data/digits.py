"""The handwritten digits that scikit-learn ships: 1,797 grey images of 8x8, there without a download."""

import torch

from pixelrnn.data.base import Dataset
from pixelrnn.data.prepare import (
    assemble,
    check_options,
    how_levels,
    limited,
    quantised,
    resized,
    shuffled,
    to_channels,
)

NATIVE_LEVELS = 17
SPLIT = (1297, 250, 250)


def digits(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """8x8 grey, 17 levels, split 1,297 / 250 / 250 by a shuffle that is always the same; root is not used."""
    from sklearn.datasets import load_digits

    check_options(size, channels, levels, limit)
    levels = levels or NATIVE_LEVELS
    images = torch.from_numpy(load_digits().images).to(torch.uint8)[:, None]  # (1797, 1, 8, 8)
    images = quantised(resized(to_channels(images, channels), size), NATIVE_LEVELS, levels)
    parts = [limited(part, limit) for part in images[shuffled(len(images))].split(SPLIT)]
    return assemble("digits", how_levels(levels), levels, parts, SPLIT)
