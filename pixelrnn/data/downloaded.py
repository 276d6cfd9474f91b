"""MNIST, Fashion-MNIST and CIFAR-10 as torchvision reads them, downloaded if their files are missing."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor

from pixelrnn.data.dataset import Dataset
from pixelrnn.data.prepare import Options, data_folder, data_missing, prepare
from pixelrnn.errors import UserError, in_one_line
from pixelrnn.files.atomic import nothing_left

# As in the fixed binarisation of MNIST, the last images of the training file are for validation.
SPLITS = {
    "MNIST": (50_000, 10_000, 10_000),
    "FashionMNIST": (50_000, 10_000, 10_000),
    "CIFAR10": (45_000, 5_000, 10_000),
}
TIMEOUT = 60.0  # seconds without a byte; torchvision itself would wait for ever


def mnist(options: Options) -> Dataset:
    """MNIST, 28x28 grey, 256 levels."""
    return _grey(options, "MNIST", "MNIST")


def fashion_mnist(options: Options) -> Dataset:
    """Fashion-MNIST, 28x28 grey, 256 levels."""
    return _grey(options, "FashionMNIST", "Fashion-MNIST")


def _grey(options: Options, kind: str, title: str) -> Dataset:
    if options.levels == 2 and not options.binarization:
        raise UserError(
            "data.levels=2 without data.binarization: set data.binarization=dynamic or threshold, because results on the "
            "two cannot be compared"
        )
    return prepare(options, title, 256, _read(kind, title, options.root))


def cifar10(options: Options) -> Dataset:
    """CIFAR-10, 32x32 RGB, 256 levels."""
    return prepare(options, "CIFAR-10", 256, _read("CIFAR10", "CIFAR-10", options.root))


def _read(kind: str, title: str, root: str | None) -> list[Tensor]:
    """Read train, valid and test, 8-bit; UserError if the files are damaged, or missing and cannot be downloaded."""
    from torchvision import datasets

    source, folder = getattr(datasets, kind), data_folder(root)
    if kind == "CIFAR10":
        place, archive = source.base_folder, source.filename
        names = [*(name for name, _ in source.train_list + source.test_list), source.meta["filename"]]
    else:
        place, archive = f"{kind}/raw", kind
        names = [name.removesuffix(".gz") for name, _ in source.resources]
    absent = [name for name in names if not os.path.isfile(folder / place / name)]
    first, second, third = SPLITS[kind]
    try:
        with _downloading(folder / place, folder / archive):
            # Files that are there are only read: the folder may be read-only.
            rest, test = [source(folder, train=train, download=bool(absent)).data for train in (True, False)]
        if (len(rest), len(test)) != (first + second, third):
            raise ValueError(f"they hold {len(rest):,} + {len(test):,} images, not {first + second:,} + {third:,}")
    except Exception as error:  # network, proxy, disk, rights, a truncated archive: each raises its own kind
        if absent:
            raise data_missing(title, folder, place, absent, error) from error
        raise UserError(
            f"the files of {title} in {folder / place} cannot be used ({type(error).__name__}: "
            f"{in_one_line(error)}); delete them and run again to download them"
        ) from error
    # torchvision gives a tensor of grey images, or an array of colour images with the channels last.
    parts = [torch.as_tensor(part) for part in (rest[:first], rest[first:], test)]
    return [part[:, None] if part.ndim == 3 else part.permute(0, 3, 1, 2).contiguous() for part in parts]


@contextmanager
def _downloading(*made: Path) -> Iterator[None]:
    """Context manager: progress goes to standard error, waiting has an end, and a failure leaves nothing at `made`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with redirect_stdout(sys.stderr), nothing_left(*made):
            yield
    finally:
        socket.setdefaulttimeout(before)
