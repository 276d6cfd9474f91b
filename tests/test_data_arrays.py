"""Images in a NumPy file: shapes, parts, levels and refusals."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch
from conftest import SMALL

from pixelrnn.datasets import load
from pixelrnn.errors import UserError, notes_to


def noise(*shape, high=256):
    return np.random.RandomState(0).randint(high, size=shape).astype(np.uint8)


def read(path, **options):
    """The data set, and the notes."""
    notes = []
    with notes_to(notes.append):
        return load({"name": "array", "root": str(path), **options}), notes


def save(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("shape", "channels"), [((4, 5), 1), ((4, 5, 1), 1), ((1, 4, 5), 1), ((4, 5, 3), 3), ((3, 4, 5), 3)]
)
def test_channels_may_come_first_or_last(tmp_path, shape, channels):
    train, test = noise(6, *shape), noise(2, *shape)
    path = save(tmp_path / "x.npz", x_train=train, x_valid=test, x_test=test, y_train=np.arange(6))
    data, notes = read(path)
    assert data.shape == (channels, 4, 5) and data.levels == 256
    expected = torch.from_numpy(train).reshape(6, -1).sort().values
    assert torch.equal(data.train.flatten(1).sort().values, expected)
    corner = train[0].reshape(4, 5, -1)[0, 1] if shape[0] == 4 else train[0][:, 0, 1]
    assert data.train[0, :, 0, 1].tolist() == corner.tolist()
    assert notes == [f"arrays left out of {path}: y_train"]


def test_missing_parts_are_taken_from_the_images_always_the_same(tmp_path):
    np.save(tmp_path / "x.npy", noise(50, 4, 4))
    data, notes = read(tmp_path / "x.npy")
    assert [len(part) for part in (data.train, data.valid, data.test)] == [40, 5, 5]
    assert "has no valid and no test part: a tenth of the images is taken for each" in notes[0]
    together = torch.cat([data.train, data.valid, data.test]).flatten(1)
    assert {tuple(row) for row in together.tolist()} == {tuple(row.flatten().tolist()) for row in noise(50, 4, 4)}
    again, _ = read(save(tmp_path / "y.npz", images=noise(50, 4, 4)))
    assert torch.equal(again.test, data.test) and torch.equal(again.train, data.train)


@pytest.mark.parametrize(
    ("high", "options", "levels", "largest", "said"),
    [
        (2, {}, 2, 1, "taken for levels from 0 to 1"),
        (17, {"levels": 17}, 17, 16, "taken for levels from 0 to 16"),
        (17, {}, 256, 16, "if the values are levels and not 8-bit greys, set data.levels=17"),
        (256, {"levels": 4}, 4, 3, ""),
        (2, {"levels": 256}, 256, 1, "if the values are levels and not 8-bit greys, set data.levels=2"),
        (2, {"binarization": "threshold"}, 2, 1, "taken for levels from 0 to 1"),
        (12, {"levels": 8}, 8, 0, "set data.levels=12"),
        (256, {"binarization": "dynamic"}, 2, 255, ""),
    ],
)
def test_the_values_are_greys_or_levels(tmp_path, high, options, levels, largest, said):
    data, notes = read(
        save(tmp_path / "x.npz", x_train=noise(30, 8, 8, high=high), x_test=noise(3, 8, 8, high=high)), **options
    )
    assert (data.levels, int(data.train.max())) == (levels, largest)
    assert any(said in note for note in notes) if said else not any("levels" in note for note in notes)


def test_images_of_0_and_1_have_no_greys_to_draw_from(tmp_path):
    with pytest.raises(UserError, match="leave it out for images of 0 and 1"):
        read(save(tmp_path / "x.npz", images=noise(30, 4, 4, high=2)), binarization="dynamic")


def test_parts_on_different_scales_are_refused(tmp_path):
    path = save(tmp_path / "x.npz", x_train=noise(30, 4, 4, high=2), x_test=noise(3, 4, 4, high=256))
    with pytest.raises(UserError, match="give all parts the same levels"):
        read(path)


def test_arrays_have_no_fixed_binarisation(tmp_path):
    with pytest.raises(UserError, match="fixed needs data=binarized_mnist"):
        read(save(tmp_path / "x.npz", images=noise(30, 4, 4, high=2)), binarization="fixed")


def test_truth_values_are_two_levels(tmp_path):
    data, _ = read(save(tmp_path / "x.npz", images=noise(30, 4, 4, high=2).astype(bool)))
    assert data.levels == 2 and data.train.dtype == torch.uint8


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"images": np.random.rand(9, 4, 4)}, "holds float64; .*: multiply values .* by 255"),
        ({"images": np.zeros((9, 4, 4), np.int64)}, r"holds int64; .*astype\(np.uint8\)"),
        ({"images": np.zeros((9, 4, 4), np.uint16)}, "holds uint16; .* by 257"),
        ({"images": np.array([None] * 3)}, "holds object; images are uint8"),
        ({"images": noise(28, 28, 3)}, "one picture H×W×C"),
        ({"images": noise(9, 4, 4, 4)}, r"has the shape \(9, 4, 4, 4\); images are N×H×W"),
        ({"images": noise(16)}, "images are N×H×W"),
        ({"images": noise(0, 4, 4)}, "holds no pixel"),
        ({"images": noise(2, 4, 4)}, "2 images in .* cannot be split"),
        ({"pictures": noise(9, 4, 4)}, "holds pictures; it needs the array images, or x_train"),
        ({"x_test": noise(9, 4, 4)}, "holds x_test; it needs"),
        ({"x_train": noise(9, 4, 4), "x_test": noise(9, 5, 4)}, "parts hold images of different shapes"),
    ],
)
def test_other_arrays_are_refused_in_one_line(tmp_path, arrays, says):
    with pytest.raises(UserError, match=says) as caught:
        read(save(tmp_path / "x.npz", **arrays))
    assert "\n" not in str(caught.value)


def test_a_damaged_or_hostile_file_is_refused(tmp_path):
    good = save(tmp_path / "x.npz", images=noise(30, 4, 4)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.npy").write_text("no array")
    huge = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 999, 999), }"
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        header = huge.ljust(117) + b"\n"
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with zipfile.ZipFile(tmp_path / "together.npz", "w") as archive:
        for key in ("x_train", "x_test"):  # each is small enough
            header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999, 999, 999), }".ljust(117) + b"\n"
            archive.writestr(f"{key}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "pipe.npz")
    os.mkfifo(tmp_path / "pipe.npy")
    for name, says in (
        ("cut.npz", "cannot be read"),
        ("text.npy", "cannot be read"),
        ("huge.npz", "GiB of memory"),
        ("together.npz", "take 19 GiB of memory, more than the 16"),
        ("folder.npz", "is not a regular file"),
        ("pipe.npz", "is not a regular file"),
        ("pipe.npy", "is not a regular file"),
        ("none.npz", "is not there"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_model_is_trained_on_an_array_and_evaluated_on_it_again(call, tmp_path):
    save(tmp_path / "x.npz", images=noise(30, 4, 4, high=2))
    code, _, err = call("train", "data=array", "data.root=x.npz", *SMALL, "hydra.run.dir=run")
    assert code == 0, err
    code, out, err = call("evaluate", "checkpoint=run", "completions=0", "occlusion=half")
    assert code == 0 and "array x 4x4, 2 levels (train 24 / valid 3 / test 3)" in out, err
    code, _, err = call("complete", "checkpoint=run", "occlusion=half", "count=1", "limit=1", "hydra.run.dir=done")
    assert code == 0, err
    saved = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    saved["trained_on"]["data"]["root"] = None
    (tmp_path / "run" / "best" / "config.json").write_text(json.dumps(saved))
    code, _, err = call("evaluate", "checkpoint=run", "completions=0", "occlusion=half")
    assert code == 2 and "was trained on a file of arrays: give root=<such a file>" in err
