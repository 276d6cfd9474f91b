"""Models. Each is a class (shape, levels, …) -> Model; this table is the only registry."""

from pixelrnn.model.base import Model
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTM
from pixelrnn.model.paper.multiscale import MultiScale
from pixelrnn.model.paper.pixelcnn import PixelCNN
from pixelrnn.model.paper.row_lstm import RowLSTM
from pixelrnn.model.sequence import SequenceRNN

MODELS: dict[str, type[Model]] = {
    "SequenceRNN": SequenceRNN,
    "RowLSTM": RowLSTM,
    "DiagonalBiLSTM": DiagonalBiLSTM,
    "PixelCNN": PixelCNN,
    "MultiScale": MultiScale,
}

__all__ = ["MODELS", "DiagonalBiLSTM", "Model", "MultiScale", "PixelCNN", "RowLSTM", "SequenceRNN"]
