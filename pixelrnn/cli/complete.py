"""pixelrnn complete"""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from pixelrnn import figures
from pixelrnn import occlusion as occlusions
from pixelrnn.cli.app import output_folder, plain, said
from pixelrnn.cli.progress import pixel_bar
from pixelrnn.cli.setup import load_checkpoint, load_data
from pixelrnn.completion import uncertainty
from pixelrnn.completion.describe import describe, describe_model, describe_occlusion, how_drawn, of_completions
from pixelrnn.completion.fill import Completions, complete_in_detail, log_probs
from pixelrnn.data import limited
from pixelrnn.errors import UserError
from pixelrnn.files.atomic import write_json, write_whole
from pixelrnn.files.pictures import save_picture
from pixelrnn.model import Model
from pixelrnn.notes import note
from pixelrnn.own_picture.picture import OwnPicture, from_file
from pixelrnn.own_picture.typical import say_if_unlike
from pixelrnn.pixels import in_8_bits, requantise


def run(cfg: DictConfig) -> None:
    asked = {option.split(".")[0] for option in said()} & {"mask", "occlusion", "occlusions"}
    if len(asked) > 1:
        raise UserError("mask=, occlusion= and occlusions= all say what to hide; give one of them")
    model = load_checkpoint(cfg)
    own, hidden = from_file(cfg.image, model, cfg.fit, cfg.invert, _mask_file(cfg)) if cfg.image else (None, None)
    if own and hidden is None and not asked:
        raise UserError(
            f"image={cfg.image}: which part is to be completed? give mask=<a picture file, white is hidden>, or an occlusion: "
            "occlusion=half, centre, strokes, …; a transparent part is completed too"
        )
    masks = _masks(cfg, model, own, hidden if own and not asked - {"mask"} else None)
    originals = own.image[None] if own else limited(load_data(cfg, model).test, cfg.limit)
    device = model.order.device
    images = originals.repeat_interleave(len(masks), 0).to(device)  # each with each mask
    hidden = torch.stack([mask for _, mask in masks.values()]).repeat(len(originals), 1, 1).to(device)
    _print_what_is_completed(cfg, model, own, masks, is_default=not (asked or own))
    generator = torch.Generator(device).manual_seed(cfg.seed)
    with pixel_bar("completing") as progress:
        drawn = complete_in_detail(
            model,
            images,
            hidden,
            cfg.count,
            cfg.strategy,
            cfg.temperature,
            generator,
            progress,
            cfg.particles,
            cfg.order,
            cfg.batch_size,
        )
    about = {name: how_drawn(model, drawn, hidden, slice(i, None, len(masks))) for i, name in enumerate(masks)}
    for name, found in about.items():
        of = f" ({name})" if len(masks) > 1 else ""
        for line in found.pop("lines"):
            print(f"{line}{of}")
        for line in found.pop("notes"):
            note(f"{line}{of}")
        if cfg.strategy == "particles" and found["strategy"] != "particles":
            note(f"the plain fill is exact here, so it is used instead of particles{of}")

    if own:
        say_if_unlike(model, cfg.image, drawn.images.flatten(0, 1))
    folder = output_folder()
    nats = log_probs(model, drawn, hidden)
    rows = [(i, name) for i in range(len(originals)) for name in masks]
    called = _file_names(masks)
    stems = [f"{i:03d}" if len(masks) == 1 else f"{i:03d}-{called[name]}" for i, name in rows]
    records = []
    for row, (i, name) in enumerate(rows):
        for k, (completion, facts) in enumerate(zip(drawn.images[row], of_completions(drawn, row, nats), strict=True)):
            path = folder / "completions" / f"{stems[row]}-{k:03d}.png"
            values = own.paste(completion.cpu(), masks[name][0]) if own else requantise(completion, model.levels, 256)
            save_picture(values, path)
            records.append({"file": path.relative_to(folder).as_posix(), "image": i, "occlusion": name, **facts})
    # Nobody knows what a picture of the user's own hides; a data set's test image is known.
    known = None if own and len(masks) == 1 else images
    if len(masks) == 1:
        figure = figures.completions(
            known, hidden, drawn.images, model.levels, caption=next(iter(about.values()))["caption"]
        )
    else:
        hides, completed = (tensor.unflatten(0, (-1, len(masks))) for tensor in (hidden, drawn.images))
        figure = figures.by_occlusion(originals, hides, completed, model.levels, list(masks))
    picture = folder / f"completions.{cfg.figures}"
    figures.save_figure(figure, picture)
    if cfg.maps:
        _write_maps(model, drawn, hidden, known, nats.argmax(1), stems, folder, cfg.figures)
    settings = {name: value for name, value in plain(cfg).items() if name not in ("device", "threads")}
    if cfg.mask or cfg.occlusions:
        settings["occlusion"] = None
    write_json(folder / "completions.json", {"settings": settings, "occlusions": about, "completions": records})
    print(f"pictures   {picture}; each completion in {folder / 'completions'}")
    print(f"written    {folder / 'completions.json'}")


