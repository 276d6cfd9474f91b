"""Binary MNIST. Larochelle's fixed binarisation is published as text; its bits are kept in the cache folder."""

import gzip
import os
import sys
import urllib.request
import zlib
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelrnn.data.dataset import Dataset
from pixelrnn.data.downloaded import TIMEOUT, mnist
from pixelrnn.data.prepare import Options, data_folder, data_missing, prepare
from pixelrnn.errors import UserError
from pixelrnn.files.atomic import write_whole

ADDRESS = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
CONTENT = {  # SHA-256 of the images' bits, eight to a byte
    "train": "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906",
    "valid": "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d",
    "test": "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2",
}


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
    parts = [_read(part, data_folder(options.root))[:, :, ::step, ::step].contiguous() for part in CONTENT]
    how = "fixed binarisation" + (f", one pixel of each {step}x{step}" if step > 1 else "")
    return prepare(options, "MNIST", 2, parts, how)


def _read(part: str, root: Path) -> Tensor:
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
