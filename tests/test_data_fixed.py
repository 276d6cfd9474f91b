"""The fixed binarisation of MNIST: its text files, their compact copies, and what is refused. No network is used."""

import errno
import gzip
import hashlib
import os
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
import torch

from pixelrnn.data import amat, load
from pixelrnn.errors import UserError

PARTS = ("train", "valid", "test")
COUNTS = (30, 10, 10)
BITS = {
    part: np.random.RandomState(seed).randint(2, size=(rows, 784)).astype(np.uint8)
    for seed, (part, rows) in enumerate(zip(PARTS, COUNTS, strict=True))
}


def text(bits):
    return "".join(" ".join(map(str, row)) + "\n" for row in bits)


def images(part):
    return torch.from_numpy(BITS[part]).view(-1, 1, 28, 28)


def read(root, **options):
    return load({"name": "binarized_mnist", "root": str(root), **options})


def refused(pattern, root, **options):
    with pytest.raises(UserError, match=pattern) as caught:
        read(root, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXELRNN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(monkeypatch, tmp_path, cache):
    """A folder with the text files of 30 / 10 / 10 binary images, which pass for the published ones."""
    folder = tmp_path / "root"
    folder.mkdir()
    for part, bits in BITS.items():
        (folder / f"binarized_mnist_{part}.amat").write_text(text(bits))
    digests = {part: hashlib.sha256(np.packbits(bits, axis=1).tobytes()).hexdigest() for part, bits in BITS.items()}
    for part in PARTS:
        monkeypatch.setitem(amat.CONTENT, part, (len(BITS[part]), digests[part]))
    return folder


@pytest.fixture
def parsed(monkeypatch):
    """The parts whose text has been read."""
    calls, parse = [], amat._parse
    monkeypatch.setattr(amat, "_parse", lambda path, part: calls.append(part) or parse(path, part))
    return calls


def check(data):
    for part, read in zip(PARTS, (data.train, data.valid, data.test), strict=True):
        assert read.dtype == torch.uint8 and torch.equal(read, images(part))


def test_text_and_copy_hold_the_same_images(root, cache, parsed):
    data = read(root)
    assert data.name == "MNIST 28x28, fixed binarisation (train 30 / valid 10 / test 10)"
    assert data.levels == 2 and not data.dynamic
    check(data)
    check(read(root))
    assert parsed == list(PARTS)  # the second time, the copies served
    assert sorted(path.name for path in root.glob("*.npz")) == sorted(f"binarized_mnist_{part}.npz" for part in PARTS)
    assert not [path for path in root.iterdir() if path.name.startswith(".")] and not cache.exists()


def test_gzipped_files_in_their_own_folder(root):
    (root / "binarized_mnist").mkdir()
    for part in PARTS:
        path = root / f"binarized_mnist_{part}.amat"
        (root / "binarized_mnist" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    check(read(root))


def test_the_default_root_is_the_cache(root, cache):
    root.rename(cache)
    check(load("binarized_mnist"))


def test_a_folder_marked_read_only_stays_as_it_is(root, cache, parsed):
    root.chmod(0o555)
    check(read(root))
    check(read(root))
    assert len(list(root.iterdir())) == 3 and len(list(cache.iterdir())) == 3  # even for root, who may write anywhere
    assert parsed == list(PARTS)


@pytest.mark.parametrize("writable", ["cache", "nothing"])
def test_a_folder_that_cannot_be_written_serves_as_well(writable, root, cache, parsed, monkeypatch):
    write = amat.write_whole

    def guarded(path, function):
        if path.parent == root or writable == "nothing":
            raise PermissionError(path)
        write(path, function)

    monkeypatch.setattr(amat, "write_whole", guarded)
    check(read(root))
    check(read(root))
    assert len(list(root.iterdir())) == 3
    assert len(parsed) == (3 if writable == "cache" else 6)


def test_a_changed_text_is_read_again(root, parsed):
    read(root)
    path = root / "binarized_mnist_valid.amat"
    os.utime(path, ns=(0, 0))
    check(read(root))
    assert parsed == [*PARTS, "valid"]
    path.write_text(text(1 - BITS["valid"]))
    refused("binarized_mnist_valid.amat is not the published file .*other ones.*delete it and run again", root)


@pytest.mark.parametrize("damage", [b"", b"PK", "bits", "pickle"])
def test_a_damaged_copy_is_replaced(damage, root, parsed):
    read(root)
    cache = root / "binarized_mnist_test.npz"
    with np.load(cache) as arrays:
        bits, stamp = arrays["bits"], arrays["stamp"]
    if damage == "bits":
        np.savez(cache, bits=bits ^ 1, stamp=stamp)
    elif damage == "pickle":
        np.savez(cache, bits=np.array([{}], dtype=object), stamp=stamp)
    else:
        cache.write_bytes(damage)
    check(read(root))
    check(read(root))
    assert parsed == [*PARTS, "test"]


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (text(BITS["train"][:29]), "it holds 29 rows of 784 values, not 30"),
        (text(BITS["train"])[:-100], r"it holds 29\.9\d* rows"),
        (text(BITS["train"]).replace("1", "2", 1), "other values than 0 and 1"),
        (text(BITS["train"][::-1]), "its images are other ones"),
        ("<html>sign in</html>", "other values than 0 and 1"),
        ("", "it holds 0 rows"),
    ],
)
def test_another_text_is_refused(content, pattern, root):
    (root / "binarized_mnist_train.amat").write_text(content)
    refused(pattern + ".*delete it and run again to download it, or get it from http://www.cs.toronto", root)


