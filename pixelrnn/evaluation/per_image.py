"""The log-probability of each image under each mask in one file, so that two models can be compared image by image."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelrnn.evaluation.likelihoods import Likelihoods
from pixelrnn.files.arrays import write_arrays


@dataclass(frozen=True)
class Row:
    """log p of images under one mask, or each under its own."""

    hidden: Tensor  # bool (height, width) or (images, height, width)
    likelihoods: Likelihoods
    how: str  # "exact", "fill" or "particles", as evaluate_conditional says


def write_per_image(path: Path, images: Tensor, rows: Mapping[str, Row], **about: str) -> None:
    """Write a .npz file of the arrays that docs/benchmark.md explains; NumPy reads it without pickle.

    images: uint8 (images, channels, height, width), in the order of the rows' log_probs. rows: by name, all with one mask
    for all images, or all with a mask for each. about: words that say where the numbers come from. Raises UserError if
    the file cannot be written.
    """
    masks = [np.packbits(row.hidden.cpu().flatten(-2).numpy(), axis=-1) for row in rows.values()]
    arrays = {
        **{key: np.array(words) for key, words in about.items()},
        "images_sha256": np.array(sha256(np.ascontiguousarray(images.cpu().numpy()).data).hexdigest()),
        "shape": np.array(images.shape[1:]),
        "names": np.array(list(rows)),
        "how": np.array([row.how for row in rows.values()]),
        "hidden": np.stack(masks),
        "log_probs": torch.stack([row.likelihoods.log_probs for row in rows.values()]).float().numpy(),
    }
    write_arrays(path, **arrays)
