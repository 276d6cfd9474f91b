"""A folder of the user's own pictures: parts and splits, sizes, colour, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from pixelrnn.data import folder as folder_function
from pixelrnn.data import load
from pixelrnn.errors import UserError
from pixelrnn.pixels import requantise


def noise(*shape, seed=0):
    return np.random.RandomState(seed).randint(256, size=shape).astype(np.uint8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def pictures(folder, count, *shape, start=0):
    """Saves `count` pictures, each of other noise."""
    for i in range(start, start + count):
        save(folder / f"{i:03}.png", noise(*shape, seed=i))


def read(root, **options):
    return load({"name": "folder", "root": str(root), **options})


def refused(pattern, root, **options):
    with pytest.raises(UserError, match=pattern) as caught:
        read(root, **options)
    assert "\n" not in str(caught.value)


def counts(data):
    return [len(data.train), len(data.valid), len(data.test)]


def rows(*parts):
    return sorted(image.numpy().tobytes() for part in parts for image in part)


def expected(indices, *shape):
    return sorted(noise(*shape, seed=i).tobytes() for i in indices)


def test_three_folders_are_the_three_parts(tmp_path):
    for part, count, start in (("train", 5, 0), ("valid", 2, 5), ("test", 3, 7)):
        pictures(tmp_path / "mine" / part, count, 6, 4, start=start)
    data = read(tmp_path / "mine")
    assert data.name == "folder mine 6x4, 256 levels (train 5 / valid 2 / test 3)"
    assert data.shape == (1, 6, 4) and data.levels == 256 and not data.dynamic
    assert rows(data.train) == expected(range(5), 6, 4)
    assert rows(data.valid) == expected((5, 6), 6, 4)
    assert rows(data.test) == expected((7, 8, 9), 6, 4)


@pytest.mark.parametrize(
    ("given", "split"),
    [({"train": 30, "test": 4}, [27, 3, 4]), ({"train": 30, "valid": 4}, [27, 4, 3]), ({"train": 30}, [24, 3, 3])],
)
def test_a_missing_part_is_a_tenth_of_train(given, split, tmp_path):
    for i, (part, count) in enumerate(given.items()):
        pictures(tmp_path / part, count, 4, 4, start=100 * i)
    data = read(tmp_path)
    assert counts(data) == split
    drawn = [
        part for part, name in ((data.train, "train"), (data.valid, "valid"), (data.test, "test")) if name not in given
    ]
    assert rows(data.train, *drawn) == expected(range(30), 4, 4)
    assert rows(read(tmp_path).valid) == rows(data.valid)


def test_a_flat_folder_is_split_by_its_sorted_paths(tmp_path):
    pictures(tmp_path / "a" / "cats", 25, 4, 4)
    pictures(tmp_path / "a" / "dogs", 15, 4, 4, start=25)
    data = read(tmp_path / "a")
    assert counts(data) == [32, 4, 4]
    assert rows(data.train, data.valid, data.test) == expected(range(40), 4, 4)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = read(tmp_path / "b")
    assert torch.equal(moved.train, data.train) and torch.equal(moved.test, data.test)


def test_a_limit_is_taken_before_the_pictures_are_read(tmp_path, monkeypatch):
    pictures(tmp_path, 40, 4, 4)
    opened, open_picture = [], folder_function.__globals__["open_picture"]
    monkeypatch.setitem(
        folder_function.__globals__, "open_picture", lambda path: opened.append(path) or open_picture(path)
    )
    data = read(tmp_path, limit=3)
    assert counts(data) == [3, 3, 3] and len(opened) == 9
    assert data.name.endswith("(train 3 of 32 / valid 3 of 4 / test 3 of 4)")
    assert set(rows(data.test)) <= set(rows(read(tmp_path).test))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "ppm", "webp", "JPG"])
def test_any_format_serves(suffix, tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.{suffix}", noise(4, 4, seed=i))
    assert read(tmp_path).test.shape == (1, 1, 4, 4)


def test_one_picture_in_colour_makes_all_of_them_rgb(tmp_path):
    pictures(tmp_path, 9, 4, 4)
    save(tmp_path / "grey.png", noise(4, 4, 1).repeat(3, axis=2))  # saved as RGB, and grey
    assert read(tmp_path).shape == (1, 4, 4)
    colour = noise(4, 4, 3, seed=99)
    save(tmp_path / "zz.png", colour)
    data = read(tmp_path)
    assert data.shape == (3, 4, 4) and " 4x4 RGB, " in data.name
    everything = rows(data.train, data.valid, data.test)
    assert colour.transpose(2, 0, 1).tobytes() in everything
    assert noise(4, 4)[None].repeat(3, axis=0).tobytes() in everything

    grey = read(tmp_path, channels=1)
    assert grey.shape == (1, 4, 4)
    assert np.asarray(Image.fromarray(colour).convert("L")).tobytes() in rows(grey.train, grey.valid, grey.test)


def test_grey_pictures_as_rgb_if_asked(tmp_path):
    pictures(tmp_path, 3, 4, 4)
    assert read(tmp_path, channels=3).shape == (3, 4, 4)


def test_size_takes_the_centre_square(tmp_path):
    for i, (height, width) in enumerate([(8, 12), (8, 8), (9, 8), (4, 30), (2, 2)]):
        save(tmp_path / f"{i}.png", noise(height, width, seed=i))
    data = read(tmp_path, size=8)
    everything = rows(data.train, data.valid, data.test)
    assert noise(8, 12)[:, 2:10].tobytes() in everything and noise(8, 8, seed=1).tobytes() in everything

    # Pillow averages rows, then columns, and rounds after each.
    halves = noise(8, 12)[:, 2:10].reshape(4, 2, 4, 2).mean((1, 3))
    data = read(tmp_path, size=4)
    assert any(np.abs(image.numpy() - halves).max() <= 1 for image in torch.cat([data.train, data.valid, data.test]))


def test_levels(tmp_path):
    pictures(tmp_path, 10, 4, 4)
    native, data = read(tmp_path), read(tmp_path, levels=4)
    assert torch.equal(data.train, requantise(native.train, 256, 4)) and ", 4 levels (" in data.name
    assert "binarised by threshold" in read(tmp_path, levels=2).name


def test_a_root_must_be_given_and_hold_pictures(tmp_path):
    for root in (None, ""):
        with pytest.raises(UserError, match=r"data=folder needs data\.root"):
            load({"name": "folder", "root": root})
    refused("nowhere: no such folder; set data.root", tmp_path / "nowhere")
    refused("holds no pictures", tmp_path)
    pictures(tmp_path / "train", 5, 4, 4)
    (tmp_path / "test").mkdir()
    refused("test holds no pictures", tmp_path)


def test_parts_without_pictures_are_refused(tmp_path):
    pictures(tmp_path / "test", 5, 4, 4)
    refused("has the folder test but not train", tmp_path)
    pictures(tmp_path / "train", 1, 4, 4)
    refused("1 pictures in .* train and valid: .*at least 2", tmp_path)
    pictures(tmp_path / "flat", 2, 4, 4)
    refused("2 pictures in .* train and valid and test: .*at least 3", tmp_path / "flat")
    pictures(tmp_path / "flat", 3, 4, 4)
    assert counts(read(tmp_path / "flat")) == [1, 1, 1]


def test_unequal_sizes_name_two_files(tmp_path):
    for part in ("train", "valid", "test"):
        pictures(tmp_path / part, 2, 6, 4)
    save(tmp_path / "valid" / "odd.png", noise(4, 6))
    refused(r"train/000.png is 4x6 and .*valid/odd.png is 6x4 \(width x height\): set data.size", tmp_path)


def test_a_corrupt_picture_is_named(tmp_path):
    pictures(tmp_path, 5, 4, 4)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    refused("bad.png is not a picture", tmp_path)
    (tmp_path / "bad.png").write_bytes((tmp_path / "000.png").read_bytes()[:45])
    refused("bad.png cannot be read", tmp_path)


def test_pictures_that_do_not_fit_in_memory_are_refused(tmp_path, monkeypatch):
    pictures(tmp_path, 10, 4, 4)
    monkeypatch.setitem(folder_function.__globals__, "MAX_BYTES", 10 * 4 * 4)
    assert read(tmp_path).shape == (1, 4, 4)
    refused("10 pictures of 4x4 take .* GiB of memory, .* set data.size", tmp_path, channels=3)