def test_a_truncated_archive_is_refused(root):
    path = root / "binarized_mnist_train.amat"
    (root / "binarized_mnist_train.amat.gz").write_bytes(gzip.compress(path.read_bytes())[:-500])
    path.unlink()
    refused("amat.gz is not the published file", root)


def test_a_smaller_size_takes_every_second_pixel(root):
    data = read(root, size=14, channels=3, limit=4)
    assert data.shape == (3, 14, 14)
    assert "MNIST 14x14 RGB, fixed binarisation, one pixel of each 2x2 (train 4 of 30 /" in data.name
    strided = images("test")[:, :, ::2, ::2]
    assert all(any(torch.equal(image[:1], other) for other in strided) for image in data.test)
    refused("data.size=16: .* must divide 28 .* or data.binarization=dynamic", root, size=16)
    refused("data.size=56", root, size=56)


def test_a_disk_without_room_for_the_copy_serves_as_well(root, parsed, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(amat.np, "savez", full)
    check(read(root))
    assert parsed == list(PARTS) and len(list(root.iterdir())) == 3


def test_absent_files_are_downloaded(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(amat, "ADDRESS", root.as_uri() + "/")
    check(read(tmp_path / "new"))
    assert len(list((tmp_path / "new" / "binarized_mnist").glob("*.amat"))) == 3
    assert capsys.readouterr().out == ""


def test_half_a_download_is_not_kept(root, tmp_path, monkeypatch):
    monkeypatch.setattr(amat, "ADDRESS", root.as_uri() + "/")
    monkeypatch.setattr(amat.shutil, "copyfileobj", lambda response, file: file.write(response.read(100)))
    refused("could not be downloaded .*the connection broke off", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_of_a_download_that_fails_at_the_second_file_nothing_stays(root, tmp_path, monkeypatch):
    monkeypatch.setattr(amat, "ADDRESS", root.as_uri() + "/")
    (root / "binarized_mnist_valid.amat").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").touch()
    refused("_valid.amat is not in .*/new or .*/new/binarized_mnist and could not", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["mine.txt"]


@pytest.mark.parametrize("given", [".", "a", "a/b/c", "a/b/c/d"])
def test_files_that_lie_above_or_below_are_pointed_to(given, root, tmp_path, monkeypatch):
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    for path in root.iterdir():
        path.rename(tmp_path / "a" / "b" / path.name)
    monkeypatch.setattr(amat, "ADDRESS", (tmp_path / "nowhere").as_uri() + "/")
    refused("/a/b holds binarized_mnist_train.amat: is data.root=/.*/a/b meant", tmp_path / given)


def test_without_network_the_files_are_asked_for(tmp_path, cache, monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network\nhere")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    refused(
        r"_train.amat is not in .*new/binarized_mnist .*\(URLError: .*no network here>\); put .*_test.amat there",
        tmp_path / "new",
    )
