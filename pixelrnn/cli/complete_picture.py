"""pixelrnn complete image=…, with a model for pictures of any size: at the picture's own size, window by window."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Generator, Tensor

from pixelrnn import figures
from pixelrnn import occlusion as occlusions
from pixelrnn.cli.compose import Job
from pixelrnn.cli.setup import pixel_bar, refuse_others
from pixelrnn.completion.describe import describe_model
from pixelrnn.completion.windows import WITHIN, PictureCompletions, complete_windows, note_intervals
from pixelrnn.errors import UserError, note
from pixelrnn.figures.animation import LARGE, reduced
from pixelrnn.files.arrays import write_arrays
from pixelrnn.files.atomic import write_json
from pixelrnn.files.pictures import save_picture
from pixelrnn.model import InpaintingRNN
from pixelrnn.own_picture.any_size import with_channels_as, with_channels_of
from pixelrnn.own_picture.picture import OwnPicture, read

# Options that have no effect here.
OTHERS = ("limit", "batch_size", "data", "root", "strategy", "particles", "order", "fit", "invert", "maps")
TRANSPARENT = "the transparent part"


def run(job: Job, model: InpaintingRNN, specs: Mapping[str, dict[str, Any]], asked: set[str]) -> None:
    """Complete the picture cfg.image with each of the occlusions; asked: which options say what is hidden."""
    cfg, folder = job.cfg, job.folder
    refuse_others(cfg, "complete", OTHERS, "completes a picture as it is, with all observed pixels in view")
    own, given = read(cfg.image, model.levels, mask_path(cfg))
    masks = hidden_parts(cfg, own, given, asked, specs, lambda spec: occlusions.build(spec, *own.picture.shape[1:]))
    picture = with_channels_of(model, own.picture)
    print(f"model      {cfg.checkpoint}: {describe_model(model)}")
    grey = "" if len(picture) == len(own.picture) else "; grey: completed in colour, and written as grey"
    print(f"picture    {cfg.image}: {picture.shape[2]}x{picture.shape[1]} pixels, completed at this size{grey}")
    interval_share = WITHIN if note_intervals(cfg.count, cfg.temperature) else None
    records, generator = [], Generator(model.order.device).manual_seed(cfg.seed)
    for stem, (name, hidden) in zip(_stems(masks), masks.items(), strict=True):
        tell_hidden(name, hidden)
        note_if_all(name, hidden)
        rounds = list[Tensor]()  # the first completion after each batch of windows
        every = math.ceil(max(hidden.shape) / LARGE)  # an animation shows one pixel for so many rows and columns
        with pixel_bar("completing") as bar:

            def progress(done: int, total: int, images: Tensor) -> None:
                bar(done, total, images)
                if cfg.animation:
                    rounds.append(reduced(images[0].cpu(), every))

            found = complete_windows(model, picture, hidden, cfg.count, cfg.temperature, generator, progress)
        if cfg.animation:
            times = figures.times_of_rounds(rounds, reduced(hidden, every))
            path = folder / f"{stem}completions.gif"
            figures.save_animation(rounds[-1][None, None], times[None], model.levels, path)
            print(f"animation  {path}: the first completion")
        written = _write(found, own, folder, stem)
        records.append({"occlusion": name, "interval_share": interval_share, **written})
        path = folder / f"{stem}completions.{cfg.figures}"
        figures.save_figure(figures.around_holes(found, cfg.estimate), path)
        pictures = [path, *(folder / f"{stem}{name}.png" for name in ("mean", "interval"))]
        print(f"pictures   {'; '.join(map(str, pictures))}; each completion in {folder / 'completions'}")
    write_json(folder / "completions.json", {"settings": settings_of(job, masks), "completions": records})
    print(f"written    {folder / 'completions.json'}")


def settings_of(job: Job, masks: Mapping[str, Tensor]) -> dict[str, Any]:
    """The job's settings, with the occlusion only if it hid something: it has a default, and a mask or a transparent part
    may hide in its place."""
    settings = job.settings()
    otherwise = job.cfg.mask or job.cfg.occlusions or any(name.startswith(TRANSPARENT) for name in masks)
    return {**settings, "occlusion": None} if otherwise else settings


def mask_path(cfg: DictConfig) -> str | None:
    """The mask file that mask= or occlusion=mask names, if any."""
    if cfg.mask or cfg.occlusions or cfg.occlusion.name != "mask":
        return cfg.mask
    return cfg.occlusion.path or None


def hidden_parts(
    cfg: DictConfig,
    own: OwnPicture,
    given: Tensor | None,
    asked: set[str],
    specs: Mapping[str, dict[str, Any]],
    build: Callable[[dict[str, Any]], Tensor],
    of: str = "",
) -> dict[str, Tensor]:
    """The masks of a user's picture, bool (height, width) at its own size, by names.

    Hidden is what its mask file hides, or, if nothing is asked for, its transparent part: `given`. Otherwise it is the
    occlusions, each made by build(spec), and the transparent part too. of: words behind the occlusions' names.
    """
    path = mask_path(cfg)
    if given is not None and (path or not asked):
        return {f"mask {path}" if path else f"{TRANSPARENT} of {cfg.image}": given}
    if not asked:
        raise UserError(
            f"image={cfg.image}: which part is to be completed? give mask=<a picture file, white is hidden>, or an occlusion: "
            "occlusion=half, centre, strokes, …; a transparent part is completed too"
        )
    found, also = {}, "" if given is None else f" and {TRANSPARENT}"
    for name, spec in specs.items():
        file = spec.get("path") if spec["name"] == "mask" else None  # without a file, build() says what is missing
        hidden = own.masks[file] if file in own.masks else own.mask(file) if file else build(spec)
        found[f"{name}{'' if file else of}{also}"] = hidden if given is None else hidden | given
    return found


def tell_hidden(name: str, hidden: Tensor) -> None:
    """Print how much is hidden, bool (height, width), and by what."""
    print(f"hidden     {int(hidden.sum()):,} of {hidden.numel():,} pixels: {name}")


def note_if_all(name: str, hidden: Tensor) -> None:
    """Note if all of the user's picture is hidden, or most of it by a mask file, which is hardly meant."""
    share = float(hidden.float().mean())
    if share == 1 or (share > 0.5 and name.startswith("mask ")):
        part = "the whole" if share == 1 else f"{share:.0%} of the"
        hint = ": if black was meant to be hidden, invert the mask" if name.startswith("mask ") else ""
        note(f"{name} hides {part} picture{hint}")


