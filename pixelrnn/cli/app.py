"""Run a command's jobs, record each in its folder, and turn what goes wrong into one line and an exit code."""

import contextlib
import os
import re
import sys
import traceback
from importlib import import_module
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pixelrnn import pretrained
from pixelrnn.cli.compose import Job, Multirun, check, compose, job_of, placed_root, plain
from pixelrnn.errors import OutOfMemory, ProcessLost, TrainingDiverged, UserError, is_out_of_memory, notes_to, printable
from pixelrnn.files.atomic import write_text

SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
SMALLER = {  # what takes less memory; a command without an entry has no such option
    "train": "training.bptt=checkpointed (not for InpaintingRNN, nor for a sequence with a teacher), a smaller "
    "training.batch_size or a smaller model",
    "evaluate": "a smaller batch_size, fewer particles or completions (for pictures of any size, only fewer completions)",
    "complete": "a smaller count (and for images of one size, a smaller batch_size or limit)",
    "sample": "a smaller batch_size",
}
SPREAD = ("train", "evaluate", "sample")  # those that torchrun's processes share; the first one runs others alone


class Stopped(BaseException):
    """A command ended early because of a signal, with its work saved. It is no Exception, so that Hydra's launchers end too."""


def launch(command: str, words: list[str]) -> int:
    """Run a command with the words that follow it, and return the exit code."""
    try:
        jobs = _jobs(command, words)
        if len(jobs) > 1:
            return _sweep(jobs)
        for job in jobs:
            _run(job)
    except Stopped as signal:
        return SIGNALS[str(signal)]
    except UserError as error:
        return _fail(error, 2)
    except (TrainingDiverged, ProcessLost) as error:
        return _fail(error, 1)
    except OSError as error:
        if error.filename is None:  # not about a file of the user's: a bug, or the reader of the output has left
            raise
        return _fail(
            f"{printable(error.filename)} cannot be used ({error.strerror}); choose another one, or change its permissions",
            2,
        )
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _sweep(jobs: list[Job]) -> int:
    """Run all jobs, also after one that diverges, and print the table; return the exit code. A UserError ends the sweep."""
    code = 0
    for job in jobs:
        try:
            _run(job)
        except TrainingDiverged as error:
            code = _fail(f"{job.folder}: {error}", 1)
        except UserError:
            if job is not jobs[0]:
                with contextlib.suppress(UserError):  # about the table
                    _compare(job)
            raise
    _compare(jobs[0])
    return code


def _compare(job: Job) -> None:
    """Print the table of a sweep of train, to which this job belongs, and draw the curves into the sweep's folder."""
    if job.command != "train" or not job.sweep:
        return
    from pixelrnn import distributed
    from pixelrnn.cli import compare
    from pixelrnn.training.records import RECORDS

    if distributed.is_main() and (runs := [path.parent for path in sorted(job.sweep.glob(f"*/{RECORDS}"))]):
        with notes_to(lambda text: print(f"note       {text}", flush=True)):
            compare.show(runs, job.sweep / "comparison.png")


def _jobs(command: str, words: list[str]) -> list[Job]:
    """The jobs of this process. Only torchrun's processes need torch to find them."""
    if os.environ.get("WORLD_SIZE") in (None, "", "1"):
        return compose(command, words, _run_by_plugin)
    if command not in SPREAD:
        return compose(command, words) if os.environ.get("RANK") in (None, "", "0") else []
    from pixelrnn import distributed

    distributed.begin()
    jobs = distributed.by_main(lambda: compose(command, words))
    if not distributed.is_main():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # the first process prints for all
    return jobs


def _run_by_plugin(job: Job, multirun: Multirun) -> None:
    """Let a launcher or a sweeper of Hydra run a sweep, whose first job this is. Print the table, even if a job failed.

    ProcessLost if the plugin itself fails, or loses a job.
    """
    try:
        multirun(run_for_hydra)
    except Exception as error:
        _compare(job)
        if isinstance(error, (UserError, TrainingDiverged, ProcessLost, HydraException, OmegaConfBaseException)):
            raise
        from pixelrnn.training.state import STATE

        saved = job.sweep and any(job.sweep.glob(f"*/last/{STATE}"))
        way = f"; go on with the same command and hydra.sweep.dir={job.sweep}" if saved else ""
        reason = " ".join(str(error).splitlines()[:2])  # then submitit adds the output of the job
        raise ProcessLost(f"{type(error).__name__}: {printable(reason)}{way}") from error
    _compare(job)


