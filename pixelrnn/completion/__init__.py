"""Completing images: the sampling loop, and what is known about its draws.

fill.py         the one sampling loop: complete, sample
parts.py        its options, the parts it draws at a time, and Completions, the result
windows.py      pictures of any size, window by window
particles.py    sequential Monte Carlo, for observed pixels that come later in the order
cuda_graph.py   a step recorded as a CUDA graph
describe.py     models, orders, occlusions and completions in words
"""

from pixelrnn.completion.fill import complete, complete_in_detail, is_exact, sample
from pixelrnn.completion.parts import Completions, Options

__all__ = ["Completions", "Options", "complete", "complete_in_detail", "is_exact", "sample"]
