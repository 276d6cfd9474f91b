"""Binary MNIST, in each of the three binarisations: results on one cannot be compared with those on another."""

from pixelrnn.data.amat import CONTENT, find_parts, read_part
from pixelrnn.data.base import Dataset
from pixelrnn.data.downloaded import mnist
from pixelrnn.data.prepare import assemble, check_options, data_folder, limited, to_channels
from pixelrnn.errors import UserError


def binarized_mnist(
    root: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    levels: int | None = 2,
    binarization: str = "fixed",
    limit: int | None = None,
) -> Dataset:
    """Binary MNIST, 28x28: "fixed" (the files of Larochelle), "dynamic" or "threshold" (from MNIST).

    A smaller size takes every second, fourth, … pixel of the fixed images, which have no grey to average.
    """
    check_options(size, channels, levels, limit)
    if levels not in (None, 2):
        raise UserError(f"data.levels={levels}: binarized_mnist has 2 levels; use data=mnist for more")
    if binarization in ("dynamic", "threshold"):
        return mnist(root, size, channels, 2, binarization, limit)
    if binarization != "fixed":
        raise UserError(f"data.binarization={binarization}: binarized_mnist is fixed, dynamic or threshold")
    size = size or 28
    if 28 % size:
        raise UserError(
            f"data.size={size}: the fixed images are 28x28 and binary, so the size must divide 28 (14, 7, 4); "
            "use one of these, or data.binarization=dynamic"
        )
    step = 28 // size
    parts = []
    for part, path in find_parts(data_folder(root)).items():
        images = limited(read_part(part, path), limit)
        parts.append(to_channels(images[:, :, ::step, ::step].contiguous(), channels))
    how = "fixed binarisation" + (f", one pixel of each {step}x{step}" if step > 1 else "")
    return assemble("MNIST", how, 2, parts, [rows for rows, _ in CONTENT.values()])
