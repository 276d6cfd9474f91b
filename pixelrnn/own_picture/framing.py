"""Strokes on plain paper, such as a photographed digit: find them, and find how light the paper and the ink are."""

from dataclasses import dataclass

import torch
from torch import Tensor

INK, PAPER = 64, 32  # a value is ink if it differs from the median by at least 64 of 255, paper if by less than 32
PLAIN = 0.6  # at least this share of the pixels is paper
TALL = 1.35  # the usual height of a digit divided by its width
REST = 1.8  # the size of a partly hidden digit divided by its visible part, at least


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, which may reach beyond its border."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, picture: Tensor, fill: Tensor) -> Tensor:
        """Cut this part out of a picture (channels, height, width); beyond its border it has the value `fill`, (channels,)."""
        part = fill[:, None, None].expand(-1, self.height, self.width).clone()
        inside, outside = self._overlap(*picture.shape[1:])
        part[(slice(None), *inside)] = picture[(slice(None), *outside)]
        return part

    def put(self, part: Tensor, picture: Tensor) -> Tensor:
        """A copy of the picture with this part replaced."""
        inside, outside = self._overlap(*picture.shape[1:])
        picture = picture.clone()
        picture[(slice(None), *outside)] = part[(slice(None), *inside)]
        return picture

    def _overlap(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The rows and columns in which crop and picture overlap: counted in the crop, and in the picture."""
        top, bottom = max(0, self.top), max(0, min(height, self.top + self.height))
        left, right = max(0, self.left), max(0, min(width, self.left + self.width))
        inside = slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left)
        return inside, (slice(top, bottom), slice(left, right))


@dataclass(frozen=True)
class Tone:
    """The values, one for each channel, that the model sees as black (0) and as white (255)."""

    black: tuple[float, ...] = (0.0,)
    white: tuple[float, ...] = (255.0,)

    @property
    def inverted(self) -> bool:
        return sum(self.black) > sum(self.white)

    def apply(self, picture: Tensor) -> Tensor:
        """The picture as the model sees it: uint8 (channels, height, width)."""
        black, white = self._tensors()
        return ((picture - black) * (255 / (white - black))).clamp(0, 255).round().to(torch.uint8)

    def undo(self, seen: Tensor) -> Tensor:
        """The inverse of apply, not rounded."""
        black, white = self._tensors()
        return black + seen * ((white - black) / 255)

    def _tensors(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.black)[:, None, None], torch.tensor(self.white)[:, None, None]


INVERTED = Tone((255.0,), (0.0,))


def find_ink(grey: Tensor, visible: Tensor) -> Tensor | None:
    """Find the ink of a picture, uint8 (height, width): bool (height, width), all False if no stroke is visible; None if it is
    not strokes on plain paper."""
    if not visible.any():
        return None
    distance = (grey.int() - int(grey[visible].median())).abs()
    ink, paper = (distance >= INK) & visible, (distance < PAPER) & visible
    return ink if int(paper.sum()) >= PLAIN * int(visible.sum()) else None


def find_tone(
    picture: Tensor, ink: Tensor, visible: Tensor, dark_ground: bool, invert: bool | str, contrast: bool
) -> Tone:
    """Find the tone in which a model, whose images have a dark ground or a light one, sees strokes on paper.

    picture uint8 (channels, height, width). invert "auto" inverts a picture whose paper is light if the model's ground is
    dark, or the other way round. With contrast, faint strokes on grey paper become full strokes on a plain ground.
    """
    paper = picture[:, visible & ~ink].float().median(1).values
    strokes = torch.full_like(paper, 255.0 * bool(paper.mean() < 128))  # the likely ones, if all of them are hidden
    if ink.any():
        strokes = picture[:, ink].float().median(1).values
    swapped = bool(paper.mean() < strokes.mean()) != dark_ground
    inverts = swapped if invert == "auto" else bool(invert)
    ground = 255.0 * (dark_ground == inverts)
    full = (paper - ground).abs().max() < 1 and (paper - strokes).abs().max() >= 128
    if full or not contrast or inverts != swapped:
        return INVERTED if inverts else Tone()
    black, white = (paper, strokes) if dark_ground else (strokes, paper)
    return Tone(tuple(black.tolist()), tuple(white.tolist()))


def find_crop(ink: Tensor, hidden: Tensor, extent: float, tolerance: float) -> Crop | None:
    """Find the square with the ink in its middle, as large as the share `extent` of the side.

    None if the picture is that square already, within `tolerance`, a share of the side. If the ink ends at a hidden part, the
    crop makes room for the rest of it.
    """
    spans = [(int(lines.min()), int(lines.max()) + 1) for lines in (ink.any(d).nonzero() for d in (1, 0))]
    (top, bottom), (left, right) = spans
    high, wide = bottom - top, right - left
    near = 1 + max(high, wide) // 20
    rows, columns = (hidden[:, left:right].any(1), hidden[top:bottom].any(0))
    top, bottom = _extended(top, bottom, rows, near, max(TALL * wide, REST * high))
    left, right = _extended(left, right, columns, near, max(high / TALL, REST * wide))
    height, width = ink.shape
    side = round(max(bottom - top, right - left) / extent)
    crop = Crop((top + bottom - side) // 2, (left + right - side) // 2, side, side)
    shift = max(abs(2 * crop.top + side - height), abs(2 * crop.left + side - width)) / 2
    longer, differs = max(height, width), abs(side - max(height, width))
    placed = max(longer - min(height, width), differs, shift) <= tolerance * side
    return None if placed else crop


def _extended(first: int, last: int, hidden: Tensor, near: int, wanted: float) -> tuple[int, int]:
    """Lengthen a span of lines at either end, up to the wanted length, as far as there are hidden lines."""
    before, after = hidden[:first].flip(0), hidden[last:]
    room = [len(lines) if lines[:near].any() else 0 for lines in (before, after)]
    missing = min(max(0.0, wanted - (last - first)), sum(room))
    share = room[0] / max(1, sum(room))
    return first - round(missing * share), last + round(missing * (1 - share))
