"""Picture files in and out: pictures, masks, and what is refused."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files import write_whole

MAX_PIXELS = 50_000_000  # a larger picture is refused before it is decoded
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


def open_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The decoded picture, upright, in mode "L" or "RGB" (on white where it is transparent).

    Raises UserError for a file that is missing, no picture, truncated, or larger than max_pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is said below, in one line; a lower limit follows
            with Image.open(path) as picture:
                if picture.width * picture.height > max_pixels:
                    raise UserError(
                        f"{path} has {picture.width}x{picture.height} pixels; the limit is {max_pixels:,}: make it smaller first"
                    )
                return _upright(picture)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give a picture file") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is not a picture that can be read; use PNG or JPEG") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read as a picture ({error}); is it truncated?") from None


def _upright(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture, dtype=np.float64)  # 16 bits to 8: Pillow's own conversion would clip
        return Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
        grey = picture.convert("L")
        return grey if np.array_equal(np.asarray(grey.convert("RGB")), np.asarray(picture)) else picture
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


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
            f"{path} is in colour (3 channels); this model has 1 channel: save the picture in grey, or use a colour checkpoint"
        )
    return grey


def read_mask(path: str | Path, max_pixels: int = MAX_PIXELS) -> Tensor:
    """bool (height, width) from a mask file: True, hidden, where it is white (128 or more of 255)."""
    return to_tensor(open_picture(path, max_pixels).convert("L"))[0] >= 128


def list_pictures(folder: str | Path) -> list[Path]:
    """The picture files under a folder, sorted by path; UserError if there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; set data.root to a folder of pictures")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return paths
