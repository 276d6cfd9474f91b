"""Picture files, read and written, and mask files, read. There are several kinds of mask; a note says how one was understood.

A file may come from a stranger. Only a regular file of limited size is opened, and only by Pillow's decoders of a few
formats; the size of the picture is checked before it is decoded. Every error is one line.
"""

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.atomic import expanded, write_whole

MAX_BYTES = 64 * 2**20  # of a file
MAX_PIXELS = 50_000_000  # of a picture
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
SUFFIXES |= {".ppm", ".pgm", ".pbm", ".pnm"}

HALF = 128  # the least alpha of a pixel that counts as opaque
SAME = 0.9  # the least share of its opaque pixels that a copy of the picture has in common with it

ORIENTATION = 0x0112  # the EXIF tag that says how the camera was held
TURNS = {  # what turns a picture of this orientation upright; ImageOps.exif_transpose fails where other EXIF tags are damaged
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
    colours: Image.Image  # mode "L" if it is grey, else "RGB"; also of transparent pixels, as stored
    alpha: np.ndarray | None  # uint8 (height, width), 255 for opaque; None if the whole picture is opaque
    deep: np.ndarray | None  # the stored values, if they have more than 8 bits
    orientation: int  # the EXIF orientation that was undone, 2 to 8; 1: none
    profile: bytes | None = (
        None  # the ICC profile that says which colours the values are, if it fits the mode of `colours`
    )
    loses_profile: bool = False  # whether there is one that does not fit
    lost: tuple[str, ...] = ()  # what decoding lost of the values, as the user is told it behind the name

    @property
    def changes(self) -> list[str]:
        """How it was changed to become one of the pictures of a data set."""
        known = {
            "turned upright (EXIF)": self.orientation > 1,
            "laid on white (transparent)": self.alpha is not None,
            "brought to 8 bits, of grey or RGB": bool(self.lost),
        }
        return [change for change, is_so in known.items() if is_so]

    def on_white(self) -> Image.Image:
        """The picture on white paper: mode "L" if it is grey, else "RGB"."""
        if self.alpha is None:
            return self.colours
        white = Image.new(self.colours.mode, self.colours.size, "white")
        return _grey_or_rgb(Image.composite(self.colours, white, Image.fromarray(self.alpha)))


def open_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture file, on white if it is transparent: mode "L" if it is grey, else "RGB". Errors as read_picture."""
    return read_picture(path, max_pixels).on_white()


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode a picture file.

    16 bits become 8; floating-point values range from 0, black, to 1, white. Raises UserError for a file that is missing,
    not regular, larger than MAX_BYTES, not a picture of FORMATS or truncated, and for a picture that is animated, of
    several pages or larger than max_pixels.
    """
    name, data = printable(path), read_file(path)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                size = f"{picture.width}x{picture.height}"
                raise UserError(f"has {size} pixels; the limit is {max_pixels:,}: make it smaller first")
            # Phones store other pictures behind the main one, as MPO.
            if picture.format != "MPO" and getattr(picture, "is_animated", False):
                raise UserError("holds several pictures (it is animated, or has pages); save one of them as PNG")
            deep_colour = any(mark in str(tile[-1]) for tile in picture.tile for mark in (";16", "65535"))
            tag = picture.getexif().get(ORIENTATION)
            orientation = tag if tag in TURNS else 1
            picture.load()
            # Pillow turns a TIFF itself.
            turned = picture if picture.format == "TIFF" else upright(picture, orientation)
            return _as_picture(name, turned, orientation, deep_colour)
    except UserError as error:
        raise UserError(f"{name} {error}") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read; use PNG or JPEG") from None
    # For a damaged file Pillow raises nearly anything: struct.error, OverflowError, MemoryError, KeyError, …
    except Exception as error:
        reason = printable(error, 200) or type(error).__name__
        raise UserError(f"{name} cannot be read as a picture ({reason}); is it truncated?") from None


def from_image(name: str, image: Image.Image) -> Picture:
    """As read_picture, of an image that Pillow has read. name: what it is called in messages."""
    image.load()
    orientation = image.getexif().get(ORIENTATION)
    if orientation in TURNS:
        raise UserError(
            f"{name} is stored turned (EXIF orientation {orientation}); turn it upright first, by PIL.ImageOps.exif_transpose"
        )
    try:
        return _as_picture(name, image, 1)
    except UserError as error:
        raise UserError(f"{name} {error}") from None


def _as_picture(name: str, image: Image.Image, orientation: int, deep_colour: bool = False) -> Picture:
    """A picture of an image of any mode, that was turned upright. deep_colour: Pillow has left out a half of each value."""
    colours, alpha, deep = _eight_bits(image)
    profile, lost = image.info.get("icc_profile"), []
    if deep is not None and deep.max() < (1 if deep.dtype.kind == "f" else 65535) / 8:
        lost += [f"holds values up to {deep.max():g}, of more than 8 bits: it is read as nearly black"]
    elif deep_colour or (deep is not None and (deep.dtype.kind == "f" or (deep % 257 != 0).any())):
        lost += ["has more than 8 bits: it is completed and saved in 8, the observed pixels too"]
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        lost += [f"is in {image.mode}: it is completed and saved in RGB"]
    fits = image.mode in {"RGB": ("RGB", "RGBA", "P", "PA"), "L": ("L", "LA")}[colours.mode]
    return Picture(
        name, colours, alpha, deep, orientation, profile if fits else None, bool(profile) and not fits, tuple(lost)
    )


def read_file(path: str | Path) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES. Reading a pipe or a device might never end: UserError."""
    name, path = printable(path), expanded(path)
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "not a regular file"
        raise UserError(f"{name} is {kind}; give a picture file" if os.path.exists(path) else f"{name}: no such file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{name} has more than {MAX_BYTES // 2**20} MiB; make the picture smaller first")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); give a picture file") from None


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture that was stored with this EXIF orientation."""
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, np.ndarray | None, np.ndarray | None]:
    """Colours, alpha and deep values of a decoded picture of any mode, see Picture."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        deep, transparent = np.asarray(picture), picture.info.get("transparency")
        clear = deep == transparent if isinstance(transparent, int) else np.zeros(deep.shape, dtype=bool)
        return _narrowed(deep), np.where(clear, 0, 255).astype(np.uint8) if clear.any() else None, deep
    if not picture.has_transparency_data:
        return _grey_or_rgb(picture), None, None
    picture = (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")
    alpha = np.asarray(picture.getchannel("A"))
    return _grey_or_rgb(picture), None if (alpha == 255).all() else alpha, None


def _grey_or_rgb(picture: Image.Image) -> Image.Image:
    """The picture in mode "L" if it is grey, even if it is stored in colour; else in mode "RGB"."""
    colours = picture.convert("RGB")
    grey = colours.convert("L")
    return grey if np.array_equal(np.asarray(grey.convert("RGB")), np.asarray(colours)) else colours


def _narrowed(values: np.ndarray) -> Image.Image:
    """16 bits to 8 (257 · 255 = 65535), and floating-point values to 8 bits. Pillow's own conversion would clip."""
    most = 1 if values.dtype.kind == "f" else 65535
    if not (values.min() >= 0 and values.max() <= most):  # false for NaN
        kind = "floating-point values" if most == 1 else "values"
        raise UserError(
            f"holds {kind} from {values.min()} to {values.max()}; 0 to {most} can be read: save it in 8 or 16 bits"
        )
    return Image.fromarray((values.astype(np.float32) * 255 / most).round().astype(np.uint8))


