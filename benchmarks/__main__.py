"""python -m benchmarks: measures speed and memory of a few models, and writes the table in docs/results.md."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import Row, benchmark, growth
from pixelrnn.errors import UserError
from pixelrnn.files.atomic import write_json, write_whole
from pixelrnn.model import MODELS
from pixelrnn.options import configure

GROWTH = "growth: "  # before a model's name
MARKS = "<!-- benchmark -->", "<!-- /benchmark -->"
MODELS_MEASURED: list[dict[str, Any]] = [
    {"name": "SequenceRNN", "cell": "lstm", "width": 256, "depth": 2},
    {"name": "SequenceRNN", "cell": "lstm", "width": 256, "depth": 2, "window": 7},
    {"name": "RowLSTM", "width": 32, "depth": 1},
    {"name": "DiagonalBiLSTM", "width": 32, "depth": 1},
    {"name": "PixelCNN", "width": 32, "depth": 7},
]


def main(arguments: list[str] | None = None, models: list[dict[str, Any]] = MODELS_MEASURED) -> None:
    """Measure the models, print each figure as it is found, and write them to a JSON file and a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", type=int, default=28, help="the images' side")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement; the median counts")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-memory", action="store_true", help="without the peaks of memory")
    parser.add_argument(
        "--table", type=Path, help=f"a Markdown file; the table between {MARKS[0]} and {MARKS[1]} is replaced"
    )
    parser.add_argument("--json", type=Path, default=Path("outputs/benchmark.json"))
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    document = _document(given.table) if given.table else None
    how = f"{given.size}x{given.size}, 2 levels, {given.device}, {given.threads} threads, torch {torch.__version__}"
    print(f"{how}; medians of {given.repeats}")
    measured: dict[str, list[Row]] = {}
    for name, rows in _sections(given, models):
        print(f"\n{name:<70}{'median':>14}  {'least to most':>18}  target", flush=True)
        measured[name] = []
        for row in rows:
            print(row, flush=True)
            measured[name].append(row)
    sections = {name: [asdict(row) for row in rows] for name, rows in measured.items()}
    write_json(given.json, {"how": how, "repeats": given.repeats, "models": models, "sections": sections})
    print(f"\nwritten    {given.json}")
    if document:
        before, after = document
        text = f"{before}{MARKS[0]}\n*{how}; medians of {given.repeats}, least to most.*\n\n{_table(measured)}{MARKS[1]}{after}"
        write_whole(given.table, lambda path: path.write_text(text, encoding="utf-8"))
        print(f"           {given.table}")


def _sections(given: argparse.Namespace, models: list[dict[str, Any]]) -> Iterator[tuple[str, Iterator[Row]]]:
    """The measurements, which are made as they are asked for, of each model and of the first one's growth."""
    for spec in models:
        make = configure("model", spec, MODELS)
        yield _describe(spec), benchmark(make, given.size, given.repeats, given.device, not given.no_memory)
    yield f"{GROWTH}{_describe(models[0])}", growth(configure("model", models[0], MODELS), given.repeats, given.device)


def _describe(spec: dict[str, Any]) -> str:
    options = " ".join(f"{key}={value}" for key, value in spec.items() if key != "name")
    return f"{spec.get('name')} {options}".strip()


def _document(path: Path) -> tuple[str, str]:
    """The text before and after the table in a file; UserError unless both marks are there, in this order."""
    try:
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        return before, rest.split(MARKS[1])[1]
    except (OSError, ValueError, IndexError):
        raise UserError(
            f"--table {path}: it is a text file with a line {MARKS[0]} and after it a line {MARKS[1]}"
        ) from None


def _table(measured: dict[str, list[Row]]) -> str:
    """In Markdown: a row for each thing that was measured, a column for each model, and the targets of the first one."""
    rows: dict[str, dict[str, str]] = {}
    targets: dict[str, str] = {}
    for name, found in measured.items():
        for row in found:
            value, spread = row.figures()
            rows.setdefault(row.what, {})[name] = f"{value} ({spread})" if spread else value
            targets.setdefault(row.what, row.target)
    names = [name for name in measured if not name.startswith(GROWTH)]
    lines = [f"| | {' | '.join(names)} | target |", "|---" * (len(names) + 2) + "|"]
    for what, values in rows.items():
        # The growth of the first model is in its column.
        cells = [values.get(name, values.get(f"{GROWTH}{name}", "")) for name in names]
        lines.append(f"| {what.replace(' / ', ' ÷ ')} | {' | '.join(cells)} | {targets[what]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":  # and not where a process that measures memory imports it again
    main()
