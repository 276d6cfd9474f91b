"""pixelrnn complete"""

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor

from pixelrnn import figures
from pixelrnn import occlusion as occlusions
from pixelrnn.cli.app import output_folder, plain
from pixelrnn.cli.progress import pixel_bar
from pixelrnn.cli.setup import describe, load_checkpoint, load_data
from pixelrnn.completion import complete, is_exact
from pixelrnn.data import limited
from pixelrnn.errors import UserError
from pixelrnn.files import write_json
from pixelrnn.model import Model
from pixelrnn.own_picture import OwnPicture, from_file
from pixelrnn.pictures import save_picture
from pixelrnn.pixels import requantise


def run(cfg: DictConfig) -> None:
    if cfg.mask and any(override.startswith("occlusion") for override in HydraConfig.get().overrides.task):
        raise UserError("mask= and occlusion= both say what to hide; give one of them")
    model = load_checkpoint(cfg)
    own = from_file(cfg.image, model.shape, model.levels) if cfg.image else None
    images = own.image[None] if own else limited(load_data(cfg, model).test, cfg.limit)
    own_hidden, hidden = _hidden(cfg, model, own)
    device = model.order.device
    images, hidden = images.to(device), hidden.to(device).expand(len(images), -1, -1)
    if own and own.resized:
        print(
            f"{cfg.image} is reduced to the model's {describe(model.shape, model.levels)}, and its completion pasted back"
        )
    exact = is_exact(model, hidden)
    if not exact:
        ahead = int(model.observed_ahead(hidden).max())
        print(
            f"note       not a draw from p(hidden | observed): {ahead} observed pixels come after the first hidden one in the "
            "model's ordering, and it does not look at them"
        )

    generator = torch.Generator(device).manual_seed(cfg.seed)
    with pixel_bar("completing") as progress:
        completed = complete(model, images, hidden, cfg.count, cfg.strategy, cfg.temperature, generator, progress)

    log_probs = _log_probs(model, completed, hidden)
    folder = output_folder()
    records = []
    for i, image_completions in enumerate(completed):
        for k, completion in enumerate(image_completions):
            path = folder / "completions" / f"{i:03d}-{k:03d}.png"
            values = own.paste(completion.cpu(), own_hidden) if own else requantise(completion, model.levels, 256)
            save_picture(values, path)
            records.append({"file": f"completions/{path.name}", "image": i, "log_prob_nats": log_probs[i][k]})
    # Nobody knows what a picture of the user's own hides; a data set's test image is known.
    figure = figures.completions(None if own else images, hidden, completed, model.levels)
    figures.save_figure(figure, folder / "completions.png")
    settings = {name: value for name, value in plain(cfg).items() if name not in ("device", "threads")}
    if cfg.mask:
        settings["occlusion"] = None
    report = {"settings": settings, "strategy": "ancestral", "exact": exact, "completions": records}
    write_json(folder / "completions.json", report)
    print(f"pictures   {folder / 'completions.png'}; each completion in {folder / 'completions'}")
    print(f"written    {folder / 'completions.json'}")


def _hidden(cfg: DictConfig, model: Model, own: OwnPicture | None) -> tuple[Tensor, Tensor]:
    """What is hidden, bool, at the picture's own size and at the model's."""
    spec = {"name": "mask", "path": str(cfg.mask)} if cfg.mask else plain(cfg.occlusion)
    if own and spec["name"] == "mask":  # a mask file is of the picture's size
        own_hidden = occlusions.build(spec, *own.picture.shape[1:])
        return own_hidden, own.reduce(own_hidden)
    hidden = occlusions.build(spec, *model.shape[1:])
    return (own.enlarge(hidden) if own else hidden), hidden


def _log_probs(model: Model, completed: Tensor, hidden: Tensor) -> list[list[float]]:
    """Of each completion, the log-probability in nats with which the fill draws it."""
    pairs = zip(completed, hidden, strict=True)
    with torch.inference_mode():
        return [model.fill_log_prob(images, mask.expand(len(images), -1, -1)).tolist() for images, mask in pairs]
