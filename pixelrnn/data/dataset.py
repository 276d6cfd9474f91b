"""A data set as the rest of the program sees it."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor


def digests(images: Tensor) -> Tensor:
    """Hash each image's values: uint8 (images, 16). An image can be recognised by its hash without being kept."""
    hashes = b"".join(blake2b(image, digest_size=16).digest() for image in images.flatten(1).cpu().numpy())
    return torch.from_numpy(np.frombuffer(hashes, np.uint8).copy()).view(-1, 16)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint parts of images, uint8 (images, channels, height, width), with values in [0, levels).

    If `dynamic`, `train` holds 8-bit grey levels instead, and its images are binarised anew at each use.
    """

    name: str  # for reports: the data, the size, the levels or the binarisation, the split
    levels: int
    train: Tensor
    valid: Tensor
    test: Tensor
    dynamic: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, channels, height, width = self.valid.shape
        return channels, height, width

    @cached_property
    def train_digests(self) -> Tensor | None:
        """Digests of the training images; None if there are none, or if they are dynamic: then no image is seen twice."""
        return None if self.dynamic or not len(self.train) else digests(self.train)

    def training_batch(self, index: Tensor) -> Tensor:
        """Select training images by index, int64 (batch,): uint8 (batch, channels, height, width) in [0, levels).

        If dynamic, each pixel is 1 with probability grey/255, drawn from torch's global generator.
        """
        images = self.train[index]
        if not self.dynamic:
            return images
        # A pixel's channels share one draw, so a grey image stays grey. Draws are 0 to 254, of which exactly `grey` are
        # below `grey`.
        size = (len(images), 1, *images.shape[2:])
        draws = torch.randint(255, size, dtype=torch.uint8, device=images.device)
        return (draws < images).to(torch.uint8)
