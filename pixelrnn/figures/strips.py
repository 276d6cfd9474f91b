"""Sheets of images, pixel-sharp: completions beside originals, what they leave uncertain, grids of samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from pixelrnn.pixels import requantise

TINT = np.array([0.93, 0.55, 0.20])  # hidden pixels, in the occluded column
PAPER = np.array([1.0, 1.0, 1.0])
HEAT = "magma"  # of entropies


def as_rgb(images: Tensor, levels: int) -> np.ndarray:
    """uint8 levels (..., channels, height, width) -> floats in [0, 1], (..., height, width, 3)."""
    values = requantise(images.cpu(), levels, 256).float().div(255).movedim(-3, -1)
    return values.expand(*values.shape[:-1], 3).numpy()


def occluded(images: Tensor, hidden: Tensor, levels: int) -> np.ndarray:
    """As as_rgb, with the pixels tinted that hidden, bool (..., height, width) or (height, width) for all, hides."""
    tinted = as_rgb(images, levels).copy()
    tinted[np.broadcast_to(hidden.cpu().numpy(), tinted.shape[:-1])] = TINT
    return tinted


def _tile(
    rows: Sequence[Sequence[np.ndarray]], gap: int = 1, wide_after: Sequence[int] = ()
) -> tuple[np.ndarray, list[float]]:
    """One picture of equal tiles with thin gaps, wider after some columns; and each column's centre, in pixels."""
    height, width = rows[0][0].shape[:2]
    lefts, left = [], gap
    for column in range(len(rows[0])):
        lefts.append(left)
        left += width + (max(2 * gap, width // 4) if column in wide_after else gap)
    sheet = np.tile(PAPER, (len(rows) * (height + gap) + gap, lefts[-1] + width + gap, 1))
    for i, row in enumerate(rows):
        for tile, left in zip(row, lefts, strict=True):
            top = gap + i * (height + gap)
            sheet[top : top + height, left : left + width] = tile
    return sheet, [left + width / 2 - 0.5 for left in lefts]


def _show(
    sheet: np.ndarray, centres: Sequence[float], size: tuple[int, int], below: float = 0.0, count: int | None = None
) -> Figure:
    """A figure whose one axes shows a sheet pixel-sharp, with so many inches free below it.

    centres of the columns, size (height, width) of the tiles: each, or the first `count`, has a thin frame, for white images
    on white paper.
    """
    scale = _inches_a_pixel(size[0])
    height, width = sheet.shape[:2]
    margin = 0.35
    whole = below + height * scale + margin
    figure = Figure(figsize=(width * scale, whole), dpi=150, facecolor="white")
    axes = figure.add_axes((0, below / whole, 1, height * scale / whole))
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    corners = [(x - size[1] / 2, y - 0.5) for y in range(1, height - size[0], size[0] + 1) for x in centres]
    frames = [Rectangle(corner, size[1], size[0]) for corner in corners[:count]]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor="0.8", linewidth=0.4))
    axes.set_axis_off()
    return figure


def completions(
    images: Tensor | None,
    hidden: Tensor,
    completed: Tensor,
    levels: int,
    rows: Sequence[str] = (),
    caption: str = "",
) -> Figure:
    """The lecture's strip, one row an image: occluded | completions | original.

    completed uint8 (batch, count, channels, height, width); hidden bool (batch, height, width), or (height, width) for
    all, tinted in the occluded column; images the originals (batch, channels, height, width), or None where nobody knows
    them. rows are labels at the left, one for each image; caption stands below.
    """
    drawn = as_rgb(completed, levels)
    tiles = [[given, *row] for given, row in zip(occluded(completed[:, 0], hidden, levels), drawn, strict=True)]
    count = drawn.shape[1]
    if images is not None:
        tiles = [[*row, original] for row, original in zip(tiles, as_rgb(images, levels), strict=True)]
    sheet, centres = _tile(tiles, wide_after=(0, count))
    figure = _show(sheet, centres, drawn.shape[-3:-1])
    labels = {centres[0]: "occluded", sum(centres[1 : count + 1]) / count: "completions" if count > 1 else "completion"}
    if images is not None:
        labels[centres[-1]] = "original"
    _label(figure, labels, rows, drawn.shape[-3])
    if caption:
        figure.axes[0].annotate(
            caption, (0.5, 0), (0, -4), "axes fraction", "offset points", ha="center", va="top", fontsize=8
        )
    return figure


