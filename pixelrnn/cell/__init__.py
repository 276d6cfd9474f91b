"""Recurrent cells. Each is a class (inputs, width) -> Cell.

This table is the only registry: a new cell is one class, one name here and one file in conf/model/.
"""

from collections.abc import Callable
from functools import partial

from pixelrnn.cell.base import Cell, State
from pixelrnn.cell.gru import GRU, GRUResetBefore
from pixelrnn.cell.lstm import LSTM
from pixelrnn.cell.rnn import RNN
from pixelrnn.cell.stack import Bidirectional, Stack

CELLS: dict[str, Callable[[int, int], Cell]] = {
    "rnn": RNN,
    "rnn_relu": partial(RNN, nonlinearity="relu"),
    "rnn_sigmoid": partial(RNN, nonlinearity="sigmoid"),
    "lstm": LSTM,
    "gru": GRU,
    "gru_reset_before": GRUResetBefore,
}

__all__ = ["CELLS", "Bidirectional", "Cell", "Stack", "State"]
