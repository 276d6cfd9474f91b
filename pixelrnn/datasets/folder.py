"""The user's own pictures: a folder with train, valid and test, or a flat one that is split."""

import os
import re
from collections import Counter
from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixelrnn.datasets.prepare import Dataset, Options, data_folder, prepare
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.pictures import SUFFIXES, read_file, read_picture, to_tensor

# Names of folders that hold a part: one of these, perhaps with an ending.
PARTS = {"train": "train(ing)?", "valid": "val(id(ation)?)?|dev", "test": "test(ing)?|eval(uation)?"}
ENDING = r"([ _-]?(set|data|images))?[ _-]?\d*"
# Folders that systems and other programs put among a user's files.
FOREIGN = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
MAX_BYTES = 16 * 2**30  # of pixels in memory; all of ImageNet at 64x64 in colour takes 14.6 GiB


def folder(options: Options) -> Dataset:
    """The pictures of root/{train,valid,test}, 256 levels; a missing part gets about a tenth of the training pictures.

    size: the side of a square, cropped from the centre and resized; None: all pictures have one size.
    channels: None is 3 if any picture is in colour, else 1.
    Raises UserError for a picture that cannot be read, for unequal sizes, and for an empty part.
    """
    if not options.root:
        raise UserError("data=folder needs data.root: set it to the folder of your pictures")
    root = data_folder(options.root)
    parts = split(root)
    chosen = [choose(paths, options.limit) for paths in parts]
    images = _read(root, [path for paths in chosen for path in paths], options.size, options.channels)
    cut = images.split([len(paths) for paths in chosen])
    return prepare(options, f"folder {root.resolve().name}", 256, cut, totals=[len(paths) for paths in parts])


def split(root: Path) -> list[list[Path]]:
    """The paths of train, valid and test; notes tell which files were left out and which parts were missing."""
    places: dict[str, Path] = {}
    for place in sorted(root.glob("*/")):
        if (part := _part(place.name)) in places:
            raise UserError(f"{root} has two folders for {part}, {places[part].name} and {place.name}: rename one")
        if part:
            places[part] = place
    names = " and ".join(place.name for place in places.values())
    if places and "train" not in places:
        raise UserError(f"{root} has the folder {names} but not train: add it, or rename the other")
    left_out = Counter[str]()
    found = {part: _list_pictures(place, left_out) for part, place in (places or {"train": root}).items()}
    if places:
        left_out[f"beside {names}"] += len(_list_pictures(root, left_out, apart=places.values()))
    elif deep := {name for path in found["train"] for name in path.relative_to(root).parts[:-1] if _part(name)}:
        deep_names = " and ".join(sorted(deep))
        note(f"{printable(root)} is split anew: {deep_names} lie in a folder below; to use them, set data.root to it")
    if left_out.total():
        note(f"files left out of {printable(root)}: {in_words(left_out)}")
    if missing := [part for part in PARTS if part not in found]:
        if places:
            note(
                f"{printable(root)} has no folder for {' and '.join(missing)}: about a tenth of train is taken for each"
            )
        found |= _fill(missing, found["train"], root)
    return [found[part] for part in PARTS]


def _part(name: str) -> str | None:
    """The part that a folder of this name holds, if any."""
    return next((part for part, names in PARTS.items() if re.fullmatch(f"({names}){ENDING}", name.lower())), None)


def _list_pictures(root: Path, left_out: Counter[str], apart: Collection[Path] = ()) -> list[Path]:
    """List the picture files below a folder, sorted by path; count the other files in `left_out`, by kind.

    Links are followed, but nothing is visited twice. apart: folders in root to pass over.
    Raises UserError if there are no pictures and no folders apart.
    """
    if not os.path.isdir(root):
        raise UserError(f"{printable(root)}: no such folder; set data.root to a folder of pictures")
    pictures: list[Path] = []
    visited = {os.path.realpath(root)}
    unlisted: list[OSError] = []
    for place, folders, files in os.walk(root, followlinks=True, onerror=unlisted.append):
        paths = sorted({Path(place, name) for name in folders + files} - set(apart))
        folders.clear()  # os.walk visits the folders that are put back
        for path in paths:
            real, is_folder, suffix = os.path.realpath(path), os.path.isdir(path), path.suffix.lower()
            if real in visited:
                left_out["reached a second time by a link"] += 1
            elif path.name.startswith(".") or path.name.lower() in FOREIGN:
                below = sum(len(names) for _, _, names in os.walk(path))
                left_out[f"in {printable(path.name)}/" if is_folder else "hidden"] += below if is_folder else 1
            elif is_folder:
                folders.append(path.name)
            elif not os.path.isfile(path):
                left_out["no regular file" if os.path.exists(path) else "behind a broken link"] += 1
            elif suffix in SUFFIXES:
                pictures.append(path)
            else:
                left_out[printable(suffix, 10) or "without suffix"] += 1
            visited.add(real)
    left_out.update(f"folder {printable(Path(error.filename).name)}/ ({error.strerror})" for error in unlisted)
    if not (pictures or apart):
        others = f"; it holds {in_words(left_out)}" if left_out.total() else ""
        raise UserError(f"{printable(root)} holds no pictures ({', '.join(sorted(SUFFIXES))}){others}")
    return sorted(pictures)


