"""pixelrnn complete"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Generator, Tensor

from pixelrnn import figures, uncertainty
from pixelrnn import occlusion as occlusions
from pixelrnn.cli import complete_many, complete_picture
from pixelrnn.cli.compose import Job, plain
from pixelrnn.cli.setup import checkpoint_name, load_checkpoint, load_data, pixel_bar, refuse_others
from pixelrnn.completion.describe import describe, describe_model, how_drawn, of_completions
from pixelrnn.completion.fill import complete_in_detail
from pixelrnn.completion.parts import Completions
from pixelrnn.datasets import limited
from pixelrnn.errors import UserError, note, printable
from pixelrnn.files.arrays import write_arrays
from pixelrnn.files.atomic import expanded, write_json
from pixelrnn.files.pictures import save_picture
from pixelrnn.model import Model
from pixelrnn.options import lookup
from pixelrnn.own_picture.any_size import any_size
from pixelrnn.own_picture.picture import OwnPicture, from_file
from pixelrnn.own_picture.typical import say_if_unlike
from pixelrnn.pixels import in_8_bits, requantise

ANIMATED = (4, 6)  # images, and completions of each, that an animation shows at most
WRITTEN = re.compile(r"(\d\d-)?(mean|interval|completions|maps)\.\w+|(completions|maps)/[^/]+")  # in a run's folder
# Options without effect on a picture, and on test images. An image completed at the model's size has no estimate.
OF_IMAGES = ("limit", "data", "root", "estimate")
OF_A_PICTURE = ("fit", "invert", "estimate")
OPTIONS = ("count", "strategy", "temperature", "particles", "order", "batch_size")  # of complete_in_detail


@dataclass(frozen=True)
class Work:
    """Images to complete, each with each mask."""

    originals: Tensor  # uint8 (images, channels, height, width)
    masks: dict[str, Tensor]  # bool (height, width), by their names
    own: OwnPicture | None = None  # the user's picture, if that is completed
    fine: tuple[Tensor, ...] = ()  # its masks at its own size

    def names(self) -> list[tuple[int, str, str]]:
        """For each completed image: the original's index, the mask's name, and the part of its file names."""
        parts = _file_names(self.masks) if len(self.masks) > 1 else {}
        images = range(len(self.originals))
        return [(i, name, f"{i:03d}-{parts[name]}" if parts else f"{i:03d}") for i in images for name in self.masks]


def run(job: Job) -> None:
    found = complete_many.pictures(job.cfg.image) if job.cfg.image else None
    if found is None:
        complete(job)
    else:
        complete_many.run(job, found, complete)


def complete(job: Job) -> None:
    """Complete test images, or one picture."""
    cfg, folder = job.cfg, job.folder
    _check_folder(job)
    cfg.checkpoint = cfg.checkpoint or ("photos" if cfg.image else "mnist_binary")
    model, asked = load_checkpoint(cfg), _asked(job)
    if cfg.image and any_size(model):
        complete_picture.run(job, model, _occlusions(cfg), asked)
        return
    work = _work(cfg, model, asked)
    device = model.order.device
    images = work.originals.repeat_interleave(len(work.masks), 0).to(device)
    hidden = torch.stack(list(work.masks.values())).repeat(len(work.originals), 1, 1).to(device)
    generator, options = Generator(device).manual_seed(cfg.seed), {name: cfg[name] for name in OPTIONS}
    with pixel_bar("completing") as progress:
        drawn = complete_in_detail(model, images, hidden, generator=generator, progress=progress, **options)
    about = {name: how_drawn(model, drawn, slice(i, None, len(work.masks))) for i, name in enumerate(work.masks)}
    _tell_how(cfg, about)
    if work.own:
        say_if_unlike(model, cfg.image, drawn.images.flatten(0, 1))

    records = _write_pictures(model, work, drawn, folder)
    known = None if work.own and len(work.masks) == 1 else images  # nobody knows what is under a user's mask
    picture = folder / f"completions.{cfg.figures}"
    if len(work.masks) == 1:
        caption = next(iter(about.values()))["caption"]
        figure = figures.completions(known, hidden, drawn.images, model.levels, caption=caption)
    else:
        hides, completed = (tensor.unflatten(0, (-1, len(work.masks))) for tensor in (hidden, drawn.images))
        figure = figures.by_occlusion(work.originals, hides, completed, model.levels, list(work.masks))
    figures.save_figure(figure, picture)
    if cfg.maps:
        _write_maps(model, work, drawn, known, folder / f"maps.{cfg.figures}")
    if cfg.animation:
        _animate(model, drawn, folder / "completions.gif")
    settings = complete_picture.settings_of(job, work.masks)
    write_json(folder / "completions.json", {"settings": settings, "occlusions": about, "completions": records})
    print(f"pictures   {picture}; each completion in {folder / 'completions'}")
    print(f"written    {folder / 'completions.json'}")


def _check_folder(job: Job) -> None:
    """UserError if the picture or a mask is a file that this run would write; a note if there are completions already."""
    cfg, folder = job.cfg, job.folder.resolve()
    for path in filter(None, (cfg.image, complete_picture.mask_path(cfg), *_mask_files(cfg))):
        file = expanded(path).resolve()
        inside = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else ""
        if WRITTEN.fullmatch(inside):
            raise UserError(
                f"{printable(path)} lies in the run's folder, where {printable(inside)} would be written over it; choose "
                "another one, hydra.run.dir=<folder>"
            )
    if any((folder / "completions").glob("*.png")):
        note(f"{job.folder} holds completions of an earlier run: files that are not overwritten remain")


def _animate(model: Model, drawn: Completions, path: Path) -> None:
    """Write the animation of the first completions of the first images."""
    rows, columns = (min(n, most) for n, most in zip(drawn.images.shape, ANIMATED, strict=False))
    hidden, orders = drawn.hidden[:rows].cpu(), model.orders.cpu()[torch.tensor(drawn.orders[:rows])]
    figures.save_animation(drawn.images[:rows, :columns], figures.times_of(hidden, orders), model.levels, path)
    part = "" if (rows, columns) == drawn.images.shape[:2] else f": {columns} completions of {rows} images"
    print(f"animation  {path}{part}")


def _asked(job: Job) -> set[str]:
    """The option of the command line that says what is hidden, if any."""
    asked = {option.split(".")[0] for option in job.chosen} & {"mask", "occlusion", "occlusions"}
    asked = {option for option in asked if job.cfg[option] is not None}
    if len(asked) > 1:
        raise UserError("mask=, occlusion= and occlusions= all say what to hide; give one of them")
    return asked


def _work(cfg: DictConfig, model: Model, asked: set[str]) -> Work:
    """Choose the images and the masks, and print what they are."""
    if cfg.strategy == "ancestral":
        refuse_others(cfg, "complete", ["particles"], "draws no particles with strategy=ancestral")
    if cfg.image:
        refuse_others(cfg, "complete", OF_IMAGES, "completes the picture of image= here")
        work = _own_picture(cfg, model, asked)
    else:
        refuse_others(cfg, "complete", OF_A_PICTURE, "completes test images, as no image= is given")
        specs = _occlusions(cfg)
        masks = {name: occlusions.build(spec, *model.shape[1:]) for name, spec in specs.items()}
        work = Work(limited(load_data(cfg, model).test, cfg.limit), masks)
    print(f"model      {checkpoint_name(cfg)}: {describe_model(model)}")
    if (own := work.own) and own.changed:
        height, width = own.picture.shape[1:]
        stretched = "stretched to" if not own.crop and height * model.shape[2] != width * model.shape[1] else "as"
        print(
            f"picture    {cfg.image} is {width}x{height} pixels; the model sees it {stretched} "
            f"{describe(model.shape, model.levels)}, and its completion is pasted back at the picture's size"
        )
    for name, mask in zip(work.masks, work.fine or work.masks.values(), strict=True):
        complete_picture.tell_hidden(name if asked or own else f"{name}, the default", mask)
        if own:
            complete_picture.note_if_all(name, mask)
    return work


def _own_picture(cfg: DictConfig, model: Model, asked: set[str]) -> Work:
    """The user's picture, and what its mask file, its transparency or the occlusions hide."""
    own, given = from_file(cfg.image, model, cfg.fit, cfg.invert, complete_picture.mask_path(cfg), _mask_files(cfg))

    def build(spec: dict[str, Any]) -> Tensor:
        return own.enlarge(occlusions.build(spec, *model.shape[1:]))

    of = " of what the model sees" if own.crop else ""
    fine = complete_picture.hidden_parts(cfg, own, given, asked, _occlusions(cfg), build, of)
    masks = {name: own.reduce(mask) for name, mask in fine.items()}
    return Work(own.image[None], masks, own, tuple(fine.values()))


