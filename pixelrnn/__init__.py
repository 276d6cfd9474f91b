"""pixelrnn: pixel recurrent neural networks that complete and sample images, and say when a completion is exact."""

from importlib import import_module
from types import ModuleType

from pixelrnn.checkpoint import load, save
from pixelrnn.completion import Completions, complete, complete_in_detail, sample
from pixelrnn.errors import UserError
from pixelrnn.evaluation.verify import VerificationError, verify
from pixelrnn.model import DiagonalBiLSTM, Model, MultiScale, PixelCNN, RowLSTM, SequenceRNN
from pixelrnn.pretrained import examples

__version__ = "0.1.0"
__all__ = [
    "Completions",
    "DiagonalBiLSTM",
    "Model",
    "MultiScale",
    "PixelCNN",
    "RowLSTM",
    "SequenceRNN",
    "UserError",
    "VerificationError",
    "complete",
    "complete_in_detail",
    "examples",
    "load",
    "sample",
    "save",
    "verify",
]


ELSEWHERE = {"figures": "pixelrnn.figures", "uncertainty": "pixelrnn.completion.uncertainty"}


def __getattr__(name: str) -> ModuleType:
    """pixelrnn.figures after `import pixelrnn` alone: matplotlib is imported when it is first asked for."""
    if name in ELSEWHERE:
        return import_module(ELSEWHERE[name])
    raise AttributeError(f"module 'pixelrnn' has no attribute '{name}'")
