"""pixelrnn sample"""

import torch
from omegaconf import DictConfig

from pixelrnn import figures
from pixelrnn.cli.app import output_folder, plain
from pixelrnn.cli.progress import pixel_bar
from pixelrnn.cli.setup import load_checkpoint
from pixelrnn.completion import sample
from pixelrnn.files import write_json
from pixelrnn.pictures import save_picture
from pixelrnn.pixels import requantise


def run(cfg: DictConfig) -> None:
    model = load_checkpoint(cfg)
    generator = torch.Generator(model.order.device).manual_seed(cfg.seed)
    with pixel_bar("sampling") as progress:
        images = sample(model, cfg.count, cfg.temperature, generator, progress)
    with torch.inference_mode():
        log_probs = torch.cat([model.log_prob(batch) for batch in images.split(100)]).tolist()

    folder = output_folder()
    records = []
    for i, image in enumerate(requantise(images, model.levels, 256)):
        path = folder / "samples" / f"{i:03d}.png"
        save_picture(image, path)
        records.append({"file": f"samples/{path.name}", "log_prob_nats": log_probs[i]})
    figures.save_figure(figures.grid(images, model.levels), folder / "samples.png")
    settings = {name: value for name, value in plain(cfg).items() if name not in ("device", "threads")}
    write_json(folder / "samples.json", {"settings": settings, "samples": records})
    print(f"pictures   {folder / 'samples.png'}; each image in {folder / 'samples'}")
    print(f"written    {folder / 'samples.json'}")
