"""Training by maximum likelihood.

loop.py      the training loop; SIGINT and SIGTERM end it after the current update
settings.py  the options of training
update.py    one update of the weights, with back-propagation through time: full, checkpointed or truncated
state.py     saving a run's state and resuming from it
"""

from pixelrnn.training.loop import train
from pixelrnn.training.settings import Settings
from pixelrnn.training.state import Progress

__all__ = ["Progress", "Settings", "train"]