def to_tensor(picture: Image.Image) -> Tensor:
    """uint8 (channels, height, width), one channel for "L" and three for "RGB"."""
    values = torch.from_numpy(np.array(picture))
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1).contiguous()


def to_picture(image: Tensor) -> Image.Image:
    """The inverse of to_tensor: 8-bit values (channels, height, width)."""
    values = image.cpu().numpy()
    return Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))


def save_picture(image: Tensor, path: Path, profile: bytes | None = None) -> None:
    """Write 8-bit values (channels, height, width) as a PNG file; compressed quickly, a large photograph in one second.
    profile: the ICC profile of its colours."""
    picture = to_picture(image)
    write_whole(path, lambda temporary: picture.save(temporary, format="PNG", compress_level=1, icc_profile=profile))


def with_channels(picture: Image.Image, channels: int, path: str | Path) -> Image.Image:
    """Convert a picture, mode "L" or "RGB", to the model's channels. Raise UserError for colour and a grey model."""
    if channels == 1 and picture.mode == "RGB":
        raise UserError(
            f"{printable(path)} is in colour (3 channels); this model has 1 channel: save the picture in grey, or use a colour "
            "checkpoint"
        )
    return picture.convert("L" if channels == 1 else "RGB")


def read_mask(path: str | Path, max_pixels: int = MAX_PIXELS, of: Picture | None = None) -> Tensor:
    """bool (height, width), True for the hidden pixels of a mask file: the white ones.

    Other kinds of file are understood, with a note. If the file is partly transparent, its opaque strokes are hidden; if
    it is a copy of the picture with a part erased, that part. Of two values, the lighter is hidden; of more, those of at
    least half of white. `of` is the picture that the mask belongs to, if known: a mask of the size that this picture had
    before it was turned upright is turned with it. Raises UserError if nothing is hidden.
    """
    return hidden_of(read_picture(path, max_pixels), of)


