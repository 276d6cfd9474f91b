"""pixelrnn: pixel recurrent neural networks that complete and sample images, and say when a completion is exact."""

from pixelrnn.checkpoint import load, save
from pixelrnn.completion import complete, sample
from pixelrnn.errors import UserError
from pixelrnn.model import Model, SequenceRNN
from pixelrnn.verify import VerificationError, verify

__version__ = "0.1.0"
__all__ = ["Model", "SequenceRNN", "UserError", "VerificationError", "complete", "load", "sample", "save", "verify"]
