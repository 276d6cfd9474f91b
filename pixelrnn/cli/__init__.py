"""The command line, and the only place that knows Hydra: each word of `pixelrnn` is a Hydra app over conf/."""

import sys
from importlib import import_module

from pixelrnn.cli.surroundings import lend_home, prepare_streams

COMMANDS = {
    "train": "train a model on a data set",
    "evaluate": "exact nats and bits/dim of a data set, and of hidden parts given the rest",
    "complete": "fill the hidden pixels of a picture, or of test images",
    "sample": "draw images from scratch",
    "verify": "check that a checkpoint keeps its promises",
    "models": "list the trained models that ship",
    "serve": "a page on this machine, to paint what is hidden and watch it being completed",
}


def usage() -> str:
    words = "\n".join(f"  {word:<11}{meaning}" for word, meaning in COMMANDS.items())
    return (
        f"usage: pixelrnn COMMAND [option=value …]\n\n{words}\n\n"
        "pixelrnn COMMAND --help shows a command's options and groups, for example\n"
        "  pixelrnn train data=mnist data.levels=2 data.binarization=dynamic model=lstm ordering=hilbert"
    )


def main() -> None:
    """The console script: exit code 0, 2 for the user's mistake, 1 for a failure of ours, 130 and 143 for signals."""
    prepare_streams()
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help", "help"):
        print(usage())
        return
    if word == "--version":
        from pixelrnn import __version__

        print(f"pixelrnn {__version__}")
        return
    from pixelrnn.errors import nearest

    if word not in COMMANDS:
        print(
            f"pixelrnn: unknown command '{word}'{nearest(word, COMMANDS)} (known: {', '.join(COMMANDS)})",
            file=sys.stderr,
        )
        sys.exit(2)

    from pixelrnn import distributed
    from pixelrnn.cli.app import launch

    sys.argv = [f"pixelrnn {word}", *sys.argv[2:]]
    lend_home()
    distributed.exit_process(launch(word, import_module(f"pixelrnn.cli.{word}").run))
