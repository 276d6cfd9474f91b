"""A job: one run of a command, with its configuration, its folder, and the record of both."""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from pixelrnn import pretrained
from pixelrnn.errors import UserError, in_one_line
from pixelrnn.files.atomic import expanded, write_whole


@dataclass
class Job:
    """A command with its configuration, the overrides that the user gave, and the folder it writes into."""

    command: str
    cfg: DictConfig
    overrides: list[str]
    folder: Path
    is_recorded: bool  # False for commands that write nothing
    made: list[Path] = field(default_factory=list)  # folders that were not there before

    @property
    def records(self) -> Path:
        return self.folder / ".hydra" / self.command

    def make_folder(self) -> None:
        """Make the folder of the run; UserError if that is not possible."""
        place = self.records if self.is_recorded else self.folder
        try:
            self.made = [path for path in (place, *place.parents) if not path.exists()]
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.remove_if_empty()
            raise UserError(
                f"the run's folder cannot be written: {self.folder}: {error.strerror}; choose another one, hydra.run.dir=<folder>, "
                "or of a sweep hydra.sweep.dir=<folder>"
            ) from None

    def record(self) -> None:
        """Write the configuration of the run into its folder. A run that is refused never gets here."""
        if not self.is_recorded:
            return
        cfg = self.cfg.copy()
        if self.command == "train":  # training.resume= works from any working folder
            if cfg.init and cfg.init not in pretrained.names():
                cfg.init = str(Path(cfg.init).absolute())
            if cfg.data.get("root"):
                cfg.data.root = str(Path(cfg.data.root).absolute())
        for name, content in {"config.yaml": cfg, "overrides.yaml": OmegaConf.create(self.overrides)}.items():
            text = OmegaConf.to_yaml(content)
            write_whole(self.records / name, lambda path: path.write_text(text, encoding="utf-8"))

    def remove_if_empty(self) -> None:
        """Remove the folders that this run made and wrote nothing into."""
        for path in self.made:
            with contextlib.suppress(OSError):
                path.rmdir()


def resumed(resume: str, overrides: list[Override], refused: Collection[str]) -> Job:
    """The job of the run in the folder training.resume=, with the options that are given now in place of its own.

    UserError for an option that is refused, because it would make another run.
    """
    folder = expanded(resume).absolute()
    if not (state := folder / "last" / "training.pt").is_file():
        raise UserError(f"training.resume={resume}: {state} is not there; give a run's folder, auto or never")
    given = {str(override.key_or_group): override for override in overrides}
    if wrong := next((name for name in refused if name in given or name == "-m"), ""):
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
    OmegaConf.set_struct(cfg, True)
    for name, override in given.items():
        OmegaConf.update(cfg, name, override.value())
    cfg.training.resume = "auto"
    job.cfg, job.overrides = cfg, [*map(str, recorded), *(str(override.input_line) for override in overrides)]
    return job