def run_for_hydra(cfg: DictConfig) -> float | None:
    """Run a job for one of Hydra's launchers, perhaps in another process. Return what a sweeper minimises, of train only:
    the best nats per validation image."""
    own = HydraConfig.get()
    job = job_of(str(own.job.config_name), cfg, own, own.runtime.output_dir)
    try:
        check(job.command, plain(cfg))
        return _run(job)
    except (UserError, TrainingDiverged, ProcessLost):
        raise
    except Exception:
        traceback.print_exc()  # an error loses it on the way to another process
        raise


def _run(job: Job) -> float | None:
    module = import_module(f"pixelrnn.cli.{job.command}")
    from pixelrnn import distributed

    made: list[Path] = []  # folders that were not there before
    try:
        distributed.by_main(lambda: _make_folder(job, made))
        with notes_to(lambda text: print(f"note       {text}", flush=True)):
            figure: float | None = module.run(job)
        if distributed.is_main() and job.command != "train":  # which records itself before it changes anything
            record(job)
        return figure
    except Exception as error:
        if is_out_of_memory(error):
            raise _out_of_memory(job, str(error)) from None
        raise
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()


def _out_of_memory(job: Job, text: str) -> OutOfMemory:
    """The error that names what helps, and where the last state lies; text is torch's or Python's."""
    from pixelrnn.training.state import STATE, way_on

    on_gpu = "CUDA" in text or "CUBLAS" in text or "CUDNN" in text or "MPS" in text
    asked = re.search(r"tried to allocate ([\d.]+ \w+)", text, re.IGNORECASE)
    ways = [f"training.accumulate={4 * job.cfg.training.accumulate}"] if job.command == "train" else []
    less = ways[:]  # that a run which goes on may change
    ways += [SMALLER[job.command]] if job.command in SMALLER else []
    ways += ["device=cpu"] if on_gpu else []
    message = f"the memory of the {'GPU' if on_gpu else 'machine'} is full" + (
        f" ({asked[0].lower()})" if asked else ""
    )
    if ways:
        message += f"; try {', or '.join([', '.join(ways[:-1]), ways[-1]] if ways[1:] else ways)}"
    if job.command == "train" and (job.folder / "last" / STATE).exists():
        message += f"; the last saved state is in {job.folder / 'last'}; {way_on(job.folder)} {' '.join(less)}"
    return OutOfMemory(message)


def _make_folder(job: Job, made: list[Path]) -> None:
    """Make the folder of the run, and list in `made` what was not there; UserError if that is not possible."""
    place = job.records if job.is_recorded else job.folder
    try:
        made += [path for path in (place, *place.parents) if not path.exists()]
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write to the run's folder {job.folder}: {error.strerror}; choose another one, hydra.run.dir=<folder>, "
            "or of a sweep hydra.sweep.dir=<folder>"
        ) from None


def record(job: Job) -> None:
    """Write the configuration of a job into its folder. A run that is refused never gets here."""
    if not job.is_recorded:
        return
    cfg = job.cfg.copy()
    if job.command == "train":  # training.resume= works from any working folder
        cfg.init, cfg.training.teacher = pretrained.placed(cfg.init), pretrained.placed(plain(cfg.training.teacher))
        if cfg.data.get("root"):
            cfg.data.root = placed_root(cfg.data.root)
    for name, content in {"config.yaml": cfg, "overrides.yaml": OmegaConf.create(job.overrides)}.items():
        write_text(job.records / name, OmegaConf.to_yaml(content))


def _fail(message: object, code: int) -> int:
    """Print one line; if there are several processes, only the first one prints."""
    distributed = sys.modules.get("pixelrnn.distributed")
    if distributed is None or distributed.is_main() or isinstance(message, (ProcessLost, OutOfMemory)):
        print(f"pixelrnn: {' '.join(str(message).split())}", file=sys.stderr)
    return code