def in_words(counts: Counter[str]) -> str:
    """The counts in one line, the largest first."""
    return printable(", ".join(f"{count:,} {kind}" for kind, count in counts.most_common() if count), 500)


def _fill(missing: list[str], paths: list[Path], root: Path) -> dict[str, list[Path]]:
    """Share the paths out to the missing parts, about a tenth to each but at least one picture, and to train.

    The hash of a file decides, so a picture keeps its part if others come or go, or if it is renamed.
    """
    if len(paths) <= len(missing):
        raise UserError(
            f"{len(paths)} pictures in {root} cannot be split in train and {' and '.join(missing)}: "
            f"no picture would be left for train; add some (at least {len(missing) + 1})"
        )
    found, ranked = {}, sorted((_hash(path), path) for path in paths)
    for k, part in enumerate(reversed(missing), 1):  # test first: it stays the same if a folder for valid is added
        due = sum(value < k / 10 for value, _ in ranked)
        most = len(ranked) - 1 - len(missing) + k
        end = min(max(due, 1), most)
        while end < most and ranked[end][0] == ranked[end - 1][0]:  # copies stay together
            end += 1
        if end != due:
            reason = f"has too few pictures to fill {part} by their content"
            note(f"{printable(root)} {reason}: some may change parts when you add pictures")
        found[part], ranked = [path for _, path in ranked[:end]], ranked[end:]
    return {**found, "train": [path for _, path in ranked]}


def choose(paths: list[Path], limit: int | None) -> list[Path]:
    """At most `limit` of the paths, by the files' content; all if it is None."""
    return sorted(paths, key=_hash)[:limit] if limit and len(paths) > limit else paths


def _hash(path: Path) -> float:
    """A number in [0, 1) that depends on the bytes of a file alone."""
    return int.from_bytes(blake2b(read_file(path), digest_size=8).digest()) / 2**64


def _read(root: Path, paths: list[Path], size: int | None, channels: int | None) -> Tensor:
    """Read uint8 (pictures, channels, height, width); a note counts the pictures that were changed."""
    images, changed, grey_count = torch.zeros(1, 1, 1, 1, dtype=torch.uint8), Counter[str](), 0
    in_colour = channels == 3
    for i, path in enumerate(paths):
        file = read_picture(path)
        picture = file.on_white()
        is_grey = picture.mode == "L"
        in_colour |= channels is None and not is_grey
        values = to_tensor(_resized(picture.convert("RGB" if in_colour else "L"), size))
        if i and values.shape[1:] != images.shape[2:]:
            raise UserError(
                f"{paths[0]} is {images.shape[3]}x{images.shape[2]} and {path} is {values.shape[2]}x{values.shape[1]} "
                "(width x height): set data.size to bring all the pictures to one size"
            )
        if i == 0 or len(values) > images.shape[1]:  # at the first picture, and at the first in colour
            if values.numel() * len(paths) > MAX_BYTES:
                raise UserError(
                    f"{len(paths):,} pictures of {values.shape[2]}x{values.shape[1]} take "
                    f"{values.numel() * len(paths) / 2**30:,.0f} GiB of memory, more than the {MAX_BYTES // 2**30} allowed: "
                    "set data.size to a smaller one, or data.limit"
                )
            images = images.expand(len(paths), *values.shape).contiguous()
        images[i] = values
        grey_count += is_grey
        changed.update(file.changes)
        changed["cropped to a square"] += size is not None and picture.width != picture.height
        changed["enlarged"] += size is not None and min(picture.size) < size
        changed["made grey"] += channels == 1 and not is_grey
    if channels is None and in_colour:
        changed["grey, kept as RGB because others are in colour"] = grey_count
    if changed.total():
        note(f"pictures of {printable(root)} changed as they were read: {in_words(changed)}")
    return images


def _resized(picture: Image.Image, size: int | None) -> Image.Image:
    """The largest square in the centre, as size x size; cropped first, so that a long strip needs little memory."""
    if size is None:
        return picture
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BOX if size <= side else Image.Resampling.BILINEAR)
