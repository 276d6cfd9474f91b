"""pixelrnn: pixel recurrent neural networks that complete and sample images, and say when a completion is exact.

Each public name is imported when it is first used, so that `pixelrnn --help` does not wait for torch.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelrnn import datasets as datasets
    from pixelrnn import figures as figures
    from pixelrnn import uncertainty as uncertainty
    from pixelrnn.checkpoint import load, save
    from pixelrnn.completion import Completions, complete, complete_in_detail, sample
    from pixelrnn.completion.windows import PictureCompletions
    from pixelrnn.errors import UserError
    from pixelrnn.evaluation.likelihoods import evaluate
    from pixelrnn.evaluation.verify import VerificationError, verify
    from pixelrnn.model import (
        DiagonalBiLSTM,
        Ensemble,
        InpaintingRNN,
        Model,
        MultiScale,
        PixelCNN,
        RowLSTM,
        SequenceRNN,
    )
    from pixelrnn.own_picture.any_size import complete_picture
    from pixelrnn.pixels import requantise
    from pixelrnn.pretrained import examples
    from pixelrnn.training.from_python import train

__version__ = "0.1.0"
__all__ = [
    "Completions",
    "DiagonalBiLSTM",
    "Ensemble",
    "InpaintingRNN",
    "Model",
    "MultiScale",
    "PictureCompletions",
    "PixelCNN",
    "RowLSTM",
    "SequenceRNN",
    "UserError",
    "VerificationError",
    "complete",
    "complete_in_detail",
    "complete_picture",
    "evaluate",
    "examples",
    "load",
    "requantise",
    "sample",
    "save",
    "train",
    "verify",
]
MODULES = {  # where a public name is defined
    **dict.fromkeys(("load", "save"), "checkpoint"),
    **dict.fromkeys(("Completions", "complete", "complete_in_detail", "sample"), "completion"),
    **dict.fromkeys(("VerificationError", "verify"), "evaluation.verify"),
    **dict.fromkeys(
        ("DiagonalBiLSTM", "Ensemble", "InpaintingRNN", "Model", "MultiScale", "PixelCNN", "RowLSTM", "SequenceRNN"),
        "model",
    ),
    "PictureCompletions": "completion.windows",
    "UserError": "errors",
    "complete_picture": "own_picture.any_size",
    "evaluate": "evaluation.likelihoods",
    "examples": "pretrained",
    "requantise": "pixels",
    "train": "training.from_python",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a package such as pixelrnn.figures, when it is first used."""
    if name in MODULES:
        value = getattr(import_module(f"pixelrnn.{MODULES[name]}"), name)
    elif not name.startswith("_") and find_spec(f"pixelrnn.{name}"):
        value = import_module(f"pixelrnn.{name}")
    else:
        raise AttributeError(f"module 'pixelrnn' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    packages = {"datasets", "evaluation", "figures", "occlusion", "ordering", "uncertainty"}
    return sorted({*globals(), *__all__, *packages})
