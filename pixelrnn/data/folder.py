"""The user's own pictures: a folder with train, valid and test, or a flat one that is split."""

import re
from collections import Counter
from hashlib import blake2b
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixelrnn.data.base import Dataset
from pixelrnn.data.listing import in_words, list_pictures
from pixelrnn.data.prepare import assemble, check_options, data_folder, how_levels, quantised
from pixelrnn.errors import UserError
from pixelrnn.files.pictures import read_file, read_picture, to_tensor
from pixelrnn.notes import note
from pixelrnn.registry import printable

PARTS = {  # and what people call them, with "_set", "-images", "2017" and the like behind
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
NAME = re.compile(r"([a-z]+?)([ _-]?(set|data|images))?[ _-]?\d*")
MAX_BYTES = 16 * 2**30  # of pixels in memory; all of ImageNet at 64x64 in colour takes 14.6 GiB


def folder(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = None,
    limit: int | None = None,
) -> Dataset:
    """The pictures of root/{train,valid,test}, 256 levels; a missing valid or test is about a tenth of the training pictures.

    size: the centre of each picture, so many pixels square; None: all have one size. channels None: 3 if any picture
    is in colour, else 1. Raises UserError for a picture that cannot be read, for unequal sizes and an empty part.
    """
    check_options(size, channels, levels, limit)
    if not root:
        raise UserError("data=folder needs data.root: set it to the folder of your pictures")
    levels = levels or 256
    place = data_folder(root)
    paths, totals = _split(place, limit)
    images = quantised(_read(str(place), [path for part in paths for path in part], size, channels), 256, levels)
    parts = images.split([len(part) for part in paths])
    return assemble(f"folder {place.resolve().name}", how_levels(levels), levels, parts, totals)


def _split(root: Path, limit: int | None) -> tuple[list[list[Path]], list[int]]:
    """The paths of train, valid and test, at most `limit` of each, and how many there are without the limit."""
    left_out = Counter[str]()
    places = _parts(root)
    found = {part: list_pictures(place, left_out) for part, place in (places or {"train": root}).items()}
    if places:
        beside = list_pictures(root, left_out, apart=places.values())
        left_out[f"beside {' and '.join(place.name for place in places.values())}"] += len(beside)
    elif deep := {name for path in found["train"] for name in path.relative_to(root).parts[:-1] if _part(name)}:
        note(
            f"{root} is split anew: {' and '.join(sorted(deep))} lie in a folder below; to use them, set data.root to it"
        )
    if left_out.total():
        note(f"files left out of {printable(root)}: {in_words(left_out)}")
    if missing := [part for part in PARTS if part not in found]:
        if places:
            note(
                f"{printable(root)} has no folder for {' and '.join(missing)}: about a tenth of train is taken for each"
            )
        found |= _shared_out(found["train"], missing, root)
    totals = [len(found[part]) for part in PARTS]
    for part, paths in found.items():
        if limit is not None and len(paths) > limit:
            found[part] = [path for _, path in _by_content(paths)[:limit]]
    return [found[part] for part in PARTS], totals


def _part(name: str) -> str | None:
    """The part that a folder of this name is, if it is one."""
    named = NAME.fullmatch(name.lower())
    return next((part for part, names in PARTS.items() if named and named[1] in names), None)


def _parts(root: Path) -> dict[str, Path]:
    """The folders in root that are parts by their names."""
    found: dict[str, Path] = {}
    try:
        places = sorted(path for path in root.iterdir() if path.is_dir())
    except (OSError, ValueError):  # list_pictures says why
        places = []
    for place in places:
        if part := _part(place.name):
            if part in found:
                raise UserError(f"{root} has two folders for {part}, {found[part].name} and {place.name}: rename one")
            found[part] = place
    if found and "train" not in found:
        names = " and ".join(place.name for place in found.values())
        raise UserError(f"{root} has the folder {names} but not train: add it, or rename the other")
    return found


def _shared_out(paths: list[Path], missing: list[str], root: Path) -> dict[str, list[Path]]:
    """train and the missing parts, each of which gets the pictures in a tenth of the values that a content can have.

    So a picture stays in its part when others come or go, and when it is renamed. Each part gets one picture at least.
    """
    if len(paths) <= len(missing):
        raise UserError(
            f"{len(paths)} pictures in {root} cannot be split in train and {' and '.join(missing)}: "
            f"no picture would be left for train; add some (at least {len(missing) + 1})"
        )
    ranked, found, start, forced = _by_content(paths), {}, 0, []
    for k, part in enumerate(reversed(missing), 1):  # test first: it stays when a folder for valid is added
        due = sum(value < k / 10 for value, _ in ranked)
        most = len(paths) - 1 - len(missing) + k
        end = min(max(due, start + 1), most)
        while end < most and ranked[end][0] == ranked[end - 1][0]:  # copies stay together
            end += 1
        found[part], start = [path for _, path in ranked[start:end]], end
        forced += [part] if end != due else []
    if forced:
        reason = f"has too few pictures to fill {' and '.join(forced)} by their content"
        note(f"{printable(root)} {reason}: some may change parts when you add pictures")
    return {**found, "train": [path for _, path in ranked[start:]]}


def _by_content(paths: list[Path]) -> list[tuple[float, Path]]:
    """Each file with a number in [0, 1) that depends on its bytes alone, sorted by it."""
    digests = ((blake2b(read_file(path), digest_size=8).digest(), path) for path in paths)
    return sorted((int.from_bytes(digest) / 2**64, path) for digest, path in digests)


def _read(name: str, paths: list[Path], size: int | None, channels: int | None) -> Tensor:
    """uint8 (pictures, channels, height, width)."""
    images, changed, asked, greys = torch.empty(0), Counter[str](), channels, 0
    for i, path in enumerate(paths):
        file = read_picture(path)
        converted = _converted(file.on_white(), channels)
        values = to_tensor(_cropped(converted, size))
        changed["turned upright (EXIF)"] += file.orientation > 1
        changed["laid on white (transparent)"] += file.alpha is not None
        changed["cropped to a square"] += size is not None and converted.width != converted.height
        changed["enlarged"] += size is not None and min(converted.size) < size
        is_grey = file.on_white().mode == "L"
        changed["made grey"] += asked == 1 and not is_grey
        greys += is_grey
        if i == 0 or len(values) > images.shape[1]:
            _check_room(values, len(paths))
        if i == 0:
            images = torch.empty(len(paths), *values.shape, dtype=torch.uint8)
        elif values.shape[1:] != images.shape[2:]:
            raise UserError(
                f"{paths[0]} is {images.shape[3]}x{images.shape[2]} and {path} is {values.shape[2]}x{values.shape[1]} "
                "(width x height): set data.size to bring all the pictures to one size"
            )
        if len(values) == 3 and channels is None:
            channels = 3  # the first picture in colour; those before it and after it become RGB
            images = images.expand(-1, 3, -1, -1).contiguous()
        images[i] = values
    changed["grey, kept as RGB because others are in colour"] += greys if asked is None and channels == 3 else 0
    if changed.total():
        note(f"pictures of {printable(name)} changed as they were read: {in_words(changed)}")
    return images


def _converted(picture: Image.Image, channels: int | None) -> Image.Image:
    return picture if channels is None else picture.convert("RGB" if channels == 3 else "L")


def _cropped(picture: Image.Image, size: int | None) -> Image.Image:
    """The largest square in the centre, as size x size; cropped first, so that a long strip needs little memory."""
    if size is None:
        return picture
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    return picture.resize((size, size), Image.Resampling.BOX if size <= side else Image.Resampling.BILINEAR)


def _check_room(values: Tensor, count: int) -> None:
    if values.numel() * count > MAX_BYTES:
        gib = values.numel() * count / 2**30
        raise UserError(
            f"{count:,} pictures of {values.shape[2]}x{values.shape[1]} take {gib:,.0f} GiB of memory, more than the "
            f"{MAX_BYTES // 2**30} allowed: set data.size to a smaller one, or data.limit"
        )
