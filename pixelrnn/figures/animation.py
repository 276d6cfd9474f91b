"""Animations: completions that are filled pixel by pixel, as a GIF file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.figures.strips import TINT, as_rgb
from pixelrnn.files.atomic import expanded, write_whole

FRAMES, FRAME, LAST = 90, 60, 2500  # frames at most; milliseconds of a frame, and of the last one
SMALL, LARGE = 112, 480  # a tile's side in pixels: whole multiples up to here; larger pictures are reduced
HEAD = np.array([0.86, 0.08, 0.24])  # the pixels that are drawn next
GAP = 4


def times_of(hidden: Tensor, orders: Tensor) -> Tensor:
    """When each hidden pixel is drawn, from more than 0 to 1, and 0 for observed pixels: float (batch, height, width).

    hidden bool (batch, height, width); orders int64 (batch, pixels), that of each image.
    """
    along = hidden.flatten(1).gather(1, orders)
    times = along.cumsum(1) / along.sum(1, keepdim=True) * along
    return torch.zeros_like(times).scatter_(1, orders, times).view(hidden.shape)


def times_of_rounds(rounds: Sequence[Tensor], hidden: Tensor) -> Tensor:
    """When each hidden pixel has its last value, from more than 0 to 1: float (height, width), from pictures of each round,
    uint8 (channels, height, width)."""
    times = torch.zeros(hidden.shape)
    for number, picture in enumerate(rounds):
        unlike = (picture != rounds[-1]).any(0) & hidden
        times[unlike] = (number + 2) / len(rounds)
    return times.clamp_min(1 / len(rounds)) * hidden


def reduced(picture: Tensor, every: int) -> Tensor:
    """The mean of each square of every × every pixels, uint8 (channels, height, width); of a mask, bool (height, width), whether
    any of its pixels is hidden."""
    if picture.dtype == torch.bool:
        return F.max_pool2d(picture[None].float(), every, ceil_mode=True)[0] > 0
    return F.avg_pool2d(picture.float(), every, ceil_mode=True).round().to(torch.uint8)


def save_animation(completed: Tensor, times: Tensor, levels: int, path: str | Path) -> None:
    """Write a GIF in which completions are filled: a row for each image, a column for each of its completions.

    completed uint8 (batch, count, channels, height, width); times (batch, height, width) from times_of, 0 where observed.
    """
    path = expanded(path)
    if path.suffix.lower() != ".gif":
        raise UserError(f"{path}: an animation is a GIF file; give a name that ends in .gif")
    shown, times = (as_rgb(completed, levels) * 255).round().astype(np.uint8), times.cpu()[:, None]
    steps = min(FRAMES, max(1, int((times > 0).flatten(2).sum(2).max())))
    frames = [_frame(shown, times.numpy(), step / steps, 1 / steps) for step in range(steps + 1)]
    durations = [FRAME] * steps + [LAST]

    def write(temporary: Path) -> None:
        frames[0].save(
            temporary, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False
        )

    write_whole(path, write)


def _frame(shown: np.ndarray, times: np.ndarray, now: float, step: float) -> Image.Image:
    """The sheet at a time from 0 to 1; the pixels of the next step have the colour of the head."""
    batch, count, height, width, _ = shown.shape
    late = np.broadcast_to(times > now + 1e-9, shown.shape[:-1])
    colours = np.where((times <= now + step + 1e-9)[..., None], HEAD, TINT) * 255
    tiles = np.where(late[..., None], colours, shown).astype(np.uint8)
    longest = max(height, width)
    scale = max(1, SMALL // longest) if longest <= LARGE else LARGE / longest
    size = round(width * scale), round(height * scale)
    sheet = Image.new("RGB", (count * (size[0] + GAP) - GAP, batch * (size[1] + GAP) - GAP), "white")
    for row in range(batch):
        for column in range(count):
            how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
            tile = Image.fromarray(tiles[row, column]).resize(size, how)
            sheet.paste(tile, (column * (size[0] + GAP), row * (size[1] + GAP)))
    return sheet
