"""The progress bar of the sampling commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from tqdm import tqdm

from pixelrnn import distributed
from pixelrnn.completion.fill import Progress


@contextmanager
def pixel_bar(description: str) -> Iterator[Progress]:
    """A bar, and what completion calls to draw it; in a terminal only, and of one process only."""
    quiet = None if distributed.is_main() else True  # None: where it is no terminal
    with tqdm(desc=description, unit="pixel", dynamic_ncols=True, disable=quiet) as bar:

        def show(done: int, total: int, _: Tensor) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
