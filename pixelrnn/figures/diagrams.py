"""Diagrams of recurrent networks: unrolled over their steps, and the inside of one step of a cell."""

from collections.abc import Collection
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pixelrnn.errors import UserError

BOX, GATE, POINT = "lightsteelblue", "wheat", "lightpink"  # a state, a layer with weights, an operation on each entry
INPUT, STATE, INSIDE = "tab:blue", "tab:orange", "0.3"  # lines that carry x, h or c, and what is computed from them
SCHEMES = {  # title: the steps, those with an input, those with an output
    "many to one": (3, (1, 2, 3), (3,)),
    "one to many": (3, (1,), (1, 2, 3)),
    "many to many": (3, (1, 2, 3), (1, 2, 3)),
    "many to many, read first": (4, (1, 2), (3, 4)),
}

# A cell is drawn from nodes (text, column, row, colour), lines (colour, corner, corner, …) and words (text, column, row).
Node = tuple[str, float, float, str]
Line = tuple[Any, ...]
Word = tuple[str, float, float]
_GRU_LINES: list[Line] = [
    (STATE, (0.2, 4.6), (6.3, 4.6)),
    (STATE, (6.9, 4.6), (8.1, 4.6)),
    (STATE, (8.7, 4.6), (9.6, 4.6)),
    (STATE, (0.7, 4.6), (0.7, 0.5), (6.4, 0.5), (6.4, 1.2)),
    (INPUT, (0.2, 0.0), (6.8, 0.0), (6.8, 1.2)),
    (STATE, (1.8, 0.5), (1.8, 1.2)),
    (INPUT, (2.2, 0.0), (2.2, 1.2)),
    (INPUT, (4.6, 0.0), (4.6, 1.2)),
    (INSIDE, (2.0, 1.8), (2.0, 2.5)),
    (INSIDE, (2.3, 2.8), (3.3, 2.8), (3.3, 1.5), (4.15, 1.5)),
    (INSIDE, (4.6, 1.8), (4.6, 3.6), (8.1, 3.6)),
    (INSIDE, (6.6, 1.8), (6.6, 4.3)),
    (INSIDE, (6.6, 2.6), (8.0, 2.6)),
    (INSIDE, (8.4, 2.9), (8.4, 3.3)),
    (INSIDE, (8.4, 3.9), (8.4, 4.3)),
]
_GRU_NODES: list[Node] = [
    ("σ", 2.0, 1.5, GATE),
    ("tanh", 4.6, 1.5, GATE),
    ("σ", 6.6, 1.5, GATE),
    ("×", 2.0, 2.8, POINT),
    ("×", 6.6, 4.6, POINT),
    ("1 −", 8.4, 2.6, POINT),
    ("×", 8.4, 3.6, POINT),
    ("+", 8.4, 4.6, POINT),
]
_GRU_WORDS: list[Word] = [
    ("$r_t$", 1.7, 2.15),
    ("$n_t$", 4.9, 2.15),
    ("$z_t$", 6.9, 2.15),
    ("$h_{t-1}$", -0.3, 4.6),
    ("$h_t$", 10.0, 4.6),
    ("$x_t$", -0.3, 0.0),
]
CELL_DIAGRAMS: dict[str, tuple[list[Node], list[Line], list[Word]]] = {
    "rnn": (
        [("tanh", 3.0, 1.5, GATE)],
        [
            (STATE, (0.2, 1.5), (2.55, 1.5)),
            (INPUT, (3.0, 0.3), (3.0, 1.2)),
            (STATE, (3.45, 1.5), (5.8, 1.5)),
            (STATE, (4.6, 1.5), (4.6, 2.4)),
        ],
        [("$h_{t-1}$", -0.3, 1.5), ("$x_t$", 3.0, 0.05), ("$h_t$", 6.2, 1.5), ("to the output", 4.6, 2.65)],
    ),
    "lstm": (
        [
            ("σ", 2.0, 1.5, GATE),
            ("σ", 3.6, 1.5, GATE),
            ("tanh", 5.2, 1.5, GATE),
            ("σ", 6.8, 1.5, GATE),
            ("×", 2.0, 4.6, POINT),
            ("×", 5.2, 3.0, POINT),
            ("+", 5.2, 4.6, POINT),
            ("tanh", 8.4, 3.7, POINT),
            ("×", 8.4, 2.6, POINT),
        ],
        [
            (STATE, (0.2, 4.6), (1.7, 4.6)),
            (STATE, (2.3, 4.6), (4.9, 4.6)),
            (STATE, (5.5, 4.6), (9.6, 4.6)),
            (STATE, (8.4, 4.6), (8.4, 4.0)),
            (INSIDE, (8.4, 3.4), (8.4, 2.9)),
            (STATE, (8.4, 2.3), (8.4, 0.5), (9.6, 0.5)),
            (STATE, (0.2, 0.5), (6.6, 0.5), (6.6, 1.2)),
            (INPUT, (0.2, 0.0), (7.0, 0.0), (7.0, 1.2)),
            *((STATE, (x - 0.2, 0.5), (x - 0.2, 1.2)) for x in (2.0, 3.6, 5.2)),
            *((INPUT, (x + 0.2, 0.0), (x + 0.2, 1.2)) for x in (2.0, 3.6, 5.2)),
            (INSIDE, (2.0, 1.8), (2.0, 4.3)),
            (INSIDE, (3.6, 1.8), (3.6, 3.0), (4.9, 3.0)),
            (INSIDE, (5.2, 1.8), (5.2, 2.7)),
            (INSIDE, (5.2, 3.3), (5.2, 4.3)),
            (INSIDE, (6.8, 1.8), (6.8, 2.6), (8.1, 2.6)),
        ],
        [
            ("$f_t$", 2.3, 2.3),
            ("$i_t$", 3.9, 2.3),
            ("$g_t$", 5.5, 2.3),
            ("$o_t$", 7.1, 2.3),
            ("$c_{t-1}$", -0.3, 4.6),
            ("$c_t$", 10.0, 4.6),
            ("$h_{t-1}$", -0.3, 0.5),
            ("$h_t$", 10.0, 0.5),
            ("$x_t$", -0.3, 0.0),
        ],
    ),
    "gru_reset_before": (
        [*_GRU_NODES, ("$U_n$", 3.3, 2.15, GATE)],
        [*_GRU_LINES, (STATE, (2.0, 4.6), (2.0, 3.1))],
        _GRU_WORDS,
    ),
    "gru": (
        [*_GRU_NODES, ("$U_n$", 2.0, 3.7, GATE)],
        [*_GRU_LINES, (STATE, (2.0, 4.6), (2.0, 4.0)), (INSIDE, (2.0, 3.4), (2.0, 3.1))],
        _GRU_WORDS,
    ),
}


