"""The progress bar of the sampling commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def pixel_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A callback (pixels done, pixels to do) that draws a bar."""
    with tqdm(desc=description, unit="pixel", dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
