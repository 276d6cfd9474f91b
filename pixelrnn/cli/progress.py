"""The progress bar of the sampling commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from tqdm import tqdm

from pixelrnn.completion import Progress


@contextmanager
def pixel_bar(description: str) -> Iterator[Progress]:
    """A bar, and what completion calls to draw it."""
    with tqdm(desc=description, unit="pixel", dynamic_ncols=True) as bar:

        def show(done: int, total: int, _: Tensor) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
