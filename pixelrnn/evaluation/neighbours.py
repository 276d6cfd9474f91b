"""The training images that are nearest to samples: they show whether a model repeats what it was trained on."""

import torch
from torch import Tensor

CHUNK = 4096  # training images compared at a time


def nearest(images: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest of `among` for each image, both uint8 (N, channels, height, width) levels.

    Returns the indices, int64 (N,), and the squared distances, the sums of squared differences of the levels, int64 (N,).
    """
    values = images.flatten(1).float()
    found = [(values.square().sum(1)[:, None] - 2 * values @ part.T + part.square().sum(1)).min(1)
             for part in (chunk.flatten(1).float() for chunk in among.split(CHUNK))]  # fmt: skip
    best = torch.stack([distances for distances, _ in found]).argmin(0)
    indices = torch.stack([indices for _, indices in found]).gather(0, best[None])[0] + CHUNK * best
    differences = images.flatten(1).long() - among[indices].flatten(1).long()  # exact, unlike the distances above
    return indices, differences.square().sum(1)
