"""What every dataset is to the rest of the program."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import torch
from torch import Tensor


def digests(images: Tensor) -> Tensor:
    """uint8 (images, 16): a hash of each image's values, by which it is known again without being kept."""
    found = (blake2b(image, digest_size=16).digest() for image in images.flatten(1).cpu().numpy())
    return (
        torch.frombuffer(bytearray().join(found), dtype=torch.uint8).view(-1, 16)
        if len(images)
        else torch.empty(0, 16, dtype=torch.uint8)
    )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint parts of images, uint8 (images, channels, height, width), with values in [0, levels).

    Where `dynamic`, train alone holds 8-bit grey levels instead: its images are binarised anew at each use.
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
        """The digests of the training images; None if there are none, or they are dynamic, as no image is then seen twice."""
        return None if self.dynamic or not len(self.train) else digests(self.train)

    def training_batch(self, index: Tensor) -> Tensor:
        """Training images at index, int64 (batch,): uint8 (batch, channels, height, width) in [0, levels).

        Where dynamic, each pixel is 1 with probability grey/255, drawn from torch's global generator.
        """
        images = self.train[index]
        if not self.dynamic:
            return images
        # One draw serves all the channels of a pixel, so a grey image stays grey. The draws are 0 to 254: those below
        # `grey` are grey of 255, exactly.
        size = (len(images), 1, *images.shape[2:])
        draws = torch.randint(255, size, dtype=torch.uint8, device=images.device)
        return (draws < images).to(torch.uint8)
