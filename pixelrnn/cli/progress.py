"""The progress bar of the sampling commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from tqdm import tqdm

from pixelrnn import distributed
from pixelrnn.completion.fill import Progress


@contextmanager
def pixel_bar(description: str) -> Iterator[Progress]:
    """Context manager: a progress bar, and the function that updates it; only in a terminal, and in the first process."""
    quiet = None if distributed.is_main() else True  # None: unless this is a terminal
    with tqdm(desc=description, unit="pixel", dynamic_ncols=True, disable=quiet) as bar:

        def update(done: int, total: int, _: Tensor) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
