"""A data set as the rest of the program sees it, its options, and the one way from raw images to it."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pixelrnn.datasets.patches import Patches
from pixelrnn.errors import DataMissing, UserError, in_one_line, note
from pixelrnn.files.atomic import expanded
from pixelrnn.options import checked
from pixelrnn.pixels import requantise

CHUNK = 2**22  # values converted at a time; a value needs up to 24 bytes on the way
PARTS = ("train", "valid", "test")
GREY = torch.tensor([19595, 38470, 7471]).view(1, 3, 1, 1)  # Pillow's weights of R, G and B, of 65,536


@dataclass(frozen=True)
class Options:
    """The options of every data set; conf/data/ explains them. Raises UserError for a value out of range."""

    root: str | None = None
    size: int | None = None
    channels: int | None = None
    levels: int | None = None
    binarization: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, checked(f"data.{name}", value))
        if self.binarization and self.levels not in (None, 2):
            raise UserError(
                f"data.levels={self.levels} with data.binarization={self.binarization}: a binary image has 2 levels; "
                "set data.levels=2, or data.binarization=null and a data set other than binarized_mnist"
            )


def digests(images: Tensor) -> Tensor:
    """Hash each image's values: uint8 (images, 16). An image can be recognised by its hash without being kept."""
    hashes = b"".join(blake2b(image, digest_size=16).digest() for image in images.flatten(1).cpu().numpy())
    return torch.from_numpy(np.frombuffer(hashes, np.uint8).copy()).view(-1, 16)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three disjoint parts of images, uint8 (images, channels, height, width), with values in [0, levels).

    If `dynamic`, `train` holds 8-bit grey levels instead, and its images are binarised anew at each use. If it holds
    Patches, they are drawn anew.
    """

    name: str  # for reports: the data, the size, the levels or the binarisation, the split
    levels: int
    train: Tensor | Patches
    valid: Tensor
    test: Tensor
    dynamic: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, channels, height, width = self.valid.shape
        return channels, height, width

    @property
    def train_tensors(self) -> tuple[Tensor, ...]:
        """The tensors that the training images are taken from."""
        return (self.train.values, self.train.places) if isinstance(self.train, Patches) else (self.train,)

    @cached_property
    def train_digests(self) -> Tensor | None:
        """Digests of the training images; None if there are none, or if they are drawn anew: then no image is seen twice."""
        is_drawn = self.dynamic or isinstance(self.train, Patches)
        return None if is_drawn or not len(self.train) else digests(cast(Tensor, self.train))

    def images(self, part: str) -> Tensor:
        """The images of a part ("train", "valid" or "test"), uint8, for evaluation; the same at every call.

        The training images of a dynamic data set are binarised once for this. Raises UserError for Patches.
        """
        images = getattr(self, part)
        if isinstance(images, Patches):
            raise UserError(f"part={part}: data=photos draws these patches anew at each use; give part=valid or test")
        return _binarised(images, part) if self.dynamic and part == "train" else images

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


def prepare(
    options: Options, title: str, native: int, parts: Sequence[Tensor], how: str = "", totals: Sequence[int] = ()
) -> Dataset:
    """Make a Dataset from raw train, valid and test images: apply limit, channels, size, and levels or binarisation.

    parts: uint8 (images, channels, height, width) with values in [0, native). title: the data set's name in reports.
    how: the binarisation for the name, if the images are binary already. totals: the number of images of each part, if
    the reader has already applied the limit.
    """
    if options.binarization == "fixed" and not how:
        raise UserError(
            "data.binarization=fixed needs data=binarized_mnist; set data.binarization=dynamic or threshold"
        )
    dynamic = options.binarization == "dynamic"
    levels = options.levels or (2 if options.binarization else native)
    how = how or (
        "dynamically binarised" if dynamic else "binarised by threshold" if levels == 2 else f"{levels} levels"
    )
    height, width = parts[0].shape[2:]
    if options.size and height != width:
        note(f"images of {height}x{width} are stretched to {options.size}x{options.size}, as data.size says")
    images, counts = [], []
    for k, (part, raw) in enumerate(zip(PARTS, parts, strict=True)):
        converted = _convert(limited(raw, options.limit), options, native, 256 if dynamic else levels)
        if dynamic and part != "train":
            converted = _binarised(converted, part, len(raw))
        images.append(converted)
        total = totals[k] if totals else len(raw)
        counts.append(f"{part} {len(converted):,}" + (f" of {total:,}" if len(converted) < total else ""))
    _, channels, height, width = images[0].shape
    colour = " RGB" if channels == 3 else ""
    name = f"{title} {height}x{width}{colour}, {how} ({' / '.join(counts)})"
    return Dataset(name, levels, images[0], images[1], images[2], dynamic)


def _binarised(greys: Tensor, part: str, total: int | None = None) -> Tensor:
    """Draw each pixel from its 8-bit grey, the same at every call, so that every run is measured on the same images.

    total: the number of images of the part, if `greys` are those that a limit has left.
    """
    total = total or len(greys)
    draws = np.random.RandomState(PARTS.index(part)).randint(255, size=(total, 1, *greys.shape[2:]), dtype=np.uint8)
    return (limited(torch.from_numpy(draws), len(greys) or None) < greys).to(torch.uint8)


def _convert(images: Tensor, options: Options, levels: int, new_levels: int) -> Tensor:
    """Images with the channels and the size of the options, and other levels."""
    _, channels, height, width = images.shape
    new_channels, size = options.channels or channels, (options.size or height, options.size or width)
    if (new_channels, *size, new_levels) == (channels, height, width, levels):
        return images
    mode = "area" if size[0] <= min(height, width) else "bilinear"

    def convert(part: Tensor) -> Tensor:
        if new_channels < channels:
            part = ((part * GREY).sum(1, keepdim=True) + 0x8000 >> 16).to(torch.uint8)
        if size != (height, width):
            part = (interpolate(part.float(), size, mode=mode) + 0.5).floor().to(torch.uint8)
        return requantise(part, levels, new_levels).expand(-1, new_channels, -1, -1)

    return torch.cat([convert(part) for part in images.split(max(1, CHUNK // images[0].numel()))])


def shuffled(count: int) -> Tensor:
    """A permutation of `count` images, int64, the same at every call, on every machine and in every release."""
    # NumPy's legacy generator is frozen. If a split moved with a new release of torch, a resumed model would be trained
    # on its own test images.
    return torch.from_numpy(np.random.RandomState(0).permutation(count)).long()


def limited(images: Tensor, limit: int | None) -> Tensor:
    """At most `limit` of the images, or all if it is None; shuffled first, because some files are sorted by class."""
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit}: at least 1 image, or null for all")
    return images if limit is None or len(images) <= limit else images[shuffled(len(images))[:limit]]


def data_folder(root: str | None = None) -> Path:
    """The folder data.root, else $PIXELRNN_DATA, else ~/.cache/pixelrnn, or a temporary one if no home is known."""
    folder = expanded(str(root or os.environ.get("PIXELRNN_DATA") or "~/.cache/pixelrnn"))
    return Path(tempfile.gettempdir()) / "pixelrnn" if folder.parts[:1] == ("~",) else folder


def data_missing(title: str, root: Path, place: str, names: Sequence[str], error: Exception) -> DataMissing:
    """The error for files that are missing in root/place and cannot be downloaded; it hints at a better data.root."""
    near = (*root.absolute().parents[:2], *sorted(root.glob("*")), *sorted(root.glob("*/*")))
    found = next(((f, what) for f in near for what in (place, names[0]) if os.path.exists(f / what)), None)
    hint = f"; {found[0]} holds {found[1]}: is data.root={found[0]} meant?" if found else ""
    return DataMissing(
        f"{title} is not in {root / place} and could not be downloaded ({type(error).__name__}: "
        f"{in_one_line(error)}); put {', '.join(names)} there, or set data.root to the folder that holds {place}{hint}"
    )
