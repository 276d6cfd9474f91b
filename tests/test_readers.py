"""Files from strangers are read, or refused in one line, in little time and memory. make fuzz finds more."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_model
from PIL import Image
from safetensors.torch import load_file, save_file

import pixelrnn
from pixelrnn import UserError, occlusion
from pixelrnn.checkpoint import CONFIG, WEIGHTS
from pixelrnn.datasets import folder
from pixelrnn.datasets import load as load_data
from pixelrnn.files import pictures
from pixelrnn.files.pictures import open_picture, read_mask, to_tensor
from stress.fuzz import READERS, Target, failure_of

CORPUS = Path(__file__).parent / "corpus"
GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
ALPHA = np.where(GREY < 120, 0, 255).astype(np.uint8)
DAMAGED = [
    struct.error,
    OverflowError,
    MemoryError,
    RecursionError,
    EOFError,
    SyntaxError,
    TypeError,
    KeyError,
    zlib.error,
]


def refused(says, call, *args, **options):
    """The one line with which a call is refused."""
    with pytest.raises(UserError, match=says) as error:
        call(*args, **options)
    message = str(error.value)
    assert message.isprintable() and len(message) < 1000
    return message


def written(path, picture, kind="PNG", **options):
    picture.save(path, kind, **options)
    return path


def values(path):
    return to_tensor(open_picture(path)).tolist()


@pytest.mark.parametrize("reader", READERS)
def test_files_that_once_broke_a_reader_are_refused_or_read(reader, tmp_path):
    files = sorted((CORPUS / reader).glob("*"))
    target = Target(reader, tmp_path) if files else None
    for file in files:
        assert failure_of(target, int(file.name.split("-")[0]), file.read_bytes()) == "", file


# Pictures


def test_a_large_file_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "a.png", Image.fromarray(GREY))
    monkeypatch.setattr(pictures, "MAX_BYTES", path.stat().st_size)
    assert values(path) == [GREY.tolist()]
    monkeypatch.setattr(pictures, "MAX_BYTES", path.stat().st_size - 1)
    refused("has more than", open_picture, path)


@pytest.mark.parametrize("read", [open_picture, read_mask])
def test_only_regular_files_are_read(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    refused("is not a regular file", read, tmp_path / "pipe.png")
    refused("is not a regular file", read, "/dev/zero")
    refused("is a folder", read, tmp_path)
    refused("no such file", read, tmp_path / "loop.png")
    refused("no such file", read, tmp_path / "gone.png")
    refused("no such file", read, tmp_path / "a\n\x1b[2Jb.png")
    refused("is no path", read, "a\0.png")
    refused("no such file", read, "a" * 300 + ".png")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "PCX", "JPEG2000", "SGI", "IM", "DDS"])
def test_other_formats_are_not_parsed(kind, tmp_path):
    path = written(tmp_path / "a.png", Image.fromarray(COLOUR), kind)
    refused("not a picture that can be read", open_picture, path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_the_content_tells_the_format(kind, tmp_path):
    path = written(tmp_path / "a.txt", Image.fromarray(GREY), kind)
    assert np.abs(np.array(values(path))[0].astype(int) - GREY).max() < 30


def test_a_bomb_is_refused(tmp_path):
    path, row = tmp_path / "a.png", zlib.compress(bytes(10**6))
    header = struct.pack(">LLBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", row), (b"IEND", b"")]
    packed = [struct.pack(">L", len(d)) + n + d + struct.pack(">L", zlib.crc32(n + d)) for n, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    refused("60000x60000|exceeds limit", open_picture, path)


def test_any_number_of_bits_is_read(tmp_path):
    path, grey = tmp_path / "a.tiff", [GREY.tolist()]
    assert values(written(path, Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF")) == grey
    assert values(written(path, Image.fromarray(GREY.astype(np.uint16) * 257), "PNG")) == grey
    assert values(written(path, Image.fromarray(GREY.astype(np.uint16) * 257), "PPM")) == grey
    assert values(written(path, Image.fromarray(GREY.astype(np.int32) * 257), "TIFF")) == grey
    assert values(written(path, Image.fromarray(GREY.astype(np.float32) / 255), "TIFF")) == grey
    assert values(written(path, Image.fromarray(GREY > 90).convert("1"), "TIFF")) == [((GREY > 90) * 255).tolist()]
    assert (
        values(
            written(path, Image.frombytes("I;16B", (6, 4), (GREY.astype(">u2") * 257).astype(">u2").tobytes()), "TIFF")
        )
        == grey
    )
    for wrong in (GREY.astype(np.float32), GREY - np.float32(1), GREY * np.float32("nan")):
        refused("floating-point values", open_picture, written(path, Image.fromarray(wrong), "TIFF"))
    refused(
        "0 to 65535 can be read", open_picture, written(path, Image.fromarray(GREY.astype(np.int32) * 9999), "TIFF")
    )


def test_any_colours_are_read(tmp_path):
    path, colour = tmp_path / "a.tiff", Image.fromarray(COLOUR)
    made = {"CMYK": colour.convert("CMYK"), "YCbCr": colour.convert("YCbCr"), "LAB": lab(colour)}
    for mode, picture in made.items():
        read = np.array(values(written(path, picture, "TIFF", compression="tiff_lzw")))
        assert read.shape == (3, 4, 6)
        assert np.abs(read.transpose(1, 2, 0) - COLOUR.astype(int)).mean() < 12, mode
    jpeg = values(written(path, Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"))
    assert np.abs(np.array(jpeg)[:, 0, 0] - [0, 255, 255]).max() < 30
    assert values(written(path, colour.quantize(24), "PNG")) == to_tensor(colour.quantize(24).convert("RGB")).tolist()


def lab(picture):
    from PIL import ImageCms

    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    return ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")


@pytest.mark.parametrize("read", [values, lambda path: read_mask(path).tolist()])
def test_transparency_of_any_mode_is_white(read, tmp_path):
    path, expected = tmp_path / "a.png", np.where(ALPHA == 0, 255, GREY)
    expected = [expected.tolist()] if read is values else (ALPHA == 0).tolist()
    grey, alpha = Image.fromarray(GREY), Image.fromarray(ALPHA)
    grey_alpha = Image.merge("LA", [grey, alpha])
    assert read(written(path, grey_alpha)) == expected
    assert read(written(path, grey_alpha.convert("RGBA"))) == expected
    assert read(written(path, grey_alpha.convert("RGBA"), "TIFF")) == expected
    assert read(written(path, grey_alpha, "TIFF")) == expected
    assert read(written(path, grey_alpha.convert("RGBA"), "WEBP", lossless=True)) == expected
    palette = Image.fromarray(GREY // 10)
    palette.putpalette([shade for i in range(24) for shade in [10 * i] * 3])
    assert read(written(path, palette, transparency=bytes(ALPHA.flatten()))) == expected
    wide = Image.fromarray(GREY.astype(np.uint16) * 257)
    one = np.where(GREY == 50, 255, GREY)
    assert read(written(path, wide, transparency=50 * 257)) == (
        [one.tolist()] if read is values else (GREY == 50).tolist()
    )
    assert read(written(path, grey, transparency=50)) == ([one.tolist()] if read is values else (GREY == 50).tolist())


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA", "RGBX", "HSV"])
def test_rare_modes_are_converted_to_eight_bits(mode):
    whole = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (6, 4), 255)])
    picture = whole.convert("RGBA").convert("RGBa") if mode == "RGBa" else whole.convert("RGB").convert("HSV")
    picture = whole.convert("La") if mode == "La" else whole.convert("PA") if mode == "PA" else picture
    picture = whole.convert("RGB").convert("RGBX") if mode == "RGBX" else picture
    assert picture.mode == mode
    read = to_tensor(pictures._eight_bits(picture)[0]).float().mean(0).numpy()
    assert np.abs(read - GREY).max() <= (3 if mode != "PA" else 30)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_askew(kind, orientation, tmp_path):
    smooth = np.add.outer(np.arange(0, 160, 10), np.arange(0, 80, 10)).astype(np.uint8)
    turns = {2: (1,), 3: (0, 1), 4: (0,)}
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind in ("JPEG", "MPO") else {}
    if kind == "MPO":
        options |= {"save_all": True, "append_images": [Image.new("L", (9, 9))]}
    path = written(tmp_path / "a", Image.fromarray(smooth), kind, exif=exif, **options)
    upright = {5: smooth.T, 6: smooth[::-1].T, 7: smooth[::-1, ::-1].T, 8: smooth.T[::-1]}.get(orientation)
    upright = np.flip(smooth, turns.get(orientation, ())) if upright is None else upright
    read = np.array(values(path)).mean(0)
    assert read.shape == upright.shape and np.abs(read - upright).max() < 6


def test_the_first_of_a_phone_s_pictures_is_read(tmp_path):
    first, second = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))
    path = written(tmp_path / "a.jpg", first, "MPO", save_all=True, append_images=[second])
    assert open_picture(path).getpixel((5, 5))[0] > 200
    path.write_bytes(path.read_bytes() + os.urandom(10_000))  # a video at the end
    assert open_picture(path).getpixel((5, 5))[0] > 200


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_pictures_in_a_file_are_refused(kind, tmp_path):
    more = [Image.fromarray(GREY[::-1])]
    path = written(tmp_path / "a", Image.fromarray(GREY), kind, save_all=True, append_images=more)
    refused("holds several pictures", open_picture, path)
    refused("holds several pictures", read_mask, path)


def test_pictures_in_text_are_read(tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P2 3 1 9\n0 9 9\n")
    assert values(path) == [[[0, 255, 255]]]
    path.write_bytes(b"P2 3000 3000 9\n0 9 9\n")
    refused("is it truncated", open_picture, path)


@pytest.mark.parametrize("error", DAMAGED)
def test_every_error_of_pillow_becomes_one_line(error, tmp_path, monkeypatch):
    path = written(tmp_path / "a.png", Image.fromarray(GREY))

    def fail(*_, **__):
        raise error("several\nlines")

    monkeypatch.setattr(Image, "open", fail)
    refused("cannot be read as a picture", open_picture, path)


# Folders and masks


def test_a_picture_of_a_folder_that_cannot_be_read_is_named(tmp_path):
    for i in range(4):
        written(tmp_path / f"{i}.png", Image.fromarray(GREY))
    spec = {"name": "folder", "root": str(tmp_path)}
    assert load_data(spec).shape == (1, 4, 6)
    (tmp_path / "again").symlink_to(tmp_path)  # a loop of folders
    assert load_data(spec).shape == (1, 4, 6)
    for name, make, says in [
        ("loop.png", lambda path: path.symlink_to(path), "1 behind a broken link"),
        ("gone.png", lambda path: path.symlink_to("nowhere"), "1 behind a broken link"),
        ("pipe.png", os.mkfifo, "1 no regular file"),
    ]:
        make(tmp_path / name)
        with pytest.warns(UserWarning, match=says):
            assert load_data(spec).shape == (1, 4, 6)
        (tmp_path / name).unlink()
    (tmp_path / "text.png").write_text("text")
    assert "text.png" in refused("not a picture", load_data, spec)
    refused("is no path", load_data, {"name": "folder", "root": "a\0b"})


def test_a_file_that_vanishes_is_named(tmp_path, monkeypatch):
    for i in range(4):
        written(tmp_path / f"{i}.png", Image.fromarray(GREY))
    monkeypatch.setitem(folder.__globals__, "_list_pictures", lambda *_: [tmp_path / f"{i}.png" for i in range(4)])
    (tmp_path / "2.png").unlink()
    refused(r"2\.png: no such file", load_data, {"name": "folder", "root": str(tmp_path)})


def test_masks_are_refused_in_one_line(tmp_path):
    path = written(tmp_path / "a.png", Image.fromarray(GREY))
    refused("needs a file", occlusion.build, {"name": "mask"}, 4, 6)
    refused("the same size", occlusion.build, {"name": "mask", "path": str(path)}, 6, 4)
    refused("is not a regular file", occlusion.build, {"name": "mask", "path": "/dev/zero"}, 6, 4)
    refused("must be a word", occlusion.build, {"name": "mask", "path": [1]}, 6, 4)
    refused("is a name, or a name with options", occlusion.build, ["mask"], 6, 4)


# Models


@pytest.fixture
def saved(tmp_path):
    pixelrnn.save(tiny_model((1, 4, 4), 3, window=3, bidirectional=True, orders="symmetries").float(), tmp_path)
    return tmp_path


def edit(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    config["arguments"] |= changes
    (folder / CONFIG).write_text(json.dumps(config))


HUGE = {
    "width": 10**6,
    "depth": 10**6,
    "encoder_width": 10**6,
    "encoder_depth": 10**6,
    "embedding": 10**6,
    "window": 10_001,
    "levels": 10**9,
    "shape": [1, 10**6, 10**6],
    "likelihood": {"name": "categorical", "hidden": 10**6},
}
PROBE = """
import resource, sys, time, pixelrnn
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixelrnn.load("mnist_binary_raster")
assert "torch._dynamo" not in sys.modules  # seconds of every command
for folder in sys.argv[1:]:
    before, began = peak(), time.process_time()
    try:
        pixelrnn.load(folder)
    except pixelrnn.UserError as error:
        print(time.process_time() - began, (peak() - before) / 1024, error)
