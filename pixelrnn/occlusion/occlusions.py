"""Occlusions: simple regions, a mask file, and regions drawn at random. The same seed hides the same pixels."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.files.pictures import check_mask_size, read_mask


def everything(height: int, width: int) -> Tensor:
    """All pixels: completion becomes sampling from scratch."""
    return torch.ones(height, width, dtype=torch.bool)


def half(height: int, width: int, side: str = "bottom") -> Tensor:
    """One half of the image: top, bottom, left or right (of an odd number of rows or columns, the smaller part)."""
    hidden = torch.zeros(height, width, dtype=torch.bool)
    regions = {
        "top": hidden[: height // 2],
        "bottom": hidden[height - height // 2 :],
        "left": hidden[:, : width // 2],
        "right": hidden[:, width - width // 2 :],
    }
    if side not in regions:
        raise UserError(f"occlusion.side={side}: it is one of {', '.join(regions)}")
    regions[side][:] = True
    return hidden


def box(height: int, width: int, top: int = 0, left: int = 0, rows: int = 4, columns: int = 4) -> Tensor:
    """A rectangle of rows × columns pixels whose upper left corner is at (top, left)."""
    if top < 0 or left < 0 or rows < 1 or columns < 1 or top + rows > height or left + columns > width:
        raise UserError(
            f"occlusion box of {rows}x{columns} pixels at row {top}, column {left} does not lie in an image of {height}x{width}"
        )
    hidden = torch.zeros(height, width, dtype=torch.bool)
    hidden[top : top + rows, left : left + columns] = True
    return hidden


def centre(height: int, width: int, fraction: float = 0.5) -> Tensor:
    """A rectangle in the middle; `fraction` of each side."""
    if not 0 < fraction <= 1:
        raise UserError(f"occlusion.fraction={fraction}: it is more than 0 and at most 1")
    rows, columns = max(1, round(height * fraction)), max(1, round(width * fraction))
    return box(height, width, (height - rows) // 2, (width - columns) // 2, rows, columns)


def mask_file(height: int, width: int, path: str = "") -> Tensor:
    """The white pixels of a picture file of exactly this size."""
    if not path:
        raise UserError("occlusion=mask needs a file: occlusion.path=mask.png")
    hidden = read_mask(path)
    check_mask_size(hidden, path, height, width)
    return hidden


def random_pixels(height: int, width: int, fraction: float = 0.5, seed: int = 0) -> Tensor:
    """Single pixels anywhere, `fraction` of all."""
    if not 0 < fraction <= 1:
        raise UserError(f"occlusion.fraction={fraction}: it is more than 0 and at most 1")
    pixels = height * width
    chosen = torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))[: max(1, round(pixels * fraction))]
    hidden = torch.zeros(pixels, dtype=torch.bool)
    hidden[chosen] = True
    return hidden.view(height, width)


def random_boxes(height: int, width: int, count: int = 3, seed: int = 0) -> Tensor:
    """`count` rectangles, each side between an eighth and a half of the image's."""
    if count < 1:
        raise UserError(f"occlusion.count={count}: at least one box")
    draw, hidden = Random(seed), torch.zeros(height, width, dtype=torch.bool)
    for _ in range(count):
        rows = draw.randint(max(1, height // 8), max(1, height // 2))
        columns = draw.randint(max(1, width // 8), max(1, width // 2))
        top, left = draw.randint(0, height - rows), draw.randint(0, width - columns)
        hidden[top : top + rows, left : left + columns] = True
    return hidden


def strokes(height: int, width: int, count: int = 3, thickness: float = 0.1, seed: int = 0) -> Tensor:
    """`count` brush strokes, each through four random points; thickness as a fraction of the shorter side."""
    if count < 1 or not 0 < thickness <= 1:
        raise UserError(f"occlusion strokes: count={count} and thickness={thickness}; at least 1, and in (0, 1]")
    draw, canvas = Random(seed), Image.new("1", (width, height))
    for _ in range(count):
        points = [(draw.random() * width, draw.random() * height) for _ in range(4)]
        line_width = max(1, round(thickness * min(height, width)))
        ImageDraw.Draw(canvas).line(points, fill=1, width=line_width, joint="curve")
    return _to_mask(canvas)


DAMAGE = {
    "pixels": 28,
    "scratches": 27,
    "text": 20,
    "boxes": 18,
    "outside": 6,
    "everything": 1,
}  # how often, of 100 times


def damage(height: int, width: int, kind: str | None = None, seed: int = 0) -> Tensor:
    """Damage of photographs: missing pixels (of any density), scratches, text or boxes, all of a size in pixels; all that lies
    outside of wide scratches; or everything. kind: one of these; None: one drawn at random, as DAMAGE says.
    """
    draw = Random(seed)
    if kind not in (None, *DAMAGE):
        raise UserError(f"occlusion.kind={kind}: it is one of {', '.join(DAMAGE)}, or null for one drawn at random")
    kind = kind or draw.choices(list(DAMAGE), list(DAMAGE.values()))[0]
    if kind == "pixels":
        return random_pixels(height, width, draw.uniform(0.05, 0.95), seed)
    if kind == "everything":
        return everything(height, width)
    for _ in range(100):
        hidden = _to_mask(DRAWN[kind](height, width, draw))
        if bool(hidden.any()):
            return ~hidden if kind == "outside" and not bool(hidden.all()) else hidden
    return everything(height, width)


def _to_mask(canvas: Image.Image) -> Tensor:
    # NumPy's bool array of a binary image holds bytes of 255, and some libraries count with them.
    return torch.from_numpy(np.array(canvas) > 0)


def _scratches(height: int, width: int, draw: Random, lines: int = 4, thickest: int = 5) -> Image.Image:
    """A few lines of 3 to 8 points, straight or winding, which begin anywhere in or near the image."""
    canvas = Image.new("1", (width, height))
    for _ in range(draw.randint(1, lines)):
        points = [(draw.uniform(-0.2, 1.2) * width, draw.uniform(-0.2, 1.2) * height)]
        angle, winding = draw.uniform(0, 2 * math.pi), draw.uniform(0, 0.7)
        for _ in range(draw.randint(2, 7)):
            angle, length = angle + draw.gauss(0, winding), draw.uniform(10, 30)
            points.append((points[-1][0] + length * math.cos(angle), points[-1][1] + length * math.sin(angle)))
        ImageDraw.Draw(canvas).line(points, fill=1, width=draw.randint(1, thickest), joint="curve")
    return canvas


def _wide_scratches(height: int, width: int, draw: Random) -> Image.Image:
    return _scratches(height, width, draw, lines=5, thickest=30)


def _text(height: int, width: int, draw: Random) -> Image.Image:
    """Lines of letters, 10 to 24 pixels high, upright, on the side or a little oblique."""
    angle, size = draw.choice((0, 0, 90, draw.uniform(-20, 20))), draw.randint(10, 24)
    side = math.ceil(max(height, width) * (1 if angle in (0, 90) else 1.3))  # 1.3 > sin 20° + cos 20°
    canvas, font = Image.new("1", (side, side)), ImageFont.load_default(size)
    top, leading = -draw.randint(0, size), size * draw.uniform(1.1, 1.8)
    while top < side:
        letters = "".join(draw.choices(LETTERS, k=4 * side // size))
        ImageDraw.Draw(canvas).text((-draw.randint(0, 20), top), letters, fill=1, font=font)
        top = round(top + leading)
    canvas = canvas.rotate(angle)
    left, top = (side - width) // 2, (side - height) // 2
    return canvas.crop((left, top, left + width, top + height))


def _boxes(height: int, width: int, draw: Random) -> Image.Image:
    """One to three rectangles with sides of 4 to 32 pixels, some of which the border cuts."""
    canvas = Image.new("1", (width, height))
    for _ in range(draw.randint(1, 3)):
        rows, columns = draw.randint(4, 32), draw.randint(4, 32)
        top, left = draw.randint(-(rows // 2), height - rows // 2), draw.randint(-(columns // 2), width - columns // 2)
        ImageDraw.Draw(canvas).rectangle((left, top, left + columns - 1, top + rows - 1), fill=1)
    return canvas


LETTERS = "etaoinshrdlu cmfwypvbgkqjxz ETAOINSHRDLU 0123456789.,-"
DRAWN: dict[str, Callable[[int, int, Random], Image.Image]] = {
    "scratches": _scratches,
    "text": _text,
    "boxes": _boxes,
    "outside": _wide_scratches,
}
