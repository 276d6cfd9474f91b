"""Plots: learning curves, likelihoods of occlusions, the path of an ordering."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.evaluation.likelihoods import HOW
from pixelrnn.figures.strips import occluded


def curves(records: Sequence[Mapping[str, float]], title: str = "") -> Figure:
    """Plot learning curves, bits/dim against updates, from the records of metrics.jsonl."""
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    train, valid = (
        np.reshape([(record["step"], record[key]) for record in records if key in record], (-1, 2)).T
        for key in ("train_bits_per_dim", "valid_bits_per_dim")
    )
    alone = "o" if train.shape[1] == 1 else ""  # a single point has no line
    axes.plot(*train, label="training", color="0.6", linewidth=1, marker=alone, markersize=3)
    axes.plot(*valid, label="validation, averaged weights", color="tab:blue", marker="o", markersize=3)
    bits = np.concatenate([train[1], valid[1]])
    if len(bits):  # the first, untrained losses would flatten the rest
        axes.set_ylim(bits.min() * 0.97, min(bits.max(), np.quantile(bits, 0.9) * 1.15))
    axes.set_xlim(left=0)
    axes.set(xlabel="updates", ylabel="bits/dim")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def compare(runs: Mapping[str, Sequence[Mapping[str, float]]], title: str = "", *, part: str = "valid") -> Figure:
    """Plot validation nats against updates and minutes, one curve for each run: {its name: records of metrics.jsonl}.

    part: "valid" for nats of an image, "valid_hidden" for those of the hidden pixels.
    """
    key = f"{part}_nats"
    figure = Figure(figsize=(9, 3.4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    validated = {name: [record for record in records if key in record] for name, records in runs.items()}
    for name, records in validated.items():
        nats = [record[key] for record in records]
        for axes, place, unit in ((left, "step", 1), (right, "seconds", 60)):
            places = [record[place] / unit for record in records]
            axes.plot(places, nats, label=name, marker="o", markersize=2.5, linewidth=1)
    nats = [record[key] for records in validated.values() for record in records]
    if nats:  # the first validations would flatten the rest
        left.set_ylim(min(nats) * 0.98, float(np.quantile(nats, 0.95)) * 1.02)
    of = "hidden pixels of a validation image" if part == "valid_hidden" else "validation image"
    left.set(xlabel="updates", ylabel=f"nats per {of}" if part == "valid" else f"nats of the {of}")
    right.set(xlabel="minutes")
    for axes in (left, right):
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure


def likelihoods(results: Mapping[str, Mapping[str, Any]], title: str = "") -> Figure:
    """Plot bits per hidden dimension for each occlusion, with standard errors; pale if the number is not exact.

    results {occlusion: {"bits_per_dim": …, "bits_per_dim_error": …, "how": "exact", "fill" or "particles"}}.
    """
    figure = Figure(figsize=(6.4, 0.6 + 0.28 * len(results)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    colours = {"exact": "tab:blue", "fill": "0.75", "particles": "lightsteelblue"}
    for how in dict.fromkeys(str(result["how"]) for result in results.values()):
        rows = [(i, result) for i, result in enumerate(results.values()) if result["how"] == how]
        axes.barh(
            [i for i, _ in rows],
            [result["bits_per_dim"] for _, result in rows],
            xerr=[result["bits_per_dim_error"] or 0 for _, result in rows],
            color=colours[how],
            label=HOW[how],
        )
    axes.set_yticks(range(len(results)), list(results))
    axes.invert_yaxis()
    axes.set_xlabel("bits per hidden dimension")
    axes.set_title(title, fontsize=8)
    if len({result["how"] for result in results.values()}) > 1:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure


def draw_ordering(ordering: str | Mapping | Tensor, height: int = 8, width: int = 8) -> Figure:
    """Draw the path of an ordering through an image, from dark to light, with a star on its last pixel."""
    order = orderings.build(ordering, height, width)
    figure, axes = _pixel_axes(height, width)
    places, colours = _draw_path(axes, order, width, 1.5)
    axes.scatter(places[:, 0], places[:, 1], c=colours, s=12, zorder=2)
    axes.scatter(places[-1, 0], places[-1, 1], marker="*", s=160, color="crimson", zorder=3)
    if isinstance(ordering, str):
        axes.set_title(ordering, fontsize=9)
    return figure


def seen(image: Tensor, levels: int, order: Tensor, step: int, window: int = 0) -> Figure:
    """Draw what a model has seen when it predicts pixel order[step]: the pixels before it, and the path through them.

    image uint8 (channels, height, width); order int64 (pixels,); step 0 to pixels, the last of which means that all is
    seen. Pixels to come are tinted; the next one has a red frame, its causal window a white one.
    """
    height, width = image.shape[-2:]
    to_come = torch.ones(height * width, dtype=torch.bool)
    to_come[order[:step]] = False
    figure, axes = _pixel_axes(height, width)
    axes.imshow(occluded(image, to_come.view(height, width), levels), interpolation="nearest")
    places, _ = _draw_path(axes, order[: step + 1], width, 1.0)
    axes.collections[-1].set_path_effects([withStroke(linewidth=2.2, foreground="white")])  # its beginning is dark
    if step < len(order):
        for reach, colour in {window // 2: "white", 0: "crimson"}.items():
            corner, side = places[step] - reach - 0.5, 2 * reach + 1
            axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=1.8, zorder=3))
    return figure


def _pixel_axes(height: int, width: int) -> tuple[Figure, Axes]:
    """A figure with one axes in units of an image's pixels; at most about six inches wide and high."""
    inches = min(0.35, 6 / max(height, width))
    figure = Figure(figsize=(inches * width + 0.3, inches * height + 0.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.4, -0.6), aspect="equal", xticks=[], yticks=[])
    return figure, axes


def _draw_path(axes: Axes, order: Tensor, width: int, line: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the path from pixel to pixel, from dark to light. Return (column, row) and the colour of each pixel."""
    places = torch.stack([order % width, order // width], 1).cpu().numpy()
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, max(1, len(order))))
    lines = np.stack([places[:-1], places[1:]], 1)
    axes.add_collection(LineCollection(list(lines), colors=colours, linewidths=line))
    return places, colours
