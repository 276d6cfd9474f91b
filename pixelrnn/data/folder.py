"""The user's own pictures: a folder with train, valid and test, or a flat one that is split."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelrnn.data.base import Dataset
from pixelrnn.data.prepare import assemble, check_options, data_folder, how_levels, quantised, shuffled
from pixelrnn.errors import UserError
from pixelrnn.pictures import list_pictures, open_picture, to_tensor

PARTS = ("train", "valid", "test")
MAX_BYTES = 16 * 2**30  # of pixels in memory; all of ImageNet at 64x64 in colour takes 14.6 GiB


def folder(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """The pictures of root/{train,valid,test}, 256 levels; a missing valid or test is a tenth of the training pictures.

    size: the centre of each picture, so many pixels square; None: all have one size. channels None: 3 if any picture
    is in colour, else 1. Raises UserError for a picture that cannot be read, for unequal sizes and an empty part.
    """
    check_options(size, channels, levels, limit)
    if not root:
        raise UserError("data=folder needs data.root: set it to the folder of your pictures")
    levels = levels or 256
    place = data_folder(root)
    paths = _split(place)
    totals = [len(part) for part in paths]
    if limit is not None:
        paths = [_shuffled(part)[:limit] if len(part) > limit else part for part in paths]
    images = quantised(_read([path for part in paths for path in part], size, channels), 256, levels)
    parts = images.split([len(part) for part in paths])
    return assemble(f"folder {place.resolve().name}", how_levels(levels), levels, parts, totals)


def _split(root: Path) -> list[list[Path]]:
    """The paths of train, valid and test."""
    found = {part: list_pictures(root / part) for part in PARTS if (root / part).is_dir()}
    if found and "train" not in found:
        raise UserError(f"{root} has the folder {' and '.join(found)} but not train: add it, or rename the other")
    paths = found.get("train") or list_pictures(root)
    missing = [part for part in PARTS[1:] if part not in found]
    tenth = max(1, len(paths) // 10)
    if len(paths) <= tenth * len(missing):
        raise UserError(
            f"{len(paths)} pictures in {root} cannot be split in train and {' and '.join(missing)}: "
            f"no picture would be left for train; add some (at least {len(missing) + 1})"
        )
    paths = _shuffled(paths) if missing else paths
    for part in missing:
        found[part], paths = paths[:tenth], paths[tenth:]
    return [paths, found["valid"], found["test"]]


def _shuffled(paths: list[Path]) -> list[Path]:
    return [paths[i] for i in shuffled(len(paths)).tolist()]


def _read(paths: list[Path], size: int | None, channels: int | None) -> Tensor:
    """uint8 (pictures, channels, height, width)."""
    images = torch.empty(0)
    for i, path in enumerate(paths):
        picture = _cropped(_converted(open_picture(path), channels), size)
        values = to_tensor(picture)
        if i == 0 or len(values) > images.shape[1]:
            _check_room(values, len(paths))
        if i == 0:
            images = torch.empty(len(paths), *values.shape, dtype=torch.uint8)
        elif values.shape[1:] != images.shape[2:]:
            raise UserError(
                f"{paths[0]} is {images.shape[3]}x{images.shape[2]} and {path} is {values.shape[2]}x{values.shape[1]} "
                "(width x height): set data.size to bring all the pictures to one size"
            )
        if len(values) == 3 and channels is None:
            channels = 3  # the first picture in colour; those before it and after it become RGB
            images = images.expand(-1, 3, -1, -1).contiguous()
        images[i] = values
    return images


def _converted(picture: Image.Image, channels: int | None) -> Image.Image:
    if channels == 3:
        return picture.convert("RGB")
    grey = picture.convert("L")
    # Grey pictures are often saved as RGB; they do not make a dataset coloured.
    if channels == 1 or np.array_equal(np.asarray(grey.convert("RGB")), np.asarray(picture.convert("RGB"))):
        return grey
    return picture


def _cropped(picture: Image.Image, size: int | None) -> Image.Image:
    """The largest square in the centre, as size x size; cropped first, so that a long strip needs little memory."""
    if size is None:
        return picture
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    return picture.resize((size, size), Image.Resampling.BOX if size <= side else Image.Resampling.BILINEAR)


def _check_room(values: Tensor, count: int) -> None:
    if values.numel() * count > MAX_BYTES:
        gib = values.numel() * count / 2**30
        raise UserError(
            f"{count:,} pictures of {values.shape[2]}x{values.shape[1]} take {gib:,.0f} GiB of memory, more than the "
            f"{MAX_BYTES // 2**30} allowed: set data.size to a smaller one, or data.limit"
        )
