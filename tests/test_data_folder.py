"""A folder of the user's own pictures: parts and splits, sizes, colour and refusals."""

import os
import re

import numpy as np
import pytest
import torch
from PIL import Image

from pixelrnn.datasets import folder as folder_function
from pixelrnn.datasets import load
from pixelrnn.errors import UserError, notes_to
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


@pytest.mark.parametrize("given", [("train", "test"), ("train", "valid"), ("train",)])
def test_a_missing_part_is_about_a_tenth_of_train(given, tmp_path):
    for i, part in enumerate(given):
        pictures(tmp_path / part, 200 if part == "train" else 4, 4, 4, start=1000 * i)
    data = read(tmp_path)
    drawn = [getattr(data, part) for part in ("valid", "test") if part not in given]
    assert all(10 <= len(part) <= 30 for part in drawn)
    assert rows(data.train, *drawn) == expected(range(200), 4, 4)


def where(data):
    """The part of each image."""
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    return {image.numpy().tobytes(): part for part, images in parts.items() for image in images}


def test_a_picture_keeps_its_part_when_others_come_and_go_and_when_it_is_renamed(tmp_path):
    pictures(tmp_path / "a" / "cats", 60, 4, 4)
    pictures(tmp_path / "a" / "dogs", 40, 4, 4, start=60)
    before = where(read(tmp_path / "a"))
    assert len(before) == 100 and set(before.values()) == {"train", "valid", "test"}
    (tmp_path / "a" / "cats" / "000.png").unlink()
    pictures(tmp_path / "a", 30, 4, 4, start=100)
    (tmp_path / "a" / "dogs").rename(tmp_path / "a" / "an earlier name")
    (tmp_path / "a").rename(tmp_path / "b")
    after = where(read(tmp_path / "b"))
    assert len(after) == 129 and all(after[image] == before[image] for image in after.keys() & before.keys())


def test_copies_of_a_picture_are_in_one_part(tmp_path):
    pictures(tmp_path / "a", 40, 4, 4)
    pictures(tmp_path / "b", 40, 4, 4)
    data = read(tmp_path)
    assert sum(counts(data)) == 80 and len(rows(data.train)) == 2 * len(set(rows(data.train)))


def test_a_small_folder_has_a_picture_in_each_part_and_says_that_they_may_move(tmp_path):
    pictures(tmp_path, 3, 4, 4)
    with pytest.warns(UserWarning, match=r"too few pictures to fill (valid|test) by"):
        assert counts(read(tmp_path)) == [1, 1, 1]


@pytest.mark.parametrize("name", ["val", "Validation", "dev", "VALID", "val2017", "valid_set", "val-images"])
def test_parts_have_several_names(name, tmp_path):
    pictures(tmp_path / "Training", 5, 4, 4)
    pictures(tmp_path / name, 2, 4, 4, start=5)
    pictures(tmp_path / "testset", 3, 4, 4, start=7)
    data = read(tmp_path)
    assert counts(data) == [5, 2, 3] and rows(data.valid) == expected((5, 6), 4, 4)


def test_a_folder_for_valid_that_is_added_leaves_test_as_it_is(tmp_path):
    pictures(tmp_path / "train", 100, 4, 4)
    before = read(tmp_path)
    pictures(tmp_path / "valid", 5, 4, 4, start=100)
    assert rows(read(tmp_path).test) == rows(before.test)


def test_parts_in_a_deeper_folder_are_reported(tmp_path):
    pictures(tmp_path / "unpacked" / "train" / "cats", 60, 4, 4)
    pictures(tmp_path / "unpacked" / "val" / "cats", 6, 4, 4, start=60)
    with pytest.warns(UserWarning, match="is split anew: train and val lie in a folder below"):
        assert sum(counts(read(tmp_path))) == 66


def test_two_folders_for_one_part_are_refused(tmp_path):
    for name in ("train", "val", "validation"):
        pictures(tmp_path / name, 3, 4, 4)
    refused("two folders for valid, val and validation: rename one", tmp_path)


def left_out(root):
    """The line that says what was left out of a folder, and the number of pictures that are read."""
    with pytest.warns(UserWarning, match="files left out of") as caught:
        data = read(root)
    (line,) = [str(w.message) for w in caught if "left out" in str(w.message)]
    return sum(counts(data)), line.split(": ", 1)[1]


