"""The folder that a run writes into: a new one, or that of a run that goes on; and none that a mistake leaves behind."""

import contextlib
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from pixelrnn import distributed, pretrained
from pixelrnn.cli.quoting import quoted
from pixelrnn.errors import ProcessLost, UserError
from pixelrnn.files.atomic import write_whole
from pixelrnn.training.state import STATE

STARTED = "PIXELRNN_STARTED"  # in the environment: the name of a run's folder, for conf/hydra/default.yaml
OWN = {".hydra", "multirun.yaml"}  # what Hydra keeps in a run's folder, and in a sweep's


class Ended(BaseException):
    """Carries an expected error past Hydra, which would print its own report of an Exception."""


made: list[Path] = []  # the folders that this run makes: its own, then those above it
kept: dict[Path, bytes] = {}  # the configurations that were there before this run
proposed: dict[Path, bytes] = {}  # its own, until it is accepted


class RunFolder(Callback):
    """Hydra calls it when a run begins, with its options found sound: only now is a folder made."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _make_folder(config.hydra.run, f"{config.hydra.output_subdir}/*.yaml")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _make_folder(config.hydra.sweep, f"**/{config.hydra.output_subdir}/*.yaml")


def going_on(arguments: list[str]) -> list[str]:
    """The command line; with training.resume=<folder>, that of the run there, but for the options that are given now."""
    own = {_name(argument): argument for argument in arguments}
    said = OverridesParser.create().parse_override(own.get("training.resume", "training.resume=auto")).value()
    if said in ("auto", "never", None):
        return arguments
    folder = Path(str(said)).absolute()
    if not (state := folder / "last" / STATE).is_file():
        raise UserError(f"training.resume={said}: {state} is not there; give a run's folder, auto or never")
    if not {"-m", "--multirun", "hydra.run.dir"}.isdisjoint(own):
        raise UserError(
            f"training.resume={said} goes on with one run in its own folder: leave out -m and hydra.run.dir= (a copy of the "
            "folder goes on by itself)"
        )
    try:
        cfg, hydra = (OmegaConf.load(folder / ".hydra" / "train" / name) for name in ("config.yaml", "hydra.yaml"))
        recorded = {_name(line): line for line in hydra.hydra.overrides.task}
        paths = {"init": cfg.init, "data.root": cfg.data.get("root"), "hydra.run.dir": folder}
        for name, path in paths.items():
            if path is not None and path not in pretrained.names():
                recorded[name] = quoted([f"{name}={Path(hydra.hydra.runtime.cwd, path)}"])[0]
        sources = [one for one in hydra.hydra.runtime.config_sources if one.provider == "command-line"]
    except Exception as error:  # a file that is missing or damaged, by hand or because the run was made in Python
        raise UserError(
            f"{folder} does not say with which options it was trained ({' '.join(str(error).split())[:200]}); give them, and "
            f"hydra.run.dir={folder} in place of training.resume="
        ) from None
    flags = [f"--config-dir={one.path}" for one in sources if "--config-dir" not in own]
    lines = [line for name, line in recorded.items() if name not in own]
    given = [argument for argument in arguments if argument != own["training.resume"]]
    return [*lines, *given, *flags]  # options before flags


def _name(argument: str) -> str:
    return argument.lstrip("+~").partition("=")[0]


def propose(folder: Path, hydra: Any) -> None:
    """Takes back the configuration that Hydra has just written: a run that is refused leaves the one that was there."""
    own, sweep = (
        folder.resolve().glob(f"{hydra.output_subdir}/*.yaml"),
        Path(hydra.sweep.dir).resolve().glob("multirun.yaml"),
    )
    proposed.clear()
    proposed.update({path: path.read_bytes() for path in (*own, *sweep)})
    for path in proposed:
        _write(path, kept[path]) if path in kept else path.unlink()


def accept() -> None:
    """Writes the configuration of this run, whose folder it is from now on."""
    for path, content in proposed.items():
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda temporary: temporary.write_bytes(content))


def _make_folder(place: DictConfig, records: str) -> None:
    """Makes the folder place.dir if its name is ours: one that no other run has, the same one in all processes. One that
    the user names is left to Hydra, which takes what is there: its records are kept in mind."""
    named = OmegaConf.to_container(place, resolve=False)
    assert isinstance(named, dict)
    try:
        if STARTED in named["dir"]:
            os.environ[STARTED] = distributed.by_main(lambda: _claim(place))
        else:
            made[:] = _missing(Path(place.dir))
        folder = Path(place.dir).resolve()  # as propose() spells it
        kept.clear()
        kept.update({path: path.read_bytes() for path in (*folder.glob(records), *folder.glob("multirun.yaml"))})
    except OSError as error:
        raise Ended(no_folder(error)) from error
    except ProcessLost as error:
        raise Ended(error) from error


def _claim(place: DictConfig) -> str:
    """Makes a folder that was not there: of two runs that start in the same second, the other one's is name-2."""
    started = os.environ[STARTED]
    for number in itertools.count(1):
        os.environ[STARTED] = started if number == 1 else f"{started}-{number}"
        folder = Path(place.dir)
        try:
            missing = _missing(folder)
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except FileNotFoundError:
            if number < 3:
                continue  # a run that ended just now took the folder above with it
            raise
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
