"""pixelrnn verify"""

from omegaconf import DictConfig

from pixelrnn.cli.setup import load_checkpoint
from pixelrnn.evaluation.verify import verify


def run(cfg: DictConfig) -> None:
    for line in verify(load_checkpoint(cfg), cfg.seed):
        print(f"ok         {line}")
