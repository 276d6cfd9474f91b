"""A step of the sampling loop, recorded once for each kind of step as a CUDA graph, and replayed at every position.

On a GPU the loop's time is that of launching many small kernels. A replay launches them all at once.
"""

import threading
from typing import Any

import torch
from torch import Tensor

from pixelrnn.model import Model
from pixelrnn.model.base import leaves, pick

# Steps that make a recording worthwhile. On an H100, an LSTM 2x256 gained the 4 to 5 ms of a recording back after 13 and
# 22 steps with 64 images, and after 76 and 231 steps with 4,096 (two runs each). With 32, a choice that is wrong for its
# batch costs at most 5 ms in either case.
FEWEST = 32
recording = threading.Lock()  # CUDA records for one thread at a time


class DrawnStep:
    """One step that fills a pixel of a canvas. Canvas, position, state and noise are tensors at fixed addresses.

    It draws the same values as the loop in fill.py. On a CUDA device the first call of each kind records it; on other
    devices each call runs it directly.
    """

    def __init__(self, model: Model, canvas: Tensor, hidden_at: Tensor, temperature: float):
        """canvas uint8 (batch, channels, height, width); hidden_at bool (batch, pixels), in the order of the visit."""
        self.model, self.canvas, self.hidden_at, self.temperature = model, canvas, hidden_at, temperature
        self.t = torch.zeros(1, dtype=torch.long, device=canvas.device)
        self.state: Any = None
        self.noise = torch.empty(0, device=canvas.device)
        self.graphs: dict[Any, torch.cuda.CUDAGraph] = {}  # by the kind of step
        self.stream: Any = None  # the same for all, because graphs share memory of one stream only
        self.pool: Any = None

    def __call__(self, t: int, state: Any, noise: Tensor) -> Any:
        """Draw the pixels of step t, which has a kind, with noise (batch, noise_size), and return the next state."""
        kind = self.model.kind(t)
        if self.state is None:
            everyone = torch.arange(len(self.canvas), device=self.canvas.device)
            self.state, self.noise = pick(state, everyone), noise.clone()
        elif state is not self.state:  # observed pixels were read in between
            _assign(self.state, state)
        self.t.fill_(t)
        self.noise.copy_(noise)
        if self.canvas.is_cuda:
            if kind not in self.graphs:
                self.graphs[kind] = self._record(kind)
            self.graphs[kind].replay()
        else:
            self._run(kind)
        return self.state

    def _run(self, kind: Any) -> None:
        flat, pixel = self.canvas.flatten(2), self.model.order.index_select(0, self.t)
        step: Any = self.model.step  # position_as_tensor
        parameters, state = step(self.canvas, self.t, self.state, kind)
        drawn = self.model.likelihood.draw(parameters, self.noise, self.temperature).to(flat.dtype)
        here = self.hidden_at.index_select(1, self.t)[..., None]
        flat.index_copy_(2, pixel, torch.where(here, drawn[..., None], flat.index_select(2, pixel)))
        _assign(self.state, state)

    def _record(self, kind: Any) -> torch.cuda.CUDAGraph:
        """Run the step on a side stream, as torch requires before a capture; capture it; restore what the runs changed."""
        before = self.canvas.clone(), [leaf.clone() for leaf in leaves(self.state)]
        with recording, torch.cuda.device(self.canvas.device):  # torch.cuda.graph captures on the current one
            if self.stream is None:
                self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                for _ in range(3):
                    self._run(kind)
            torch.cuda.current_stream().wait_stream(self.stream)
            graph = torch.cuda.CUDAGraph()
            # Its own default stream is that of the first device used; its own mode lets other threads' work end the capture.
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                self._run(kind)
        self.canvas.copy_(before[0])
        _assign(self.state, before[1])
        return graph


def records(model: Model, device: torch.device, steps: int) -> bool:
    """Whether to draw so many steps by a DrawnStep."""
    return device.type == "cuda" and model.position_as_tensor and steps >= FEWEST


def _assign(state: Any, values: Any) -> None:
    """Copy a state into another of the same form; what was changed in place is there already."""
    for leaf, value in zip(leaves(state), leaves(values), strict=True):
        if leaf is not value:
            leaf.copy_(value)
