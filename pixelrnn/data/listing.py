"""The picture files below a folder, and a count of everything else that lies there."""

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from pixelrnn.errors import UserError
from pixelrnn.files.pictures import SUFFIXES
from pixelrnn.registry import printable

# Folders that systems and other programs put among a user's files.
FOREIGN = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
UNREAD = {".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg", ".tga", ".ico", ".dng", ".cr2", ".nef", ".arw"}
MOST = 10  # kinds in one line


def list_pictures(root: str | Path, left_out: Counter[str], apart: Collection[Path] = ()) -> list[Path]:
    """The picture files below a folder, sorted by path; `left_out` gets the number of other files by kind.

    Links are followed, and a picture that several paths lead to is listed once. apart: folders in root to pass over.
    Raises UserError if there are none, except beside those apart.
    """
    if not os.path.isdir(root):
        raise UserError(f"{printable(root)}: no such folder; set data.root to a folder of pictures")
    root, paths, reached = Path(root), [], set()
    pending, links = [root], list[Path]()
    while pending or links:
        path = pending.pop() if pending else links.pop()  # what lies here itself goes before links to it
        real = os.path.realpath(path)
        if real in reached:
            left_out["reached a second time by a link"] += 1
        elif path != root and (path.name.startswith(".") or path.name.lower() in FOREIGN):
            inside = os.path.isdir(path)
            left_out[f"in {printable(path.name)}/" if inside else "hidden"] += _files_below(path) if inside else 1
        elif not os.path.isdir(path):
            if kind := _kind(path):
                left_out[kind] += 1
            else:
                paths.append(path)
        else:
            try:
                entries = sorted(entry for entry in path.iterdir() if entry not in apart)
            except OSError as error:
                left_out[f"folder {printable(path.name)}/ ({error.strerror})"] += 1
                entries = []
            for entry in entries:
                (links if entry.is_symlink() else pending).append(entry)
        reached.add(real)
    if not (paths or apart):
        others = f"; it holds {in_words(left_out)}" if left_out.total() else ""
        raise UserError(f"{printable(root)} holds no pictures ({', '.join(sorted(SUFFIXES))}){others}")
    return sorted(paths)


def in_words(left_out: Counter[str]) -> str:
    """The counts in one line, the largest first."""
    counts = [(kind, count) for kind, count in left_out.most_common() if count]
    words = [f"{count:,} {kind}" for kind, count in counts[:MOST]]
    rest = sum(count for _, count in counts[MOST:])
    return ", ".join([*words, f"{rest:,} of other kinds"] if rest else words)


def _files_below(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _kind(path: Path) -> str:
    """Why a file is left out; the empty string for a picture."""
    suffix = path.suffix.lower()
    if not os.path.isfile(path):
        return "no regular file" if os.path.exists(path) else "behind a broken link"
    if suffix in SUFFIXES:
        return ""
    return (
        f"{suffix} (not read here: save as PNG or JPEG)"
        if suffix in UNREAD
        else printable(suffix, 10) or "without suffix"
    )