def draw_unrolled(steps: int = 4, layers: int = 1) -> Figure:
    """Draw a recurrent network once for each of its steps, with its layers one above the other.

    A single layer's arrows have the names of their weights, W, U and V. Raises UserError for no steps or no layers.
    """
    if steps < 1 or layers < 1:
        raise UserError(f"{steps} steps and {layers} layers: a drawing needs at least one of each")
    figure = Figure(figsize=(0.3 + steps, 1.1 + 0.75 * layers), dpi=100, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    every = range(1, steps + 1)
    _unroll(axes, steps, every, every, layers)
    for step in every if layers == 1 else ():
        axes.text(step + 0.12, -0.55, "W", color=INPUT, fontsize=9, va="center")
        axes.text(step + 0.12, 0.72, "V", color=INSIDE, fontsize=9, va="center")
        if step < steps:
            axes.text(step + 0.5, 0.16, "U", color=STATE, fontsize=9, ha="center")
    return figure


def draw_bidirectional(steps: int = 4) -> Figure:
    """Draw a bidirectional layer once for each step: the lower cells read forwards, the upper ones backwards.

    Raises UserError for no steps.
    """
    if steps < 1:
        raise UserError(f"{steps} steps: a drawing needs at least one")
    figure = Figure(figsize=(0.3 + 1.1 * steps, 2.6), dpi=100, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for step in range(1, steps + 1):
        for place, row, ahead, sign in ((step - 0.21, 0.0, 1, "right"), (step + 0.21, 0.75, -1, "left")):
            _box(axes, rf"$\over{sign}arrow{{h}}_{{{step}}}$", place, row, BOX, half=0.27)
            if 1 <= step + ahead <= steps:
                _arrow(axes, (place + 0.27 * ahead, row), (place + 0.73 * ahead, row), STATE)
            _arrow(axes, (place, -0.75), (place, row - 0.3), INPUT)
            _arrow(axes, (place, row + 0.3), (place, 1.5), INSIDE)
        axes.text(step, -0.98, f"$x_{{{step}}}$", ha="center", va="center", fontsize=11)
        axes.text(step, 1.73, f"$y_{{{step}}}$", ha="center", va="center", fontsize=11)
    axes.set(xlim=(0.4, steps + 0.6), ylim=(-1.2, 1.95), aspect="equal")
    axes.set_axis_off()
    return figure


def draw_in_and_out() -> Figure:
    """Draw which steps have an input and which an output, for many-to-one, one-to-many and both kinds of many-to-many."""
    figure = Figure(figsize=(9, 1.9), dpi=100, layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(SCHEMES), width_ratios=[steps for steps, _, _ in SCHEMES.values()])
    for axes, (title, (steps, inputs, outputs)) in zip(panels, SCHEMES.items(), strict=True):
        _unroll(axes, steps, inputs, outputs)
        axes.set_title(title, fontsize=9)
    return figure


def draw_cell(name: str) -> Figure:
    """Draw one step of a cell: "rnn", "lstm", "gru" or "gru_reset_before".

    Yellow boxes are layers with weights, pink ones act on each entry. Blue lines carry the input, orange lines the states.
    Raises UserError for another name.
    """
    if name not in CELL_DIAGRAMS:
        raise UserError(f"no diagram of the cell {name!r}; choose one of {', '.join(CELL_DIAGRAMS)}")
    nodes, lines, words = CELL_DIAGRAMS[name]
    figure = Figure(
        figsize=(3.9, 1.7) if name == "rnn" else (6.2, 3.2), dpi=100, layout="constrained", facecolor="white"
    )
    axes = figure.add_subplot()
    for colour, *corners in lines:
        axes.plot(*zip(*corners, strict=True), color=colour, linewidth=1.4, zorder=1)
        _arrow(axes, corners[-2], corners[-1], colour)
    for text, x, y, colour in nodes:
        _box(axes, text, x, y, colour, half=0.45 if text == "tanh" else 0.3)
    for text, x, y in words:
        axes.text(x, y, text, ha="center", va="center", fontsize=11)
    axes.autoscale_view()
    axes.margins(0.04)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure


def _unroll(axes: Axes, steps: int, inputs: Collection[int], outputs: Collection[int], layers: int = 1) -> None:
    """Draw the steps side by side and the layers one above the other, in units of a step. Steps count from 1."""
    high = 1.1  # a layer
    top = high * layers
    for step in range(1, steps + 1):
        for layer in range(layers):
            row = layer * high
            _box(axes, f"$h^{layer + 1}_{{{step}}}$" if layers > 1 else f"$h_{{{step}}}$", step, row, BOX)
            if step < steps:
                _arrow(axes, (step + 0.3, row), (step + 0.7, row), STATE)
            if layer or step in inputs:
                _arrow(axes, (step, row - 0.8), (step, row - 0.3), INPUT)
        if step in outputs:
            _arrow(axes, (step, top - 0.8), (step, top), INSIDE)
            axes.text(step, top + 0.2, f"$y_{{{step}}}$", ha="center", va="center", fontsize=11)
        if step in inputs:
            axes.text(step, -1.0, f"$x_{{{step}}}$", ha="center", va="center", fontsize=11)
    axes.set(xlim=(0.4, steps + 0.6), ylim=(-1.25, top + 0.45), aspect="equal")
    axes.set_axis_off()


def _box(axes: Axes, text: str, x: float, y: float, colour: str, half: float = 0.3) -> None:
    """Draw a rounded box with a word, of a height of 0.6."""
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch((x - half, y - 0.3), 2 * half, 0.6, style, facecolor=colour, edgecolor="0.3", zorder=2)
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=10, zorder=3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """Draw a straight arrow whose point is at the end."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.4, shrinkA=0, shrinkB=0, zorder=1
        )
    )