def _write(found: PictureCompletions, own: OwnPicture, folder: Path, stem: str) -> dict[str, Any]:
    """Write the completions of a picture, their mean and their intervals, and return a record of them."""
    channels, profile = len(own.picture), own.profile
    save_picture(with_channels_as(channels, found.mean), folder / f"{stem}mean.png", profile)
    save_picture(found.interval_widths.round().to(torch.uint8)[None], folder / f"{stem}interval.png")
    arrays = {"hidden": found.hidden, "mean": found.means, "low": found.low, "high": found.high}
    write_arrays(folder / f"{stem}interval.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})
    completions = []
    for k, facts in enumerate(found.facts):
        path = folder / "completions" / f"{stem}{k:03d}.png"
        save_picture(with_channels_as(channels, found.draw(k)), path, profile)
        completions.append({"file": path.relative_to(folder).as_posix(), **facts})
    return {
        "hidden_pixels": int(found.hidden.sum()),
        "mean": f"{stem}mean.png",
        "interval": f"{stem}interval.png",
        "arrays": f"{stem}interval.npz",
        "mean_interval_width": float((found.high.float() - found.low).mean()),
        "draws": completions,
    }


def _stems(masks: Mapping[str, Tensor]) -> list[str]:
    """The beginning of the names of each mask's files: nothing if there is one mask."""
    return [""] if len(masks) == 1 else [f"{i:02d}-" for i in range(len(masks))]
