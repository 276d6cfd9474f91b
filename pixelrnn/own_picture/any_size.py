"""A picture at its own size, as PIL, NumPy and torch have it, completed by a model for pictures of any size."""

from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from pixelrnn import checkpoint
from pixelrnn.completion.fill import Progress
from pixelrnn.completion.windows import PictureCompletions, complete_windows, note_intervals
from pixelrnn.errors import UserError, note
from pixelrnn.files.arrays import as_masks, as_tensor, opaque
from pixelrnn.files.pictures import to_tensor
from pixelrnn.model import InpaintingRNN, Model, check_model
from pixelrnn.pixels import MAX_LEVELS, requantise


def complete_picture(
    picture: Image.Image | np.ndarray | Tensor,
    hidden: Image.Image | np.ndarray | Tensor,
    model: InpaintingRNN | str | Path = "photos",
    *,
    count: int = 6,
    temperature: float = 1.0,
    generator: Generator | None = None,
    progress: Progress | None = None,
) -> PictureCompletions:
    """Draw completions of a picture of any size, at its own size. No observed pixel is changed.

    picture: a PIL image; a uint8 array (height, width) or (height, width, channels); or a uint8 tensor (channels, height,
    width). hidden, of the same size: a bool array or tensor (height, width), True where a pixel is to be completed; or a PIL
    image, understood as a mask file is: white pixels are hidden, or strokes on a transparent ground. model: an InpaintingRNN,
    the folder of a saved one, or the name of a bundled one. A grey picture is completed by a model of RGB pictures as one
    whose channels are equal; its completions may have some colour.

    progress is called as progress(done, total, images) with the hidden pixels drawn so far, and the picture with the first
    completion, uint8 (1, channels, height, width). Raises UserError for what does not fit.
    """
    made = checkpoint.load(model) if isinstance(model, str | Path) else model
    check_model(made)
    if not isinstance(made, InpaintingRNN):
        raise UserError(
            f"{type(made).__name__} completes images of one size; give an InpaintingRNN, or use pixelrnn.complete"
        )
    image = with_channels_of(made, _picture(picture))
    if isinstance(picture, Image.Image) and made.levels < MAX_LEVELS:
        note(f"the picture has 256 levels; it is reduced to the {made.levels} of this model")
        image = requantise(image, MAX_LEVELS, made.levels)
    note_intervals(count, temperature)
    return complete_windows(made, image, as_masks(hidden).cpu().clone(), count, temperature, generator, progress)


def any_size(model: Model) -> TypeGuard[InpaintingRNN]:
    """Whether a model completes files of pictures at their own size: their values are those of 8 bits."""
    return isinstance(model, InpaintingRNN) and model.levels == 256


def with_channels_of(model: InpaintingRNN, picture: Tensor) -> Tensor:
    """The picture, uint8 (channels, height, width), for this model: a grey one has three equal channels for a model of RGB."""
    if picture.ndim == 3 and len(picture) == 1 and model.shape[0] == 3:
        return picture.expand(3, -1, -1).contiguous()
    return picture


def with_channels_as(channels: int, picture: Tensor) -> Tensor:
    """Undo with_channels_of: a completed picture, uint8 (channels, height, width), is grey if the given one had one channel."""
    if channels < len(picture):
        return picture.float().mean(0, keepdim=True).round().to(torch.uint8)
    return picture


def _picture(picture: Any) -> Tensor:
    """uint8 (channels, height, width) of a picture in any of the forms that complete_picture takes."""
    if isinstance(picture, Image.Image):
        return to_tensor(opaque("the picture", picture))
    tensor = as_tensor("the picture", picture, "a PIL picture, a NumPy array or a tensor")
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim < 2 or picture.shape[2:] not in ((), (1,), (3,)):
            raise UserError(
                f"the picture is {picture.dtype} {picture.shape}; give uint8 (height, width) or (height, width, 1 or 3): for "
                "values from 0 to 1, (255 * picture).round().astype(np.uint8)"
            )
        tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)  # the caller may change theirs
