"""pixelrnn compare, and the table at the end of a sweep"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from pixelrnn import figures
from pixelrnn.cli.compose import Job, plain
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.training import records
from pixelrnn.training.state import leaves, validated_on

UNSAID = ("data", "image_digest", "model.order_digest")  # names in a run's description that say nothing to a reader


def run(job: Job) -> None:
    folders = [expanded(folder).absolute() for folder in plain(job.cfg.runs)]
    if not folders:
        raise UserError("which runs? name their folders: pixelrnn compare outputs/a outputs/b")
    if not show(list(dict.fromkeys(folders)), job.folder / f"comparison.{job.cfg.figures}"):
        raise UserError("none of these is the folder of a run with a validation, as the notes above say")


def show(folders: Sequence[Path], picture: Path) -> bool:
    """Print a row for each run, the best first, and draw their curves; returns whether there was any.

    UserError for a folder that holds no run.
    """
    runs = {}
    for folder in folders:
        if folder.is_file():
            note(f"{printable(folder)} is left out, because it is a file; a run is a folder")
            continue
        # A launcher of Hydra makes the folder of a run before the run begins.
        has_begun = (folder / records.RECORDS).exists() or not (folder / ".hydra").is_dir()
        rows = records.by_update(records.read(folder)) if has_begun else []
        if validations := [row for row in rows if _is_validation(row)]:
            runs[folder] = records.comparable(validations)
            if len(runs[folder]) < len(validations):
                since = validations[-1]["validated_from"]
                note(
                    f"the validations of {printable(folder)} up to update {since:,} are left out, because they were on other "
                    "images or masks"
                )
        else:
            note(f"{printable(folder)} is left out, because it has no validation yet")
    if not runs:
        return False
    # A model that sees ahead is trained on hidden pixels, and its best validation is that of these.
    part = (
        "valid_hidden"
        if all(_is_validation(row, "valid_hidden") for rows in runs.values() for row in rows)
        else "valid"
    )
    best = {folder: min(rows, key=lambda row: row[f"{part}_nats"]) for folder, rows in runs.items()}
    ranked = sorted(runs, key=lambda folder: best[folder][f"{part}_nats"])
    above = os.path.commonpath([folder.parent for folder in runs])
    names = {folder: os.path.relpath(folder, above) for folder in ranked}
    facts = {folder: _description(folder) for folder in ranked}
    differing = {name for known in facts.values() for name in known if len({f.get(name) for f in facts.values()}) > 1}
    differing -= {*UNSAID}
    width = max(len("run"), *map(len, names.values())) + 2
    print(f"{'run':<{width}}{'updates':>9}{'minutes':>9}{'best nats':>11}{'bits/dim':>10}  options that differ")
    for folder in ranked:
        row, last = best[folder], runs[folder][-1]
        figure = f"{row[f'{part}_nats']:>11.2f}{row[f'{part}_bits_per_dim']:>10.4f}"
        options = " ".join(f"{name}={value}" for name, value in facts[folder].items() if name in differing)
        print(f"{names[folder]:<{width}}{last['step']:>9,}{last['seconds'] / 60:>9.1f}{figure}  {options}".rstrip())
    print(
        f"           nats of {'the hidden pixels' if part == 'valid_hidden' else 'an image'}, validation part, in {above}"
    )
    if len({validated_on(known, hides=part == "valid_hidden") for known in facts.values()}) > 1:
        note("these runs were validated on different images or masks, so their figures cannot be compared")
    figures.save_figure(figures.compare({names[folder]: runs[folder] for folder in ranked}, part=part), picture)
    print(f"picture    {picture}")
    return True


def _is_validation(row: dict[str, float], part: str = "valid") -> bool:
    """Whether a record has the figures of a validation, all finite."""
    return all(math.isfinite(row.get(name, math.nan)) for name in (f"{part}_nats", f"{part}_bits_per_dim", "seconds"))


def _description(folder: Path) -> dict[str, str]:
    """All that the run depends on, by names such as "training.batch_size"; empty for a run of an earlier version."""
    try:
        return dict(leaves(json.loads((folder / records.RUN).read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return {}
