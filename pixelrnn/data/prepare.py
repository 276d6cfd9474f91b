"""What the datasets share: options checked, images resized and quantised, parts chosen and named."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pixelrnn.data.base import Dataset
from pixelrnn.errors import UserError
from pixelrnn.files.atomic import expanded
from pixelrnn.pixels import MAX_LEVELS, requantise

CHUNK = 2**22  # values converted at a time: on the way they take up to 24 bytes each


def check_options(size: int | None, channels: int | None, levels: int | None, limit: int | None) -> None:
    """UserError unless each is None or a whole number in its range."""
    _check("size", size, 1, None, "pixels, or null for the native size")
    _check("levels", levels, 2, MAX_LEVELS, "or null for the native levels")
    _check("limit", limit, 1, None, "images of each part, or null for all")
    if channels is not None and (channels not in (1, 3) or isinstance(channels, bool)):
        raise UserError(f"data.channels={channels}: set 1 (grey), 3 (RGB), or null for the native ones")


def _check(option: str, value: int | None, low: int, high: int | None, rest: str) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (whole and low <= value and (high is None or value <= high)):
        span = f"from {low} to {high}" if high else f"of at least {low}"
        raise UserError(f"data.{option}={value}: it must be a whole number {span}, {rest}")


def cache_folder() -> Path:
    """Where data is kept unless data.root says otherwise: $PIXELRNN_DATA, else ~/.cache/pixelrnn."""
    folder = expanded(os.environ.get("PIXELRNN_DATA") or "~/.cache/pixelrnn")
    if folder.parts[:1] == ("~",):  # nobody knows the home folder
        return Path(tempfile.gettempdir()) / "pixelrnn"
    return folder


def data_folder(root: str | None) -> Path:
    """data.root, or the cache folder where it is None."""
    return expanded(str(root)) if root else cache_folder()


def meant_instead(root: Path, what: str, holds: Callable[[Path], bool]) -> str:
    """A hint, if a folder up to two levels above or below data.root holds what is not in it; else the empty string."""
    near = (*root.absolute().parents[:2], *sorted(root.glob("*")), *sorted(root.glob("*/*")))
    found = next((folder for folder in near if holds(folder)), None)
    return f"; {found} holds {what}: is data.root={found} meant?" if found else ""


def shuffled(count: int) -> Tensor:
    """A permutation of `count` images, int64, the same at every call, on every machine and in every release."""
    # From numpy's legacy generator, whose numbers are frozen: a split that moved with a new release of torch would
    # train a resumed model on what were its test images.
    return torch.from_numpy(np.random.RandomState(0).permutation(count)).long()


def limited(images: Tensor, limit: int | None) -> Tensor:
    """At most `limit` of the images, shuffled first because some files are sorted by class; None is all."""
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit}: at least 1 image, or null for all")
    return images if limit is None or len(images) <= limit else images[shuffled(len(images))[:limit]]


def to_channels(images: Tensor, channels: int | None) -> Tensor:
    """Grey from RGB with Pillow's weights, RGB from grey by repetition; None leaves them."""
    if channels is None or channels == images.shape[1]:
        return images
    return images.repeat(1, 3, 1, 1) if channels == 3 else _in_chunks(_grey, images)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor([19595, 38470, 7471]).view(1, 3, 1, 1)
    return ((images * weights).sum(1, keepdim=True) + 0x8000 >> 16).to(torch.uint8)


def resized(images: Tensor, size: int | None) -> Tensor:
    """Images (batch, channels, height, width) as size x size: the mean of the area where smaller, else bilinear."""
    if size is None or tuple(images.shape[2:]) == (size, size):
        return images
    mode = "area" if size <= min(images.shape[2:]) else "bilinear"

    def resize(part: Tensor) -> Tensor:
        return (interpolate(part.float(), size=(size, size), mode=mode) + 0.5).floor().to(torch.uint8)

    return _in_chunks(resize, images)


def quantised(images: Tensor, levels: int, new_levels: int) -> Tensor:
    """pixelrnn.pixels.requantise in little memory."""
    return images if levels == new_levels else _in_chunks(lambda part: requantise(part, levels, new_levels), images)


def _in_chunks(convert: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([convert(part) for part in images.split(max(1, CHUNK // images[0].numel()))])


def how_levels(levels: int) -> str:
    """For the name of a dataset: two levels by rounding are a binarisation like any other, and must say so."""
    return "binarised by threshold" if levels == 2 else f"{levels} levels"


def assemble(
    title: str,
    how: str,
    levels: int,
    parts: Sequence[Tensor],
    totals: Sequence[int],
    dynamic: bool = False,
) -> Dataset:
    """The Dataset of three parts; `totals` are the images there were of each before data.limit."""
    _, channels, height, width = parts[0].shape
    counts = [
        f"{key} {len(part):,}" + (f" of {total:,}" if len(part) < total else "")
        for key, part, total in zip(("train", "valid", "test"), parts, totals, strict=True)
    ]
    colour = " RGB" if channels == 3 else ""
    name = f"{title} {height}x{width}{colour}, {how} ({' / '.join(counts)})"
    train, valid, test = parts
    return Dataset(name, levels, train, valid, test, dynamic)
