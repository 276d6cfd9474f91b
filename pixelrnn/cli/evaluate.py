"""pixelrnn evaluate"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Generator, Tensor

from pixelrnn import distributed, figures
from pixelrnn import occlusion as occlusions
from pixelrnn.cli import evaluate_pictures
from pixelrnn.cli.compose import Job, plain
from pixelrnn.cli.setup import checkpoint_name, count_repeats, load_checkpoint, load_data, refuse_others
from pixelrnn.completion.describe import describe_order
from pixelrnn.completion.fill import complete
from pixelrnn.completion.particles import ENOUGH
from pixelrnn.datasets import limited
from pixelrnn.errors import UserError, note
from pixelrnn.evaluation import likelihoods
from pixelrnn.evaluation.baselines import Fill, classical_fills
from pixelrnn.evaluation.likelihoods import Likelihoods, note_without_ssim, quality, with_error
from pixelrnn.evaluation.per_image import Row, write_per_image
from pixelrnn.files.atomic import write_json
from pixelrnn.model import InpaintingRNN, Model
from pixelrnn.own_picture.typical import Typical


def run(job: Job) -> None:
    cfg, folder, model = job.cfg, job.folder, load_checkpoint(job.cfg)
    fills = classical_fills(model.levels) if cfg.baselines else {}
    data = load_data(cfg, model, cfg.part, any_size=isinstance(model, InpaintingRNN))
    images = data.images(cfg.part)
    if isinstance(model, InpaintingRNN) and (cfg.baselines or data.shape != model.shape):
        evaluate_pictures.run(job, model, data, fills)
        return
    if cfg.strategy == "ancestral":
        refuse_others(cfg, "evaluate", ["particles"], "is evaluated without particles by strategy=ancestral")
    if cfg.completions == 0:
        refuse_others(cfg, "evaluate", ["completed_images"], "completes none with completions=0")
    cfg.completions = 4 if cfg.completions is None else cfg.completions
    if fills and not cfg.completions:
        raise UserError("baselines=true is compared with completions, and completions=0: leave one of them out")
    if cfg.ensemble:
        likelihoods.check_orders(model)
    hidden = _masks(plain(cfg.get("occlusion")), *model.shape[1:])
    images = limited(images, cfg.limit)
    generator = Generator(model.order.device).manual_seed(cfg.seed)

    many = f"{len(images):,} images; -log p, ± one standard error"
    one = "1 image; -log p, without a standard error (it takes two images)"
    print(f"{data.name}; {cfg.part} part, {one if len(images) == 1 else many}")
    repeats = count_repeats(cfg, model, data, images)
    print(f"{'hidden':<28}{'nats per image':>20}{'bits per hidden dimension':>30}")
    rows: dict[str, Row] = {}
    everything = occlusions.build("all", *model.shape[1:])
    exact = likelihoods.log_probs(model, images, None, cfg.batch_size)
    _add(rows, "all", Row(everything, Likelihoods.of(exact, model.dimensions), "exact"))
    if cfg.ensemble:
        mean = likelihoods.evaluate_ensemble(model, images, batch_size=cfg.batch_size)
        _add(rows, f"all, mean of {len(model.orders)} orders", Row(everything, mean, "exact"))
    parts = {name: mask for name, mask in {**model.parts, **hidden}.items() if name not in rows}
    for name, mask in parts.items():
        how = {"particles": cfg.particles, "generator": generator, "batch_size": cfg.batch_size}
        _add(rows, name, Row(mask, *likelihoods.evaluate_conditional(model, images, mask, cfg.strategy, **how)))
    if not distributed.is_main():
        return
    report: dict[str, Any] = {name: {**row.likelihoods.as_dict(), "how": row.how} for name, row in rows.items()}
    for name, mask in parts.items():
        report[name]["order"] = describe_order(model, int(model.best_orders(mask[None].to(model.order.device))))
    if cfg.completions:
        _complete(model, images[: cfg.completed_images], hidden, job, generator, fills, report)
    path, per_image = folder / "evaluation.json", folder / "per_image.npz"
    about = {"checkpoint": checkpoint_name(cfg), "data": data.name, "part": cfg.part, "strategy": cfg.strategy}
    typical = Typical.of(images, model.levels, exact).as_dict()
    write_json(path, {**about, "images_trained_on": repeats, "results": report, "typical": typical})
    write_per_image(per_image, images, rows, **about)
    picture = folder / f"evaluation.{cfg.figures}"
    figures.save_figure(figures.likelihoods(report, data.name), picture)
    print(f"picture    {picture}")
    print(f"per image  {per_image}")
    print(f"written    {path}")


def _masks(spec: dict[str, Any] | None, height: int, width: int) -> dict[str, Tensor]:
    """The mask of an occlusion, or the standard ones if it is None, by their names; a note on those that hide nothing."""
    if spec:
        return {occlusions.describe(spec): occlusions.build(spec, height, width)}
    found = {}
    for name, standard in occlusions.STANDARD.items():
        try:
            found[name] = occlusions.build(standard, height, width)
        except UserError as error:
            note(f"{name} is left out: {error}")
    return found


def _add(rows: dict[str, Row], name: str, row: Row) -> None:
    """Print one row of the table, and keep it."""
    rows[name], result, how = row, row.likelihoods, row.how
    nats = with_error(result.nats, result.nats_error)
    bits = with_error(result.bits_per_dim, result.bits_per_dim_error, 4)
    words = "" if how == "exact" else likelihoods.HOW[how]
    if how == "particles":
        rough = ", a rough approximation" if result.effective_particles < ENOUGH else ""
        words += f": {result.effective_particles:.1f} effective on average{rough}"
    print(f"{name:<28}{nats:>20}{bits:>30}  {words}".rstrip(), flush=True)


def _complete(
    model: Model,
    images: Tensor,
    hidden: dict[str, Tensor],
    job: Job,
    generator: Generator,
    fills: Mapping[str, Fill],
    report: dict[str, Any],
) -> None:
    """Complete a few images, and print and keep their PSNR and SSIM; if there are other fills, theirs too, and the mean's."""
    cfg, images, rows = job.cfg, images.to(model.order.device), []
    print(
        f"\n{cfg.completions} completions each of {len(images)} images; on the hidden pixels, mean and best of {cfg.completions}"
    )
    note_without_ssim(model.shape)
    print(f"{'hidden':<28}{'PSNR, dB':>20}{'best':>8}{'SSIM':>12}{'best':>8}")
    for name, mask in hidden.items():
        on_device = mask.to(images.device)
        how = {"strategy": cfg.strategy, "particles": cfg.particles}
        drawn = complete(model, images, on_device, cfg.completions, generator=generator, **how)
        found = quality(images, drawn, mask, model.levels)
        print(
            f"{name:<28}{found.psnr:>20.2f}{found.best_psnr:>8.2f}{found.ssim:>12.3f}{found.best_ssim:>8.3f}",
            flush=True,
        )
        report[name]["quality"] = asdict(found)
        if fills:
            answers = {"mean of them": drawn.double().mean(1).round().to(torch.uint8)}
            answers |= {
                name: torch.stack([fill(image, mask) for image in images.cpu()]) for name, fill in fills.items()
            }
            near = {answer: quality(images, filled[:, None], mask, model.levels) for answer, filled in answers.items()}
            for answer, score in near.items():
                print(f"  {answer:<26}{score.psnr:>20.2f}{score.ssim:>20.3f}", flush=True)
            report[name]["baselines"] = {a: {"psnr": score.psnr, "ssim": score.ssim} for a, score in near.items()}
        rows.append(drawn[0])
    masks = torch.stack(list(hidden.values()))
    figure = figures.completions(
        images[:1].expand(len(rows), -1, -1, -1), masks, torch.stack(rows), model.levels, list(hidden)
    )
    path = job.folder / f"evaluation_completions.{cfg.figures}"
    figures.save_figure(figure, path)
    print(f"picture    {path}")
