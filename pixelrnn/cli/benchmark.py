"""pixelrnn benchmark"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from pixelrnn.benchmark import Row, benchmark, growth
from pixelrnn.cli.app import output_folder, plain
from pixelrnn.cli.setup import choose_device
from pixelrnn.errors import UserError
from pixelrnn.files import write_json, write_whole
from pixelrnn.model import MODELS
from pixelrnn.plugins import configure

GROWTH = "growth: "  # before a model's name
MARKS = "<!-- benchmark -->", "<!-- /benchmark -->"


def run(cfg: DictConfig) -> None:
    device, specs = choose_device(cfg), plain(cfg.models)
    if not specs:
        raise UserError("models=[]: nothing to measure; give a list such as models=[{name: SequenceRNN, width: 128}]")
    document = _document(cfg.table) if cfg.table else None
    how = f"{cfg.size}x{cfg.size}, 2 levels, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{how}; medians of {cfg.repeats}")
    measured: dict[str, list[Row]] = {}
    for name, rows in _sections(cfg, specs, str(device)):
        print(f"\n{name:<70}{'median':>14}  {'least to most':>18}  target", flush=True)
        measured[name] = []
        for row in rows:
            print(row, flush=True)
            measured[name].append(row)
    path = output_folder() / "benchmark.json"
    sections = {name: [asdict(row) for row in rows] for name, rows in measured.items()}
    write_json(path, {"how": how, "repeats": cfg.repeats, "models": specs, "sections": sections})
    print(f"\nwritten    {path}")
    if document:
        before, after = document
        text = f"{before}{MARKS[0]}\n*{how}; medians of {cfg.repeats}, least to most.*\n\n{_table(measured)}{MARKS[1]}{after}"
        write_whole(Path(cfg.table), lambda path: path.write_text(text, encoding="utf-8"))
        print(f"           {cfg.table}")


def _sections(cfg: DictConfig, specs: list[dict[str, Any]], device: str) -> Iterator[tuple[str, Iterator[Row]]]:
    """The measurements, which are made as they are asked for, of each model and of the first one's growth."""
    for spec in specs:
        make = configure("model", spec, MODELS)
        yield _describe(spec), benchmark(make, cfg.size, cfg.repeats, device, cfg.memory)
    if cfg.growth:
        yield f"{GROWTH}{_describe(specs[0])}", growth(configure("model", specs[0], MODELS), cfg.repeats, device)


def _describe(spec: dict[str, Any]) -> str:
    options = " ".join(f"{key}={value}" for key, value in spec.items() if key != "name")
    return f"{spec.get('name')} {options}".strip()


def _document(path: str) -> tuple[str, str]:
    """What stands in a file before and after the table; UserError unless both marks are there, in this order."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        return before, rest.split(MARKS[1])[1]
    except (OSError, ValueError, IndexError):
        raise UserError(
            f"table={path}: it is a text file with a line {MARKS[0]} and after it a line {MARKS[1]}"
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
        # What was measured of the first model's growth stands in its column.
        cells = [values.get(name, values.get(f"{GROWTH}{name}", "")) for name in names]
        lines.append(f"| {what.replace(' / ', ' ÷ ')} | {' | '.join(cells)} | {targets[what]} |")
    return "\n".join(lines) + "\n"
