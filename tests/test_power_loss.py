"""A run outlives a loss of power, on a simulated disk that keeps nothing but what it was told to keep."""

import itertools
import os
from pathlib import Path

import pytest
import torch
from conftest import records, run

from pixelrnn import load
from pixelrnn.files.atomic import write_json
from pixelrnn.training import loop as training

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux which file a handle is of")

Tree = dict[str, "bytes | Tree"]


class Disk:
    """Follows fsync and rename below a folder.

    Of a file, a loss of power leaves what it held when it was last brought to the disk, nothing if it never was; of a
    folder's names, those when the folder was last brought to the disk or, if the system was early, those of now.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.moment = root, lambda: None  # called before whatever changes what is left
        self.contents: dict[int, bytes] = {}  # of files, by inode
        self.names: dict[int, dict[str, int]] = {}  # of folders, by inode: the inodes in them
        self.folders = {root.stat().st_ino}
        self.handles: list[int] = []  # kept open, so that no inode is given to another file
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "replace", self.replace)

    def fsync(self, handle: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if self.root not in (path, *path.parents):
            return
        self.moment()
        self.handles.append(os.dup(handle))
        if path.is_dir():
            self.names[path.stat().st_ino] = self._listed(path)
        else:
            self.contents[path.stat().st_ino] = path.read_bytes()

    def replace(self, source: Path, target: Path) -> None:
        self.moment()
        self._replace(source, target)
        self.moment()

    def left(self, early: tuple[str, ...]) -> Tree:
        """What a loss of power now leaves, if the system was early with the names in the folders of these names."""
        names = dict(self.names)
        for path in (self.root, *self.root.rglob("*")):
            if path.is_dir() and path.name in early:
                names[path.stat().st_ino] = self._listed(path)
        return self._tree(names, self.root.stat().st_ino)

    def _tree(self, names: dict[int, dict[str, int]], folder: int) -> Tree:
        inside = names.get(folder, {})
        return {
            name: self._tree(names, inode) if inode in self.folders else self.contents.get(inode, b"")
            for name, inode in inside.items()
        }

    def _listed(self, path: Path) -> dict[str, int]:
        entries = list(os.scandir(path))
        self.folders |= {entry.inode() for entry in entries if entry.is_dir()}
        return {entry.name: entry.inode() for entry in entries}


def lay(tree: Tree, folder: Path) -> None:
    folder.mkdir()
    for name, content in tree.items():
        lay(content, folder / name) if isinstance(content, dict) else (folder / name).write_bytes(content)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk", monkeypatch)
    yield disk
    for handle in disk.handles:
        os.close(handle)


def test_the_disk_forgets_what_was_not_brought_to_it(disk):
    write_json(disk.root / "a.json", 1)
    write_json(disk.root / "b.json", 2, durable=True)
    assert disk.left(()) == {"a.json": b"", "b.json": b"2\n"}
    write_json(disk.root / "b.json", 3)
    assert disk.left(()) == {"a.json": b"", "b.json": b"2\n"}
    assert disk.left(("disk",)) == {"a.json": b"", "b.json": b""}


def numbers(folder):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records(folder)]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("case", ["recoveries=0", "recoveries=1", "resumed"])
def test_a_run_goes_on_from_whatever_a_loss_of_power_leaves(case, disk, tmp_path, monkeypatch):
    left, saved, save_state, recoveries = [], [0], training.save_state, int(case == "recoveries=1")
    early = [names for n in range(5) for names in itertools.combinations(("disk", "run", "best", "last"), n)]

    def saving(folder, model, average, optimizer, at):
        save_state(folder, model, average, optimizer, at)
        saved.append(at.step)
        if case == "resumed" and saved == [0, 10]:
            raise Stopped

    def moment():
        left.extend(entry for names in early if (entry := (disk.left(names), saved[-1])) not in left)

    monkeypatch.setattr(training, "save_state", saving)
    if case == "resumed":
        with pytest.raises(Stopped):
            run(disk.root / "run")
    disk.moment = moment
    run(disk.root / "run", recoveries=recoveries)
    moment()
    disk.moment = lambda: None
    final, expected = torch.load(disk.root / "run" / "last" / "training.pt"), numbers(disk.root / "run")
    assert saved[-1] == 20 and len(left) > 10

    gone_on = []
    for number, (tree, step) in enumerate(left):
        place = tmp_path / f"left {number}"
        lay(tree, place)
        state, metrics = place / "run" / "last" / "training.pt", place / "run" / "metrics.jsonl"
        at = torch.load(state)["progress"]["step"] if state.exists() else 0
        assert at >= step, "a state that was saved is there"
        if at:
            assert load(place / "run" / "best") and load(place / "run" / "last")
        read = [path.exists() and path.read_bytes() for path in (state, metrics)]
        if read in gone_on:
            continue  # it does not matter to the rest of the run what else there is
        gone_on.append(read)
        (place / "run").mkdir(exist_ok=True)
        run(place / "run", recoveries=recoveries)
        found = torch.load(state)["model"]
        assert all(torch.equal(weight, found[name]) for name, weight in final["model"].items())
        assert numbers(place / "run") == expected
        assert load(place / "run")
    assert len(gone_on) > 2
