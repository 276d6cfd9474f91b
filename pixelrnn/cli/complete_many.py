"""pixelrnn complete image=<folder or pattern>: picture after picture, each into a folder of its own."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from pixelrnn.cli.app import record
from pixelrnn.cli.compose import Job, matching
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.files.pictures import SUFFIXES


def pictures(image: str) -> list[Path] | None:
    """The pictures of a folder or a pattern such as scans/*.png, sorted; None for a single file. UserError if there are none."""
    path = expanded(image)
    if path.exists() and not path.is_dir():
        return None
    named = list(path.iterdir()) if path.is_dir() else matching(path)
    found = _pictures_of(named)
    if left := len(named) - len(found):
        note(f"left out of image={printable(image)}: {left} that {'is' if left == 1 else 'are'} no picture file")
    if not found:
        raise UserError(f"image={printable(image)}: no picture there ({', '.join(sorted(SUFFIXES))})")
    return found


def run(job: Job, found: list[Path], complete: Callable[[Job], None]) -> None:
    """Complete each picture by complete(job), with the mask of its name if mask= is a folder.

    A picture that cannot be completed is left out with a note; UserError at the end if there was one.
    """
    masks = _masks(job.cfg.mask, found) if job.cfg.mask else {}
    names = [path.name for path in found]
    failed: dict[Path, str] = {}
    for i, path in enumerate(found):
        name = path.name if names.count(path.name) == 1 else f"{i:03d}-{path.name}"
        cfg = job.cfg.copy()
        cfg.image, cfg.mask = str(path), str(masks[path]) if masks else None
        print(f"picture    {i + 1} of {len(found)}: {printable(path)}", flush=True)
        try:
            complete(replace(job, cfg=cfg, folder=job.folder / name))
        except UserError as error:
            told = str(error) in failed.values()  # often a mistake in an option
            note(f"{printable(path)} fails for the same reason" if told else f"{printable(path)} is left out: {error}")
            failed[path] = str(error)
    if len(failed) == len(found):
        raise UserError(f"no picture could be completed: {failed[found[0]]}")
    if failed:
        record(job)
        raise UserError(
            f"{len(failed)} of the {len(found)} pictures could not be completed, as the notes above say: "
            f"{printable(', '.join(path.name for path in failed), 200)}; the others are in {job.folder}"
        )


def _masks(mask: str, found: list[Path]) -> dict[Path, Path]:
    """The mask of each picture: the file of the same name, with any suffix, if mask= is a folder, else the same for all."""
    folder = expanded(mask)
    if not folder.is_dir():
        return dict.fromkeys(found, folder)
    if any(path.parent.resolve() == folder.resolve() for path in found):
        raise UserError(f"mask={printable(mask)} is the folder of the pictures; give the masks a folder of their own")
    by_stem: dict[str, list[Path]] = {}
    for path in _pictures_of(folder.iterdir()):
        by_stem.setdefault(path.stem, []).append(path)
    for picture in found:
        if len(masks := by_stem.get(picture.stem, [])) != 1:
            what = f"{len(masks)} masks" if masks else "no mask"
            raise UserError(
                f"mask={printable(mask)} has {what} for {picture.name}; give each picture one of the name {picture.stem}.png"
            )
    return {picture: by_stem[picture.stem][0] for picture in found}


def _pictures_of(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
