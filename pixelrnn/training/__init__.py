"""Training by maximum likelihood.

loop.py     the training loop
update.py   one update of the weights, and the settings
bptt.py     back-propagation through time: full, checkpointed or truncated
state.py    the state from which a run goes on
signals.py  SIGINT and SIGTERM end a run after its update
"""

from pixelrnn.training.loop import train
from pixelrnn.training.state import Progress
from pixelrnn.training.update import Settings

__all__ = ["Progress", "Settings", "train"]
