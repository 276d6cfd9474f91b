"""Picture files in and out: pictures, masks, and what is refused.

A file may be a stranger's. Pillow is given a regular file of few enough bytes, and only its decoders of a few formats.
Whatever it raises becomes one line.
"""

import io
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files.atomic import expanded, write_whole
from pixelrnn.registry import printable

MAX_BYTES = 64 * 2**20  # a larger file is refused before it is read
MAX_PIXELS = 50_000_000  # a larger picture is refused before it is decoded
SLOW = {"bmp_rle", "ppm", "ppm_plain"}  # what Pillow decodes in Python, byte by byte
SLOW_VALUES = 4_000_000  # a few seconds
ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held
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


@dataclass(frozen=True)
class Picture:
    """A decoded picture file, upright."""

    name: str  # for messages
    colours: Image.Image  # mode "L" or "RGB", in 8 bits, as stored also where the picture is transparent
    alpha: np.ndarray | None  # uint8 (height, width), 255 where opaque; None if it is so everywhere
    deep: np.ndarray | None  # the stored values, if they have more than 8 bits
    orientation: int  # the EXIF orientation that was undone, 1 to 8; 1: none

    def on_white(self) -> Image.Image:
        """The picture as it looks on white paper."""
        if self.alpha is None:
            return self.colours
        white = Image.new(self.colours.mode, self.colours.size, "white")
        return Image.composite(self.colours, white, Image.fromarray(self.alpha))


def open_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The decoded picture, upright, in mode "L" or "RGB" (on white where it is transparent); errors as read_picture."""
    return read_picture(path, max_pixels).on_white()


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture file.

    16 bits become 8; floating-point values are taken from 0, black, to 1, white. Raises UserError for what is missing, no
    regular file, no picture of FORMATS, truncated, animated or of several pages, and larger than MAX_BYTES or max_pixels.
    """
    name = printable(path)
    data = read_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is said below, in one line; a lower limit follows
            decoded, orientation = _decoded(data, max_pixels)
            return Picture(name, *_eight_bits(decoded), orientation)
    except UserError as error:
        raise UserError(f"{name} {error}") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read; use PNG or JPEG") from None
    # Pillow parses what a stranger wrote: of a damaged or malicious file it raises nearly anything, struct.error,
    # OverflowError, MemoryError, KeyError and AssertionError among them, and all of it means this.
    except Exception as error:
        reason = printable(error, 200) or type(error).__name__
        raise UserError(f"{name} cannot be read as a picture ({reason}); is it truncated?") from None


def read_file(path: str | Path) -> bytes:
    """The bytes of a regular file: of a pipe or a device, reading might never end."""
    name = printable(path)
    try:
        path = expanded(path)
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise UserError(f"{name} is a folder; give a picture file")
        if not stat.S_ISREG(kind):
            raise UserError(f"{name} is no regular file but a pipe or a device; give a picture file")
        with path.open("rb") as file:
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


def _decoded(data: bytes, max_pixels: int) -> tuple[Image.Image, int]:
    """The picture in a file's bytes, upright, and the EXIF orientation that was undone; a UserError lacks the file's name."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > max_pixels:
            raise UserError(
                f"has {picture.width}x{picture.height} pixels; the limit is {max_pixels:,}: make it smaller first"
            )
        # A phone appends pictures to the first one (MPO), which is the one that is meant.
        if picture.format != "MPO" and getattr(picture, "is_animated", False):
            raise UserError("holds several pictures (it is animated, or has pages); save the one that you mean as PNG")
        values = picture.width * picture.height * len(picture.getbands())
        if any(tile[0] in SLOW for tile in getattr(picture, "tile", ())) and max(values, len(data)) > SLOW_VALUES:
            raise UserError("is large, and in a form that is slow to read (run lengths, or text); save it as PNG")
        orientation = picture.getexif().get(ORIENTATION, 1)
        picture.load()
        if orientation not in TURNS:
            return picture.copy(), 1
        # Pillow itself turns a TIFF while it loads it.
        return picture.copy() if picture.format == "TIFF" else upright(picture, orientation), orientation


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture that was stored with this EXIF orientation."""
    return picture.transpose(TURNS[orientation])


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, np.ndarray | None, np.ndarray | None]:
    """Colours, alpha and deep values of a decoded picture of any mode, see Picture."""
    mode, bands, transparent = picture.mode, picture.getbands(), picture.info.get("transparency")
    if mode in ("I", "F") or mode.startswith("I;16"):
        values = np.asarray(picture)
        opaque = values != transparent if isinstance(transparent, int) else np.ones_like(values, dtype=bool)
        return _narrowed(values), None if opaque.all() else opaque.astype(np.uint8) * 255, values
    if "a" in bands:  # colours that are multiplied by their alpha
        picture = picture.convert("LA" if mode == "La" else "RGBA")
    if "A" not in picture.getbands() and transparent is None:
        return picture.convert("L" if mode in ("1", "L") else "RGB"), None, None
    picture = picture.convert("RGBA")
    alpha, colours = np.asarray(picture.getchannel("A")), picture.convert("RGB")
    grey = colours.convert("L")
    if np.array_equal(np.asarray(grey.convert("RGB")), np.asarray(colours)):
        colours = grey
    return colours, None if (alpha == 255).all() else alpha, None


def _narrowed(values: np.ndarray) -> Image.Image:
    """16 bits to 8, and floating-point values: Pillow's own conversion would clip. 257 · 255 = 65535."""
    floating = values.dtype.kind == "f"
    low, high, most = values.min(), values.max(), 1 if floating else 65535
    if not (low >= 0 and high <= most):  # not a number is neither
        kind = "floating-point values" if floating else "values"
        raise UserError(f"holds {kind} from {low} to {high}; 0 to {most} can be read: save it in 8 or 16 bits")
    narrow = (values.astype(np.float32) * 255 if floating else values.astype(np.float32) / 257).round().astype(np.uint8)
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
            f"{printable(path)} is in colour (3 channels); this model has 1 channel: save the picture in grey, or use a colour "
            "checkpoint"
        )
    return grey
