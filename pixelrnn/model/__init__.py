"""Models. Each is a class (shape, levels, …) -> Model; this table is the only registry.

base.py        the contract of all models
orders.py      the orders of a model
inputs.py      the inputs of a sequence model, and the masked first convolution of the others
sequence.py    SequenceRNN
paper/         the paper's two-dimensional models
"""

from pixelrnn.model.base import Model
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTM
from pixelrnn.model.paper.multiscale import MultiScale
from pixelrnn.model.paper.pixelcnn import PixelCNN
from pixelrnn.model.paper.row_lstm import RowLSTM
from pixelrnn.model.sequence import SequenceRNN

MODELS: dict[str, type[Model]] = {
    model.__name__: model for model in (SequenceRNN, RowLSTM, DiagonalBiLSTM, PixelCNN, MultiScale)
}
__all__ = ["MODELS", "DiagonalBiLSTM", "Model", "MultiScale", "PixelCNN", "RowLSTM", "SequenceRNN"]
