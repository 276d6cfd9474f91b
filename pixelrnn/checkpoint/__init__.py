"""Saved models.

saved.py   a folder with weights and configuration, read and written
budget.py  a limit on what torch may make while a model is built
"""

from pixelrnn.checkpoint.saved import CONFIG, DIGESTS, WEIGHTS, Inherited, check, find, initialise, load, save

__all__ = ["CONFIG", "DIGESTS", "WEIGHTS", "Inherited", "check", "find", "initialise", "load", "save"]
