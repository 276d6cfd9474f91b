"""Training by maximum likelihood.

loop.py      the training loop
settings.py  the options of training, and the learning rate
update.py    one update of the weights
bptt.py      back-propagation through time: full, checkpointed or truncated
state.py     saving a run's state and resuming from it
signals.py   SIGINT and SIGTERM end a run after the current update
"""

from pixelrnn.training.loop import train
from pixelrnn.training.settings import Settings
from pixelrnn.training.state import Progress

__all__ = ["Progress", "Settings", "train"]
