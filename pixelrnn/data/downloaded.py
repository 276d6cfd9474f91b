"""MNIST, Fashion-MNIST and CIFAR-10 as torchvision reads them, downloaded where their files are absent."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelrnn.data.base import Dataset
from pixelrnn.data.prepare import (
    assemble,
    check_options,
    data_folder,
    how_levels,
    limited,
    meant_instead,
    quantised,
    resized,
    to_channels,
)
from pixelrnn.errors import DataMissing, UserError
from pixelrnn.files.atomic import nothing_left

# The split of the fixed binarisation of MNIST: the last images of the training file are for validation.
SPLITS = {
    "MNIST": (50_000, 10_000, 10_000),
    "FashionMNIST": (50_000, 10_000, 10_000),
    "CIFAR10": (45_000, 5_000, 10_000),
}
TIMEOUT = 60.0  # seconds without a byte; torchvision itself would wait for ever


def mnist(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = None,
    binarization: str | None = None,
    limit: int | None = None,
) -> Dataset:
    """MNIST, 28x28 grey, 256 levels; binarised (levels=2) dynamically or by threshold."""
    if binarization == "fixed":
        raise UserError("data.binarization=fixed: the fixed binarisation of MNIST is read with data=binarized_mnist")
    return _grey("MNIST", "MNIST", root, size, channels, levels, binarization, limit)


def fashion_mnist(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = None,
    binarization: str | None = None,
    limit: int | None = None,
) -> Dataset:
    """Fashion-MNIST, 28x28 grey, 256 levels; binarised (levels=2) dynamically or by threshold."""
    if binarization == "fixed":
        raise UserError("data.binarization=fixed exists for MNIST only; set data.binarization=dynamic or threshold")
    return _grey("FashionMNIST", "Fashion-MNIST", root, size, channels, levels, binarization, limit)


def cifar10(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """CIFAR-10, 32x32 RGB, 256 levels."""
    check_options(size, channels, levels, limit)
    levels = levels or 256
    whole = [resized(to_channels(part, channels), size) for part in _read("CIFAR10", "CIFAR-10", root)]
    parts = [quantised(limited(part, limit), 256, levels) for part in whole]
    return assemble("CIFAR-10", how_levels(levels), levels, parts, SPLITS["CIFAR10"])


def _grey(
    kind: str,
    title: str,
    root: str | None,
    size: int | None,
    channels: int | None,
    levels: int | None,
    binarization: str | None,
    limit: int | None,
) -> Dataset:
    check_options(size, channels, levels, limit)
    levels = levels or 256
    _check_binarization(levels, binarization)
    parts = [resized(part, size) for part in _read(kind, title, root)]
    how = how_levels(levels)
    if binarization == "threshold":
        parts = [(part >= 128).to(torch.uint8) for part in parts]
    elif binarization == "dynamic":
        how = "dynamically binarised"
        # Drawn once, and before data.limit, so that every run is measured on the same images.
        parts = [parts[0], _draw_once(parts[1], seed=1), _draw_once(parts[2], seed=2)]
    parts = [to_channels(limited(part, limit), channels) for part in parts]
    if binarization is None:
        parts = [quantised(part, 256, levels) for part in parts]
    return assemble(title, how, levels, parts, SPLITS[kind], dynamic=binarization == "dynamic")


def _check_binarization(levels: int, binarization: str | None) -> None:
    if binarization not in (None, "dynamic", "threshold"):
        raise UserError(f"data.binarization={binarization}: it is dynamic, threshold, or null for more than 2 levels")
    if levels == 2 and binarization is None:
        raise UserError(
            "data.levels=2 without data.binarization: set data.binarization=dynamic or threshold, "
            "because results on the two cannot be compared"
        )
    if levels != 2 and binarization is not None:
        raise UserError(
            f"data.binarization={binarization} with {levels} levels: a binary image has 2; "
            "set data.levels=2, or data.binarization=null"
        )


def _draw_once(grey: Tensor, seed: int) -> Tensor:
    draws = np.random.RandomState(seed).randint(255, size=tuple(grey.shape), dtype=np.uint8)  # frozen numbers
    return (torch.from_numpy(draws) < grey).to(torch.uint8)


def _read(kind: str, title: str, root: str | None) -> list[Tensor]:
    """train, valid, test, 8-bit; UserError if the files are damaged, or absent and not to be had."""
    from torchvision import datasets

    source, folder = getattr(datasets, kind), data_folder(root)
    place, names = _files(source, folder)
    absent = [name for name in names if not os.path.isfile(place / name)]
    present = not absent
    made = [place, *([folder / source.filename] if hasattr(source, "filename") else [])]
    split = SPLITS[kind]
    try:
        # What is there is only read: the folder may be read-only.
        with contextlib.nullcontext() if present else _downloading(made):
            rest, test = [_tensor(source(folder, train=train, download=not present).data) for train in (True, False)]
    except Exception as error:  # network, proxy, disk, rights, a truncated archive: each raises its own kind
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if present:
            raise UserError(
                f"the files of {title} in {place} cannot be used ({reason}); delete them and run again to download them"
            ) from error
        what = place.relative_to(folder)
        hint = meant_instead(folder, str(what), lambda other: any((other / what).glob("*")))
        raise DataMissing(
            f"{title} is not in {place} and could not be downloaded ({reason}); put {', '.join(absent)} there, "
            f"or set data.root to the folder that holds {what}{hint}"
        ) from error
    if (len(rest), len(test)) != (split[0] + split[1], split[2]):
        raise UserError(
            f"the files of {title} in {place} hold {len(rest):,} + {len(test):,} images, not "
            f"{split[0] + split[1]:,} + {split[2]:,}; delete them and run again to download the published ones"
        )
    return [rest[: split[0]], rest[split[0] :], test]


def _files(source: Any, folder: Path) -> tuple[Path, list[str]]:
    """Where torchvision looks for this dataset, and the names it needs there."""
    if hasattr(source, "base_folder"):
        batches = [name for name, _ in source.train_list + source.test_list]
        return folder / source.base_folder, [*batches, source.meta["filename"]]
    return folder / source.__name__ / "raw", [name.removesuffix(".gz") for name, _ in source.resources]


def _tensor(data: Any) -> Tensor:
    """uint8 (images, channels, height, width) from torchvision's tensor (grey) or array (colour, channels last)."""
    return data[:, None] if isinstance(data, Tensor) else torch.from_numpy(data).permute(0, 3, 1, 2).contiguous()


@contextlib.contextmanager
def _downloading(made: list[Path]) -> Iterator[None]:
    """Progress on standard error, an end to waiting for a host that does not answer, and nothing left of a failure."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr), nothing_left(*made):
            yield
    finally:
        socket.setdefaulttimeout(before)
