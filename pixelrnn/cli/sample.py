"""pixelrnn sample"""

import torch
from omegaconf import DictConfig
from torch import Tensor

from pixelrnn import distributed, figures
from pixelrnn.cli.compose import Job
from pixelrnn.cli.setup import checkpoint_name, load_checkpoint, pixel_bar
from pixelrnn.completion.describe import describe, describe_model
from pixelrnn.completion.fill import sample
from pixelrnn.errors import note
from pixelrnn.evaluation.likelihoods import log_probs
from pixelrnn.files.atomic import write_json
from pixelrnn.files.pictures import save_picture
from pixelrnn.model import Model
from pixelrnn.pixels import requantise


def run(job: Job) -> None:
    cfg, folder, model = job.cfg, job.folder, load_checkpoint(job.cfg)
    print(f"model      {checkpoint_name(cfg)}: {describe_model(model)}; {describe(model.shape, model.levels)}")
    if cfg.temperature != 1:
        note(f"at temperature {cfg.temperature:g} these are not samples of the model's p(x)")
    images = _in_batches(model, cfg)
    nats = log_probs(model, images).tolist()
    if not distributed.is_main():
        return

    records = []
    for i, image in enumerate(requantise(images, model.levels, 256)):
        path = folder / "samples" / f"{i:03d}.png"
        save_picture(image, path)
        records.append({"file": f"samples/{path.name}", "log_prob_nats": nats[i]})
    picture = folder / f"samples.{cfg.figures}"
    figures.save_figure(figures.grid(images, model.levels), picture)
    write_json(folder / "samples.json", {"settings": job.settings(), "samples": records})
    print(f"pictures   {picture}; each image in {folder / 'samples'}")
    print(f"written    {folder / 'samples.json'}")


def _in_batches(model: Model, cfg: DictConfig) -> Tensor:
    """Draw cfg.count images, uint8 on the CPU. Each batch has its own seed, so any number of processes, which share the
    batches, draws the same images."""
    counts = [len(rows) for rows in torch.arange(cfg.count).split(cfg.batch_size)]
    images = torch.zeros((cfg.count, *model.shape), dtype=torch.uint8)
    for i in distributed.shard(torch.arange(len(counts))).tolist():
        generator = torch.Generator(model.order.device).manual_seed(cfg.seed + 1_000_003 * i)
        with pixel_bar(f"sampling {i + 1}/{len(counts)}" if len(counts) > 1 else "sampling") as progress:
            drawn = sample(model, counts[i], temperature=cfg.temperature, generator=generator, progress=progress)
        images[i * cfg.batch_size :][: len(drawn)] = drawn.cpu()
    return distributed.all_reduce_sum(images)  # an image is 0 in the processes that did not draw it
