"""Datasets. Each is a function of options -> Dataset: levels, and the images of train, valid and test.

This table is the only registry: a new dataset is one function, one name here and one file in conf/data/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pixelrnn.data.base import Dataset, digests
from pixelrnn.data.binarized_mnist import binarized_mnist
from pixelrnn.data.digits import digits
from pixelrnn.data.downloaded import cifar10, fashion_mnist, mnist
from pixelrnn.data.folder import folder
from pixelrnn.data.prepare import limited
from pixelrnn.registry import configure

DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "binarized_mnist": binarized_mnist,
    "cifar10": cifar10,
    "folder": folder,
}


def load(spec: str | Mapping[str, Any]) -> Dataset:
    """The dataset of a name or of {"name": …, option: value}.

    Raises UserError for an unknown name or option, with the nearest one, a value out of range, and files that are
    damaged, or absent and cannot be downloaded.
    """
    return configure("dataset", spec, DATASETS)()


__all__ = ["DATASETS", "Dataset", "digests", "limited", "load"]
