"""Full float32 on a GPU, where cuDNN's default is TF32, whose products have three digits instead of seven."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# torch's settings of TF32. Its older ones, allow_tf32, raise when read if the user has set these.
_cudnn: Any = torch.backends.cudnn
SETTINGS: tuple[Any, ...] = (_cudnn.rnn, _cudnn.conv, torch.backends.cuda.matmul)

_guard = threading.Lock()
_inside = 0  # threads and levels that ask for full float32; the settings are the process's
_before: list[str] = []
_training = threading.local()


@contextmanager
def full_float32() -> Iterator[None]:
    """Context manager: no TF32, in all threads of the process. Inside `tf32_allowed` it does nothing."""
    if getattr(_training, "allowed", False):
        yield
        return
    _enter(1)
    try:
        yield
    finally:
        _enter(-1)


@contextmanager
def tf32_allowed() -> Iterator[None]:
    """Context manager, for an update of the weights: torch's settings stay as they are, unless another thread is inside
    `full_float32`."""
    before, _training.allowed = getattr(_training, "allowed", False), True
    try:
        yield
    finally:
        _training.allowed = before


def _enter(levels: int) -> None:
    """Switch TF32 off for the first that enters, and restore the settings after the last."""
    global _inside
    with _guard:
        if _inside == 0:
            _before[:] = [setting.fp32_precision for setting in SETTINGS]
        _inside += levels
        for setting, value in zip(SETTINGS, _before, strict=True):
            setting.fp32_precision = "ieee" if _inside else value
