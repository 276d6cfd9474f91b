"""pixelrnn train"""

import torch
from omegaconf import DictConfig, OmegaConf

from pixelrnn import checkpoint, distributed
from pixelrnn import data as datasets
from pixelrnn.cli.app import SIGNALS, Stopped, output_folder, plain
from pixelrnn.cli.setup import choose_device, describe, describe_model
from pixelrnn.errors import ProcessLost
from pixelrnn.model import MODELS
from pixelrnn.plugins import configure
from pixelrnn.training import train
from pixelrnn.update import Settings, occlusion_of


def run(cfg: DictConfig) -> None:
    checked = OmegaConf.merge(OmegaConf.structured(Settings), cfg.training)  # types as declared, or a ValidationError
    settings = Settings(**plain(checked))
    device, folder = choose_device(cfg), output_folder()
    data = datasets.load(plain(cfg.data))
    torch.manual_seed(cfg.seed)
    make = configure("model", plain(cfg.model), MODELS)
    model = make(data.shape, data.levels, ordering=plain(cfg.ordering), likelihood=plain(cfg.likelihood)).to(device)
    if cfg.init:
        checkpoint.initialise(model, cfg.init)
    model.trained_on = {"data": plain(cfg.data), "seed": cfg.seed}
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"data       {data.name}; {describe(data.shape, data.levels)}")
    order = cfg.ordering.name if len(model.orders) == 1 else f"{len(model.orders)} orders"
    print(f"model      {describe_model(plain(cfg.model))}, {order}, {parameters:,} parameters, on {device}")
    processes = f", {distributed.size()} processes" if distributed.size() > 1 else ""
    print(f"folder     {folder}{processes}", flush=True)

    try:
        at = train(model, data, settings, folder, cfg.seed)
    except ProcessLost as error:
        raise ProcessLost(
            f"{error}; the last saved state is in {folder / 'last'}, go on with training.resume={folder}"
        ) from error

    reasons = {"": "all epochs done", "patience": "no more gain", "max_minutes": "time is up"}
    reason = reasons.get(at.stopped_by, f"stopped by {at.stopped_by}")
    epochs = at.step * settings.batch_size / len(data.train)
    print(
        f"trained    {at.step:,} updates in {at.seconds / 60:.1f} min, {at.seconds / 60 / epochs:.2f} min an epoch ({reason})"
    )
    hidden = f" (hidden pixels, {occlusion})" if (occlusion := occlusion_of(settings, model)) else ""
    print(f"best       {at.best_nats:.2f} nats per validation image, {at.best_bits_per_dim:.4f} bits/dim{hidden}")
    if at.stopped_by in SIGNALS:
        print(f"saved      {folder / 'last'}; go on with training.resume={folder}")
        raise Stopped(at.stopped_by)
    print(f"pictures   {folder / 'curves.png'}, {folder / 'samples.png'}")