"""


def test_options_for_a_huge_model_are_refused_at_once(saved):
    """In a process of its own, to measure its memory and time."""
    folders = []
    for option, value in HUGE.items():
        folders.append(shutil.copytree(saved, saved / option, ignore=lambda *_: set(HUGE)))
        edit(folders[-1], **{option: value})
    output = subprocess.run([sys.executable, "-c", PROBE, *folders], capture_output=True, text=True, check=True).stdout
    for option, line in zip(HUGE, output.splitlines(), strict=True):
        seconds, mib, _ = line.split(" ", 2)
        assert option in line and float(seconds) < 2 and float(mib) < 300, line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": "6"}, "model.width=6: it must be a whole number"),
        ({"width": True}, "it must be a whole number"),
        ({"width": [6]}, "it must be a whole number"),
        ({"width": 10**400}, "do not fit together"),
        ({"width": None}, "do not fit together"),
        ({"width": 0}, "at least 1"),
        ({"dropout": "much"}, "it must be a number"),
        ({"residual": 1}, "true or false"),
        ({"cell": 3}, "must be a word"),
        ({"cell": "x" * 10_000}, "unknown cell"),
        ({"_target_": "os.system"}, "no option '_target_'"),
        ({"likelihood": {"name": "categorical", "_target_": "os.system"}}, "no option '_target_'"),
        ({"likelihood": ["categorical"]}, "model.likelihood"),
        ({"likelihood": {"name": "nothing"}}, "unknown likelihood"),
        ({"likelihood": {"name": "categorical", "hidden": "1"}}, "whole number"),
        ({"levels": 3.0}, "model.levels=3.0: it must be a whole number"),
        ({"levels": True}, "it must be a whole number"),
        ({"shape": "144"}, "do not fit together"),
        ({"shape": [1, 4]}, "channels, height, width"),
        ({"shape": [1, 4, "4"]}, "do not fit together"),
        ({"shape": [1, -4, -4]}, "channels, height, width"),
        ({"ordering": 3}, "must be a word"),
        ({"ordering": {}}, "do not fit together"),
        ({"ordering": {"name": "\x1b[2J"}}, "is not printable"),
        ({"ordering": {"name": "raster", "transforms": [1]}}, "do not fit together"),
        ({"orders": "all"}, "it is symmetries, or a list"),
        ({"orders": [None]}, "it is a name"),
        ({"orders": {"a": 1}}, "it is symmetries, or a list"),
    ],
)
def test_arguments_of_another_kind(changes, says, saved):
    edit(saved, **changes)
    refused(says, pixelrnn.load, saved)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[" * 100_000, "damaged"),
        (b'{"a":' * 100_000, "damaged"),
        (b'{"format": NaN}', "format version nan"),
        (b'{"format": ' + b"9" * 5000 + b"}", "damaged"),
        (b"\xff\xfe{}", "damaged"),
        (b'"' + b"x" * (5 * 2**20) + b'"', "damaged"),
        (b"null", "format version None"),
        (b'{"format": "' + b"2" * 500 + b'"}', "format version 22"),
        (b'{"format": 2, "model": ["SequenceRNN"]}', "unknown model"),
        (b'{"format": 2, "model": "\\u001b[2J\\n"}', "unknown model"),
        (b'{"format": 2, "model": "SequenceRNN"}', "needs 'arguments'"),
        (b'{"format": 2, "model": "SequenceRNN", "arguments": [1]}', "needs 'arguments'"),
        (b'{"format": 2, "model": "SequenceRNN", "arguments": {}}', "do not fit together"),
        (b'{"format": 2, "model": "SequenceRNN", "trained_on": [1]}', "must name its data"),
        (b'{"format": 2, "model": "SequenceRNN", "trained_on": {"data": {}}}', "must name its data"),
    ],
)
def test_an_invalid_configuration_is_refused(text, says, saved):
    (saved / CONFIG).write_bytes(text)
    refused(says, pixelrnn.load, saved)


@pytest.fixture
def ensemble(tmp_path):
    members = [tiny_model((1, 4, 4), 3, window=3).float(), tiny_model((1, 4, 4), 3, model="PixelCNN").float()]
    pixelrnn.save(pixelrnn.Ensemble(members), tmp_path)
    return tmp_path


@pytest.mark.parametrize("option", ["width", "depth", "encoder_depth", "embedding", "window", "likelihood"])
def test_a_member_of_a_huge_model_is_refused(option, ensemble):
    first, second = json.loads((ensemble / CONFIG).read_text())["arguments"]["members"]
    first["arguments"][option] = HUGE[option]
    edit(ensemble, members=[first, second])
    refused(rf"model\.{option}=|members\.0\.\S* is \(.*\) in model.safetensors, and \(", pixelrnn.load, ensemble)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (lambda first, second: None, "do not fit together"),
        (lambda first, second: [], "at least one; got"),
        (lambda first, second: [first], "members.1.* in model.safetensors, and missing in"),
        (lambda first, second: [first, second, second], "needs 'arguments'"),
        (lambda first, second: [first] * 1000, "do not fit together"),
        (lambda first, second: [second, first], "do not fit together"),
        (lambda first, second: [first, second | {"model": "Ensemble"}], "unknown member 'Ensemble'"),
        (lambda first, second: [first, second | {"model": "os.system"}], "unknown member 'os.system'"),
        (lambda first, second: [first, second | {"arguments": "width"}], "needs 'arguments'"),
        (lambda first, second: [first, {}], "do not fit together"),
        (lambda first, second: [first, 3], "do not fit together"),
        (lambda first, second: [first, {**second, "arguments": second["arguments"] | {"more": 1}}], "no option 'more'"),
        (lambda first, second: [first, {**second, "arguments": second["arguments"] | {"levels": 2}}], "levels 2, and"),
    ],
)
def test_members_of_another_kind(members, says, ensemble):
    edit(ensemble, members=members(*json.loads((ensemble / CONFIG).read_text())["arguments"]["members"]))
    refused(says, pixelrnn.load, ensemble)


def test_an_ensemble_that_contradicts_its_members_is_refused(ensemble):
    edit(ensemble, more=1)
    refused("no option 'more'", pixelrnn.load, ensemble)
    config = json.loads((ensemble / CONFIG).read_text())
    del config["arguments"]["more"]
    config["arguments"]["levels"] = 4
    (ensemble / CONFIG).write_text(json.dumps(config))
    refused("levels is 4, and its members' is another one", pixelrnn.load, ensemble)


def test_members_along_other_orders_than_the_ensemble_are_refused(ensemble):
    weights = load_file(ensemble / WEIGHTS)
    for name in ("members.1.orders", "orders"):
        other = {**weights, name: weights["orders"].flip(1)}
        save_file(other, ensemble / WEIGHTS)
        refused("do not fit together", pixelrnn.load, ensemble)
    save_file({name: w for name, w in weights.items() if name != "members.0.orders"}, ensemble / WEIGHTS)
    refused("needs 'arguments' in config.json, and 'orders'", pixelrnn.load, ensemble)


def test_nan_is_not_a_value_of_an_option(saved):
    edit(saved, dropout=float("nan"))
    refused("dropout=nan: it is in", pixelrnn.load, saved)


class Code:
    def __reduce__(self):
        return os._exit, (3,)


def test_a_pickle_is_not_run(saved):
    for data in (pickle.dumps(Code()), b"\x80\x04\x95" + bytes(100)):
        (saved / WEIGHTS).write_bytes(data)
        refused("damaged", pixelrnn.load, saved)
    torch.save({"orders": Code()}, saved / WEIGHTS)
    refused("damaged", pixelrnn.load, saved)


@pytest.mark.parametrize(
    "lie",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [2**63, 2**63 + 4]},
        {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]},
        [],
    ],
)
def test_a_header_that_lies_is_refused(lie, saved):
    header = json.dumps({"orders": lie}).encode()
    (saved / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    refused("damaged|do not fit together", pixelrnn.load, saved)
    (saved / WEIGHTS).write_bytes((2**62).to_bytes(8, "little") + header)
    refused("damaged", pixelrnn.load, saved)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (
            "likelihood.hidden.bias",
            lambda w: w.index_fill(0, torch.tensor([1]), float("nan")),
            "likelihood.hidden.bias",
        ),
        ("likelihood.hidden.bias", lambda w: w.double() * 1e300 + 1e300, "likelihood.hidden.bias holds .* not finite"),
        ("likelihood.hidden.bias", lambda w: w[1:], r"likelihood.hidden.bias is \(11,\) in .*, and \(12,\) in"),
        ("more", lambda w: torch.zeros(1), r"more is \(1,\) in .* and missing in the model"),
        ("likelihood.more", lambda w: torch.zeros(2**20), "likelihood.more"),
        ("train_digests", lambda w: torch.zeros(2, 16), "train_digests must be uint8"),
        ("train_digests", lambda w: torch.zeros(2, 15).byte(), "train_digests must be uint8"),
        ("orders", lambda w: w.float(), "int64"),
        ("orders", lambda w: w[0], "int64"),
        ("orders", lambda w: w[:0], "do not fit together"),
        ("orders", lambda w: w.clamp(max=3), "must visit each of the 16 pixels"),
        ("orders", lambda w: w - 1, "must visit each of the 16 pixels"),
        ("orders", lambda w: w.flip(0)[[0, 0, 1]], "do not fit together"),
        ("orders", lambda w: w[[0] * 2000], "do not fit together"),
    ],
)
def test_invalid_weights_are_refused(name, change, says, saved):
    weights = load_file(saved / WEIGHTS)
    weights[name] = change(weights.get(name)).contiguous()
    save_file(weights, saved / WEIGHTS)
    refused(says, pixelrnn.load, saved)


def test_half_precision_is_read(saved):
    weights = {name: w if name == "orders" else w.half() for name, w in load_file(saved / WEIGHTS).items()}
    save_file(weights, saved / WEIGHTS)
    assert pixelrnn.load(saved).orders.shape == (8, 16)
