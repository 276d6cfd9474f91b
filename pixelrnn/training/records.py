"""The records of a training run that are for its reader: metrics.jsonl and metrics.csv, TensorBoard's files, curves and samples."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import torch

from pixelrnn.completion.fill import sample
from pixelrnn.errors import UserError, in_one_line
from pixelrnn.files.atomic import write_text
from pixelrnn.model import Model
from pixelrnn.training.state import Settings

RUN, RECORDS, TABLE = "run.json", "metrics.jsonl", "metrics.csv"  # RUN: what the run depends on, from describe_run()
VALIDATED = {"valid_nats", "valid_hidden_nats"}


def keep(folder: Path, count: int) -> None:
    """Keep the first records, those of the saved state: a resumed run writes the later ones again."""
    if (path := folder / RECORDS).exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(path, "".join(lines[:count]))
        write_table(folder)


def read(folder: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl. Raise UserError if the file is missing or damaged."""
    path = folder / RECORDS
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if all(isinstance(record, dict) and "step" in record for record in records):
            return records
        raise ValueError("a line has no step")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({in_one_line(error, 200)}); give the folder of a training run"
        ) from None


def by_update(records: list[dict[str, float]]) -> list[dict[str, float]]:
    """One record for each update that has any, with all its values."""
    rows: dict[float, dict[str, float]] = {}
    for record in records:
        rows.setdefault(record["step"], {}).update(record)
    return list(rows.values())


def comparable(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Leave out validations on other images or masks than the last one's."""
    since = max((row.get("validated_from", 0) for row in rows), default=0)
    return [row for row in rows if not row.keys() & VALIDATED or row.get("validated_from", 0) == since]


def write_table(folder: Path) -> None:
    """Write the records as metrics.csv, for spreadsheets, if there are any."""
    if not (folder / RECORDS).exists() or not (records := read(folder)):
        return
    file = io.StringIO()
    table = csv.DictWriter(
        file, list(dict.fromkeys(name for record in records for name in record)), lineterminator="\n"
    )
    table.writeheader()
    table.writerows(by_update(records))
    write_text(folder / TABLE, file.getvalue())


def show(folder: Path, model: Model, settings: Settings, seed: int, name: str) -> None:
    """Draw the learning curve and samples, into the folder."""
    from pixelrnn import figures  # matplotlib is slow to import

    curves = figures.curves(comparable(read(folder)), name)
    figures.save_figure(curves, folder / f"curves.{settings.figures}")
    if settings.samples:
        generator = torch.Generator(model.order.device).manual_seed(seed)
        samples = figures.grid(sample(model, settings.samples, generator=generator), model.levels)
        figures.save_figure(samples, folder / f"samples.{settings.figures}")


def tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard's files, if TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
