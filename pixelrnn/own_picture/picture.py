"""The user's own picture: resized for the model, and the completion pasted back into it at its own size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pixelrnn.errors import UserError, note
from pixelrnn.files.pictures import (
    MAX_PIXELS,
    Picture,
    check_mask_size,
    read_mask,
    read_picture,
    to_picture,
    to_tensor,
    transparent_part,
    with_channels,
)
from pixelrnn.model import Model
from pixelrnn.own_picture.framing import INVERTED, Crop, Tone, find_crop, find_ink, find_tone
from pixelrnn.own_picture.typical import Typical
from pixelrnn.pixels import requantise

TINT = 16  # a picture counts as grey, such as cream paper, if its channels differ from grey by less on average
# Strokes stay as they are if their distance from the middle, and from the usual size, is at most this share of the side. The
# first value holds for a picture of the model's size, the second for other pictures.
SAME_SIZE, OTHER_SIZE = 0.25, 0.05


@dataclass(frozen=True)
class OwnPicture:
    """A picture at its own size, and as the model sees it."""

    picture: Tensor  # 8 bits (channels, height, width), at its own size
    image: Tensor  # at the model's size and in its levels
    levels: int
    crop: Crop | None = None  # the part of the picture that the model sees; None is all of it
    tone: Tone = field(default_factory=Tone)
    file: Picture | None = None
    ground: int = 0  # the 8-bit value of plain paper, as the model sees it
    masks: dict[str, Tensor] = field(
        default_factory=dict
    )  # those that from_file has read beside its own, by their files

    @property
    def resized(self) -> bool:
        return self.picture.shape[1:] != self.image.shape[1:] or self.crop is not None

    @property
    def changed(self) -> bool:
        """Whether the model sees another size or other values."""
        return self.resized or not torch.equal(requantise(self.image, self.levels, 256), self.picture)

    @property
    def transparent(self) -> Tensor | None:
        """The transparent part, bool (height, width) at the picture's own size; None if there is none."""
        return transparent_part(self.file) if self.file else None

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of the picture's colours, if its file has one that still fits."""
        return self.file.profile if self.file and len(self.file.colours.getbands()) == len(self.picture) else None

    @property
    def paper(self) -> Tensor:
        """The value of plain paper in the picture, float (channels or 1, 1, 1)."""
        return self.tone.undo(torch.full((1, 1, 1), float(self.ground)))

    def mask(self, path: str | Path, max_pixels: int = MAX_PIXELS) -> Tensor:
        """Read a mask file: bool (height, width) at the picture's own size. Raises UserError if it has another size."""
        hidden = read_mask(path, max_pixels, self.file)
        height, width = self.picture.shape[1:]
        check_mask_size(hidden, path, height, width, of="picture")
        return hidden

    def reduce(self, hidden: Tensor) -> Tensor:
        """Bring a mask to the model's size; a pixel is hidden if any part of it is."""
        part = self._crop.cut(hidden[None].float(), torch.zeros(1))
        return F.adaptive_max_pool2d(part, self.image.shape[1:])[0] > 0

    def enlarge(self, hidden: Tensor) -> Tensor:
        """Bring a mask of the model's size to the picture's; a pixel of a smaller picture is hidden if any part of it is."""
        size = self._crop.height, self._crop.width
        if size[0] < hidden.shape[0] or size[1] < hidden.shape[1]:
            part = F.adaptive_max_pool2d(hidden.float()[None], size)
        else:
            part = F.interpolate(hidden.float()[None, None], size, mode="nearest-exact")[0]
        return self._crop.put(part, torch.zeros(1, *self.picture.shape[1:]))[0] > 0

    def refine(self, hidden: Tensor, fine: Tensor | None) -> Tensor:
        """Like enlarge(hidden), but of a model pixel that `fine`, a mask at the picture's size, hides in part, only that part
        is hidden. All that `fine` hides outside the crop stays hidden."""
        if fine is None:
            return self.enlarge(hidden)
        observed = self.enlarge(~hidden) & ~self.enlarge(hidden)
        return (fine & ~observed) | self.enlarge(hidden & ~self.reduce(fine))

    def paste(self, completed: Tensor, hidden: Tensor) -> Tensor:
        """Replace the hidden pixels, bool at the picture's size, by a completion in the model's levels.

        Hidden pixels outside the crop become plain paper.
        """
        seen = requantise(completed, self.levels, 256).float()
        seen = F.interpolate(seen[None], (self._crop.height, self._crop.width), mode="nearest-exact")[0]
        values = self.tone.undo(seen).expand(len(self.picture), -1, -1)
        whole = self._crop.put(values, self.paper.expand(self.picture.shape))
        return whole.round().to(torch.uint8).where(hidden, self.picture)

    @property
    def _crop(self) -> Crop:
        return self.crop or Crop(0, 0, *self.picture.shape[1:])


