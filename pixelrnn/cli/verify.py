"""pixelrnn verify"""

from pixelrnn.cli.compose import Job
from pixelrnn.cli.setup import load_checkpoint
from pixelrnn.evaluation.verify import verify


def run(job: Job) -> None:
    for line in verify(load_checkpoint(job.cfg), seed=job.cfg.seed):
        print(f"ok         {line}")
