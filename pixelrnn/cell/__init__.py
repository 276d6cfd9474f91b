"""Recurrent cells. Each is a class (inputs, width) -> Cell in cells.py.

This table is the only registry: a new cell is one class, one name here and one file in conf/model/.
"""

from functools import partial

from pixelrnn.cell.cells import GRU, LSTM, RNN, Bidirectional, GRUResetBefore, MakeCell, Stack

CELLS: dict[str, MakeCell] = {
    "rnn": RNN,
    "rnn_relu": partial(RNN, nonlinearity="relu"),
    "rnn_sigmoid": partial(RNN, nonlinearity="sigmoid"),
    "lstm": LSTM,
    "gru": GRU,
    "gru_reset_before": GRUResetBefore,
}

__all__ = ["CELLS", "Bidirectional", "Stack"]