def from_file(
    path: str | Path,
    model: Model,
    fit: str = "auto",
    invert: bool | str = "auto",
    mask: str | Path | None = None,
    others: Sequence[str | Path] = (),
    max_pixels: int = MAX_PIXELS,
) -> tuple[OwnPicture, Tensor | None]:
    """Read a picture for a model, and its mask: the mask file, else the transparent part, bool at its own size, or None.

    others: more mask files, for OwnPicture.masks. Strokes and paper are looked for outside of all masks.

    For a model of strokes on a plain ground, such as digits, fit "auto" crops to the strokes and centres them, and invert
    "auto" inverts the picture if its ground is light and the model's is dark, or the other way round. fit "stretch" resizes
    the whole picture; "none" accepts only a picture of the model's size. Notes say what was changed. Raises UserError for a
    file that is no picture, or too large (see files/pictures.py).
    """
    own, hidden = read(path, model.levels, mask, max_pixels)
    own = replace(own, masks={str(other): own.mask(other, max_pixels) for other in others})
    return frame(own, model, [*own.masks.values(), *([] if hidden is None else [hidden])], fit, invert), hidden


def frame(
    own: OwnPicture, model: Model, masks: Sequence[Tensor], fit: str = "auto", invert: bool | str = "auto"
) -> OwnPicture:
    """Make the model's image of a picture that was read; from_file explains how. The masks are bool (height, width), at the
    picture's own size; the pixels that they hide have no influence on the image."""
    assert own.file
    visible = torch.ones(own.picture.shape[1:], dtype=torch.bool)
    for each in masks:
        visible &= ~each
    framed = _framed(own, model, visible, fit, invert)
    inside = framed.enlarge(torch.ones(model.shape[1:], dtype=torch.bool))
    if not all((each & inside).any() for each in masks):  # a hidden part is not near the strokes
        framed, hidden_outside = _framed(own, model, visible, "stretch", invert), 0
    else:
        hidden_outside = int((~visible & ~inside).sum())
    turned_grey, own_colours = len(framed.picture) > model.shape[0], framed.tone not in (Tone(), INVERTED)
    done = ["turned grey"] * turned_grey + ["inverted"] * framed.tone.inverted
    done += ["made full in contrast"] * own_colours + ["framed around its strokes"] * (framed.crop is not None)
    if done:
        grey = ", but for the colour: what is completed stays grey" if turned_grey and not own_colours else ""
        note(f"for the model, {own.file.name} is {', '.join(done)}; in the completed picture this is undone{grey}")
    seen = framed.image[:, ~framed.reduce(~visible)]
    if seen.numel() and not bool((seen != seen.flatten()[0]).any()):
        note(f"the model sees a single level in {own.file.name}, and no strokes: they are hidden, or too faint")
    if hidden_outside:
        note(
            f"{hidden_outside:,} hidden pixels of {own.file.name} lie outside what the model sees: they become plain paper"
        )
    return framed


