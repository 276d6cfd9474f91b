"""How much memory sampling and training take at their peak."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from pixelrnn.completion import sample
from pixelrnn.model import Model
from pixelrnn.model.base import Shape
from pixelrnn.training import Settings
from pixelrnn.training.update import make_objective, make_optimizer, update

MEBIBYTE = 2**20
STATUS = Path("/proc/self/status")  # Linux: a peak that can be forgotten; getrusage tells a child its parent's


def peak_memory(make: Callable[..., Model], shape: Shape, batch: int, device: str, threads: int) -> dict[str, float]:
    """MiB above what the program and its libraries take, at the peak of sampling and of a training update.

    On a CPU of a process of its own, since a process does not forget its peak; on a GPU of torch's allocator.
    """
    if device.startswith("cuda"):
        return _measure(make, shape, batch, device, threads)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (make, shape, batch, device, threads))


def _measure(make: Callable[..., Model], shape: Shape, batch: int, device: str, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    at = torch.zeros(1, device=device).device
    for work in (_sample, _train):  # what the libraries load at their first use
        work(make, (1, 2, 2), 1, at)
    found = {}
    for what, work in {"sampling": _sample, "a training update": _train}.items():
        before = _forget_peak(at)
        work(make, shape, batch, at)
        found[what] = (_peak(at) - before) / MEBIBYTE
    return found


def _sample(make: Callable[..., Model], shape: Shape, batch: int, device: torch.device) -> None:
    sample(make(shape, 2).to(device), batch)


def _train(make: Callable[..., Model], shape: Shape, batch: int, device: torch.device) -> None:
    model, settings = make(shape, 2).to(device), Settings()
    objective, optimizer = make_objective(model, settings), make_optimizer(model, settings)
    for _ in range(2):
        update(objective, optimizer, torch.zeros((batch, *shape), dtype=torch.uint8, device=device), settings)


def _forget_peak(device: torch.device) -> float:
    """Bytes in use, from which the next peak is counted."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    if STATUS.exists():
        (STATUS.parent / "clear_refs").write_text("5")
        return _status("VmRSS")
    return _peak(device)


def _peak(device: torch.device) -> float:
    """Bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if STATUS.exists():
        return _status("VmHWM")
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def _status(key: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return float(line.split()[1]) * 1024
