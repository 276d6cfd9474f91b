"""From the words of a command line to the jobs they ask for: one, or with -m one for each combination of values."""

import itertools
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pixelrnn.cli import options
from pixelrnn.cli.arguments import in_quotes, nearest_option, parse
from pixelrnn.cli.job import Job, resumed
from pixelrnn.cli.manual import CONF, members, option_names, page
from pixelrnn.errors import UserError, nearest
from pixelrnn.files.atomic import expanded


def compose(command: str, words: list[str]) -> list[Job]:
    """The jobs of a command line, with their options checked; none if it only asks to print the configuration (--cfg)."""
    given = parse(words, command)
    overrides = given.overrides
    if given.config_dir:
        folder = expanded(given.config_dir).absolute()
        if not folder.is_dir():
            raise UserError(f"--config-dir {given.config_dir}: no such folder")
        overrides.append(f"hydra.searchpath=[{in_quotes(f'file://{folder}')}]")
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
            resume = next((override.value() for override in parsed if override.key_or_group == "training.resume"), None)
            if command == "train" and resume not in ("auto", "never", None):
                refused = {*page(command).groups, "hydra.run.dir", "hydra.sweep.dir"}
                jobs = [resumed(str(resume), parsed, {"-m", *refused} if given.sweep else refused)]
            elif given.sweep:
                jobs = _sweep(command, parsed)
            else:
                cfg = hydra.compose(command, overrides, return_hydra_config=True)
                jobs = [_job(command, cfg, Path(cfg.hydra.run.dir))]
        if given.cfg:
            print(OmegaConf.to_yaml(jobs[0].cfg), end="")
            return []
        for job in jobs:
            options.check(command, plain(job.cfg))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, command)) from None
    except ValueError as error:  # Hydra's, for a group that is set to null
        if "Config group override" not in str(error):
            raise
        raise UserError(f"a group of options needs a name, not null (pixelrnn {command} --help)") from None
    return jobs


def _sweep(command: str, overrides: list[Override]) -> list[Job]:
    """A job for each combination of the values that are separated by commas; all lie in one folder."""
    choices = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in overrides
    ]
    configs = [hydra.compose(command, [*line], return_hydra_config=True) for line in itertools.product(*choices)]
    assert configs[0].hydra.sweep.dir  # its name, with the time, is now in the cache, for all of them
    for i, cfg in enumerate(configs):
        cfg.hydra.job.num = i
        OmegaConf.copy_cache(configs[0], cfg)
    return [_job(command, cfg, Path(cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir)) for cfg in configs]


def _job(command: str, cfg: DictConfig, folder: Path) -> Job:
    overrides, is_recorded = list(cfg.hydra.overrides.task), cfg.hydra.output_subdir is not None
    with open_dict(cfg):
        del cfg["hydra"]
    return Job(command, cfg, overrides, folder.absolute(), is_recorded)


def plain(cfg: Any) -> Any:
    """A configuration node as plain dicts and lists, with all interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg


def _explain(error: Exception, command: str) -> str:
    """One line for a mistake in an override: what is unknown, and the nearest name that is known."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"unknown {group or 'configuration'} '{name}'{nearest(name, error.options)} (known: {', '.join(error.options)})"
    if isinstance(error, OverrideParseException):
        option, _, value = error.override.partition("=")
        return (
            f"cannot read {error.override}: put special characters in quotes twice, for the shell and for Hydra, as in "
            f"'{option}=\"{value}\"' (pixelrnn {command} --help lists the options)"
        )
    key = getattr(error, "full_key", None) or getattr(error.__cause__, "full_key", None)
    reason = str(error).splitlines()[0]
    if "not in struct" in str(error) or "Could not override" in str(error):
        option = reason.split("'")[1]
        if needed := _needed_member(command, option):
            return needed
        key = str(key or option)
        near = nearest_option(key, [name for name in option_names(command) if name != key])
        hint = f"; did you mean '{near}'?" if near else ""
        return f"unknown option '{key}'{hint} (pixelrnn {command} --help lists them)"
    if reason.startswith(("Ambiguous value", "Sweep parameters")):
        given = reason.split("'")[1]
        a_list = f"; one list is {given.replace('=', '=[', 1)}]" if reason.startswith("Ambiguous") else ""
        return f"{given} has several values: add -m for a run with each of them{a_list}"
    if isinstance(error, OmegaConfBaseException) and key and str(key) not in reason:
        return f"{key}: {reason}"
    return f"{reason} (pixelrnn {command} --help lists the options)"


def _needed_member(command: str, option: str) -> str:
    """A hint for an option of a group that is null: which members have it; "" if it is none."""
    group, _, name = option.partition(".")
    if group not in page(command).groups or page(command).groups[group].value is not None:
        return ""
    having = [member for member in members(group) if name in page(f"{group}/{member}").options]
    own = f"; of the checkpoint's own data it is {name}=" if group == "data" and name in page(command).options else ""
    return f"{option} needs {group}={' or '.join(having)}{own}" if having else ""
