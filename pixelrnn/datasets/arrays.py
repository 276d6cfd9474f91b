"""Images in a file of NumPy arrays: .npz with train and test parts or with all images, or .npy."""

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from pixelrnn.datasets.folder import MAX_BYTES
from pixelrnn.datasets.prepare import Dataset, Options, data_folder, prepare, shuffled
from pixelrnn.errors import UserError, in_one_line, note, printable

KEYS = {"train": ("x_train", "images"), "valid": ("x_valid", "x_val"), "test": ("x_test",)}
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def array(options: Options) -> Dataset:
    """The images of root, a .npz file with the arrays x_train, x_valid and x_test, or images, or a .npy file.

    They are uint8 (or bool), N×H×W, N×H×W×C or N×C×H×W with 1 or 3 channels. A missing part gets a tenth of the training
    images, always the same. Values are 8-bit greys, or levels already, as a note then says. Raises UserError for a file that
    cannot be read, arrays of another kind or shape, and too few images. Pickled objects are never read.
    """
    if options.binarization == "fixed":
        raise UserError("data.binarization=fixed needs data=binarized_mnist; leave it out for images of 0 and 1")
    if not options.root:
        raise UserError("data=array needs data.root: set it to a .npz or .npy file")
    path = data_folder(options.root)
    parts = {part: _as_images(values, f"{printable(path)}: {key}") for part, (key, values) in _read(path).items()}
    native = _native_levels({part: int(images.max()) for part, images in parts.items()}, options, path)
    if missing := [part for part in KEYS if part not in parts]:
        parts |= _fill(missing, parts["train"], path)
    shapes = {part: tuple(parts[part].shape[1:]) for part in KEYS}
    if len(set(shapes.values())) > 1:
        raise UserError(
            f"{printable(path)}: the parts hold images of different shapes, {shapes}; give all the same shape"
        )
    how = "2 levels" if native == 2 else ""  # and not binarised by us
    return prepare(options, f"array {path.stem}", native, [parts[part] for part in KEYS], how)


def _read(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """By part, the name of its array and its values."""
    if not path.is_file():  # a pipe might never end
        problem = "is not a regular file" if path.exists() else "is not there"
        raise UserError(f"data.root={printable(path)} {problem}; set it to a .npz or .npy file")
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                _check_bytes(_size(file, path.name), path)
            return {"train": ("the array", np.load(path, allow_pickle=False))}
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = {part: next((key for key in keys if key in names), None) for part, keys in KEYS.items()}
            if chosen["train"] is None:
                raise UserError(
                    f"{printable(path)} holds {printable(', '.join(names) or 'nothing', 200)}; it needs the array images, or "
                    "x_train, with x_valid and x_test if there are such"
                )
            size = 0
            for key in filter(None, chosen.values()):
                with archive.open(f"{key}.npy") as member:
                    size += _size(member, key)
            _check_bytes(size, path)
        with np.load(path, allow_pickle=False) as arrays:
            found = {part: (key, arrays[key]) for part, key in chosen.items() if key}
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise UserError(
            f"data.root={printable(path)} cannot be read as a .npz or .npy file ({in_one_line(error, 200)})"
        ) from None
    if left := [name for name in names if name not in chosen.values()]:
        note(f"arrays left out of {printable(path)}: {printable(', '.join(left), 200)}")
    return found


def _size(file: IO[bytes], name: str) -> int:
    """The bytes that an array will take, from its header; UserError if it does not hold bytes."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise UserError(f"{name} has version {version} of NumPy's format; save it with a plain dtype")
    shape, _, dtype = HEADERS[version](file)
    if dtype not in (np.uint8, np.bool_):
        ways = {"f": "multiply values in [0, 1] by 255 and round", "u": "divide values up to 65,535 by 257 and round"}
        way = f"{ways.get(dtype.kind, 'bring them to this range')}, then .astype(np.uint8)"
        raise UserError(f"{name} holds {dtype}; images are uint8, from 0 to 255: {way}")
    return math.prod(shape)


def _check_bytes(size: int, path: Path) -> None:
    """UserError for arrays that take too much memory together, before they are read."""
    if size > MAX_BYTES:
        raise UserError(
            f"the images of {printable(path)} take {size / 2**30:,.0f} GiB of memory, more than the {MAX_BYTES // 2**30} "
            "allowed: save fewer or smaller images"
        )


def _as_images(values: np.ndarray, name: str) -> Tensor:
    """uint8 (images, channels, height, width)."""
    forms = "N×H×W, N×H×W×C or N×C×H×W, with C = 1 or 3"
    shape, images = values.shape, torch.from_numpy(np.ascontiguousarray(values).view(np.uint8))
    first, last = len(shape) == 4 and shape[1] in (1, 3), len(shape) == 4 and shape[3] in (1, 3)
    if not values.size:
        raise UserError(f"{name} has the shape {shape}, so it holds no pixel; give images, {forms}")
    if len(shape) == 3 and shape[2] in (1, 3):
        raise UserError(
            f"{name} has the shape {shape}: one picture H×W×C, or grey images N×H×{shape[2]}? Give images, {forms}, such as "
            f"array[None] or array[..., None]"
        )
    if len(shape) == 3:
        return images[:, None]
    if not first and not last:
        raise UserError(f"{name} has the shape {shape}; images are {forms}")
    if first and last:
        note(f"{name} has the shape {shape}: the last axis is taken for the channels")
    return images.permute(0, 3, 1, 2).contiguous() if last else images


def _native_levels(largest: dict[str, int], options: Options, path: Path) -> int:
    """The number of levels that the values stand for."""
    most, what = max(largest.values()), f"the largest value in {printable(path)}"
    if min(largest.values()) <= 1 and most >= 64:
        raise UserError(
            f"{printable(path)}: the largest value of each part is {largest}; give all parts the same levels, 0 and 1 or 0 to 255"
        )
    if options.binarization == "dynamic" and most <= 1:
        raise UserError(
            f"data.binarization=dynamic draws from 8-bit greys, and {what} is {most}: leave it out for images of 0 and 1"
        )
    levels = 2 if (options.levels is None or options.binarization) and most <= 1 else options.levels
    if levels and most < levels < 256:
        note(
            f"{what} is {most}, so its values are taken for levels from 0 to {levels - 1}; if they are 8-bit greys, set "
            "data.levels=256"
        )
        return levels
    if most < 64:
        note(f"{what} is {most}: if the values are levels and not 8-bit greys, set data.levels={most + 1}, or more")
    return 256


def _fill(missing: list[str], train: Tensor, path: Path) -> dict[str, Tensor]:
    """Share out the training images: a tenth to each missing part, always the same ones."""
    each = max(1, len(train) // 10)
    if len(train) <= each * len(missing):
        raise UserError(
            f"{len(train)} images in {printable(path)} cannot be split in train and {' and '.join(missing)}: give more"
        )
    note(f"{printable(path)} has no {' and no '.join(missing)} part: a tenth of the images is taken for each")
    order = shuffled(len(train))
    cut: dict[str, Any] = {
        part: train[order[k * each : (k + 1) * each].sort().values] for k, part in enumerate(missing)
    }
    return {**cut, "train": train[order[len(missing) * each :].sort().values]}
