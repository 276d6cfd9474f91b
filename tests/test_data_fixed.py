"""The fixed binarisation of MNIST: its text files, the bits that are kept, and refusals. No network is used."""

import gzip
import hashlib
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
import torch

from pixelrnn.datasets import load, published
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
        monkeypatch.setitem(published.CONTENT, part, digests[part])
    return folder


@pytest.fixture
def parsed(monkeypatch):
    """The parts whose text has been read."""
    calls, parse = [], published._parse
    monkeypatch.setattr(published, "_parse", lambda text, part: calls.append(part) or parse(text, part))
    return calls


def check(data):
    for part, read in zip(PARTS, (data.train, data.valid, data.test), strict=True):
        assert read.dtype == torch.uint8 and torch.equal(read, images(part))


def test_the_text_and_the_bits_that_are_kept_hold_the_same_images(root, cache, parsed):
    data = read(root)
    assert data.name == "MNIST 28x28, fixed binarisation (train 30 / valid 10 / test 10)"
    assert data.levels == 2 and not data.dynamic
    check(data)
    check(read(root))
    assert parsed == list(PARTS)  # once
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"binarized_mnist_{part}.bits" for part in PARTS)
    assert len(list(root.iterdir())) == 3


def test_files_in_their_own_folder(root):
    (root / "binarized_mnist").mkdir()
    for part in PARTS:
        name = f"binarized_mnist_{part}.amat"
        (root / name).rename(root / "binarized_mnist" / name)
    check(read(root))


def test_gzipped_text_is_read_too(root):
    for path in list(root.iterdir()):
        (root / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    check(read(root))
    (root / "binarized_mnist_train.amat.gz").write_bytes(b"no archive")
    published.data_folder().joinpath("binarized_mnist_train.bits").unlink()
    refused("binarized_mnist_train.amat.gz is not the published file", root)


def test_the_default_root_is_the_cache(root, cache):
    root.rename(cache)
    check(load("binarized_mnist"))


def test_bits_that_cannot_be_kept_are_read_again(root, cache, parsed):
    cache.touch()  # no folder
    check(read(root))
    check(read(root))
    assert parsed == [*PARTS, *PARTS]


@pytest.mark.parametrize("damage", [b"", b"PK", "bits"])
def test_damaged_bits_are_replaced(damage, root, cache, parsed):
    read(root)
    kept = cache / "binarized_mnist_test.bits"
    kept.write_bytes(bytes([kept.read_bytes()[0] ^ 1]) + kept.read_bytes()[1:] if damage == "bits" else damage)
    check(read(root))
    check(read(root))
    assert parsed == [*PARTS, "test"]


@pytest.mark.parametrize(
    "content",
    [
        text(BITS["train"][:29]),
        text(BITS["train"])[:-100],
        text(BITS["train"]).replace("1", "2", 1),
        text(BITS["train"]).replace("0", "/", 1),
        text(BITS["train"][::-1]),
        "<html>sign in</html>",
        "",
    ],
    ids=["rows", "values", "two", "slash", "order", "page", "empty"],
)
def test_another_text_is_refused(content, root):
    (root / "binarized_mnist_train.amat").write_text(content)
    refused(
        "binarized_mnist_train.amat is not the published file .it holds other images.; delete it and run again to "
        "download it, or get it from http://www.cs.toronto",
        root,
    )


def test_a_smaller_size_takes_every_second_pixel(root):
    data = read(root, size=14, channels=3, limit=4)
    assert data.shape == (3, 14, 14)
    assert "MNIST 14x14 RGB, fixed binarisation, one pixel of each 2x2 (train 4 of 30 /" in data.name
    strided = images("test")[:, :, ::2, ::2]
    assert all(any(torch.equal(image[:1], other) for other in strided) for image in data.test)
    refused("data.size=16: .* must divide 28 .* or data.binarization=dynamic", root, size=16)
    refused("data.size=56", root, size=56)


def test_missing_files_are_downloaded(root, tmp_path, cache, monkeypatch, capsys):
    monkeypatch.setattr(published, "ADDRESS", root.as_uri() + "/")
    check(read(tmp_path / "new"))
    assert len(list(cache.iterdir())) == 3 and not (tmp_path / "new").exists()
    assert capsys.readouterr().out == ""


def test_half_a_download_is_not_kept(root, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(published, "ADDRESS", root.as_uri() + "/")
    (root / "binarized_mnist_train.amat").write_text(text(BITS["train"])[:100])
    refused("could not be downloaded .*it holds other images", tmp_path / "new")
    assert not (tmp_path / "new").exists() and not cache.exists()


def test_a_download_that_fails_at_the_second_file_leaves_the_folder_as_it_was(root, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "ADDRESS", root.as_uri() + "/")
    (root / "binarized_mnist_valid.amat").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine.txt").touch()
    refused("_valid.amat of file:.* is not in .*/new/binarized_mnist and could not", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["mine.txt"]


@pytest.mark.parametrize("given", [".", "a", "a/b/c", "a/b/c/d"])
def test_the_message_points_to_files_above_or_below(given, root, tmp_path, monkeypatch):
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    for path in root.iterdir():
        path.rename(tmp_path / "a" / "b" / path.name)
    monkeypatch.setattr(published, "ADDRESS", (tmp_path / "nowhere").as_uri() + "/")
    refused("/a/b holds binarized_mnist_train.amat: is data.root=/.*/a/b meant", tmp_path / given)


def test_without_network_the_files_are_asked_for(tmp_path, cache, monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network\nhere")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    refused(
        r"_train.amat of .* is not in .*new/binarized_mnist .*\(URLError: .*no network here>\); put .*_test.amat there",
        tmp_path / "new",
    )
