"""Classical fills: smooth surfaces over the unknown pixels of an image, from the known ones.

They are what inpainting without a model does. A model that is given them has only the rest to learn.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

HARMONIC, BIHARMONIC = 6, 12  # steps of the solver at each size, which begins near the solution


def smooth_fills(values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The harmonic and the biharmonic fill: float (batch, channels, height, width), in [-1, 1] as `values`.

    values float (batch, channels, height, width) in [-1, 1]; known float (batch, 1, height, width), 1 or 0. A value that is
    not known has no influence. The harmonic fill has no slope that could be avoided (a membrane: it minimises the squared
    differences of neighbours), the biharmonic one no bend (a thin plate: the squared Laplacian). Outside the image, both
    are flat.
    """
    height, width = values.shape[-2:]
    values, unknown = values * known, 1 - known
    if max(height, width) == 1:
        return values, values
    # From coarse to fine: the averages of the known pixels of 2×2 blocks are filled first, and are where the solver starts.
    share, means = (F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (known, values))
    means = means / share.clamp_min(1e-6)
    starts = (
        F.interpolate(fill, (height, width), mode="bilinear") for fill in smooth_fills(means, (share > 0).to(values))
    )
    harmonic, biharmonic = (values + unknown * start for start in starts)
    harmonic = _minimise(lambda x: -_laplacian(x), harmonic, unknown, HARMONIC)
    biharmonic = _minimise(lambda x: _laplacian(_laplacian(x)), biharmonic, unknown, BIHARMONIC)
    return harmonic, values + unknown * biharmonic.clamp(-1, 1)


def _laplacian(x: Tensor) -> Tensor:
    """The sum of a pixel's differences to its four neighbours; at the border the image goes on with the same value."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:] - 4 * x


def _minimise(operator: Callable[[Tensor], Tensor], x: Tensor, unknown: Tensor, steps: int) -> Tensor:
    """Minimise x · operator(x) over the unknown pixels by the method of conjugate gradients, for each image by itself."""
    residual = -operator(x) * unknown
    direction, square = residual, _squares(residual)
    for _ in range(steps):
        bent = operator(direction) * unknown
        step = square / (direction * bent).sum((1, 2, 3), keepdim=True).clamp_min(1e-12)
        x, residual = x + step * direction, residual - step * bent
        before, square = square, _squares(residual)
        direction = residual + square / before.clamp_min(1e-12) * direction
    return x


def _squares(x: Tensor) -> Tensor:
    return x.square().sum((1, 2, 3), keepdim=True)
