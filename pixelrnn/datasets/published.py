"""Published data: scikit-learn's digits, what torchvision reads, and Larochelle's fixed binarisation of MNIST.

Files that are missing are downloaded. The binarisation is published as text; its bits are kept in the cache folder.
"""

import gzip
import os
import socket
import sys
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from contextvars import ContextVar
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixelrnn.datasets.prepare import Dataset, Options, data_folder, data_missing, prepare, shuffled
from pixelrnn.errors import UserError, in_one_line, printable
from pixelrnn.files.atomic import nothing_left, one_at_a_time, write_whole

# The last images of the training file are for validation. The fixed binarisation of MNIST has another division: its training
# and validation images are the same 60,000, shuffled; its test images are MNIST's.
SPLITS = {
    "digits": (1297, 250, 250),
    "MNIST": (50_000, 10_000, 10_000),
    "FashionMNIST": (50_000, 10_000, 10_000),
    "CIFAR10": (45_000, 5_000, 10_000),
}
TITLES = {"FashionMNIST": "Fashion-MNIST", "CIFAR10": "CIFAR-10"}  # where they differ from torchvision's names
DOWNLOADS = ContextVar("downloads", default=True)  # whether missing files are downloaded
TIMEOUT = 60.0  # seconds without a byte; torchvision itself would wait for ever
ADDRESS = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
CONTENT = {  # SHA-256 of the images' bits, eight to a byte
    "train": "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906",
    "valid": "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d",
    "test": "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2",
}


