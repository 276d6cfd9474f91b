"""Mask files: which pixels they hide. There are several kinds, and a note says how a file was understood."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelrnn.errors import UserError, note
from pixelrnn.files.pictures import MAX_PIXELS, Picture, read_picture, upright

HALF = 128  # the least alpha of a pixel that counts as opaque
SAME = 0.9  # the least share of its opaque pixels that a copy of the picture has in common with it


def read_mask(path: str | Path, max_pixels: int = MAX_PIXELS, of: Picture | None = None) -> Tensor:
    """bool (height, width), True for the hidden pixels of a mask file: the white ones.

    Other kinds of file are understood, with a note. If the file is partly transparent, its opaque strokes are hidden; if
    it is a copy of the picture with a part erased, that part. Of two values, the lighter is hidden; of more, those of at
    least half of white. `of` is the picture that the mask belongs to, if known: a mask of the size that this picture had
    before it was turned upright is turned with it. Raises UserError if nothing is hidden.
    """
    mask = read_picture(path, max_pixels)
    opaque = None if mask.alpha is None else mask.alpha >= HALF
    hidden = _by_lightness(mask) if opaque is None or opaque.all() else _by_transparency(mask, opaque, of)
    if not hidden.any():
        raise UserError(
            f"mask {mask.name} hides nothing: white (128 or more of 255) is hidden, and it has no such pixel"
        )
    if of and of.orientation > 1:
        hidden = _turned(hidden, mask, of)
    return torch.from_numpy(np.ascontiguousarray(hidden))


def check_size(hidden: Tensor, path: str | Path, height: int, width: int, of: str = "image") -> None:
    """Raise UserError if a mask, bool (height, width), has another size than what it belongs to."""
    if tuple(hidden.shape) != (height, width):
        raise UserError(
            f"mask {path} is {hidden.shape[1]}x{hidden.shape[0]} pixels and the {of} {width}x{height} (width x height): they "
            "must have the same size"
        )


def transparent_part(picture: Picture) -> Tensor | None:
    """bool (height, width), True for the transparent pixels of a picture; None if it has none."""
    return None if picture.alpha is None or (picture.alpha >= HALF).all() else torch.from_numpy(picture.alpha < HALF)


def _by_transparency(mask: Picture, opaque: np.ndarray, of: Picture | None) -> np.ndarray:
    """The hidden pixels of a partly transparent file. Raise UserError if it is transparent everywhere."""
    if not opaque.any():
        raise UserError(f"mask {mask.name} hides nothing: it is less than half opaque everywhere")
    values = np.asarray(mask.colours.convert("RGB"))
    colours = np.unique(values[opaque], axis=0).tolist()
    if of and of.colours.size == mask.colours.size:
        original = np.asarray(of.colours.convert("RGB"))[opaque]
        copied = np.mean(np.abs(values[opaque].astype(int) - original).max(1) <= 2) >= SAME
    else:
        copied = len(colours) > 2
    if copied and len(colours) > 1:
        note(f"mask {mask.name} is a picture that is partly transparent: the transparent part is hidden")
        return ~opaque
    if colours == [[0, 0, 0], [255, 255, 255]]:
        note(f"mask {mask.name} is white, black and transparent: white is hidden")
        return np.asarray(opaque & (values[..., 0] == 255))
    note(f"mask {mask.name} has strokes on a transparent ground: the strokes are hidden")
    return opaque


def _by_lightness(mask: Picture) -> np.ndarray:
    """The hidden pixels of an opaque file: its white ones, or the lighter ones."""
    values = np.asarray(mask.colours.convert("L")) if mask.deep is None else mask.deep
    white = 255 if mask.deep is None else 1.0 if values.dtype.kind == "f" else 65535
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) == 2 and levels.tolist() != [0, white]:
        low, high = levels
        note(f"mask {mask.name} holds {low:g} and {high:g} instead of 0 and {white:g}: the lighter is hidden")
    elif len(levels) > 2:
        between = int(counts[(levels > 0) & (levels < white)].sum())
        note(
            f"mask {mask.name} has {len(levels)} levels, and {between:,} of its {values.size:,} pixels are neither black nor "
            "white: those of at least half the lightness of white are hidden"
        )
    return np.asarray(values == levels[1] if len(levels) == 2 else values >= white / 2)


def _turned(hidden: np.ndarray, mask: Picture, of: Picture) -> np.ndarray:
    """The mask of a picture that was turned upright, turned with it if it has the picture's size before that."""
    width, height = of.colours.size
    sideways = of.orientation >= 5 and width != height  # the turn changed the picture's size
    if mask.orientation > 1 or (sideways and hidden.shape == (height, width)):
        return hidden  # turned by its own EXIF orientation, or made for the upright picture
    if sideways and hidden.shape == (width, height):
        note(f"mask {mask.name} has the size of {of.name} before it was turned upright: the mask is turned too")
        return np.array(upright(Image.fromarray(hidden), of.orientation))
    note(f"mask {mask.name} is taken to belong to {of.name} as it is after it was turned upright")
    return hidden
