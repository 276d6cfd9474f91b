"""pixelrnn complete image=<folder or pattern>: picture after picture, each into a folder of its own."""

from collections.abc import Callable
from dataclasses import replace
from glob import glob
from pathlib import Path

from pixelrnn.cli.compose import Job
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.files.pictures import SUFFIXES


def pictures(image: str) -> list[Path] | None:
    """The pictures of a folder or a pattern such as scans/*.png, sorted; None for a single file. UserError if there are none."""
    path = expanded(image)
    if path.is_dir():
        found = _pictures_in(path)
        if left := sum(1 for _ in path.iterdir()) - len(found):
            note(f"{left} other files and folders in {printable(path)} are left out")
    elif path.exists():
        return None
    else:
        found = sorted(Path(name) for name in glob(str(path)))
    if not found:
        raise UserError(f"image={printable(image)}: no picture there ({', '.join(sorted(SUFFIXES))})")
    return found


def run(job: Job, found: list[Path], complete: Callable[[Job], None]) -> None:
    """Complete each picture by complete(job), with the mask of its name if mask= is a folder.

    A picture that cannot be completed is left out with a note; UserError at the end if there was one.
    """
    masks = _masks(job.cfg.mask, found) if job.cfg.mask else {}
    names = [path.name for path in found]
    failed = []
    for i, path in enumerate(found):
        name = path.name if names.count(path.name) == 1 else f"{i:03d}-{path.name}"
        cfg = job.cfg.copy()
        cfg.image, cfg.mask = str(path), str(masks[path]) if masks else None
        print(f"{'' if i == 0 else chr(10)}{i + 1} of {len(found)}", flush=True)
        try:
            complete(replace(job, cfg=cfg, folder=job.folder / name))
        except UserError as error:
            note(f"{printable(path)} is left out: {error}")
            failed.append(path.name)
    if failed:
        raise UserError(
            f"{len(failed)} of the {len(found)} pictures could not be completed, as the notes above say: "
            f"{printable(', '.join(failed), 200)}; the others are in {job.folder}"
        )


def _masks(mask: str, found: list[Path]) -> dict[Path, Path]:
    """The mask of each picture: the file of the same name, with any suffix, if mask= is a folder, else the same for all."""
    folder = expanded(mask)
    if not folder.is_dir():
        return dict.fromkeys(found, folder)
    by_stem: dict[str, list[Path]] = {}
    for path in _pictures_in(folder):
        by_stem.setdefault(path.stem, []).append(path)
    for picture in found:
        if len(masks := by_stem.get(picture.stem, [])) != 1:
            what = f"{len(masks)} masks" if masks else "no mask"
            raise UserError(
                f"mask={printable(mask)} has {what} for {picture.name}; give each picture one of the name {picture.stem}.png"
            )
    return {picture: by_stem[picture.stem][0] for picture in found}


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
