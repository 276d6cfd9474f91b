"""Sheets of images, pixel-sharp: completions beside originals, maps of their uncertainty, grids of samples."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from pixelrnn.completion.windows import PictureCompletions
from pixelrnn.errors import UserError, printable
from pixelrnn.files.arrays import as_masks
from pixelrnn.pixels import requantise

TINT = np.array([0.93, 0.55, 0.20])  # of hidden pixels
PART = 96  # the side of a part of a picture, in its pixels
GAP = 1  # image pixels between tiles
HEAT = "magma"  # the colours of entropies


def as_rgb(images: Tensor, levels: int) -> np.ndarray:
    """Levels, uint8 or floats such as means, (..., channels, height, width) -> floats in [0, 1], (..., height, width, 3)."""
    images, whole = images.cpu(), images.dtype == torch.uint8
    shares = requantise(images, levels, 256).float() / 255 if whole else images.double() / (levels - 1)
    values = shares.movedim(-3, -1)
    return values.expand(*values.shape[:-1], 3).numpy()


def occluded(images: Tensor, hidden: Tensor, levels: int) -> np.ndarray:
    """Like as_rgb, with hidden pixels tinted. hidden is bool (..., height, width), or (height, width) for all images, as a tensor,
    a NumPy array or PIL pictures."""
    tinted = as_rgb(images, levels).copy()
    tinted[np.broadcast_to(as_masks(hidden).cpu().numpy(), tinted.shape[:-1])] = TINT
    return tinted


def heat(shares: np.ndarray) -> np.ndarray:
    """Shares of the largest entropy (...) -> colours (..., 3)."""
    return matplotlib.colormaps[HEAT](shares)[..., :3]


def as_heat(entropy: Tensor) -> tuple[np.ndarray, float]:
    """Return entropies (..., height, width) as colours (..., height, width, 3), and the largest one. Black is 0."""
    most = max(float(entropy.max()), 1e-9)
    return heat((entropy.cpu().double() / most).numpy()), most


def completions(
    images: Tensor | None, hidden: Tensor, completed: Tensor, levels: int, rows: Sequence[str] = (), caption: str = ""
) -> Figure:
    """Draw one row for each image: occluded | completions | original.

    completed uint8 (batch, count, channels, height, width); hidden bool (batch, height, width), or (height, width) for
    all, is tinted in the first column; images the originals (batch, channels, height, width), or None if unknown. rows
    are labels at the left, one for each image; caption stands below.
    """
    drawn, count = as_rgb(completed, levels), completed.shape[1]
    tiles = [[given, *row] for given, row in zip(occluded(completed[:, 0], hidden, levels), drawn, strict=True)]
    if images is not None:
        tiles = [[*row, original] for row, original in zip(tiles, as_rgb(images, levels), strict=True)]
    figure, centres = _sheet(tiles, wide_after=(0, count))
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
    """Draw one row for each image: original | occluded, completions | occluded, completions | …, a group an occlusion.

    images uint8 (batch, channels, height, width), hidden bool (batch, occlusions, height, width), completed uint8
    (batch, occlusions, count, channels, height, width), names of the occlusions.
    """
    given, drawn = occluded(completed[:, :, 0], hidden, levels), as_rgb(completed, levels)
    width = completed.shape[2] + 1  # tiles of a group
    tiles = [
        [original, *(tile for group in range(len(names)) for tile in (given[i, group], *drawn[i, group]))]
        for i, original in enumerate(as_rgb(images, levels))
    ]
    ends = range(0, len(tiles[0]) - 1, width)
    figure, centres = _sheet(tiles, wide_after=ends)
    above = {(centres[end + 1] + centres[end + width]) / 2: name for end, name in zip(ends, names, strict=True)}
    _label(figure, {centres[0]: "original", **above})
    return figure


def maps(
    hidden: Tensor, most_probable: Tensor, mean: Tensor, entropy: Tensor, images: Tensor | None, levels: int
) -> Figure:
    """Draw what completions say about each pixel, one row an image: occluded | most probable | mean | entropy | original.

    most_probable uint8 (batch, channels, height, width), the most probable completion; mean the expected levels, of the
    same shape; entropy in bits, (batch, height, width), from black, 0, to the largest value of all images (colour bar).
    """
    hot, most = as_heat(entropy)
    columns = {
        "occluded": occluded(most_probable, hidden, levels),
        "most probable": as_rgb(most_probable, levels),
        "mean": as_rgb(mean, levels),
        "entropy": hot,
    }
    if images is not None:
        columns["original"] = as_rgb(images, levels)
    figure, centres = _sheet([list(row) for row in zip(*columns.values(), strict=True)], wide_after=(0, 3), below=0.42)
    _label(figure, dict(zip(centres, columns, strict=True)))
    sheet, width, height = figure.axes[0].get_xlim()[1] + 0.5, hot.shape[2], figure.get_figheight()
    bar = figure.add_axes(((centres[3] + 0.5 - width / 2) / sheet, 0.3 / height, width / sheet, 0.07 / height))
    colours = ScalarMappable(Normalize(0, most), HEAT)
    figure.colorbar(colours, cax=bar, orientation="horizontal", ticks=[0, most], format="%.2g")
    bar.tick_params(labelsize=7, length=2, pad=1)
    bar.set_xlabel("bits", fontsize=7, labelpad=-7)
    return figure


def around_holes(found: PictureCompletions, first: str = "mean", rows: int = 4) -> Figure:
    """Draw parts of a completed picture, where most is hidden, at its own pixels, one row each: occluded | mean | completions
    | width of the intervals. first: "mean", or "draw" for the completions before the mean."""
    if first not in ("mean", "draw"):
        raise UserError(f'first={printable(repr(first))}: it is "mean" or "draw"')
    parts = [(slice(None), *part) for part in _fullest(found.hidden, rows)]  # of (…, height, width)

    def cut(picture: Tensor) -> list[Tensor]:
        return [picture[part] for part in parts]

    hidden, widths = cut(found.hidden[None]), torch.stack(cut(found.interval_widths[None]))[:, 0]
    hot, most = as_heat(widths)
    drawn = [[as_rgb(part, found.levels) for part in cut(found.draw(k))] for k in range(min(len(found.draws), 4))]
    given = [occluded(part, mask[0], found.levels) for part, mask in zip(cut(found.picture), hidden, strict=True)]
    groups = {
        "occluded": [given],
        "mean": [[as_rgb(part, found.levels) for part in cut(found.mean)]],
        "completions" if len(drawn) > 1 else "completion": drawn,
        "90 % interval": [list(hot)],
    }
    names = list(groups)
    if first == "draw":
        names[1], names[2] = names[2], names[1]
    columns = [column for name in names for column in groups[name]]
    ends = list(accumulate(len(groups[name]) for name in names))
    figure, centres = _sheet(list(zip(*columns, strict=True)), wide_after=[end - 1 for end in ends[:-1]])
    middles = [(centres[end - len(groups[name])] + centres[end - 1]) / 2 for name, end in zip(names, ends, strict=True)]
    _label(figure, dict(zip(middles, names, strict=True)))
    _tell_widths(figure, most)
    return figure


def beside_others(
    completions: Sequence[PictureCompletions],
    others: Sequence[Mapping[str, Tensor]],
    levels: int,
    rows: Sequence[str] = (),
) -> Figure:
    """Draw one row for each completed picture, the part of it that hides the most, at its own pixels: occluded | mean | draw |
    width of the intervals | other fills | original.

    The completed pictures are originals. others are uint8 (channels, height, width), and have the same names for each. The
    parts have one size: the pictures too, or at least 96 pixels at each side. rows are labels at the left.
    """
    columns: dict[str, list[np.ndarray]] = {}
    widths = []
    for found, fills in zip(completions, others, strict=True):
        part = (slice(None), *_fullest(found.hidden, 1)[0])
        widths.append(found.interval_widths[part[1:]])
        tiles = {
            "occluded": occluded(found.picture[part], found.hidden[part[1:]], levels),
            "mean": as_rgb(found.mean[part], levels),
            "draw": as_rgb(found.draw(0)[part], levels),
            "90 % interval": np.empty(0),
            **{name: as_rgb(picture[part], levels) for name, picture in {**fills, "original": found.picture}.items()},
        }
        for name, tile in tiles.items():
            columns.setdefault(name, []).append(tile)
    hot, most = as_heat(torch.stack(widths))
    columns["90 % interval"] = list(hot)
    figure, centres = _sheet(list(zip(*columns.values(), strict=True)), wide_after=(0, 3, len(columns) - 2))
    _label(figure, dict(zip(centres, columns, strict=True)), rows, hot.shape[1])
    _tell_widths(figure, most)
    return figure


def _tell_widths(figure: Figure, most: float) -> None:
    figure.axes[0].annotate(
        f"width of the interval: black is 0, the brightest {most:.0f} levels",
        (1, 0), (0, -4), "axes fraction", "offset points", ha="right", va="top", fontsize=7,
    )  # fmt: skip


def _fullest(hidden: Tensor, count: int) -> list[tuple[slice, slice]]:
    """Up to so many parts of a picture that hide the most, hidden bool (height, width). They have one size and overlap little."""
    sides = [min(PART, side) for side in hidden.shape]
    steps = [max(1, side // 8) for side in sides]
    left, found = F.pad(hidden[None].float(), (0, steps[1], 0, steps[0])), list[tuple[slice, slice]]()
    while len(found) < count and bool(left.any()):
        sums = F.avg_pool2d(left, sides, steps)[0]
        corner = [int(i) * step for i, step in zip(divmod(int(sums.argmax()), sums.shape[1]), steps, strict=True)]
        part = [_span(first, side, whole) for first, side, whole in zip(corner, sides, hidden.shape, strict=True)]
        at = hidden[part[0], part[1]].nonzero()  # they are moved to the middle
        moves = ((at.amin(0) + at.amax(0) + 1 - torch.tensor(sides)) / 2).int().tolist()
        part = [
            _span(span.start + move, side, whole)
            for span, move, side, whole in zip(part, moves, sides, hidden.shape, strict=True)
        ]
        found.append((part[0], part[1]))
        left[:, part[0], part[1]] = 0
    return found


def _span(first: int, side: int, whole: int) -> slice:
    """`side` of a picture's pixels, from the first on or as near to it as there are so many."""
    first = max(0, min(first, whole - side))
    return slice(first, first + side)


