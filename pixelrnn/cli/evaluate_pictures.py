"""pixelrnn evaluate, with a model for pictures of any size: completions at the pictures' own size, beside classical fills."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pixelrnn import distributed, figures
from pixelrnn import occlusion as occlusions
from pixelrnn.cli.compose import Job, plain
from pixelrnn.cli.setup import count_repeats, pixel_bar, refuse_others
from pixelrnn.completion.describe import describe
from pixelrnn.completion.windows import note_intervals
from pixelrnn.datasets import Dataset, limited
from pixelrnn.errors import UserError, note
from pixelrnn.evaluation.baselines import Fill
from pixelrnn.evaluation.likelihoods import note_without_ssim, with_error
from pixelrnn.evaluation.per_image import Row, write_per_image
from pixelrnn.evaluation.pictures import PictureReport, evaluate_pictures
from pixelrnn.files.atomic import write_json
from pixelrnn.model import InpaintingRNN

OTHERS = ("strategy", "particles", "ensemble", "batch_size")  # options that have no effect here

KEPT = 2  # pictures of each occlusion in the figure


def run(job: Job, model: InpaintingRNN, data: Dataset, fills: Mapping[str, Fill]) -> None:
    """Complete images of the data with each of the occlusions, and print and write how near they come to the originals."""
    cfg = job.cfg
    refuse_others(cfg, "evaluate", OTHERS, "completes pictures with all observed pixels in view")
    if cfg.limit:
        refuse_others(cfg, "evaluate", ["completed_images"], f"completes all {cfg.limit} images of limit={cfg.limit}")
    if cfg.completions == 0:
        raise UserError("completions=0: pictures are evaluated by their completions; give at least 1, or leave it out")
    cfg.completions = cfg.completions or 16
    images = limited(data.images(cfg.part), cfg.limit or cfg.completed_images)
    spec = plain(cfg.get("occlusion"))
    standard = occlusions.STANDARD if data.shape == model.shape else occlusions.PICTURES
    chosen = {occlusions.describe(spec): spec} if spec else standard
    masks = {name: _masks(spec, images) for name, spec in chosen.items()}

    print(f"{data.name}; {cfg.part} part, images: {len(images):,}, of {describe(data.shape, data.levels)}")
    if data.shape == model.shape:
        repeats = count_repeats(cfg, model, data, images)
    else:
        repeats = None
        note(
            "the images are of another size than the model's windows, so that it cannot be told if it was trained on them"
        )
    print(f"{'hidden':<28}{'PSNR, dB':>20}{'SSIM':>12}{'seconds an image':>20}")
    note_intervals(cfg.completions, temperature=1)
    note_without_ssim(images.shape)
    report, shown, shown_of, rows = {}, [], [], {}
    for name, hidden in masks.items():
        with pixel_bar(name) as progress:
            found = evaluate_pictures(model, images, hidden, cfg.completions, fills, cfg.seed, progress, KEPT)
        _print(name, found)
        shown += found.shown
        shown_of += [name] * len(found.shown)
        rows[name] = Row(hidden, found.likelihoods, "exact")
        report[name] = {"occlusion": chosen[name], **found.as_dict()}
    if not distributed.is_main():
        return
    completed, fillings = [each.completions for each in shown], [each.fills for each in shown]
    figure = figures.beside_others(completed, fillings, model.levels, shown_of)
    picture = job.folder / f"evaluation_completions.{cfg.figures}"
    figures.save_figure(figure, picture)
    print(f"picture    {picture}")
    path, per_image = job.folder / "evaluation.json", job.folder / "per_image.npz"
    about = {"checkpoint": str(cfg.checkpoint), "data": data.name, "part": cfg.part}
    more = {"count": cfg.completions, "seed": cfg.seed, "images_trained_on": repeats, "settings": job.settings()}
    write_json(path, {**about, **more, "results": report})
    write_per_image(per_image, images, rows, **about)
    print(f"per image  {per_image}")
    print(f"written    {path}")


def _masks(spec: dict[str, Any], images: Tensor) -> Tensor:
    """A mask for each image: bool (images, height, width). If it is drawn at random, image k has the seed occlusion.seed + k."""
    size = images.shape[2:]
    if not occlusions.takes_seed(spec["name"]):
        return occlusions.build(spec, *size).expand(len(images), -1, -1)
    seeds = range(spec.get("seed", 0), spec.get("seed", 0) + len(images))
    return torch.stack([occlusions.build({**spec, "seed": seed}, *size) for seed in seeds])


def _print(name: str, found: PictureReport) -> None:
    """Print the bits and the coverage of the intervals, and a row for each answer."""
    likely = found.likelihoods
    bits = with_error(likely.bits_per_dim, likely.bits_per_dim_error, 3)
    print(
        f"{name}: {found.hidden:.1%} of the pixels, {bits} bits per hidden dimension, {found.coverage:.1%} of the values in "
        "their 90 % intervals"
    )
    for answer, score in found.scores.items():
        seconds = "" if score.seconds is None else f"{score.seconds:.2f}"
        print(f"  {answer:<26}{score.psnr:>20.2f}{score.ssim:>12.3f}{seconds:>20}".rstrip(), flush=True)
