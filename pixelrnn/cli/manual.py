"""The yaml files of conf/ are the manual: each option stands there with its default and a comment.

--help, tab completion and the check of options read them here, without Hydra and without torch.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import yaml

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())  # wheel, source tree
LINE = re.compile(r"( *)(- )?(\w+)(:?) *(.*?) *(?:# *(.*))?")  # indent, name, value, comment
COLUMN, WIDTH = 32, 100
FLAGS = """\
  -m                            run each combination of values, such as seed=0,1
  --cfg job                     print the configuration instead of running the command
  --config-dir <folder>         also take members of groups from the yaml files in this folder
  hydra.run.dir=<folder>        write into this folder (of a sweep: hydra.sweep.dir=)"""


class Option(NamedTuple):
    """An option or a group, with its default as the yaml file has it, and its comment."""

    name: str
    default: str
    comment: str

    @property
    def value(self) -> Any:
        return yaml.safe_load(self.default)


class Page(NamedTuple):
    """The content of a yaml file: its opening comment, its groups and its options, such as "training.epochs"."""

    about: list[str]
    groups: dict[str, Option]
    options: dict[str, Option]


@cache
def page(path: str) -> Page:
    """The page of a file in conf/, such as page("train") or page("model/gru")."""
    read = Page([], {}, {})
    section = last = ""
    for line in (CONF / f"{path}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            read.about.append(line[2:])
        elif line.lstrip().startswith("# "):  # the comment of the line above goes on
            option = read.options[last]
            read.options[last] = option._replace(comment=f"{option.comment} {line.lstrip()[2:]}")
        elif (found := LINE.fullmatch(line)) and found[3]:
            indent, item, name, colon, default, comment = found.groups()
            if not indent:
                section = "" if default else name
            if section == "defaults" and item and colon and name != "hydra":
                read.groups[name] = Option(name, default, comment or "")
            elif section == "defaults" and item and not colon and name != "_self_":
                read.options.update(page(f"{Path(path).parent}/{name}").options)
            elif section not in ("defaults", "hydra") and default:
                last = f"{section}.{name}" if section else name
                read.options[last] = Option(last, default, comment or "")
    return read


@cache
def members(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def option_names(command: str, chosen: dict[str, str] | None = None) -> list[str]:
    """All names that a command knows: options, sections, groups, and the options of the chosen or default members."""
    groups, options = page(command).groups, page(command).options
    names = [*options, *{name.partition(".")[0]: 0 for name in options if "." in name}, *groups]
    for group, default in groups.items():
        member = (chosen or {}).get(group, default.default)
        if member in members(group) and group != "experiment":
            names += [f"{group}.{name}" for name in page(f"{group}/{member}").options if name != "name"]
    return names


def show(command: str, words: list[str]) -> str:
    """The help of a command; a member among the words, such as model=gru, has its options listed too."""
    about, examples = _opening(page(command))
    lines = [*wrap(f"pixelrnn {command}: {about}", WIDTH), "", "Examples", *(f"  {line}" for line in examples)]
    groups = page(command).groups
    if groups:
        lines += ["", f"Groups: name=member (pixelrnn {command} name=member --help lists the member's options)"]
        for group in groups.values():
            lines += _entry(group, f"{', '.join(members(group.name))}. {group.comment}".rstrip(". "))
    for name, _, member in (word.partition("=") for word in words):
        if name in groups and member in members(name):
            lines += ["", *wrap(f"{name}={member}: {_opening(page(f'{name}/{member}'))[0]}", WIDTH)]
            prefix = "" if name == "experiment" else f"{name}."
            for own in page(f"{name}/{member}").options.values():
                if own.name != "name":
                    lines += _entry(own._replace(name=prefix + own.name), own.comment)
    lines += ["", "Options: name=value"]
    for option in page(command).options.values():
        lines += _entry(option, option.comment)
    return "\n".join([*lines, "", "Of every command", FLAGS])


def _opening(read: Page) -> tuple[str, list[str]]:
    """Split the opening comment into its text and its examples."""
    text = [line for line in read.about if not line.startswith(("@", "pixelrnn "))]
    return " ".join(text), [line for line in read.about if line.startswith("pixelrnn ")]


def _entry(option: Option, text: str) -> Iterator[str]:
    """A line of help, or several: the option with its default, and what it is for."""
    left, right = f"  {option.name}={option.default}", wrap(text, WIDTH - COLUMN)
    if len(left) > COLUMN - 2 and right:
        yield left
        left = ""
    for line in right or [""]:
        yield f"{left:<{COLUMN}}{line}".rstrip()
        left = ""
