"""Photographs of any sizes, of which a model is trained on patches."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pixelrnn.datasets.folder import MAX_BYTES, choose, in_words, split
from pixelrnn.datasets.patches import Patches
from pixelrnn.datasets.prepare import Dataset, Options, data_folder
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.pictures import read_picture

SIDE = 64  # pixels, if data.size does not say
REDUCED = (1, 2, 3, 4, 6)  # a photograph is kept at its own size and, averaged, at these parts of it
HELD_OUT = 256  # patches of the photographs for validation, and of those for testing


def photos(options: Options) -> Dataset:
    """Patches of the photographs of root, which is split as for data=folder; 256 levels.

    size: the side of a patch, 64 by default. channels: 3 by default. The patches to train on are drawn anew at each use,
    from the photographs and from reduced copies of them; those of valid and test are drawn once, and not altered.
    Raises UserError for a photograph that cannot be read, and if a part has none that is as large as a patch.
    """
    if not options.root:
        raise UserError("data=photos needs data.root: set it to the folder of your photos")
    if options.levels not in (None, 256) or options.binarization:
        raise UserError("data=photos keeps the 256 levels of a photo; leave out data.levels and data.binarization")
    root, side, channels = data_folder(options.root), options.size or SIDE, options.channels or 3
    paths = [choose(part, options.limit) for part in split(root)]
    parts = {
        part: _read(root, part, some, side, channels, REDUCED if part == "train" else REDUCED[1:3])
        for part, some in zip(("train", "valid", "test"), paths, strict=True)
    }
    valid, test = (
        parts[part].draw(HELD_OUT, torch.Generator().manual_seed(k)) for k, part in enumerate(("valid", "test"))
    )
    colour = " RGB" if channels == 3 else ""
    counts = " / ".join(f"{part} {len(some)}" for part, some in zip(parts, paths, strict=True))
    name = f"photos {root.resolve().name}, patches {side}x{side}{colour}, 256 levels (photos: {counts})"
    return Dataset(name, 256, parts["train"], valid, test)


def _read(root: Path, part: str, paths: Sequence[Path], side: int, channels: int, reduced: Sequence[int]) -> Patches:
    """Read the photographs of a part, each at several sizes."""
    values, places, begin, small, largest, changed = [], [], 0, 0, 0, Counter[str]()
    for path in paths:
        file = read_picture(path)
        changed.update(file.changes)
        picture = file.on_white().convert("RGB" if channels == 3 else "L")
        copies = [picture if factor == 1 else picture.reduce(factor) for factor in reduced]
        if min(copies[0].size) < side:
            copies = [picture]
        small += min(picture.size) < side
        largest = max(largest, min(picture.size))
        for copy in copies:
            if min(copy.size) >= side:
                values.append(_flat(copy))
                places.append((begin, copy.height, copy.width))
                begin += len(values[-1])
        if begin > MAX_BYTES:
            raise UserError(
                f"the photos of {printable(root)} take more than {MAX_BYTES // 2**30} GiB of memory: set data.limit to use fewer"
            )
    if changed:
        note(f"photos of {printable(root)} changed as they were read: {in_words(changed)}")
    if small:
        note(f"photos of {printable(root)} left out: {small:,} smaller than a patch of {side}x{side} (data.size)")
    if not values:
        raise UserError(
            f"none of the {len(paths)} {part} photos in {root} is as large as a patch of {side}x{side}; the largest has a short "
            f"side of {largest}: set data.size to at most that, or take the small photos away, so that others are chosen"
        )
    return Patches(torch.cat(values), torch.tensor(places), side, channels)


def _flat(picture: Image.Image) -> Tensor:
    return torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
