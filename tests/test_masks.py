"""Mask files: what each kind hides, and the note about it if its meaning is in doubt."""

import numpy as np
import pytest
import torch
from PIL import Image

from pixelrnn.errors import UserError, notes_to
from pixelrnn.files.pictures import read_mask, read_picture

HOLE = np.zeros((8, 8), bool)
HOLE[4:, 1:] = True
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)


def layer(colour, hole=HOLE):
    """Strokes of one colour on a transparent ground."""
    values = np.zeros((*hole.shape, 4), np.uint8)
    values[hole] = (*colour, 255)
    return Image.fromarray(values)


def erased(values, hole=HOLE):
    return Image.fromarray(np.dstack([values, np.where(hole, 0, 255).astype(np.uint8)]))


def palette():
    values = Image.fromarray(HOLE.astype(np.uint8))
    values.putpalette([0, 0, 0, 128, 0, 0])
    return values


def two_colours():
    values = np.asarray(layer((255, 0, 0))).copy()
    values[7, 7] = (0, 0, 255, 255)
    return Image.fromarray(values)


KINDS = {  # a file that hides HOLE, and the note about it
    "black and white": (Image.fromarray(HOLE.astype(np.uint8) * 255), ""),
    "opaque, with an alpha channel": (Image.fromarray(HOLE.astype(np.uint8) * 255).convert("RGBA"), ""),
    "white layer": (layer((255, 255, 255)), "the strokes are hidden"),
    "black layer": (layer((0, 0, 0)), "the strokes are hidden"),
    "red layer": (layer((255, 0, 0)), "the strokes are hidden"),
    "layer of two colours": (two_colours(), "the strokes are hidden"),
    "erased picture": (erased(PICTURE), "the transparent part is hidden"),
    "black, white and transparent": (
        Image.fromarray(
            np.dstack([HOLE * 255] * 3 + [np.where(np.arange(8) > 0, 255, 0) * np.ones((8, 1))]).astype(np.uint8)
        ),
        "white is hidden",
    ),
    "0 and 1": (Image.fromarray(HOLE.astype(np.uint8)), "holds 0 and 1 instead of 0 and 255: the lighter is hidden"),
    "0 and 1 in 16 bits": (Image.fromarray(HOLE.astype(np.uint16)), "holds 0 and 1 instead of 0 and 65535"),
    "0 and 255 in 32 bits": (Image.fromarray(HOLE.astype(np.int32) * 255), "holds 0 and 255 instead of 0 and 65535"),
    "a palette of black and dark red": (palette(), "holds 0 and 38 instead of 0 and 255"),
    "red on black": (Image.fromarray((HOLE[..., None] * np.array([255, 0, 0])).astype(np.uint8)), "holds 0 and 76"),
    "grey edges": (
        Image.fromarray(np.where(HOLE, 255, np.arange(8) * 10).astype(np.uint8)),
        "has 9 levels, and 28 of its 64 pixels are neither black nor white",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_mask_file_hides(kind, tmp_path):
    picture, words = KINDS[kind]
    path = tmp_path / ("mask.tiff" if picture.mode == "I" else "mask.png")
    picture.save(path)
    said = []
    with notes_to(said.append):
        assert torch.equal(read_mask(path), torch.from_numpy(HOLE))
    assert len(said) == bool(words) and words in "".join(said)


@pytest.mark.parametrize("colours", [PICTURE, np.zeros((8, 8, 3), np.uint8)], ids=["colours", "one colour"])
def test_a_copy_of_a_known_picture_is_not_taken_for_strokes(colours, tmp_path):
    colours = colours.copy()
    colours[2, 2:4] = 125  # few colours, as of a digit
    Image.fromarray(colours).save(tmp_path / "picture.png")
    of = read_picture(tmp_path / "picture.png")
    erased(colours).save(tmp_path / "mask.png")
    with notes_to(lambda _: None):
        assert torch.equal(read_mask(tmp_path / "mask.png", of=of), torch.from_numpy(HOLE))
        two_colours().save(tmp_path / "mask.png")
        assert torch.equal(read_mask(tmp_path / "mask.png", of=of), torch.from_numpy(HOLE))


@pytest.mark.parametrize(
    "values", [np.zeros((2, 3), np.uint8), np.arange(3, dtype=np.uint8)[None].repeat(2, 0)], ids=str
)
def test_a_mask_without_white_hides_nothing(values, tmp_path):
    Image.fromarray(values).save(tmp_path / "mask.png")
    with notes_to(lambda _: None), pytest.raises(UserError, match="hides nothing"):
        read_mask(tmp_path / "mask.png")


def test_a_transparent_mask_hides_nothing(tmp_path):
    for alpha in (0, 100):
        Image.new("RGBA", (3, 2), (255, 0, 0, alpha)).save(tmp_path / "mask.png")
        with pytest.raises(UserError, match="hides nothing: it is less than half opaque everywhere"):
            read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_mask_is_turned_with_its_picture(orientation, tmp_path):
    """A photo is stored as the sensor saw it. A mask that was drawn over the stored pixels is turned with it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored, hole = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)
    stored[0, 1], hole[0, 1] = 255, 255
    Image.fromarray(stored).save(tmp_path / "picture.png", exif=exif)
    Image.fromarray(hole).save(tmp_path / "mask.png")
    Image.fromarray(hole).save(tmp_path / "turned.png", exif=exif)
    of, said = read_picture(tmp_path / "picture.png"), []
    expected = torch.from_numpy(np.asarray(of.colours.convert("L")) > 0)
    with notes_to(said.append):
        assert torch.equal(read_mask(tmp_path / "turned.png", of=of), expected) and not said
        found = read_mask(tmp_path / "mask.png", of=of)
    if orientation >= 5:
        assert torch.equal(found, expected) and "the mask is turned too" in said[0]
    else:
        assert torch.equal(found, torch.from_numpy(hole > 0)) and "as it is after it was turned upright" in said[0]
