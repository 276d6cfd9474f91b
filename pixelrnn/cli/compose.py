"""From the words of a command line to the jobs they ask for: one, or with -m one for each combination of values.

Words are flags, and options of the form name=value. Hydra reads the values; paths are put in quotes for its grammar.
"""

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from glob import glob
from os.path import exists, expanduser, isdir
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, Sweep
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pixelrnn import pretrained
from pixelrnn.cli.manual import CONF, members, option_names, page
from pixelrnn.errors import UserError, in_one_line, nearest, printable
from pixelrnn.files.atomic import expanded
from pixelrnn.options import LONGEST, RULES, check_options, check_rule

PATHS = {
    *("image", "mask", "occlusion.path", "checkpoint", "init", "training.resume", "root", "data.root"),
    *("training.teacher", "hydra.run.dir", "hydra.sweep.dir"),
}
HYDRA = {"hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.searchpath"}
LISTED = re.compile(r"""('[^']*'|"[^"]*")|([^\[\],]+)""")  # a path in a list, in quotes or not
Multirun = Callable[[Callable[[DictConfig], Any]], object]
PLUGINS = re.compile(r"hydra[./](launcher|sweeper)\b.*")  # options that hand a sweep to Hydra


@dataclass
class Job:
    """A command with its configuration, the overrides that the user gave, and the folder it writes into."""

    command: str
    cfg: DictConfig
    overrides: list[str]
    folder: Path
    is_recorded: bool  # False for commands that write nothing
    sweep: Path | None = None  # the folder of the sweep that it belongs to

    @property
    def records(self) -> Path:
        return self.folder / ".hydra" / self.command

    @property
    def chosen(self) -> set[str]:
        """The options that the command line sets, such as "model", "model.width" and "data.size"."""
        return set(map(name_of, self.overrides))

    def settings(self) -> dict[str, Any]:
        """The configuration for a report: all but the machine's."""
        return {name: value for name, value in plain(self.cfg).items() if name not in ("device", "threads")}


def compose(command: str, words: list[str], by_plugin: Callable[[Job, Multirun], None] | None = None) -> list[Job]:
    """The jobs of a command line that are left to run, with their options checked; none if it only asks to print the
    configuration (--cfg).

    If it names a launcher or a sweeper of Hydra, by_plugin(job, multirun) runs all jobs here: it gets the first job, and
    multirun(task), which has the plugin call task(cfg) for each of them.
    """
    given = parse(words, command)
    # Hydra takes no null for a group, which these groups are by default.
    unset = {f"{name}=null" for name, group in page(command).groups.items() if group.value is None}
    overrides = [override for override in given.overrides if override not in unset]
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
            if isinstance(resume, Sweep):
                raise UserError("training.resume= has several values: resume one run at a time")
            if command == "train" and resume not in ("auto", "never", None):
                refused = {*page(command).groups, "hydra.run.dir", "hydra.sweep.dir"}
                jobs = [resumed(str(resume), parsed, {"-m", *refused} if given.sweep else refused)]
            elif given.sweep:
                jobs = _sweep(command, parsed, bool(given.plugin))
            else:
                cfg = hydra.compose(command, overrides, return_hydra_config=True)
                jobs = [job_of(command, cfg, cfg.hydra, cfg.hydra.run.dir)]
            if given.cfg:
                print(OmegaConf.to_yaml(jobs[0].cfg), end="")
                return []
            for job in jobs:
                check(command, plain(job.cfg))
            if given.plugin:
                if by_plugin is None:
                    raise UserError(f"{given.plugin}= starts the runs itself: leave it out, or start without torchrun")
                multirun = GlobalHydra.instance().hydra.multirun  # type: ignore[union-attr]  # initialised above
                place = f"hydra.sweep.dir={in_quotes(str(jobs[0].sweep))}"  # the default would have another time by now
                by_plugin(jobs[0], lambda task: multirun(command, task, [*overrides, place]))
                return []
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, command)) from None
    except ValueError as error:  # Hydra's, for a group that is set to null
        if "Config group override" not in str(error):
            raise
        raise UserError(f"a group of options needs a name, not null (pixelrnn {command} --help)") from None
    return jobs


