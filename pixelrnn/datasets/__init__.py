"""Data sets. Each is a function that reads images and hands them to `prepare`, which applies the options.

prepare.py    Dataset, the options, and the one way from raw images to a Dataset
published.py  readers of published data
folder.py     the user's own pictures, all of one size
arrays.py     images in a NumPy file
photos.py     the user's own photographs, of any sizes
patches.py    patches drawn of them

DATASETS is the only registry: a new data set is one function, one name here and one file in conf/data/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pixelrnn.datasets.arrays import array
from pixelrnn.datasets.folder import folder
from pixelrnn.datasets.photos import photos
from pixelrnn.datasets.prepare import Dataset, Options, digests, limited, shuffled
from pixelrnn.datasets.published import (
    DOWNLOADS,
    binarized_mnist,
    cifar10,
    digits,
    divided_otherwise,
    fashion_mnist,
    mnist,
)
from pixelrnn.errors import DataMissing, UserError, note
from pixelrnn.options import as_options, configure

DATASETS: dict[str, Callable[[Options], Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "binarized_mnist": binarized_mnist,
    "cifar10": cifar10,
    "folder": folder,
    "array": array,
    "photos": photos,
}


def load(data: str | Mapping[str, Any], **options: Any) -> Dataset:
    """Load a data set by name and options, such as load("mnist", levels=2), or by {"name": …, option: value}.

    docs/configuration.md lists the names and the options. Raises UserError for an unknown name or option, with the nearest
    one; a value out of range; and files that are damaged, or missing and cannot be downloaded.
    """
    spec = {**as_options("dataset", data), **options}
    chosen = configure("dataset", spec, dict.fromkeys(DATASETS, Options))()  # all data sets have the same options
    return DATASETS[spec["name"]](chosen)


def at_hand(data: Mapping[str, Any]) -> Dataset | None:
    """Do what load() does, without a download; None if the files are not on this machine, or, with a note, if they are damaged."""
    before = DOWNLOADS.set(False)
    try:
        return load(data)
    except DataMissing:
        return None
    except UserError as error:
        note(str(error))
        return None
    finally:
        DOWNLOADS.reset(before)


__all__ = ["DATASETS", "Dataset", "Options", "at_hand", "digests", "divided_otherwise", "limited", "load", "shuffled"]
