"""Mask files: which pixels one hides, however it was made."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files.pictures import MAX_PIXELS, Picture, read_picture, upright
from pixelrnn.notes import note

HALF = 128  # a pixel is opaque from this alpha on
SAME = 0.9  # share of the opaque pixels that a copy of the picture has in common with it


def read_mask(path: str | Path, max_pixels: int = MAX_PIXELS, of: Picture | None = None) -> Tensor:
    """bool (height, width), True where a mask file hides a pixel: where it is white.

    Three other kinds of file are understood, and a line says so. In a file that is partly transparent the opaque strokes
    are hidden, or, if it is a copy of the picture with a part erased, the transparent part. Of two values the lighter is
    hidden. Of more values, those of at least half of white. `of` is the picture that the mask belongs to, if known; a mask
    that has the size of that picture before it was turned upright is turned with it. Raises UserError if nothing is hidden.
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
    """bool (height, width), True where a picture is transparent; None if it is so nowhere."""
    return None if picture.alpha is None or (picture.alpha >= HALF).all() else torch.from_numpy(picture.alpha < HALF)


def _by_transparency(mask: Picture, opaque: np.ndarray, of: Picture | None) -> np.ndarray:
    """What a partly transparent file hides; UserError if it is transparent everywhere."""
    if not opaque.any():
        raise UserError(f"mask {mask.name} hides nothing: it is less than half opaque everywhere")
    colours = np.asarray(mask.colours.convert("RGB"))
    drawn = colours[opaque]
    one_colour = len(np.unique(drawn, axis=0)) <= 1
    if of and of.colours.size == mask.colours.size:
        original = np.asarray(of.colours.convert("RGB"))[opaque]
        alike = np.abs(drawn.astype(int) - original).max(1) <= 2
        copied = bool(np.mean(alike) >= SAME)
    else:
        copied = len(np.unique(drawn, axis=0)) > 2
    if copied and not one_colour:
        note(f"mask {mask.name} is a picture that is partly transparent: the transparent part is hidden")
        return ~opaque
    if not one_colour and {tuple(c) for c in np.unique(drawn, axis=0).tolist()} == {(0, 0, 0), (255, 255, 255)}:
        note(f"mask {mask.name} is white, black and transparent: white is hidden")
        return np.asarray(opaque & (colours[..., 0] == 255))
    note(f"mask {mask.name} has strokes on a transparent ground: the strokes are hidden")
    return opaque


def _by_lightness(mask: Picture) -> np.ndarray:
    values = np.asarray(mask.colours.convert("L")) if mask.deep is None else mask.deep
    levels, counts = np.unique(values, return_counts=True)
    white = 255 if mask.deep is None else 1.0 if values.dtype.kind == "f" else 65535
    if len(levels) == 2:
        if levels.tolist() != [0, white]:
            note(
                f"mask {mask.name} holds {levels[0]:g} and {levels[1]:g} instead of 0 and {white:g}: the lighter is hidden"
            )
        return np.asarray(values == levels[1])
    if len(levels) > 2:
        between = int(counts[(levels > 0) & (levels < white)].sum())
        note(
            f"mask {mask.name} has {len(levels)} levels, and {between:,} of its {values.size:,} pixels are neither black nor "
            "white: those of at least half the lightness of white are hidden"
        )
    return np.asarray(values >= white / 2)


def _turned(hidden: np.ndarray, mask: Picture, of: Picture) -> np.ndarray:
    """The mask of a picture that was turned upright: turned with it if it has the size from before."""
    width, height = of.colours.size
    if mask.orientation > 1 or (hidden.shape == (height, width) and width != height and of.orientation >= 5):
        return hidden  # it says itself how it was stored, or was made for the upright picture
    if hidden.shape == (width, height) and width != height and of.orientation >= 5:
        note(f"mask {mask.name} has the size of {of.name} before it was turned upright: the mask is turned too")
        return np.array(upright(Image.fromarray(hidden), of.orientation))
    note(f"mask {mask.name} is taken to belong to {of.name} as it is after it was turned upright")
    return hidden