def _sweep(command: str, overrides: list[Override], by_hydra: bool) -> list[Job]:
    """A job for each combination of the values that are separated by commas; all lie in one folder.

    by_hydra: leave out intervals, whose values a sweeper chooses later.
    """
    choices = []
    for override in overrides:
        if not override.is_sweep_override():
            choices.append([str(override.input_line)])
        elif override.is_discrete_sweep() or not by_hydra:
            choices.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
    configs = [hydra.compose(command, [*line], return_hydra_config=True) for line in itertools.product(*choices)]
    first = configs[0].hydra
    for name in ("nodes", "tasks_per_node") if by_hydra else ():
        if (count := first.launcher.get(name, 1)) != 1:
            raise UserError(f"hydra.launcher.{name}={count}: each of the tasks would train the same run; leave it at 1")
    folder = Path(first.sweep.dir).absolute()  # its name, with the time, is now in the cache, for all of them
    for i, cfg in enumerate(configs):
        cfg.hydra.job.num = i
        OmegaConf.copy_cache(configs[0], cfg)
    return [
        replace(job_of(command, cfg, cfg.hydra, f"{folder}/{cfg.hydra.sweep.subdir}"), sweep=folder) for cfg in configs
    ]


def job_of(command: str, cfg: DictConfig, own: Any, folder: str) -> Job:
    """A job with Hydra's own configuration, which is taken out of that of the job."""
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return Job(command, cfg, list(own.overrides.task), Path(folder).absolute(), own.output_subdir is not None)


def plain(cfg: Any) -> Any:
    """A configuration node as plain dicts and lists, with all interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg


def placed_root(root: str) -> str:
    """The folder of data, as it is called from any working folder."""
    return str(expanded(root).absolute())


def check(command: str, options: Mapping[str, Any]) -> None:
    """UserError for the first of a command's options, as plain values, that is not what it must be. Needs no torch."""
    defaults = {name: option.value for name, option in page(command).options.items()}
    for group in page(command).groups:
        if isinstance(spec := options.get(group), dict):
            defaults |= _defaults_of_member(group, spec)
    for path, value in _values(options):
        section, _, name = path.rpartition(".")
        if value == "" and path in PATHS - {"checkpoint", "occlusion.path"}:
            raise UserError(f"{path}= is empty; give a path, or leave it out")
        if rule := RULES["seed"] if name == "seed" else RULES.get(path):
            check_rule(path, value, rule)
        elif path in defaults:
            check_options(section, section, {name: value}, {name: defaults[path]})
    groups = {name for name, group in page(command).groups.items() if group.value is not None}
    if gone := sorted(({name.partition(".")[0] for name in page(command).options} | groups) - options.keys()):
        raise UserError(f"~{gone[0]}: {command} needs this option; leave ~{gone[0]} out")
    for name in ("image", "mask"):
        path = expanduser(options.get(name) or "")
        if path and not exists(path) and not (name == "image" and any(map(exists, matching(path)))):
            raise UserError(f"{name}={printable(options[name], LONGEST)}: no such file")
    if not options.get("checkpoint", True) and not (command == "complete" and options["checkpoint"] is None):
        raise UserError(
            "which model? give checkpoint=<the folder of a run or of a saved model>, such as checkpoint=outputs/demo, or a "
            f"bundled one: {', '.join(pretrained.names())}"
        )
    for _, one in _checkpoints(options):
        pretrained.find(one)


