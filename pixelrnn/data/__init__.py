"""Data sets. Each is a function that reads images and hands them to `prepare`, which applies the options.

dataset.py      Dataset: train, valid and test
prepare.py      the options, and the one way from raw images to a Dataset
digits.py, downloaded.py, larochelle.py    readers of published data
folder.py, listing.py                      the user's own pictures

DATASETS is the only registry: a new data set is one function, one name here and one file in conf/data/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pixelrnn.data.dataset import Dataset, digests
from pixelrnn.data.digits import digits
from pixelrnn.data.downloaded import cifar10, fashion_mnist, mnist
from pixelrnn.data.folder import folder
from pixelrnn.data.larochelle import binarized_mnist
from pixelrnn.data.prepare import Options, limited
from pixelrnn.registry import configure

DATASETS: dict[str, Callable[[Options], Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "binarized_mnist": binarized_mnist,
    "cifar10": cifar10,
    "folder": folder,
}


def load(spec: str | Mapping[str, Any]) -> Dataset:
    """Load a data set by name, or by {"name": …, option: value}.

    Raises UserError for an unknown name or option, with the nearest one; a value out of range; and files that are
    damaged, or missing and cannot be downloaded.
    """
    options = configure("dataset", spec, dict.fromkeys(DATASETS, Options))()  # all data sets have the same options
    return DATASETS[spec if isinstance(spec, str) else spec["name"]](options)


__all__ = ["DATASETS", "Dataset", "Options", "digests", "limited", "load"]