def by_occlusion(images: Tensor, hidden: Tensor, completed: Tensor, levels: int, names: Sequence[str]) -> Figure:
    """One row an image: original | occluded, completions | occluded, completions | …, a group for each occlusion.

    images uint8 (batch, channels, height, width), hidden bool (batch, occlusions, height, width), completed uint8
    (batch, occlusions, count, channels, height, width); names of the occlusions.
    """
    given, drawn = occluded(completed[:, :, 0], hidden, levels), as_rgb(completed, levels)
    count = completed.shape[2]
    tiles = [
        [original, *(tile for group in range(len(names)) for tile in (given[i, group], *drawn[i, group]))]
        for i, original in enumerate(as_rgb(images, levels))
    ]
    ends = range(0, len(tiles[0]) - 1, count + 1)
    sheet, centres = _tile(tiles, wide_after=ends)
    figure = _show(sheet, centres, given.shape[-3:-1])
    above = {(centres[end + 1] + centres[end + 1 + count]) / 2: name for end, name in zip(ends, names, strict=True)}
    _label(figure, {centres[0]: "original", **above}, (), images.shape[-2])
    return figure


def maps(
    hidden: Tensor, most_probable: Tensor, mean: Tensor, entropy: Tensor, images: Tensor | None, levels: int
) -> Figure:
    """What completions say of each pixel, one row an image: occluded | most probable | mean | entropy | original.

    most_probable uint8 (batch, channels, height, width), the most probable completion; mean the expected levels, of the same
    size; entropy in bits, (batch, height, width), from black, 0, to the largest value of all, as its colour bar says.
    """
    given = occluded(most_probable, hidden, levels)
    hot, most = as_heat(entropy)
    columns = {
        "occluded": given,
        "most probable": as_rgb(most_probable, levels),
        "mean": np.broadcast_to((mean.cpu().double() / (levels - 1)).movedim(-3, -1).numpy(), given.shape),
        "entropy": hot,
    }
    if images is not None:
        columns["original"] = as_rgb(images, levels)
    sheet, centres = _tile([list(row) for row in zip(*columns.values(), strict=True)], wide_after=(0, 3))
    figure = _show(sheet, centres, given.shape[-3:-1], below=0.42)
    _label(figure, dict(zip(centres, columns, strict=True)), (), hidden.shape[-2])
    left, width = (centres[3] + 0.5 - hot.shape[2] / 2) / sheet.shape[1], hot.shape[2] / sheet.shape[1]
    bar = figure.add_axes((left, 0.3 / figure.get_figheight(), width, 0.07 / figure.get_figheight()))
    colours = ScalarMappable(Normalize(0, most), HEAT)
    figure.colorbar(colours, cax=bar, orientation="horizontal", ticks=[0, most], format="%.2g")
    bar.tick_params(labelsize=7, length=2, pad=1)
    bar.set_xlabel("bits", fontsize=7, labelpad=-7)
    return figure


def as_heat(entropy: Tensor) -> tuple[np.ndarray, float]:
    """Entropies (…, height, width) as colours (…, height, width, 3) in [0, 1], from black, 0, to the largest, which is told."""
    most = max(float(entropy.max()), 1e-9)
    return heat((entropy.cpu().double() / most).numpy()), most


def heat(shares: np.ndarray) -> np.ndarray:
    """Shares of the largest entropy (…) as colours (…, 3)."""
    return matplotlib.colormaps[HEAT](shares)[..., :3]


def _label(figure: Figure, columns: Mapping[float, str], rows: Sequence[str], height: int) -> None:
    """Words above columns, {centre: word}, and left of rows of tiles of this height."""
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "annotation_clip": False}
    for centre, label in columns.items():
        figure.axes[0].annotate(label, (centre, -0.5), (0, 5), ha="center", **style)
    for i, label in enumerate(rows):
        middle = 1 + i * (height + 1) + height / 2 - 0.5
        figure.axes[0].annotate(label, (-0.5, middle), (-5, 0), ha="right", va="center", **style)


def grid(images: Tensor, levels: int, title: str = "", columns: int | None = None) -> Figure:
    """Images uint8 (batch, channels, height, width) in rows and columns."""
    tiles = list(as_rgb(images, levels))
    columns = columns or max(1, int(np.ceil(np.sqrt(len(tiles)))))
    tiles += [np.tile(PAPER, (*tiles[0].shape[:2], 1))] * (-len(tiles) % columns)
    sheet, centres = _tile([tiles[i : i + columns] for i in range(0, len(tiles), columns)])
    figure = _show(sheet, centres, tiles[0].shape[:2], count=len(images))
    figure.text(0.5, 1 - 0.1 / figure.get_figheight(), title, ha="center", va="top", fontsize=9)
    return figure


def _inches_a_pixel(height: int) -> float:
    """Tiles of about 0.8 inches, and never under two screen pixels an image pixel."""
    return max(0.8 / height, 2 / 150)
