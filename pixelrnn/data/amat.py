"""The published text files of the fixed binarisation of MNIST, and the compact copies that spare reading them again."""

import gzip
import hashlib
import os
import shutil
import sys
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelrnn.data.prepare import cache_folder, meant_instead
from pixelrnn.errors import DataMissing, UserError
from pixelrnn.files.atomic import nothing_left, write_whole

ADDRESS = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
PIXELS = 28 * 28
# Rows, and the SHA-256 of their bits, eight to a byte.
CONTENT = {
    "train": (50_000, "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906"),
    "valid": (10_000, "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d"),
    "test": (10_000, "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2"),
}
TIMEOUT = 60.0  # seconds without a byte


def find_parts(root: Path) -> dict[str, Path]:
    """The files of train, valid and test, downloaded if absent; UserError, and none of them kept, if one cannot be."""
    with nothing_left(root / "binarized_mnist"):
        return {part: _find(part, root) or _download(part, root) for part in CONTENT}


def read_part(part: str, path: Path) -> Tensor:
    """uint8 (images, 1, 28, 28) of 0 and 1; UserError if the file has other content than the published one."""
    try:
        stamp = np.array([path.stat().st_size, path.stat().st_mtime_ns])
        caches = [folder / f"binarized_mnist_{part}.npz" for folder in (path.parent, cache_folder())]
        bits = next((bits for cache in caches if (bits := _cached(cache, stamp, part)) is not None), None)
        if bits is None:
            bits = _parse(path, part)
            any(_store(cache, stamp, bits) for cache in caches)  # the first that can be written, if any
    except (OSError, EOFError, zlib.error, UserError) as error:
        raise UserError(
            f"{path} is not the published file ({error}); delete it and run again to download it, "
            f"or get it from {ADDRESS}{_name(part)}"
        ) from error
    return torch.from_numpy(np.unpackbits(bits, axis=1)).view(-1, 1, 28, 28)


def _name(part: str) -> str:
    return f"binarized_mnist_{part}.amat"


def _find(part: str, root: Path) -> Path | None:
    """The text file, plain or gzipped, in root or in root/binarized_mnist."""
    names = [folder / f"{_name(part)}{suffix}" for folder in (root, root / "binarized_mnist") for suffix in ("", ".gz")]
    return next((path for path in names if os.path.isfile(path)), None)


def _parse(path: Path, part: str) -> np.ndarray:
    """Bits, uint8 (rows, 98); UserError unless they are the published ones."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        text = np.frombuffer(file.read(), np.uint8)
    values = text[text > ord(" ")]  # the digits, without the white space between them
    rows, content = CONTENT[part]
    if ((values != ord("0")) & (values != ord("1"))).any():
        raise UserError("it holds other values than 0 and 1")
    if len(values) != rows * PIXELS:
        raise UserError(f"it holds {len(values) / PIXELS:,.10g} rows of {PIXELS} values, not {rows:,}")
    bits = np.packbits(values.reshape(-1, PIXELS) == ord("1"), axis=1)
    if _sha256(bits) != content:
        raise UserError("its images are other ones")
    return bits


def _sha256(bits: np.ndarray) -> str:
    return hashlib.sha256(bits.tobytes()).hexdigest()


def _cached(cache: Path, stamp: np.ndarray, part: str) -> np.ndarray | None:
    """The bits, if this is an intact copy of the text file with this stamp (its size and time of change)."""
    try:
        with np.load(cache) as arrays:  # refuses pickles
            bits = arrays["bits"]
            fits = np.array_equal(arrays["stamp"], stamp) and bits.shape[1:] == (PIXELS // 8,)
        return bits if fits and _sha256(bits) == CONTENT[part][1] else None
    except Exception:  # absent, truncated or foreign: whatever is wrong with a copy, the text is read again
        return None


def _store(cache: Path, stamp: np.ndarray, bits: np.ndarray) -> bool:
    """False where this cannot be written."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a path, numpy would append .npz to it
            np.savez(file, bits=bits, stamp=stamp)

    try:
        # Root, as in a container, could write in a folder that is marked read-only for everyone; it should not.
        if cache.parent.exists() and not cache.parent.stat().st_mode & 0o222:
            return False
        write_whole(cache, write)
    except (OSError, UserError):  # of the folder, of write_whole
        return False
    return True


def _download(part: str, root: Path) -> Path:
    path, url = root / "binarized_mnist" / _name(part), ADDRESS + _name(part)

    def fetch(temporary: Path) -> None:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, temporary.open("wb") as file:
            shutil.copyfileobj(response, file)
        announced = response.headers.get("Content-Length")
        if announced is not None and temporary.stat().st_size != int(announced):
            raise OSError("the connection broke off")

    try:
        print(f"downloading {url}", file=sys.stderr)
        write_whole(path, fetch)
    except Exception as error:  # network, proxy, disk, rights: each raises its own kind
        reason = error.__cause__ or error  # without write_whole's own words, which are of a full disk
        names = ", ".join(_name(part) for part in CONTENT)
        hint = meant_instead(root, _name(part), lambda other: _find(part, other) is not None)
        raise DataMissing(
            f"{_name(part)} is not in {root} or {path.parent} and could not be downloaded from {url} "
            f"({type(reason).__name__}: {' '.join(str(reason).split())}); put {names} there (.gz will do), "
            f"or set data.root to the folder that holds them{hint}"
        ) from error
    return path
