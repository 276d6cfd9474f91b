"""Hidden regions as the painter in the page sends them: a character for each pixel, row by row, "1" where it is hidden."""

from pathlib import Path

from torch import Tensor, tensor

from pixelrnn import occlusion as occlusions
from pixelrnn.errors import UserError
from pixelrnn.files.masks import read_mask
from pixelrnn.own_picture.picture import OwnPicture

LARGEST = 4_000_000  # pixels of a picture or a mask that a visitor sends

STANDARD = {**occlusions.STANDARD, "everything": {"name": "all"}}  # on buttons


def to_text(hidden: Tensor) -> str:
    """hidden bool (height, width)."""
    return "".join("01"[int(pixel)] for pixel in hidden.flatten().tolist())


def from_text(text: object, height: int, width: int) -> Tensor:
    """The inverse of to_text, of anything that a browser may send; UserError unless it is a mask of this size."""
    if not isinstance(text, str) or len(text) != height * width or set(text) - {"0", "1"}:
        raise UserError(f"the painted mask is not one of {height}x{width} pixels; choose the image again")
    return tensor([character == "1" for character in text]).view(height, width)


def standard(name: str, height: int, width: int, seed: int) -> Tensor:
    """One of STANDARD: bool (height, width)."""
    spec = STANDARD[name]
    return occlusions.build(
        {**spec, "seed": seed} if spec["name"] in ("random_pixels", "strokes") else spec, height, width
    )


def from_file(path: str | Path, height: int, width: int, own: OwnPicture | None) -> tuple[Tensor, Tensor | None]:
    """A mask file's hidden pixels, bool (height, width) of the model's size; and at the size of the visitor's picture, if the
    file has that size. UserError if it has neither."""
    hidden = read_mask(path, LARGEST, own.file if own else None)
    if own and hidden.shape == own.picture.shape[1:]:
        return own.reduce(hidden), hidden
    if tuple(hidden.shape) != (height, width):
        sizes = {(width, height), (own.picture.shape[2], own.picture.shape[1]) if own else (width, height)}
        fitting = " or ".join(f"{columns}x{rows}" for columns, rows in sorted(sizes))
        raise UserError(
            f"the mask is {hidden.shape[1]}x{hidden.shape[0]} pixels (width x height); it must be of the image's size, {fitting}"
        )
    return hidden, None
