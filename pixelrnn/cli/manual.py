"""The yaml files of conf/ are the manual: each option stands there with its default and a comment.

--help, tab completion and the check of options read them here, without Hydra and without torch. For tab completion,
`pixelrnn -sc install=bash` prints what a shell is to evaluate, and `pixelrnn -sc query=bash` the candidates; the shell gives
the line in the variable COMP_LINE and the place of the cursor in COMP_POINT.
"""

import os
import re
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import yaml

from pixelrnn import pretrained
from pixelrnn.cli import COMMANDS
from pixelrnn.errors import UserError, printable
from pixelrnn.options import LONGEST, RULES

PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())  # wheel, source tree
LINE = re.compile(r"( *)(- )?(\w+)(:?) *(.*?) *(?:# *(.*))?")  # indent, name, value, comment
COLUMN, WIDTH = 32, 100
FLAGS = """\
  -m                            run each combination of values, such as seed=0,1
  --cfg job                     print the configuration instead of running the command
  --config-dir <folder>         also take members of groups from the yaml files in this folder
  hydra.run.dir=<folder>        write into this folder (of a sweep: hydra.sweep.dir=)"""

INSTALL = {
    "bash": "complete -o nospace -o default -C 'pixelrnn -sc query=bash' pixelrnn",
    "zsh": """_pixelrnn() {
  local -a found
  found=("${(@f)$(COMP_LINE="$BUFFER" COMP_POINT=$CURSOR pixelrnn -sc query=zsh)}")
  if [[ -n "$found" ]]; then compadd -S '' -- $found; else compset -P '*='; _files; fi
}
compdef _pixelrnn pixelrnn""",
    "fish": """complete -c pixelrnn -a '(set -lx COMP_LINE (commandline -cp); \
set -lx COMP_POINT (string length $COMP_LINE); pixelrnn -sc query=fish)'""",
}


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


def _entry(option: Option, text: str) -> list[str]:
    """A line of help, or several: the option with its default, and what it is for."""
    left, right = f"  {option.name}={option.default}", [" " * COLUMN + line for line in wrap(text, WIDTH - COLUMN)]
    if not right or len(left) > COLUMN - 2:
        return [left, *right]
    return [left + right[0][len(left) :], *right[1:]]


def answer(request: str) -> str:
    """The answer to install=<shell> or query=<shell>, lines of text. Raises UserError for anything else."""
    what, _, shell = request.partition("=")
    if what not in ("install", "query") or shell not in INSTALL:
        raise UserError(f"-sc {printable(request, LONGEST)}: use -sc install=<shell>; shells: {', '.join(INSTALL)}")
    if what == "install":
        return INSTALL[shell]
    line = os.environ.get("COMP_LINE", "")
    _, *words = line[: int(os.environ.get("COMP_POINT") or len(line))].split(" ")
    *before, last = words or [""]
    found = [word for word in _candidates(before, last) if word.startswith(last)]
    option = last.rpartition("=")[0] + "=" if "=" in last else ""
    # bash completes what follows the "=" by itself, with the space that ends it; other shells complete the whole word.
    return "\n".join(word.removeprefix(option) if shell == "bash" else word.rstrip() for word in found)


def _candidates(before: list[str], last: str) -> list[str]:
    """Words that may stand after those before; of an option with "=", its values."""
    command, *options = [word for word in before if word] or [""]
    if not command:
        return [f"{name} " for name in COMMANDS]
    if command not in COMMANDS:
        return []
    name, equals, _ = last.partition("=")
    if not equals:
        chosen = {group: member for group, _, member in (word.partition("=") for word in options)}
        return ["--help ", *(f"{name}=" for name in option_names(command, chosen))]
    if name in page(command).groups:
        values = members(name)
    elif name in ("checkpoint", "init") or (command, name) == ("models", "name"):
        values = pretrained.names()
    elif rule := RULES.get(name):
        values = list(rule.names)
    else:
        values = []
    return [f"{name}={value} " for value in values]