def grid(images: Tensor, levels: int, title: str = "", columns: int | None = None) -> Figure:
    """Draw images uint8 (batch, channels, height, width) in rows and columns."""
    tiles = list(as_rgb(images, levels))
    columns = columns or max(1, int(np.ceil(np.sqrt(len(tiles)))))
    tiles += [np.ones_like(tiles[0])] * (-len(tiles) % columns)
    figure, _ = _sheet([tiles[i : i + columns] for i in range(0, len(tiles), columns)], count=len(images))
    figure.text(0.5, 1 - 0.1 / figure.get_figheight(), title, ha="center", va="top", fontsize=9)
    return figure


def _sheet(
    rows: Sequence[Sequence[np.ndarray]], wide_after: Sequence[int] = (), below: float = 0.0, count: int | None = None
) -> tuple[Figure, list[float]]:
    """Draw equal tiles in one axes, with gaps that are wider after some columns. Return the figure and the columns' centres.

    below are inches left free below the tiles. All tiles, or the first `count`, have a thin frame: white on white paper
    would not be seen. A tile is about 0.8 inches high, and an image pixel at least two screen pixels.
    """
    height, width = rows[0][0].shape[:2]
    steps = [width + (max(2 * GAP, width // 4) if i in wide_after else GAP) for i in range(len(rows[0]))]
    lefts = [GAP + sum(steps[:i]) for i in range(len(steps))]
    tops = [GAP + i * (height + GAP) for i in range(len(rows))]
    sheet = np.ones((tops[-1] + height + GAP, lefts[-1] + width + GAP, 3))
    for top, row in zip(tops, rows, strict=True):
        for left, tile in zip(lefts, row, strict=True):
            sheet[top : top + height, left : left + width] = tile
    scale = max(0.8 / height, 2 / 150)  # inches an image pixel
    inches = below + len(sheet) * scale + 0.35
    figure = Figure(figsize=(sheet.shape[1] * scale, inches), dpi=150, facecolor="white")
    axes = figure.add_axes((0, below / inches, 1, len(sheet) * scale / inches))
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    frames = [Rectangle((left - 0.5, top - 0.5), width, height) for top in tops for left in lefts][:count]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor="0.8", linewidth=0.4))
    axes.set_axis_off()
    return figure, [left + width / 2 - 0.5 for left in lefts]


def _label(figure: Figure, columns: Mapping[float, str], rows: Sequence[str] = (), height: int = 0) -> None:
    """Write words above columns, {centre: words}, and to the left of rows of tiles of this height."""
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "annotation_clip": False}
    for centre, label in columns.items():
        figure.axes[0].annotate(label, (centre, -0.5), (0, 5), ha="center", **style)
    for i, label in enumerate(rows):
        middle = GAP + i * (height + GAP) + height / 2 - 0.5
        figure.axes[0].annotate(label, (-0.5, middle), (-5, 0), ha="right", va="center", **style)
