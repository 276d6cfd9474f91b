"""Tab completion: `pixelrnn -sc install=bash` prints what a shell is to evaluate, `pixelrnn -sc query=bash` the candidates.

A shell gives the line in the variable COMP_LINE and the place of the cursor in COMP_POINT.
"""

import os

from pixelrnn import pretrained
from pixelrnn.cli import COMMANDS
from pixelrnn.cli.manual import members, option_names, page
from pixelrnn.cli.options import RULES
from pixelrnn.errors import UserError, printable
from pixelrnn.registry import LONGEST

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
