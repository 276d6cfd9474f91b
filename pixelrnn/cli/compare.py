"""pixelrnn compare, and the table at the end of a sweep"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pixelrnn import figures
from pixelrnn.checkpoint import CONFIG
from pixelrnn.cli.compose import Job, plain
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.options import LONGEST
from pixelrnn.training import records

Record = dict[str, float]


def run(job: Job) -> None:
    folders = [expanded(folder).absolute() for folder in plain(job.cfg.runs)]
    if not folders:
        raise UserError("which runs? name their folders: pixelrnn compare outputs/a outputs/b")
    show(list(dict.fromkeys(folders)), job.folder / f"comparison.{job.cfg.figures}")


def show(folders: Sequence[Path], picture: Path) -> None:
    """Print a row for each run, the best first, and draw their curves. UserError for a folder that holds no run."""
    runs = {}
    for folder in folders:
        if validations := [row for row in records.by_update(records.read(folder)) if "valid_nats" in row]:
            runs[folder] = validations
        else:
            note(f"{printable(folder, LONGEST)} is left out, because it has no validation yet")
    if not runs:
        return
    # A model that sees ahead is trained on hidden pixels, and its best validation is that of these.
    key = "valid_hidden" if all("valid_hidden_nats" in rows[-1] for rows in runs.values()) else "valid"
    best = {folder: min(rows, key=lambda row: row[f"{key}_nats"]) for folder, rows in runs.items()}
    ranked = sorted(runs, key=lambda folder: best[folder][f"{key}_nats"])
    above = os.path.commonpath([folder.parent for folder in runs])
    names = {folder: os.path.relpath(folder, above) for folder in ranked}
    options, width = _differing(ranked), max(len("run"), *map(len, names.values())) + 2
    print(f"{'run':<{width}}{'updates':>9}{'minutes':>9}{'best nats':>11}{'bits/dim':>10}  options that differ")
    for folder in ranked:
        row, last = best[folder], runs[folder][-1]
        figure = f"{row[f'{key}_nats']:>11.2f}{row[f'{key}_bits_per_dim']:>10.4f}"
        print(
            f"{names[folder]:<{width}}{last['step']:>9,}{last['seconds'] / 60:>9.1f}{figure}  {options[folder]}".rstrip()
        )
    print(
        f"           nats of {'the hidden pixels' if key == 'valid_hidden' else 'an image'}, validation part, in {above}"
    )
    if len({json.dumps(_data(folder), sort_keys=True) for folder in runs}) > 1:
        note("these runs were validated on different data, so their figures cannot be compared")
    figures.save_figure(figures.compare({names[folder]: runs[folder] for folder in ranked}), picture)
    print(f"picture    {picture}")


def _differing(folders: Sequence[Path]) -> dict[Path, str]:
    """The overrides of each run that not all of them have, from the record of its command line."""
    given: dict[Path, list[str]] = {}
    for folder in folders:
        try:
            given[folder] = list(map(str, yaml.safe_load((folder / ".hydra/train/overrides.yaml").read_text("utf-8"))))
        except (OSError, ValueError, TypeError, yaml.YAMLError):  # a run made in Python has none
            given[folder] = []
    return {
        folder: " ".join(word for word in words if not all(word in others for others in given.values()))
        for folder, words in given.items()
    }


def _data(folder: Path) -> Any:
    """The data of a run and how many of its validation images are used, as far as its best model and record tell."""
    try:
        return json.loads((folder / "best" / CONFIG).read_text("utf-8"))["trained_on"].get("data")
    except (OSError, ValueError, KeyError, AttributeError):
        return None
