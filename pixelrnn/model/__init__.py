"""Models. Each is a class (shape, levels, …) -> Model; this table is the only registry."""

from pixelrnn.model.contract import Model
from pixelrnn.model.sequence import SequenceRNN

MODELS: dict[str, type[Model]] = {"SequenceRNN": SequenceRNN}

__all__ = ["MODELS", "Model", "SequenceRNN"]
