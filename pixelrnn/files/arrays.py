"""Images and masks in the forms in which callers hold them, as PIL, NumPy and torch have them, made tensors; and files of
arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixelrnn.errors import UserError, note
from pixelrnn.files.atomic import write_whole
from pixelrnn.files.pictures import from_image, hidden_of, to_tensor, with_channels

# In annotations of public functions; a mask is an image of truth values.
Images = Tensor | np.ndarray | Image.Image | Sequence[Image.Image]
FORMS = "a tensor, a NumPy array, a PIL picture or a list of PIL pictures"


def are_pictures(values: Any) -> bool:
    """Whether this is a PIL picture, or a list of them."""
    listed = list(values) if isinstance(values, list | tuple) else [values]
    return bool(listed) and all(isinstance(value, Image.Image) for value in listed)


def as_tensor(name: str, values: Any, forms: str = FORMS) -> Tensor:
    """The tensor itself, or one of a NumPy array's values, which may share its memory. Raise UserError for anything else, with
    the forms that the caller takes."""
    if isinstance(values, Tensor):
        if values.layout != torch.strided or values.is_meta:
            kind = "holds no values" if values.is_meta else f"is {str(values.layout).removeprefix('torch.')}"
            raise UserError(f"{name} is a tensor that {kind}; give a dense one: .to_dense()")
        return values
    if not isinstance(values, np.ndarray):
        of = f" of {type(values[0]).__name__}" if isinstance(values, list | tuple) and values else ""
        raise UserError(f"{name} is a {type(values).__name__}{of}; give {forms}")
    try:
        return torch.from_numpy(np.require(values, requirements=["C", "W"]))
    except (TypeError, ValueError):
        raise UserError(
            f"{name} is an array of {values.dtype}, which torch does not have; give uint8 or bool"
        ) from None


def as_images(images: Any, shape: tuple[int, int, int]) -> Tensor:
    """Images of this shape, (channels, height, width), in any of FORMS, as (batch, channels, height, width).

    An array or tensor may have its channels last, may leave out a single channel, and may be one image without the batch; if
    it has none of these layouts, it is returned as it is. Pictures become uint8, from 0 to 255; UserError for one that does
    not fit.
    """
    if are_pictures(images):
        listed = [images] if isinstance(images, Image.Image) else images
        several = len(listed) > 1
        return torch.stack(
            [_of_shape(f"picture {i + 1}" if several else "the picture", each, shape) for i, each in enumerate(listed)]
        )
    given = as_tensor("images", images)
    channels, height, width = shape
    for batch in (given, given[None]):
        if tuple(batch.shape[1:]) == (channels, height, width):
            return batch
        if tuple(batch.shape[1:]) == (height, width, channels):
            return batch.movedim(-1, 1)
        if channels == 1 and tuple(batch.shape[1:]) == (height, width):
            return batch[:, None]
    return given


def _of_shape(name: str, picture: Image.Image, shape: tuple[int, int, int]) -> Tensor:
    channels, height, width = shape
    if picture.size != (width, height):
        raise UserError(
            f"{name} is {picture.width}x{picture.height} pixels; this model takes {width}x{height}: "
            f"picture.resize(({width}, {height})) first"
        )
    return to_tensor(with_channels(opaque(name, picture), channels, name))


def opaque(name: str, picture: Image.Image) -> Image.Image:
    """A picture of any mode in mode "L" or "RGB". Raise UserError if it is partly transparent."""
    file = from_image(name, picture)
    for change in file.lost:
        note(f"{name} {change}")
    if file.alpha is not None:
        raise UserError(f'{name} is partly transparent; lay it on a ground first, such as picture.convert("RGB")')
    return file.colours


def as_masks(hidden: Any) -> Tensor:
    """A mask in any of FORMS, or several of one size, as a tensor (height, width) or (masks, height, width).

    Pictures become bool, understood as mask files are: white is hidden, or strokes on a transparent ground.
    """
    if isinstance(hidden, Image.Image):
        return hidden_of(from_image("hidden", hidden))
    if not are_pictures(hidden):
        return as_tensor("hidden", hidden)
    masks = [hidden_of(from_image(f"hidden[{i}]", mask)) for i, mask in enumerate(hidden)]
    if len(sizes := {tuple(mask.shape) for mask in masks}) > 1:
        raise UserError(
            f"hidden: the masks have several sizes, (height, width) {sorted(sizes)}; give masks of one size"
        )
    return torch.stack(masks)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a .npz file of arrays. Raises UserError if it cannot be written."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # NumPy would add .npz to a path
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # mypy takes them for allow_pickle

    write_whole(path, write)