def test_files_left_out_are_counted_by_kind(tmp_path):
    pictures(tmp_path, 40, 4, 4)
    (tmp_path / "old.png").mkdir()  # only its name is a picture's
    pictures(tmp_path / "old.png", 1, 4, 4, start=40)
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        pictures(tmp_path / name, 3, 4, 4)
    for name in ("._000.png", ".DS_Store", "photo.HEIC", "a.txt", "b.txt", "Thumbs.db", "README"):
        (tmp_path / name).write_bytes(b"no picture")
    count, line = left_out(tmp_path)
    assert count == 41
    assert sorted(line.split(", ")) == [
        "1 .db",
        "1 .heic",
        "1 without suffix",
        "2 .txt",
        "2 hidden",
        "3 in .ipynb_checkpoints/",
        "3 in @eaDir/",
        "3 in __MACOSX/",
    ]
    for i in range(100):
        (tmp_path / f"x.{i:03}").touch()
    assert len(left_out(tmp_path)[1]) == 501 and left_out(tmp_path)[1].endswith("…")


def test_pictures_beside_the_parts_are_counted(tmp_path):
    pictures(tmp_path / "train", 60, 4, 4)
    pictures(tmp_path / "test", 3, 4, 4)
    pictures(tmp_path / "extra" / "more", 4, 4, 4)
    pictures(tmp_path, 1, 4, 4)
    assert left_out(tmp_path) == (63, "5 beside test and train")


def test_a_folder_that_may_not_be_listed_is_counted(tmp_path, monkeypatch):
    pictures(tmp_path, 40, 4, 4)
    pictures(tmp_path / "private", 2, 4, 4)
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert left_out(tmp_path) == (40, "1 folder private/ (Permission denied)")


def test_links_are_followed_once(tmp_path):
    pictures(tmp_path / "elsewhere" / "cats", 40, 4, 4)
    photos = tmp_path / "photos"
    pictures(photos / "dogs", 10, 4, 4, start=40)
    (photos / "cats").symlink_to(tmp_path / "elsewhere" / "cats")
    assert sum(counts(read(photos))) == 50
    (photos / "a.png").symlink_to(photos / "dogs" / "040.png")
    (photos / "again").symlink_to(tmp_path / "elsewhere")
    (photos / "dogs" / "up").symlink_to(photos)
    (photos / "gone.png").symlink_to("nowhere")
    count, line = left_out(photos)
    assert count == 50 and sorted(line.split(", ")) == ["1 behind a broken link", "3 reached a second time by a link"]


def test_a_limit_takes_some_and_decodes_no_others(tmp_path, monkeypatch):
    pictures(tmp_path, 100, 4, 4)
    opened, read_picture = [], folder_function.__globals__["read_picture"]
    monkeypatch.setitem(
        folder_function.__globals__, "read_picture", lambda path: opened.append(path) or read_picture(path)
    )
    data = read(tmp_path, limit=3)
    assert counts(data) == [3, 3, 3] and len(opened) == 9
    assert re.search(r"\(train 3 of \d+ / valid 3 of \d+ / test 3 of \d+\)$", data.name)
    whole = where(read(tmp_path))
    assert all(whole[image] == part for image, part in where(data).items())


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "ppm", "webp", "JPG", "jfif"])
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
    (tmp_path / "a.heic").touch()
    refused(r"holds no pictures .*; it holds 1 \.heic", tmp_path)
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


def test_changed_pictures_are_counted(tmp_path):
    """One picture each is cropped, enlarged, transparent, turned, and grey among coloured ones."""
    exif = Image.Exif()
    exif[0x0112] = 6
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    for i in range(4):
        Image.fromarray(np.roll(colour, i, 0)).save(tmp_path / f"{i}.png")
    Image.fromarray(colour[:, :6]).save(tmp_path / "long.png")
    Image.fromarray(colour[:2, :2]).save(tmp_path / "small.png")
    Image.fromarray(np.dstack([colour, colour[..., 0] // 2])).save(tmp_path / "clear.png")
    Image.fromarray(colour).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(colour[..., 0]).save(tmp_path / "grey.png")
    said = []
    with notes_to(said.append):
        load({"name": "folder", "root": str(tmp_path), "size": 6})
    (line,) = (line for line in said if "changed as they were read" in line)
    words = ("turned upright (EXIF)", "laid on white (transparent)", "cropped to a square", "enlarged")
    assert all(f"1 {word}" in line for word in (*words, "grey, kept as RGB because others are in colour"))
    said.clear()
    with notes_to(said.append):
        load({"name": "folder", "root": str(tmp_path), "size": 6, "channels": 1})
    assert any("8 made grey" in line for line in said)
