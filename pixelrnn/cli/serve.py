"""pixelrnn serve"""

import time

import torch
from omegaconf import DictConfig

from pixelrnn import pretrained
from pixelrnn.cli.app import Stopped
from pixelrnn.cli.compose import Job
from pixelrnn.cli.setup import checkpoint_name, choose_device, load_checkpoint, load_data, refuse_others
from pixelrnn.completion.fill import sample
from pixelrnn.datasets import limited
from pixelrnn.errors import UserError
from pixelrnn.training.loop import signals_received
from pixelrnn.ui.catalog import LoadedModel, ModelCatalog
from pixelrnn.ui.server import serve


def run(job: Job) -> None:
    cfg, device = job.cfg, choose_device(job.cfg)
    bundled = cfg.checkpoint in pretrained.names()
    if bundled:
        refuse_others(cfg, "serve", ["root"], "is a bundled model, with examples of its own")
    models = ModelCatalog(None, cfg.checkpoint, device) if bundled else ModelCatalog(_own(cfg), device=device)
    with signals_received() as received:
        serve(models, cfg.host, cfg.port, cfg.open, lambda: _wait(received))
    raise Stopped(received[0])


def _wait(received: list[str]) -> None:
    while not received:
        time.sleep(0.5)


def _own(cfg: DictConfig) -> LoadedModel:
    """The model of cfg.checkpoint, with images of its test data, or, if these are missing, with images that it draws."""
    model = load_checkpoint(cfg)
    try:
        examples, source = limited(load_data(cfg, model).test, 16), "from its test data"
    except UserError as error:
        print(f"examples   drawn by the model itself, because its test data are missing: {error}")
        generator = torch.Generator(model.order.device).manual_seed(0)
        examples, source = sample(model, 8, generator=generator).cpu(), "drawn by the model itself"
    return LoadedModel(checkpoint_name(cfg), model, examples, source)