def _mask_files(cfg: DictConfig) -> list[str]:
    """The mask files among occlusions=."""
    listed = [item for item in plain(cfg.occlusions) or [] if isinstance(item, dict) and item.get("name") == "mask"]
    return [str(item["path"]) for item in listed if item.get("path")]


def _occlusions(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """The occlusions that are asked for, by their names."""
    if cfg.mask:
        return {f"mask {cfg.mask}": {"name": "mask", "path": str(cfg.mask)}}
    asked = plain(cfg.occlusions) or [plain(cfg.occlusion)]
    known = {**{name: {"name": name} for name in occlusions.OCCLUSIONS}, **occlusions.STANDARD}
    specs = [lookup("occlusion", item, known) if isinstance(item, str) else item for item in asked]
    named = [occlusions.describe(spec) for spec in specs]
    for name in dict.fromkeys(name for name in named if named.count(name) > 1):
        note(f"occlusions= has {name} {named.count(name)} times; it is drawn once")
    return dict(zip(named, specs, strict=True))


def _tell_how(cfg: DictConfig, about: dict[str, dict[str, Any]]) -> None:
    """Print how the completions were drawn. The printed words are taken out of `about`."""
    asked = cfg.strategy == "particles" or cfg.particles != "auto"
    for name, found in about.items():
        mask = f" ({name})" if len(about) > 1 else ""
        for line in found.pop("lines"):
            print(f"{line}{mask}")
        for line in found.pop("notes"):
            note(f"{line}{mask}")
        if asked and found["strategy"] == "ancestral":
            why = "no observed pixel comes after a hidden one"
            if found["observed_ahead"]:
                why = "the encoder sees all observed pixels"
            note(f"{why}, so particles would change nothing: none were used{mask}")


def _write_pictures(model: Model, work: Work, drawn: Completions, folder: Path) -> list[dict[str, Any]]:
    """Write each completion as a picture, at the user's picture's own size, and return a record of each."""
    records = []
    for row, (i, name, stem) in enumerate(work.names()):
        for k, (completion, facts) in enumerate(zip(drawn.images[row], of_completions(drawn, row), strict=True)):
            path = folder / "completions" / f"{stem}-{k:03d}.png"
            if work.own:
                save_picture(work.own.paste(completion.cpu(), work.fine[row]), path, work.own.profile)
            else:
                save_picture(requantise(completion, model.levels, 256), path)
            records.append({"file": path.relative_to(folder).as_posix(), "image": i, "occlusion": name, **facts})
    return records


def _file_names(names: Iterable[str]) -> dict[str, str]:
    """A part of a file name for each name: no path, not too long, and no two alike if upper and lower case are the same."""
    found: dict[str, str] = {}
    for name in names:
        part = plainly = re.sub(r"[^\w.]+", "-", name, flags=re.ASCII).strip("-.")[:60]
        number = 1
        while part.lower() in map(str.lower, found.values()):
            number += 1
            part = f"{plainly}-{number}"
        found[name] = part
    return found


def _write_maps(model: Model, work: Work, drawn: Completions, known: Tensor | None, path: Path) -> None:
    """Write the figure of the maps, and for each image its mean and its entropy as pictures and, in maps.npz, as numbers."""
    mean, entropy = uncertainty.maps(model, drawn)
    figures.save_figure(figures.maps(drawn.hidden, drawn.best, mean, entropy, known, model.levels), path)
    most = float(entropy.max()) or 1.0
    for i, (_, _, stem) in enumerate(work.names()):
        save_picture(in_8_bits(mean[i], model.levels - 1), path.parent / "maps" / f"{stem}-mean.png")
        save_picture(in_8_bits(entropy[i], most)[None], path.parent / "maps" / f"{stem}-entropy.png")
    numbers = path.parent / "maps.npz"
    write_arrays(numbers, mean=mean.numpy(), entropy_bits=entropy.numpy(), hidden=drawn.hidden.cpu().numpy())
    print(f"maps       {path}; mean level and entropy in bits: {numbers}")
