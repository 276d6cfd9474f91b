"""Picture files: what is read, and what is refused."""

import io
import random

import numpy as np
import pytest
import torch
from conftest import random_images
from PIL import Image

from pixelrnn.errors import UserError
from pixelrnn.files.pictures import open_picture, read_mask, to_picture, to_tensor, with_channels

GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
COLOUR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def read(picture, path, **options):
    """A picture's values after a round through a file."""
    picture.save(path, **options)
    return to_tensor(open_picture(path))


@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_survive_a_file(channels, tmp_path):
    for seed, size in enumerate([(1, 1), (1, 7), (7, 1), (28, 28)]):
        image = random_images(1, (channels, *size), 256, seed)[0]
        assert torch.equal(to_tensor(to_picture(image)), image)
        assert torch.equal(read(to_picture(image), tmp_path / "picture.png"), image)


def test_grey_pictures(tmp_path):
    grey, path = torch.from_numpy(GREY)[None], tmp_path / "picture.png"
    assert torch.equal(read(Image.fromarray(GREY), path), grey)
    assert torch.equal(read(Image.fromarray(GREY.astype(np.uint16) * 257), path), grey)  # 16 bits
    wide = Image.fromarray(GREY.astype(np.int32) * 257)
    assert wide.mode == "I" and torch.equal(read(wide, tmp_path / "picture.tiff"), grey)
    binary = read(Image.fromarray(GREY > 100).convert("1"), path)
    assert torch.equal(binary, (grey > 100).to(torch.uint8) * 255)
    for mode in ["P", "LA"]:  # a palette may be grey; transparency is laid on white
        opened = with_channels(open_saved(Image.fromarray(GREY).convert(mode), path), 1, path)
        assert torch.equal(to_tensor(opened), grey), mode


def open_saved(picture, path):
    picture.save(path)
    return open_picture(path)


def test_colour_pictures(tmp_path):
    colour, path = torch.from_numpy(COLOUR).permute(2, 0, 1), tmp_path / "picture.png"
    assert torch.equal(read(Image.fromarray(COLOUR), path), colour)
    palette = Image.fromarray(COLOUR).quantize(24)
    assert torch.equal(read(palette, path), to_tensor(palette.convert("RGB")))
    ink = Image.new("CMYK", (2, 2), (255, 0, 0, 0))  # cyan
    assert read(ink, tmp_path / "picture.tiff").flatten(1)[:, 0].tolist() == [0, 255, 255]


def test_transparency_is_laid_on_white(tmp_path):
    path = tmp_path / "picture.png"
    rgba = np.dstack([COLOUR, np.full((4, 6), 255, np.uint8)])
    rgba[0, :, 3], rgba[1, :, 3] = 0, 128
    values = read(Image.fromarray(rgba), path)
    assert values.shape == (3, 4, 6) and bool((values[:, 0] == 255).all())
    assert torch.equal(values[:, 2:], torch.from_numpy(COLOUR).permute(2, 0, 1)[:, 2:])
    blended = torch.from_numpy(COLOUR[1] * (128 / 255) + 255 * (127 / 255)).T
    assert (values[:, 1] - blended).abs().max() <= 1
    clear = Image.fromarray(np.dstack([GREY, np.zeros_like(GREY)]), "LA")
    assert read(clear, path).tolist() == [[[255] * 6] * 4]  # grey on white stays grey: one channel
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert read(palette, path, transparency=0).flatten(1).T.tolist() == [[255, 255, 255], [200, 100, 50]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_undone(orientation, tmp_path):
    upright = {  # the transformations that the EXIF standard names for a viewer
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: GREY[::-1].T, 7: GREY[::-1, ::-1].T, 8: GREY.T[::-1],
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = read(Image.fromarray(GREY), tmp_path / "picture.png", exif=exif)
    assert values[0].tolist() == upright[orientation].tolist()


def refused(path, **options):
    """The one line with which a file is refused."""
    with pytest.raises(UserError) as error:
        open_picture(path, **options)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_files_that_are_not_pictures_are_refused(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("a picture of a cat")
    assert "not a picture" in refused(tmp_path / "empty.png")
    assert "not a picture" in refused(tmp_path / "text.png")
    assert "no such file" in refused(tmp_path / "missing.png")
    assert "is a folder" in refused(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    path, buffer, draw = tmp_path / "picture", io.BytesIO(), random.Random(0)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (19, 23, 3), dtype=np.uint8)).save(buffer, kind)
    whole = buffer.getvalue()
    for length in range(0, len(whole) - 40, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        refused(path)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[draw.randrange(min(200, len(whole)))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            open_picture(path)
        except UserError as error:
            assert "\n" not in str(error)  # anything but a UserError fails the test


def test_a_large_picture_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(GREY).save(path)
    path.write_bytes(path.read_bytes()[:60])  # its size can still be read, its pixels can not
    assert "6x4 pixels; the limit is 23" in refused(path, max_pixels=23)
    assert "limit" not in refused(path, max_pixels=24)


def test_channels_of_the_model(tmp_path):
    grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
    assert with_channels(grey, 1, "x.png").mode == "L" and with_channels(colour, 3, "x.png").mode == "RGB"
    assert torch.equal(to_tensor(with_channels(grey, 3, "x.png")), torch.from_numpy(GREY).expand(3, 4, 6))
    assert open_saved(grey.convert("RGB"), tmp_path / "x.png").mode == "L"
    with pytest.raises(UserError, match=r"x\.png is in colour.*1 channel"):
        with_channels(colour, 1, "x.png")


def test_masks_are_read_from_colour_and_transparent_files(tmp_path):
    path = tmp_path / "mask.png"
    mask = np.zeros((4, 6, 4), np.uint8)
    mask[..., 3], mask[1, 2] = 255, 255
    Image.fromarray(mask).save(path)
    assert read_mask(path).nonzero().tolist() == [[1, 2]]