def _checkpoints(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each checkpoint that a command's options name, after the name of its option."""
    given = {name: options.get(name) for name in ("checkpoint", "init")}
    given["training.teacher"] = options.get("training", {}).get("teacher")
    for name, value in given.items():
        yield from ((name, one) for one in (value if isinstance(value, list) else [value] if value else []))


def matching(pattern: str | Path) -> list[Path]:
    """The files and folders of a pattern such as scans/*.png. Leading folders that exist are taken by name, as in sc[1]/*.png."""
    folder = next((parent for parent in Path(pattern).parents if isdir(parent)), Path())
    return [folder / name for name in glob(str(Path(pattern).relative_to(folder)), root_dir=folder)]


def _defaults_of_member(group: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults of the member that a group is set to, from its yaml file; of a user's own member, of the one it names."""
    if "name" not in spec:
        raise UserError(f"{group}.{next(iter(spec), '')} needs {group}=<a name>, whose options these are")
    pages = (page(f"{group}/{member}").options for member in members(group))
    options = next((options for options in pages if options["name"].default == spec["name"]), {})
    return {f"{group}.{name}": option.value for name, option in options.items()}


def _values(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """This value and all below it, with their paths, such as occlusions[1].seed."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _values(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _values(below, f"{path}[{i}]")


def _explain(error: Exception, command: str) -> str:
    """One line for a mistake in an override: what is unknown, and the nearest name that is known."""
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = f"(known: {', '.join(error.options)})"
        more = (
            "; for submitit's, pip install -e '.[cluster]' in pixelrnn's source tree"
            if group == "hydra/launcher"
            else ""
        )
        return f"unknown {group or 'configuration'} '{name}'{nearest(name, error.options)} {known}{more}"
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
        if key.startswith("hydra."):
            return f"unknown option '{key}': the launcher or sweeper has none of this name"
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


def resumed(resume: str, overrides: list[Override], refused: Collection[str]) -> Job:
    """The job of the run in the folder training.resume=, with the options that are given now in place of its own.

    UserError for an option that is refused, because it would make another run.
    """
    folder = expanded(resume).absolute()
    if not (state := folder / "last" / "training.pt").is_file():
        raise UserError(f"training.resume={resume}: {state} is not there; give a run's folder, auto or never")
    given = {str(override.key_or_group): override for override in overrides}
    deleted = [f"~{name}" for name, override in given.items() if override.is_delete()]
    if wrong := next((name for name in (*deleted, *refused) if name in given or name[0] in "-~"), ""):
        raise UserError(
            f"training.resume={resume} goes on with one run, in its own folder: leave out {wrong} (a copy of the folder goes "
            "on by itself)"
        )
    job = Job("train", OmegaConf.create(), [], folder, is_recorded=True)
    try:
        cfg, recorded = (OmegaConf.load(job.records / name) for name in ("config.yaml", "overrides.yaml"))
        assert isinstance(cfg, DictConfig)
    except Exception as error:  # a file that is missing or damaged, by hand or because the run was made in Python
        raise UserError(
            f"{folder} does not say with which options it was trained ({in_one_line(error, 200)}); give them, and "
            f"hydra.run.dir={folder} in place of training.resume="
        ) from None
    for name, option in page("train").options.items():
        section, _, key = name.rpartition(".")
        if key not in (cfg[section] if section else cfg):  # newer than the run
            OmegaConf.update(cfg, name, option.value)
    OmegaConf.set_struct(cfg, True)
    for name, override in given.items():
        if override.is_sweep_override():
            raise UserError(f"{override.input_line} has several values: a run goes on with one of them")
        if name not in HYDRA:
            OmegaConf.update(cfg, name, override.value())
    cfg.training.resume = "auto"
    for name, one in _checkpoints(plain(cfg)):
        try:
            pretrained.find(one)
        except UserError:
            what = f"{name}={printable(one)}"
            raise UserError(f"the run in {folder} needs {what}, which is not there") from None
    job.cfg, job.overrides = cfg, [*map(str, recorded), *(str(override.input_line) for override in overrides)]
    return job


@dataclass
class Arguments:
    """A command line: its options, with their paths in quotes, and its flags."""

    overrides: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)  # the words of `compare` that stand alone: folders
    sweep: bool = False  # -m
    plugin: str = ""  # an option that hands the sweep to Hydra
    cfg: str = ""  # --cfg job
    config_dir: str = ""  # --config-dir <folder>


def parse(words: list[str], command: str) -> Arguments:
    """The options and flags of a command line. UserError for another word, and for a folder that this run would not use."""
    found, help_hint = Arguments(), f"(pixelrnn {command} --help lists the options)"
    found.sweep = not {"-m", "--multirun"}.isdisjoint(words)
    rest = iter(enumerate(words))
    for i, word in rest:
        name, equals, value = word.partition("=")
        if command == "compare" and not word.startswith("-") and (not equals or exists(expanduser(word))):
            found.runs.append(in_quotes(expanduser(word)))
        elif name in ("-c", "--cfg", "-cd", "--config-dir"):
            if not (value := value or next(rest, (0, ""))[1]):
                raise UserError(f"{word} needs a value: --cfg job, or --config-dir <folder> {help_hint}")
            setattr(found, "cfg" if name in ("-c", "--cfg") else "config_dir", value)
        elif (equals and not word.startswith("-")) or word.startswith("~"):  # with ~, Hydra deletes an option
            found.overrides.append(quoted(word, found.sweep))
        elif word not in ("-m", "--multirun"):
            raise UserError(f"{_not_an_option(command, *words[i:])} {help_hint}")
    if found.runs:
        if any(name_of(override) == "runs" for override in found.overrides):
            raise UserError("runs= and folders that stand alone: give one or the other")
        found.overrides.append(f"runs=[{','.join(found.runs)}]")
    if found.cfg not in ("", "job"):
        raise UserError(f"--cfg {found.cfg}: it is --cfg job {help_hint}")
    named = {name_of(override) for override in found.overrides}
    found.plugin = min(filter(PLUGINS.fullmatch, named), default="")
    if unknown := next((name for name in named - HYDRA if re.match("hydra[./]", name) and not PLUGINS.match(name)), ""):
        known = f"{', '.join(sorted(HYDRA))}, hydra/launcher and hydra/sweeper"
        raise UserError(f"{unknown}=: of Hydra's own options, {known} can be set")
    if found.sweep and "hydra.run.dir" in named:
        raise UserError("hydra.run.dir= is the folder of a single run, and -m asks for a sweep: give hydra.sweep.dir=")
    for unused in (named & {"hydra.sweep.dir", "hydra.sweep.subdir"}, {found.plugin} - {""}):
        if unused and not found.sweep:
            raise UserError(f"{min(unused)}= is for a sweep: add -m, or give hydra.run.dir= for a single run")
    return found


def name_of(override: str) -> str:
    """The option that an override such as "+model.width=3" or "~data" sets."""
    return override.lstrip("+~").partition("=")[0]


def _not_an_option(command: str, word: str, following: str = "", *_: str) -> str:
    """Say how the option is written, if one is near."""
    name, equals, value = word.lstrip("-").partition("=")
    if not equals and not following.startswith("-") and "=" not in following:
        value = following
    option = nearest_option(name.replace("-", "_"), option_names(command))
    example = f", such as {option}={printable(value, LONGEST) or '<value>'}" if option else ""
    return f"{printable(word, LONGEST)}: options are name=value{example}"


def nearest_option(name: str, known: Collection[str]) -> str:
    """The option of this name, the only one that ends in it, or the most similar one; "" if none is similar."""
    ends = [option for option in known if option.endswith(f".{name}")]
    near = [name] if name in known else ends if len(ends) == 1 else get_close_matches(name, known, n=1, cutoff=0.5)
    return near[0] if near else ""


def quoted(override: str, sweep: bool = False) -> str:
    """The override with its path in quotes if Hydra's grammar would read it otherwise, as for "größe.png" and "a=b (1).png".

    A leading ~ becomes the home folder: bash leaves it as it is after a name with dots, and zsh after any name.
    """
    option, _, value = override.partition("=")
    if option == "occlusions":
        return re.sub(r"(\bpath: *)(~[^,}\]]*)", lambda found: found[1] + in_quotes(expanduser(found[2])), override)
    if option.lstrip("+") not in PATHS or not value:
        return override
    sweep = sweep and not option.startswith("hydra.")
    if option in ("checkpoint", "training.teacher") and (value[0] == "[" or (sweep and ",[" in value)):
        return f"{option}={LISTED.sub(_listed, value)}"
    parts = [expanduser(part) for part in (value.split(",") if sweep else [value])]
    override = f"{option}={','.join(parts)}"
    try:
        parsed = OverridesParser.create().parse_override(override)
        read, by_hand = parsed.value(), value[0] in "'\"" or "\\" in value
        if (sweep and parsed.is_sweep_override()) or read in (None, parts[0]) or (by_hand and isinstance(read, str)):
            return override
    except HydraException:  # it has special characters
        pass
    return f"{option}={','.join(map(in_quotes, parts))}"


def _listed(found: re.Match) -> str:
    """A part of a list of paths, in quotes; null, in a sweep, is none."""
    return found[1] or (found[2] if found[2].strip() == "null" else in_quotes(found[2].strip()))


def in_quotes(path: str) -> str:
    """The path as Hydra's grammar quotes it."""
    return QuotedString(path, Quote.single).with_quotes()
