"""Runs a command under Hydra, and turns what goes wrong into one line and an exit code."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pixelrnn import distributed
from pixelrnn.cli import options, run_folder
from pixelrnn.cli.arguments import arranged, nearest_option
from pixelrnn.cli.quoting import quoted
from pixelrnn.cli.run_folder import OWN, STARTED, Ended, no_folder, remove_if_empty, remove_made
from pixelrnn.errors import ProcessLost, TrainingDiverged, UserError, nearest
from pixelrnn.notes import notes_to

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())  # wheel, source tree
SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
SPREAD = ("train", "evaluate", "sample")  # commands that several processes share; the others are the first one's


class Stopped(Exception):
    """A command ended early because of a signal, with its work saved."""


def launch(command: str, run: Callable[[DictConfig], None]) -> int:
    """Composes the configuration from the command line, calls run(cfg), and returns the exit code."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then lets exceptions through, instead of printing and exiting itself
    try:
        distributed.begin()
        arguments = quoted(arranged(sys.argv[1:], command, partial(_keys, command)))
        os.environ[STARTED] = distributed.broadcast(time.strftime("%Y-%m-%d_%H-%M-%S"))
        if command == "train":
            arguments = distributed.by_main(lambda: run_folder.going_on(arguments))
    except (UserError, ProcessLost, HydraException) as error:
        return _exit_code(error, command)
    if not distributed.is_main():
        if command not in SPREAD:
            return 0
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # one process speaks for all
        arguments.insert(0, "hydra.output_subdir=null")  # and records the configuration
    sys.argv = [sys.argv[0], *arguments]
    run_folder.made.clear()
    at_work = False

    def job(cfg: DictConfig) -> None:
        nonlocal at_work
        had_content = any(path.name not in OWN for path in output_folder().iterdir())
        at_work = True
        try:
            run_folder.propose(output_folder(), HydraConfig.get())
            options.check(plain(cfg))
            with notes_to(lambda text: print(f"note       {text}", flush=True)):
                run(cfg)
            if command != "train":  # which accepts before it begins
                run_folder.accept()
        except (UserError, TrainingDiverged, ProcessLost, Stopped, OmegaConfBaseException) as error:
            if not had_content and distributed.is_main():
                remove_if_empty(output_folder())
            raise Ended(error) from error
        at_work = False

    def ended(error: Exception) -> int:
        remove_made()
        return _exit_code(error, command)

    GlobalHydra.instance().clear()
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=command)(job)()
    except Ended as stop:
        return ended(stop.args[0])
    except (HydraException, OmegaConfBaseException) as error:
        return ended(error)
    except OSError as error:  # Hydra's, as it makes the folder and writes the configuration there
        if at_work:
            raise
        return ended(no_folder(error))
    except ValueError as error:  # Hydra's, for a group that is set to null
        if "Config group override" not in str(error):
            raise
        return ended(UserError(f"a group of options needs a name, and null is none (pixelrnn {command} --help)"))
    except KeyboardInterrupt:
        remove_made()
        return _fail("interrupted", 130)
    return 0


def _exit_code(error: Exception, command: str) -> int:
    """Prints one line for an expected error, and returns the code to exit with."""
    if isinstance(error, Stopped):
        return SIGNALS[str(error)]
    if isinstance(error, TrainingDiverged | ProcessLost):
        return _fail(error, 1)
    return _fail(error if isinstance(error, UserError) else explain(error, command), 2)


def _fail(message: object, code: int) -> int:
    if distributed.is_main() or isinstance(message, ProcessLost):  # what is wrong for all is said once
        print(f"pixelrnn: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def said() -> set[str]:
    """The options that the command line sets, such as "model", "model.width" and "data.size"."""
    return {override.lstrip("+~").split("=")[0] for override in HydraConfig.get().overrides.task}


def output_folder() -> Path:
    return Path(HydraConfig.get().runtime.output_dir)


def plain(cfg: Any) -> Any:
    """A configuration node as plain dicts and lists, with all interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg


def explain(error: Exception, command: str) -> str:
    """One line for a mistake in an override: what is unknown, and the nearest name that is known."""
    if isinstance(error, MissingConfigException) and error.options:
        missing = str(error.missing_cfg_file)
        group, _, name = missing.rpartition("/")
        return f"unknown {group or 'configuration'} '{name}'{nearest(name, error.options)} (known: {', '.join(error.options)})"
    if isinstance(error, OverrideParseException):
        option, _, value = error.override.partition("=")
        return (
            f"cannot read {error.override}: what has special characters is quoted twice, for the shell and for Hydra, as in "
            f"'{option}=\"{value}\"' (pixelrnn {command} --help lists the options)"
        )
    key = getattr(error, "full_key", None) or getattr(error.__cause__, "full_key", None)
    reason = str(error).splitlines()[0]
    if "not in struct" in str(error) or "Could not override" in str(error):
        option = reason.split("'")[1]
        if members := _members(command, option):
            return members
        key = key or option
        near = nearest_option(str(key), [name for name in _keys(command) if name != key])
        hint = f"; did you mean '{near}'?" if near else ""
        return f"unknown option '{key}'{hint} (pixelrnn {command} --help lists them)"
    if reason.startswith(("Ambiguous value", "Sweep parameters")):
        given = reason.split("'")[1]
        a_list = f"; one list is {given.replace('=', '=[', 1)}]" if reason.startswith("Ambiguous") else ""
        return f"{given} has several values: add -m for a run with each of them{a_list}"
    if isinstance(error, OmegaConfBaseException) and key and str(key) not in reason:
        return f"{key}: {reason}"
    return f"{reason} (pixelrnn {command} --help lists the options)"


def _members(command: str, option: str) -> str:
    """What to say of an option of a group that the command leaves open: of which members it is one; else nothing."""
    config, (group, _, name) = OmegaConf.load(CONF / f"{command}.yaml"), option.partition(".")
    if {group: None} not in plain(config.defaults):
        return ""
    members = [path.stem for path in sorted((CONF / group).glob("*.yaml")) if name in OmegaConf.load(path)]
    own = f"; of the checkpoint's own data it is {name}=" if group == "data" and name in config else ""
    return f"{option} needs {group}={' or '.join(members)}{own}" if members else ""


def _keys(command: str) -> list[str]:
    """All option names of a command with its default groups, and the groups themselves."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose(command)

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for name, value in node.items() if isinstance(node, dict) else ():
            yield f"{prefix}{name}"
            yield from walk(value, f"{prefix}{name}.")

    defaults = plain(OmegaConf.load(CONF / f"{command}.yaml").defaults)
    groups = [group for entry in defaults if isinstance(entry, dict) for group in entry if group != "hydra"]
    return [*walk(OmegaConf.to_container(cfg), ""), *groups]