def hidden_of(mask: Picture, of: Picture | None = None) -> Tensor:
    """As read_mask, of a picture that was read."""
    clear = transparent_part(mask)
    hidden = _by_lightness(mask) if clear is None else _by_transparency(mask, ~clear.numpy(), of)
    if not hidden.any():
        raise UserError(
            f"mask {mask.name} hides nothing: white (128 or more of 255) is hidden, and it has no such pixel"
        )
    if of and of.orientation > 1:
        hidden = _turned(hidden, mask, of)
    return torch.from_numpy(np.ascontiguousarray(hidden))


def check_mask_size(hidden: Tensor, path: str | Path, height: int, width: int, of: str = "image") -> None:
    """Raise UserError if a mask, bool (height, width), has another size than what it belongs to."""
    if tuple(hidden.shape) != (height, width):
        raise UserError(
            f"mask {path} is {hidden.shape[1]}x{hidden.shape[0]} pixels and the {of} {width}x{height} (width x height): they "
            "must have the same size"
        )


def transparent_part(picture: Picture) -> Tensor | None:
    """bool (height, width), True for the transparent pixels of a picture; None if it has none."""
    return None if picture.alpha is None or (picture.alpha >= HALF).all() else torch.from_numpy(picture.alpha < HALF)


def _by_transparency(mask: Picture, opaque: np.ndarray, of: Picture | None) -> np.ndarray:
    """The hidden pixels of a partly transparent file. Raise UserError if it is transparent everywhere."""
    if not opaque.any():
        raise UserError(f"mask {mask.name} hides nothing: it is less than half opaque everywhere")
    values = np.asarray(mask.colours.convert("RGB"))
    colours = np.unique(values[opaque], axis=0).tolist()
    if of and of.colours.size == mask.colours.size:
        original = np.asarray(of.colours.convert("RGB"))[opaque]
        copied = np.mean(np.abs(values[opaque].astype(int) - original).max(1) <= 2) >= SAME
    else:
        copied = len(colours) > 2
    if copied and len(colours) > 1:
        note(f"mask {mask.name} is a picture that is partly transparent: the transparent part is hidden")
        return ~opaque
    if colours == [[0, 0, 0], [255, 255, 255]]:
        note(f"mask {mask.name} is white, black and transparent: white is hidden")
        return np.asarray(opaque & (values[..., 0] == 255))
    note(f"mask {mask.name} has strokes on a transparent ground: the strokes are hidden")
    return opaque


def _by_lightness(mask: Picture) -> np.ndarray:
    """The hidden pixels of an opaque file: its white ones, or the lighter ones."""
    values = np.asarray(mask.colours.convert("L")) if mask.deep is None else mask.deep
    white = 255 if mask.deep is None else 1.0 if values.dtype.kind == "f" else 65535
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) == 2 and levels.tolist() != [0, white]:
        low, high = levels
        note(f"mask {mask.name} holds {low:g} and {high:g} instead of 0 and {white:g}: the lighter is hidden")
    elif len(levels) > 2:
        between = int(counts[(levels > 0) & (levels < white)].sum())
        note(
            f"mask {mask.name} has {len(levels)} levels, and {between:,} of its {values.size:,} pixels are neither black nor "
            "white: those of at least half the lightness of white are hidden"
        )
    return np.asarray(values == levels[1] if len(levels) == 2 else values >= white / 2)


def _turned(hidden: np.ndarray, mask: Picture, of: Picture) -> np.ndarray:
    """The mask of a picture that was turned upright, turned with it if it has the picture's size before that."""
    width, height = of.colours.size
    sideways = of.orientation >= 5 and width != height  # the turn changed the picture's size
    if mask.orientation > 1 or (sideways and hidden.shape == (height, width)):
        return hidden  # turned by its own EXIF orientation, or made for the upright picture
    if sideways and hidden.shape == (width, height):
        note(f"mask {mask.name} has the size of {of.name} before it was turned upright: the mask is turned too")
        return np.array(upright(Image.fromarray(hidden), of.orientation)) > 0
    note(f"mask {mask.name} is taken to belong to {of.name} as it is after it was turned upright")
    return hidden