def divided_otherwise(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations of data share MNIST's 60,000 training images, but not the choice of those for validation."""
    names, fixed = {one["name"], other["name"]}, [_is_fixed(one), _is_fixed(other)]
    return names <= {"mnist", "binarized_mnist"} and fixed[0] != fixed[1]


def _is_fixed(data: Mapping[str, Any]) -> bool:
    return data["name"] == "binarized_mnist" and data.get("binarization") in (None, "fixed")


def digits(options: Options) -> Dataset:
    """8x8 grey, 17 levels; the shuffle before the split is always the same. It has no folder: UserError for a root."""
    if options.root:
        raise UserError(
            f"root={printable(options.root)}: data=digits comes with scikit-learn, without a folder; leave it out"
        )
    spec = find_spec("sklearn")  # to import scikit-learn takes seconds
    if not spec or not spec.origin:
        raise UserError("data=digits needs scikit-learn: pip install scikit-learn")
    values = np.loadtxt(Path(spec.origin).parent / "datasets/data/digits.csv.gz", np.uint8, delimiter=",")
    images = torch.from_numpy(values[:, :-1]).reshape(-1, 1, 8, 8)  # the last column is the digit
    return prepare(options, "digits", 17, images[shuffled(len(images))].split(SPLITS["digits"]))


def mnist(options: Options) -> Dataset:
    """MNIST, 28x28 grey, 256 levels."""
    return _torchvision(options, "MNIST")


def fashion_mnist(options: Options) -> Dataset:
    """Fashion-MNIST, 28x28 grey, 256 levels."""
    return _torchvision(options, "FashionMNIST")


def cifar10(options: Options) -> Dataset:
    """CIFAR-10, 32x32 RGB, 256 levels."""
    return _torchvision(options, "CIFAR10")


def _torchvision(options: Options, kind: str) -> Dataset:
    """Read a data set of torchvision; UserError if its files are damaged, or missing and cannot be downloaded."""
    if kind != "CIFAR10" and options.levels == 2 and not options.binarization:
        raise UserError(
            "data.levels=2 without data.binarization: set data.binarization=dynamic or threshold, because results on the "
            "two cannot be compared"
        )
    from torchvision import datasets

    source, folder, title = getattr(datasets, kind), data_folder(options.root), TITLES.get(kind, kind)
    if kind == "CIFAR10":
        place, archive = source.base_folder, source.filename
        names = [*(name for name, _ in source.train_list + source.test_list), source.meta["filename"]]
    else:
        place, archive = f"{kind}/raw", kind
        names = [name.removesuffix(".gz") for name, _ in source.resources]
    absent = [name for name in names if not os.path.isfile(folder / place / name)]
    first, second, third = SPLITS[kind]
    try:
        downloads = bool(absent) and DOWNLOADS.get()  # files that are there are only read: the folder may be read-only
        with _downloading(folder / place, folder / archive), one_at_a_time(folder) if downloads else nullcontext():
            rest, test = [source(folder, train=train, download=downloads).data for train in (True, False)]
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
    parts = [part[:, None] if part.ndim == 3 else part.permute(0, 3, 1, 2).contiguous() for part in parts]
    return prepare(options, title, 256, parts)


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


def binarized_mnist(options: Options) -> Dataset:
    """Binary MNIST, 28x28: "fixed" (the default), "dynamic" or "threshold" (from MNIST).

    A smaller size takes every second, fourth, … pixel of the fixed images: they have no grey to average.
    """
    options = replace(options, binarization=options.binarization or "fixed")
    if options.binarization != "fixed":
        return mnist(options)
    step, rest = divmod(28, options.size or 28)
    if rest:
        raise UserError(
            f"data.size={options.size}: the fixed images are 28x28 and binary, so the size must divide 28 (14, 7, 4); "
            "use one of these, or data.binarization=dynamic"
        )
    parts = [_read_bits(part, data_folder(options.root))[:, :, ::step, ::step].contiguous() for part in CONTENT]
    how = "fixed binarisation" + (f", one pixel of each {step}x{step}" if step > 1 else "")
    return prepare(options, "MNIST", 2, parts, how)


def _read_bits(part: str, root: Path) -> Tensor:
    """Read uint8 (images, 1, 28, 28) of 0 and 1: the bits that were kept, if they are intact, else the text."""
    kept, bits = data_folder() / f"binarized_mnist_{part}.bits", b""
    with suppress(OSError):
        bits = kept.read_bytes()
    if sha256(bits).hexdigest() != CONTENT[part]:
        bits = _read_text(part, root)
        with suppress(UserError):  # if they cannot be kept, the text is read again the next time
            write_whole(kept, lambda temporary: temporary.write_bytes(bits))
    return torch.from_numpy(np.unpackbits(np.frombuffer(bits, np.uint8))).view(-1, 1, 28, 28)


def _read_text(part: str, root: Path) -> bytes:
    """The bits of the text file in root or root/binarized_mnist, else of the published one."""
    name = f"binarized_mnist_{part}.amat"
    paths = [folder / f"{name}{suffix}" for folder in (root, root / "binarized_mnist") for suffix in ("", ".gz")]
    path = next((path for path in paths if os.path.isfile(path)), None)
    if path:
        try:
            content = path.read_bytes()
            return _parse(gzip.decompress(content) if path.suffix == ".gz" else content, part)
        except (OSError, EOFError, zlib.error, UserError) as error:
            raise UserError(
                f"{path} is not the published file ({error}); delete it and run again to download it, "
                f"or get it from {ADDRESS}{name}"
            ) from error
    try:
        if not DOWNLOADS.get():
            raise OSError("downloads are off")
        print(f"downloading {ADDRESS}{name}", file=sys.stderr)
        with urllib.request.urlopen(ADDRESS + name, timeout=TIMEOUT) as response:
            return _parse(response.read(), part)
    except Exception as error:  # network, proxy, a page that asks to sign in: each raises its own kind
        names = [f"binarized_mnist_{part}.amat" for part in CONTENT]
        raise data_missing(f"{name} of {ADDRESS}", root, "binarized_mnist", names, error) from error


def _parse(text: bytes, part: str) -> bytes:
    """Pack the digits of the text into bits; UserError unless they are the published ones."""
    characters = np.frombuffer(text, np.uint8)
    values = characters[characters > ord(" ")] - np.uint8(ord("0"))
    bits = np.packbits(values).tobytes()
    if (values > 1).any() or sha256(bits).hexdigest() != CONTENT[part]:
        raise UserError("it holds other images")
    return bits
