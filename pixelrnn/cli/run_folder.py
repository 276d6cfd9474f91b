"""The folder that a run writes into: one that no other run has, and none that a mistake leaves behind."""

import contextlib
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from pixelrnn import distributed
from pixelrnn.errors import ProcessLost, UserError

STARTED = "PIXELRNN_STARTED"  # in the environment: the name of a run's folder, for conf/hydra/default.yaml
OWN = {".hydra", "multirun.yaml"}  # what Hydra keeps in a run's folder, and in a sweep's


class Ended(BaseException):
    """Carries an expected error past Hydra, which would print its own report of an Exception."""


made: list[Path] = []  # the folders that this run makes: its own, then those above it


class RunFolder(Callback):
    """Hydra calls it when a run begins, with its options found sound: only now is a folder made."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _make_folder(config.hydra.run)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _make_folder(config.hydra.sweep)


def _make_folder(place: DictConfig) -> None:
    """Makes the folder place.dir if its name is ours: one that no other run has, the same one in all processes. One that
    the user names is left to Hydra, which takes what is there."""
    named = OmegaConf.to_container(place, resolve=False)
    assert isinstance(named, dict)
    try:
        if STARTED in named["dir"]:
            found = distributed.from_main(_claim(place) if distributed.is_main() else None)
            if isinstance(found, OSError):
                raise found
            os.environ[STARTED] = found
        else:
            made[:] = _missing(Path(place.dir))
    except OSError as error:
        raise Ended(no_folder(error)) from error
    except ProcessLost as error:
        raise Ended(error) from error


def _claim(place: DictConfig) -> str | OSError:
    """Makes a folder that was not there: of two runs that start in the same second, the other one's is name-2. Returns
    what went wrong, for all processes to know."""
    started = os.environ[STARTED]
    for number in itertools.count(1):
        os.environ[STARTED] = started if number == 1 else f"{started}-{number}"
        folder = Path(place.dir)
        try:
            missing = _missing(folder)
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            if isinstance(error, FileNotFoundError) and number < 3:
                continue  # a run that ended just now took the folder above with it
            return error
        made[:] = missing
        break
    return os.environ[STARTED]


def _missing(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]


def no_folder(error: OSError) -> UserError:
    """For an error that came before the command itself began."""
    reason = "a file of this name is there" if isinstance(error, FileExistsError) else error.strerror
    return UserError(
        f"the run's folder cannot be written: {error.filename or 'the working folder'}: {reason}; choose another one, "
        "hydra.run.dir=<folder>, or of a sweep hydra.sweep.dir=<folder>"
    )


def remove_if_empty(folder: Path) -> None:
    """A mistake leaves no folder behind that holds nothing but its own configuration; the one it was called in stays."""
    if all(path.name in OWN for path in folder.iterdir()) and not folder.samefile(Path.cwd()):
        shutil.rmtree(folder, ignore_errors=True)


def remove_made() -> None:
    """The same for the folders that this run has made."""
    if not made or not distributed.is_main():
        return
    with contextlib.suppress(OSError):  # not there, or no longer empty
        if made[0].is_dir():
            remove_if_empty(made[0])
        for above in made[1:]:
            above.rmdir()
