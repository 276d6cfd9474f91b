"""Hidden regions as the painter in the page sends them: a character for each pixel, row by row, "1" where it is hidden."""

from pathlib import Path

from torch import Tensor, tensor

from pixelrnn import occlusion as occlusions
from pixelrnn.errors import UserError
from pixelrnn.own_picture import OwnPicture
from pixelrnn.pictures import read_mask

LARGEST = 4_000_000  # pixels of a picture or a mask that a visitor sends

STANDARD = {  # on buttons
    **occlusions.HALVES_AND_CENTRE,
    "random pixels": {"name": "random_pixels"},
    "strokes": {"name": "strokes"},
    "everything": {"name": "all"},
}


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
    return occlusions.build({**spec, "seed": seed} if name in ("random pixels", "strokes") else spec, height, width)


def from_file(path: str | Path, height: int, width: int, own: OwnPicture | None) -> Tensor:
    """A mask file, white where hidden, of the model's size or of the visitor's picture: bool (height, width)."""
    hidden = read_mask(path, LARGEST)
    if own and hidden.shape == own.picture.shape[1:]:
        hidden = own.reduce(hidden)
    if tuple(hidden.shape) != (height, width):
        sizes = {(height, width), tuple(own.picture.shape[1:]) if own else (height, width)}
        fitting = " or ".join(f"{rows}x{columns}" for rows, columns in sorted(sizes))
        raise UserError(
            f"the mask is {hidden.shape[0]}x{hidden.shape[1]} (height x width); it must be of the image's size, {fitting}"
        )
    return hidden
