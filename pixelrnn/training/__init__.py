"""Training by maximum likelihood.

loop.py         the training loop; SIGINT and SIGTERM end it after the current update
update.py       one update of the weights, with back-propagation through time: full, checkpointed or truncated
records.py      the records for a reader: metrics, curves, samples
recorded.py     updates recorded as CUDA graphs
teacher.py      learning from a teacher's predictions
state.py        the settings of a run, and its saved state, from which it resumes
from_python.py  pixelrnn.train, which takes images in memory
"""

from pixelrnn.training.loop import train
from pixelrnn.training.state import Progress, Settings

__all__ = ["Progress", "Settings", "train"]