def read(
    path: str | Path, levels: int, mask: str | Path | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[OwnPicture, Tensor | None]:
    """Read a picture at its own size, which no model has seen yet, and its mask, as from_file does."""
    file = read_picture(path, max_pixels)
    if file.orientation > 1:
        note(f"{file.name} is turned upright, as its EXIF orientation {file.orientation} says")
    for change in file.lost:
        note(f"{file.name} {change}")
    if file.loses_profile:
        note(f"the colour profile of {file.name} does not fit what is saved, {file.colours.mode}, and is left out")
    own = OwnPicture(to_tensor(file.colours), torch.empty(0), levels, file=file)
    hidden = own.mask(mask, max_pixels) if mask else own.transparent
    if file.alpha is not None and (mask or hidden is None):
        note(f"{file.name} is partly transparent, and laid on white")
        own = replace(own, picture=to_tensor(file.on_white()))
    elif file.alpha is not None and (between := int(((file.alpha > 0) & (file.alpha < 255)).sum())):
        note(
            f"{between:,} pixels of {file.name} are transparent in part: those that are more than half so are hidden, the others "
            "become opaque"
        )
    return own, hidden


def _framed(own: OwnPicture, model: Model, visible: Tensor, fit: str, invert: bool | str) -> OwnPicture:
    """Find the crop and the tone in which the model sees the picture, and make the model's image."""
    assert own.file
    (channels, height, width), size, name = model.shape, own.picture.shape[1:], own.file.name
    if fit == "none" and size != (height, width):
        raise UserError(
            f"fit=none: {name} is {size[1]}x{size[0]} and the model's images are {width}x{height}: use fit=auto"
        )
    typical, ink = Typical.of_model(model), None
    if typical and typical.ground is not None:  # a model of strokes on a plain ground
        own, ink = replace(own, ground=typical.ground), find_ink(_grey(own.picture)[0], visible)
    if typical is None or ink is None:
        tone, crop = INVERTED if invert is True else Tone(), None
        if channels == 3 or not 0 < tint_of(own.picture) <= TINT:
            own = replace(own, picture=to_tensor(with_channels(to_picture(own.picture), channels, name)))
    else:
        tone = find_tone(own.picture, ink, visible, own.ground < 128, invert, contrast=fit == "auto")
        tolerance = SAME_SIZE if size == (height, width) else OTHER_SIZE
        fits = fit == "auto" and height == width
        crop = find_crop(ink, ~visible, typical.extent, tolerance) if fits and ink.any() else None
        own = replace(own, picture=own.picture.expand(max(channels, len(own.picture)), -1, -1))
    own, seen = replace(own, crop=crop, tone=tone), own.picture
    if crop:
        seen = crop.cut(seen, own.paper.flatten().round().to(seen.dtype).expand(len(seen)))
    seen = tone.apply(seen)
    reduced = to_picture(_grey(seen) if channels == 1 else seen)
    if reduced.size != (width, height):
        reduced = reduced.resize((width, height), Image.Resampling.BOX)
    own = replace(own, image=to_tensor(reduced))
    if ink is not None and fit == "auto" and replace(own, levels=256).changed:  # the image is still one of 8 bits
        own = replace(own, image=_full_strokes(own.image, own.reduce(ink), own.reduce(~visible), own.ground))
    return replace(own, image=requantise(own.image, 256, own.levels))


def _full_strokes(image: Tensor, ink: Tensor, hidden: Tensor, ground: int) -> Tensor:
    """Make the ground of an 8-bit image plain if there is no ink, bool (height, width), and make faint strokes strong.

    Strokes thinner than a pixel become grey when a picture is resized; a model of few levels would not see them."""
    image = image.where(ink | hidden, ground).float() - ground
    strokes = image[:, ink & ~hidden].abs()
    typical = float(strokes.median()) if strokes.numel() else 255.0
    return (image * max(1.0, 224 / max(typical, 1.0)) + ground).clamp(0, 255).round().to(torch.uint8)


def tint_of(picture: Tensor) -> float:
    """How far the channels of an 8-bit picture (channels, height, width) are from grey, on average."""
    return float((picture.float() - _grey(picture).float()).abs().mean())


def _grey(picture: Tensor) -> Tensor:
    return picture if len(picture) == 1 else to_tensor(to_picture(picture).convert("L"))
