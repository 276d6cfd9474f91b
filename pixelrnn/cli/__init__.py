"""The command line, and the only place that knows Hydra.

manual.py   the yaml files of conf/ as the manual: --help and tab completion
compose.py  from a command line to checked jobs, by Hydra
app.py      runs jobs, records them; exit codes
setup.py    for several commands: device, checkpoint, data and progress bar
and a file for each command
"""

import errno
import os
import sys
from io import TextIOWrapper

COMMANDS = {
    "train": "train a model on a data set",
    "compare": "compare training runs: the best validation of each, the options that differ, and the curves",
    "evaluate": "measure nats and bits per dimension on a data set, and of hidden parts given the rest",
    "complete": "fill the hidden pixels of a picture, or of test images",
    "sample": "draw images from scratch",
    "verify": "check that a checkpoint keeps its promises",
    "models": "list the bundled models, or print the card of one",
    "serve": "open a page on this machine to hide parts of a picture and watch them being completed",
}
USAGE = """\
pixelrnn completes and samples images with pixel recurrent networks, and trains such networks.

usage: pixelrnn COMMAND [option=value …]

{}

Examples
  pixelrnn complete image=photo.jpg mask=mask.png
  pixelrnn train data=mnist data.levels=2 data.binarization=dynamic model=lstm

pixelrnn COMMAND --help shows a command's options.
Tab completion: eval "$(pixelrnn -sc install=bash)", or zsh, or fish."""

SHORT = """\
pixelrnn completes and draws images with pixel recurrent networks.
  pixelrnn complete image=photo.jpg mask=mask.png   fills what a mask hides in a picture of your own
  pixelrnn sample checkpoint=mnist_binary           draws images from scratch
  pixelrnn train data=folder data.root=photos       trains a model on your own pictures
  pixelrnn serve                                    opens a page with a brush
  pixelrnn models                                   lists the models that come with it
  pixelrnn --help                                   lists all commands
Try this first: pixelrnn complete"""


def main() -> None:
    """The console script: exit code 0, 2 for the user's mistake, 1 for a failure of ours, 130 and 143 for signals."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _command(sys.argv[1:])
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has left, as in `pixelrnn models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # as a shell has it for SIGPIPE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # The disk behind a redirected output is full.
        print(f"pixelrnn: {error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    if "pixelrnn.distributed" in sys.modules:
        from pixelrnn import distributed

        distributed.exit_process(code)
    sys.exit(code)


def _command(words: list[str]) -> int:
    command, *rest = words or [""]
    if not command:
        print(SHORT)
    elif command in ("-h", "--help", "help"):
        print(USAGE.format("\n".join(f"  {name:<10} {meaning}" for name, meaning in COMMANDS.items())))
    elif command == "--version":
        from pixelrnn import __version__

        print(f"pixelrnn {__version__}")
    elif command in ("-sc", "--shell-completion"):
        from pixelrnn.cli.manual import answer
        from pixelrnn.errors import UserError

        try:
            print(answer(rest[0] if rest else ""))
        except UserError as error:
            print(f"pixelrnn: {error}", file=sys.stderr)
            return 2
    elif command not in COMMANDS:
        from pixelrnn.errors import nearest

        known = f"(known: {', '.join(COMMANDS)})"
        print(f"pixelrnn: unknown command '{command}'{nearest(command, COMMANDS)} {known}", file=sys.stderr)
        return 2
    elif not {"-h", "--help"}.isdisjoint(rest):
        from pixelrnn.cli.manual import show

        print(show(command, rest))
    else:
        from pixelrnn.cli.app import launch

        return launch(command, rest)
    return 0