def _print_what_is_completed(
    cfg: DictConfig, model: Model, own: OwnPicture | None, masks: dict[str, tuple[Tensor, Tensor]], is_default: bool
) -> None:
    print(f"model      {cfg.checkpoint}: {describe_model(model)}")
    if own and own.changed:
        height, width = own.picture.shape[1:]
        stretched = "stretched to" if not own.frame and height * model.shape[2] != width * model.shape[1] else "as"
        print(
            f"picture    {cfg.image} is {width}x{height} pixels; the model sees it {stretched} "
            f"{describe(model.shape, model.levels)}, and its completion is pasted back at the picture's size"
        )
    for name, (mask, _) in masks.items():
        part = f"{int(mask.sum()):,} of {mask.numel():,} pixels"
        print(f"hidden     {part}: {name}{', the default' if is_default else ''}")
        if own and bool(mask.all()):
            note(f"{name} hides the whole picture: if black was meant to be hidden, invert the mask")


def _mask_file(cfg: DictConfig) -> str | None:
    """The one mask file that is given, if there is one."""
    if cfg.mask or cfg.occlusions:
        return cfg.mask
    return (cfg.occlusion.path or None) if cfg.occlusion.name == "mask" else None


def _masks(
    cfg: DictConfig, model: Model, own: OwnPicture | None, given: Tensor | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """What is hidden, bool, at the picture's own size and at the model's, by its name.

    `given` is what the picture's mask file or its transparency hides.
    """
    if own and given is not None:
        path = _mask_file(cfg)
        name = f"mask {path}" if path else f"the transparent part of {cfg.image}"
        return {name: (given, own.reduce(given))}
    if cfg.mask:
        chosen = {f"mask {cfg.mask}": {"name": "mask", "path": str(cfg.mask)}}
    elif cfg.occlusions == "halves_and_centre":
        chosen = occlusions.HALVES_AND_CENTRE
    elif cfg.occlusions:
        specs = [{"name": spec} if isinstance(spec, str) else spec for spec in plain(cfg.occlusions)]
        chosen = {describe_occlusion(spec): spec for spec in specs}
    else:
        chosen = {describe_occlusion(plain(cfg.occlusion)): plain(cfg.occlusion)}
    of = " of what the model sees" if own and own.frame else ""
    also = " and the transparent part" if own and own.transparent is not None else ""
    return {f"{name}{of}{also}": _hidden(spec, model, own) for name, spec in chosen.items()}


def _hidden(spec: dict[str, Any], model: Model, own: OwnPicture | None) -> tuple[Tensor, Tensor]:
    if not own:
        hidden = occlusions.build(spec, *model.shape[1:])
        return hidden, hidden
    path = spec.get("path") if spec["name"] == "mask" else None  # without a file, build() says what is missing
    hidden = own.mask(path) if path else own.enlarge(occlusions.build(spec, *model.shape[1:]))
    if own.transparent is not None:
        hidden = hidden | own.transparent
    return hidden, own.reduce(hidden)


def _file_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as a part of a file's: no path, not too long, and no two alike, also where case does not count."""
    found: dict[str, str] = {}
    taken, numbers = set(), itertools.count(2)
    for name in names:
        part = plainly = re.sub(r"[^\w.]+", "-", name, flags=re.ASCII).strip("-.")[:60]
        while part.lower() in taken:
            part = f"{plainly}-{next(numbers)}"
        taken.add(part.lower())
        found[name] = part
    return found


def _write_maps(
    model: Model,
    drawn: Completions,
    hidden: Tensor,
    original: Tensor | None,
    most_probable: Tensor,
    stems: list[str],
    folder: Path,
    kind: str,
) -> None:
    """The figure of the maps, and for each image its mean and its entropy as pictures and, in maps.npz, as numbers."""
    mean, entropy = uncertainty.maps(model, drawn, hidden)
    best = drawn.images[torch.arange(len(drawn.images)), most_probable]
    picture = folder / f"maps.{kind}"
    figures.save_figure(figures.maps(hidden, best, mean, entropy, original, model.levels), picture)
    most = float(entropy.max()) or 1.0
    for i in range(len(mean)):
        save_picture(in_8_bits(mean[i], model.levels - 1), folder / "maps" / f"{stems[i]}-mean.png")
        save_picture(in_8_bits(entropy[i], most)[None], folder / "maps" / f"{stems[i]}-entropy.png")

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, mean=mean.numpy(), entropy_bits=entropy.numpy(), hidden=hidden.cpu().numpy())

    write_whole(folder / "maps.npz", save)
    print(f"maps       {picture}; mean level and entropy in bits: {folder / 'maps.npz'}")
