"""The handwritten digits of scikit-learn: 1,797 grey images of 8x8, without a download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from pixelrnn.data.dataset import Dataset
from pixelrnn.data.prepare import Options, prepare, shuffled
from pixelrnn.errors import UserError

SPLIT = (1297, 250, 250)


def digits(options: Options) -> Dataset:
    """8x8 grey, 17 levels; the shuffle before the split is always the same. root is not used."""
    spec = find_spec("sklearn")  # to import scikit-learn takes seconds
    if not spec or not spec.origin:
        raise UserError("data=digits needs scikit-learn: pip install scikit-learn")
    values = np.loadtxt(Path(spec.origin).parent / "datasets/data/digits.csv.gz", np.uint8, delimiter=",")
    images = torch.from_numpy(values[:, :-1]).reshape(-1, 1, 8, 8)  # the last column is the digit
    return prepare(options, "digits", 17, images[shuffled(len(images))].split(SPLIT))
