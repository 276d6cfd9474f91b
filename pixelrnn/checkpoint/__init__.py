"""Saved models.

saved.py       a folder with weights and configuration, written and read
initialise.py  a new model begins with the weights of a saved one
"""

from pixelrnn.checkpoint.initialise import Inherited, initialise
from pixelrnn.checkpoint.saved import CONFIG, DIGESTS, WEIGHTS, check, find, load, save

__all__ = ["CONFIG", "DIGESTS", "WEIGHTS", "Inherited", "check", "find", "initialise", "load", "save"]
