"""The handwritten digits of scikit-learn: 1,797 grey images of 8x8, without a download."""

import torch

from pixelrnn.data.dataset import Dataset
from pixelrnn.data.prepare import Options, prepare, shuffled

SPLIT = (1297, 250, 250)


def digits(options: Options) -> Dataset:
    """8x8 grey, 17 levels; the shuffle before the split is always the same. root is not used."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images).to(torch.uint8)[:, None]  # (1797, 1, 8, 8)
    return prepare(options, "digits", 17, images[shuffled(len(images))].split(SPLIT))
