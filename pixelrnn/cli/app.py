"""Run a command's jobs, and turn what goes wrong into one line and an exit code."""

import os
import sys
from importlib import import_module
from pathlib import Path

from pixelrnn.cli.arguments import name_of
from pixelrnn.cli.compose import compose, plain
from pixelrnn.cli.job import Job
from pixelrnn.errors import ProcessLost, TrainingDiverged, UserError, notes_to

__all__ = ["SIGNALS", "Stopped", "launch", "output_folder", "overridden_options", "plain", "running"]

SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
SPREAD = ("train", "evaluate", "sample")  # commands that several processes share; the others are the first one's
running: list[Job] = []  # the job that is at work


class Stopped(Exception):
    """A command ended early because of a signal, with its work saved."""


def launch(command: str, words: list[str]) -> int:
    """Run a command with the words that follow it, and return the exit code."""
    try:
        for job in _jobs(command, words):
            _run(job)
    except Stopped as signal:
        return SIGNALS[str(signal)]
    except UserError as error:
        return _fail(error, 2)
    except (TrainingDiverged, ProcessLost) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _jobs(command: str, words: list[str]) -> list[Job]:
    """The jobs of this process. Only torchrun's processes need torch to find them."""
    if os.environ.get("WORLD_SIZE") in (None, "", "1"):
        return compose(command, words)
    from pixelrnn import distributed

    distributed.begin()
    jobs = distributed.by_main(lambda: compose(command, words))
    if distributed.is_main():
        return jobs
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # the first process prints for all
    return jobs if command in SPREAD else []


def _run(job: Job) -> None:
    module = import_module(f"pixelrnn.cli.{job.command}")
    from pixelrnn import distributed

    running[:] = [job]
    try:
        distributed.by_main(job.make_folder)
        with notes_to(lambda text: print(f"note       {text}", flush=True)):
            module.run(job.cfg)
        if distributed.is_main() and job.command != "train":  # which records itself before it changes anything
            job.record()
    finally:
        job.remove_if_empty()


def _fail(message: object, code: int) -> int:
    """Print one line; if there are several processes, only the first one prints."""
    distributed = sys.modules.get("pixelrnn.distributed")
    if distributed is None or distributed.is_main() or isinstance(message, ProcessLost):
        print(f"pixelrnn: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def output_folder() -> Path:
    """The folder of the job that is at work."""
    return running[0].folder


def overridden_options() -> set[str]:
    """The options that the command line sets, such as "model", "model.width" and "data.size"."""
    return set(map(name_of, running[0].overrides))
