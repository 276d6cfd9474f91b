"""Models. Each is a class (shape, levels, …) -> Model; this table is the only registry.

base.py        the contract of all models
orders.py      the orders of a model
inputs.py      the inputs of a sequence model, and the masked first convolution of the others
sequence.py    SequenceRNN
inpainting.py  InpaintingRNN, for pictures of any size
encoder.py     the encoders of the observed pixels
smooth.py      classical fills, which it is given
ensemble.py    several models as one; not in the table, because it is not made from options
precision.py   full float32 on a GPU
paper/         the paper's two-dimensional models
"""

from pixelrnn.model.base import Model, check_model
from pixelrnn.model.ensemble import Ensemble
from pixelrnn.model.inpainting import InpaintingRNN
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTM
from pixelrnn.model.paper.multiscale import MultiScale
from pixelrnn.model.paper.pixelcnn import PixelCNN
from pixelrnn.model.paper.row_lstm import RowLSTM
from pixelrnn.model.sequence import SequenceRNN

MODELS: dict[str, type[Model]] = {
    model.__name__: model for model in (SequenceRNN, InpaintingRNN, RowLSTM, DiagonalBiLSTM, PixelCNN, MultiScale)
}
__all__ = [
    "MODELS",
    "DiagonalBiLSTM",
    "Ensemble",
    "InpaintingRNN",
    "Model",
    "MultiScale",
    "PixelCNN",
    "RowLSTM",
    "SequenceRNN",
    "check_model",
]
