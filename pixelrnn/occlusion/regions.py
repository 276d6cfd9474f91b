"""Occlusions by a simple region, or by a mask file."""

import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files.pictures import check_size, read_mask


def everything(height: int, width: int) -> Tensor:
    """All pixels: completion becomes sampling from scratch."""
    return torch.ones(height, width, dtype=torch.bool)


def half(height: int, width: int, side: str = "bottom") -> Tensor:
    """One half of the image: top, bottom, left or right (of an odd number of rows or columns, the smaller part)."""
    hidden = torch.zeros(height, width, dtype=torch.bool)
    regions = {
        "top": hidden[: height // 2],
        "bottom": hidden[height - height // 2 :],
        "left": hidden[:, : width // 2],
        "right": hidden[:, width - width // 2 :],
    }
    if side not in regions:
        raise UserError(f"occlusion.side={side}: it is one of {', '.join(regions)}")
    regions[side][:] = True
    return hidden


def box(height: int, width: int, top: int = 0, left: int = 0, rows: int = 4, columns: int = 4) -> Tensor:
    """A rectangle of rows × columns pixels whose upper left corner is at (top, left)."""
    if top < 0 or left < 0 or rows < 1 or columns < 1 or top + rows > height or left + columns > width:
        raise UserError(
            f"occlusion box of {rows}x{columns} pixels at row {top}, column {left} does not lie in an image of {height}x{width}"
        )
    hidden = torch.zeros(height, width, dtype=torch.bool)
    hidden[top : top + rows, left : left + columns] = True
    return hidden


def centre(height: int, width: int, fraction: float = 0.5) -> Tensor:
    """A rectangle in the middle; `fraction` of each side."""
    if not 0 < fraction <= 1:
        raise UserError(f"occlusion.fraction={fraction}: it is more than 0 and at most 1")
    rows, columns = max(1, round(height * fraction)), max(1, round(width * fraction))
    return box(height, width, (height - rows) // 2, (width - columns) // 2, rows, columns)


def mask_file(height: int, width: int, path: str = "") -> Tensor:
    """The white pixels of a picture file of exactly this size."""
    if not path:
        raise UserError("occlusion=mask needs a file: occlusion.path=mask.png")
    hidden = read_mask(path)
    check_size(hidden, path, height, width)
    return hidden
