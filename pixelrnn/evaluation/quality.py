"""PSNR and SSIM of completions on the hidden pixels: the mean over the completions, and the best of them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PERFECT = 60.0  # dB of a completion without any error


@dataclass(frozen=True)
class Quality:
    """Means over images, of all their completions and of the best completion of each image."""

    images: int
    completions: int  # of each image
    psnr: float  # dB; at most PERFECT for one completion
    best_psnr: float
    ssim: float  # 1 for the original
    best_ssim: float


def quality(images: Tensor, completed: Tensor, hidden: Tensor, levels: int) -> Quality:
    """Compare completions, uint8 (batch, count, channels, height, width), with images, (batch, channels, height, width),
    on the pixels of hidden, bool (height, width)."""
    images, completed, hidden = images.cpu(), completed.cpu(), hidden.cpu()
    error = (completed.double() - images[:, None].double())[..., hidden].square().flatten(2).mean(2)
    psnr = (20 * math.log10(levels - 1) - 10 * error.clamp_min(1e-12).log10()).clamp_max(PERFECT)
    ssim = torch.tensor(
        [
            [_ssim(image, completion, hidden, levels) for completion in row]
            for image, row in zip(images, completed, strict=True)
        ]
    )
    means = (float(value) for scores in (psnr, ssim) for value in (scores.mean(), scores.max(1).values.mean()))
    return Quality(len(images), completed.shape[1], *means)


def _ssim(image: Tensor, completion: Tensor, hidden: Tensor, levels: int) -> float:
    """Structural similarity (Wang et al. 2004) in windows around the hidden pixels."""
    from skimage.metrics import structural_similarity

    smaller = min(image.shape[1:])
    window = min(7, smaller if smaller % 2 else smaller - 1)
    if window < 3:  # an image of one or two rows has no structure: compare pixel by pixel
        return float((image == completion)[:, hidden].double().mean())
    arrays = (picture.numpy().astype(np.float64) for picture in (image, completion))
    _, scores = structural_similarity(*arrays, win_size=window, data_range=levels - 1, channel_axis=0, full=True)
    return float(scores[:, hidden.numpy()].mean())
