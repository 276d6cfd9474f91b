"""Classical inpainting to compare with: OpenCV's, scikit-image's, and the smooth fill that an InpaintingRNN starts from."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.model.smooth import smooth_fills
from pixelrnn.pixels import requantise

RADIUS = 3  # pixels around a hidden one that OpenCV looks at
Fill = Callable[[Tensor, Tensor], Tensor]


def classical_fills(levels: int = 256) -> dict[str, Fill]:
    """Fills of a hole by name, each a function (picture, hidden) -> the picture with the hole filled.

    picture uint8 (channels, height, width) in [0, levels), of 1 or 3 channels; hidden bool (height, width). Both are on the
    CPU. A picture of which all is hidden becomes grey. OpenCV's Telea (2004) and Navier-Stokes (Bertalmio et al. 2001), with a
    radius of 3 pixels; scikit-image's biharmonic (Damelin and Hoang 2018); our own harmonic, which an InpaintingRNN is given.
    Raises UserError for binary pictures, and if OpenCV or scikit-image is missing.
    """
    if levels == 2:
        raise UserError("baselines=true compares grey and colour pictures, and these have 2 levels: leave it out")
    try:
        import cv2
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise UserError(
            f"baselines=true needs OpenCV and scikit-image ({error}): in pixelrnn's source tree, pip install -e '.[baselines]'"
        ) from None

    def by_opencv(method: int) -> Fill:
        return lambda picture, hidden: _from_array(
            cv2.inpaint(_to_array(picture), hidden.numpy().astype(np.uint8), RADIUS, method)
        )

    def biharmonic(picture: Tensor, hidden: Tensor) -> Tensor:
        return _from_array(inpaint_biharmonic(_to_array(picture) / 255, hidden.numpy(), channel_axis=-1) * 255)

    fills = {
        "Telea": by_opencv(cv2.INPAINT_TELEA),
        "Navier-Stokes": by_opencv(cv2.INPAINT_NS),
        "harmonic": _harmonic,
        "biharmonic": biharmonic,
    }
    return {name: _of_levels(fill, levels) for name, fill in fills.items()}


def _of_levels(fill: Fill, levels: int) -> Fill:
    """A fill of 8 bits for pictures of other levels."""

    def filled(picture: Tensor, hidden: Tensor) -> Tensor:
        if bool(hidden.all()):
            return torch.full_like(picture, levels // 2)
        found = requantise(fill(requantise(picture, levels, 256), hidden), 256, levels)
        return torch.where(hidden, found, picture)

    return filled


def _harmonic(picture: Tensor, hidden: Tensor) -> Tensor:
    fill, _ = smooth_fills(picture[None] / 127.5 - 1, (~hidden)[None, None].float())
    return ((fill[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _to_array(picture: Tensor) -> np.ndarray:
    return picture.permute(1, 2, 0).contiguous().numpy()


def _from_array(values: np.ndarray) -> Tensor:
    """uint8 (channels, height, width) of an array (height, width) or (height, width, channels) in [0, 255]."""
    picture = torch.from_numpy(values.round().clip(0, 255).astype(np.uint8))
    return picture.view(*picture.shape[:2], -1).permute(2, 0, 1)
