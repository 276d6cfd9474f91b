"""Picture files in and out: pictures, masks, and what is refused.

A file may be a stranger's. Pillow is given what has been looked at: a regular file, of few enough bytes, told by its
content to be of one of a few formats, of a JPEG the image without its metadata, and no more readings than an honest file
needs. Whatever Pillow then raises becomes one line.
"""

import io
import stat
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files import write_whole
from pixelrnn.jpeg import ORIENTATION, orientation_of, plain_jpeg
from pixelrnn.plugins import shown

MAX_BYTES = 64 * 2**20  # a larger file is refused before it is read
MAX_PIXELS = 50_000_000  # a larger picture is refused before it is decoded
TAGS = 16 * 2**20  # bytes that may be read before the pixels are asked for: tags can name the same ones again and again
SLOW = {"bmp_rle", "ppm", "ppm_plain"}  # what Pillow decodes in Python, byte by byte
SLOW_VALUES = 4_000_000  # a few seconds
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # no other parser sees a file
SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
SUFFIXES |= {".ppm", ".pgm", ".pbm", ".pnm"}

TURNS = {  # what makes such a picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The decoded picture, upright, in mode "L" or "RGB" (on white where it is transparent).

    16 bits become 8; floating-point values are taken from 0, black, to 1, white. Raises UserError for what is missing, no
    regular file, no picture of FORMATS, truncated, animated or of several pages, and larger than MAX_BYTES or max_pixels.
    """
    name = shown(path)
    data = read_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is said below, in one line; a lower limit follows
            return _decoded(data, max_pixels)
    except UserError as error:
        raise UserError(f"{name} {error}") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read; use PNG or JPEG") from None
    # Pillow parses what a stranger wrote: of a damaged or malicious file it raises nearly anything, struct.error,
    # OverflowError, MemoryError, KeyError and AssertionError among them, and all of it means this.
    except Exception as error:
        reason = shown(error, 200) or type(error).__name__
        raise UserError(f"{name} cannot be read as a picture ({reason}); is it truncated?") from None


def read_file(path: str | Path) -> bytes:
    """The bytes of a regular file: of a pipe or a device, reading might never end."""
    name = shown(path)
    try:
        kind = Path(path).stat().st_mode
        if stat.S_ISDIR(kind):
            raise UserError(f"{name} is a folder; give a picture file")
        if not stat.S_ISREG(kind):
            raise UserError(f"{name} is no regular file but a pipe or a device; give a picture file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{name}: no such file") from None
    except OSError as error:  # no permission, a loop of links, a name that is too long
        raise UserError(f"{name} cannot be read ({error.strerror}); give a picture file") from None
    except UserError:
        raise
    except ValueError:
        raise UserError(f"{name} cannot be the name of a file; give a picture file") from None
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{name} has more than {MAX_BYTES // 2**20} MiB; the limit is that: make the picture smaller first"
        )
    return data


class _Metered(io.BytesIO):
    """A file of which only so many bytes can be read: a thousand tags may all claim the same megabytes."""

    left = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise UserError(
                "claims more than it holds: its parts name the same bytes again and again; save it anew as PNG"
            )
        return data


def _decoded(data: bytes, max_pixels: int) -> Image.Image:
    """open_picture of a file's bytes; a UserError lacks the file's name."""
    exif = b""
    if data.startswith(b"\xff\xd8\xff"):
        data, exif = plain_jpeg(data)
    file = _Metered(data)
    file.left = TAGS if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else TAGS + 4 * len(data)
    with Image.open(file, formats=FORMATS) as picture:
        if picture.width * picture.height > max_pixels:
            raise UserError(
                f"has {picture.width}x{picture.height} pixels; the limit is {max_pixels:,}: make it smaller first"
            )
        if getattr(picture, "is_animated", False):
            raise UserError("holds several pictures (it is animated, or has pages); save the one that you mean as PNG")
        values = picture.width * picture.height * len(picture.getbands())
        if any(tile[0] in SLOW for tile in getattr(picture, "tile", ())) and max(values, len(data)) > SLOW_VALUES:
            raise UserError("is large, and in a form that is slow to read (run lengths, or text); save it as PNG")
        tags = getattr(picture, "tag_v2", {})
        orientation = tags.get(ORIENTATION)
        if tags:
            # What it would do at the end, we do: it turns the picture, and reads all that its tags point to.
            picture.load_end = lambda: None  # type: ignore[method-assign]
        file.left = TAGS + 4 * len(data)
        picture.load()
        orientation = orientation or orientation_of(exif or picture.info.get("exif") or b"")
        upright = _eight_bits(picture)
        return upright.transpose(TURNS[orientation]) if orientation in TURNS else upright


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A decoded picture of any mode in mode "L" or "RGB"."""
    mode, bands = picture.mode, picture.getbands()
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _narrowed(picture)
    if "a" in bands:  # colours that are multiplied by their alpha
        picture = picture.convert("LA" if mode == "La" else "RGBA")
        bands = picture.getbands()
    if "A" in bands or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
        grey = picture.convert("L")
        return grey if np.array_equal(np.asarray(grey.convert("RGB")), np.asarray(picture)) else picture
    return picture.convert("L" if mode in ("1", "L") else "RGB")


def _narrowed(picture: Image.Image) -> Image.Image:
    """16 bits to 8, and floating-point values: Pillow's own conversion would clip. 257 · 255 = 65535."""
    values = np.asarray(picture)
    floating = picture.mode == "F"
    low, high, most = values.min(), values.max(), 1 if floating else 65535
    if not (low >= 0 and high <= most):  # not a number is neither
        kind = "floating-point values" if floating else "values"
        raise UserError(f"holds {kind} from {low} to {high}; 0 to {most} can be read: save it in 8 or 16 bits")
    narrow = (values.astype(np.float32) * 255 if floating else values.astype(np.float32) / 257).round().astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        narrow[values == transparent] = 255
    return Image.fromarray(narrow)


def to_tensor(picture: Image.Image) -> Tensor:
    """uint8 (channels, height, width), one channel for "L" and three for "RGB"."""
    values = torch.from_numpy(np.array(picture))
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1).contiguous()


def to_picture(image: Tensor) -> Image.Image:
    """The inverse of to_tensor: 8-bit values (channels, height, width)."""
    values = image.cpu().numpy()
    return Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))


def save_picture(image: Tensor, path: Path) -> None:
    """Writes 8-bit values (channels, height, width) as a PNG file."""
    write_whole(path, lambda temporary: to_picture(image).save(temporary, format="PNG"))


def with_channels(picture: Image.Image, channels: int, path: str | Path) -> Image.Image:
    """A grey picture serves a colour model; UserError for a coloured picture and a grey model."""
    if channels == 3:
        return picture.convert("RGB")
    grey = picture.convert("L")
    if picture.mode == "RGB" and not np.array_equal(np.asarray(grey.convert("RGB")), np.asarray(picture)):
        raise UserError(
            f"{shown(path)} is in colour (3 channels); this model has 1 channel: save the picture in grey, or use a colour "
            "checkpoint"
        )
    return grey


def read_mask(path: str | Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """bool (height, width) from a mask file: True, hidden, where it is white (128 or more of 255); UserError if nowhere."""
    hidden = to_tensor(open_picture(path, max_pixels).convert("L"))[0] >= 128
    if not bool(hidden.any()):
        raise UserError(
            f"mask {shown(path)} hides nothing: white (128 or more of 255) is hidden, and it has no such pixel"
        )
    return hidden
