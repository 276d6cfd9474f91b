"""The forward and the backward pass of an update, recorded once as a CUDA graph and replayed for every batch.

On a GPU the time of most models' updates is that of launching thousands of small kernels. A replay launches them all at
once. The optimiser's step, and all that is drawn at random on the CPU, stay outside of the graph.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pixelrnn.completion.cuda_graph import recording
from pixelrnn.errors import in_one_line, note
from pixelrnn.model.precision import SETTINGS

MOST = 16  # passes that are recorded: along each of 8 orders, for two sizes of a batch's parts

Pass = Callable[..., Tensor]  # (inputs, each a tensor or None) -> the loss, ()


class Recordings:
    """Runs the passes of one training run on a CUDA device. The first pass of each kind that adds to gradients is run, the
    second is recorded, and from then on all are replayed.

    The kinds differ in what a graph cannot change: the form of the inputs, the addresses of the parameters and of their
    gradients, the precision, and the caller's key. A kind of pass stays without a graph if there are too many, if its graph
    would leave too little memory, or if recording fails. A note tells the last two, and no other kind is recorded then.
    """

    def __init__(self, parameters: list[Tensor]):
        self.parameters, self.device = parameters, parameters[0].device
        self.passes: dict[Any, RecordedPass | None] = {}  # None: it was run once
        self.is_open = True
        self.stream: Any = None  # the same for all, because graphs share memory of one stream only
        self.pool: Any = None

    def __call__(self, key: Any, back_propagate: Pass, *inputs: Tensor | None) -> Tensor:
        """Run back_propagate(*inputs), which adds to the gradients, or replay it; returns the loss."""
        forms = [None if given is None else (given.shape, given.dtype) for given in inputs]
        key = key, *forms, *self._places(), *(setting.fp32_precision for setting in SETTINGS)
        if key not in self.passes and self.is_open and len(self.passes) < MOST:
            return self._first(key, back_propagate, inputs)
        if key in self.passes and self.passes[key] is None:
            try:
                self.passes[key] = RecordedPass(back_propagate, inputs, self.stream, self.pool)
            except RuntimeError as error:
                self._close(in_one_line(error, 200))
        return (self.passes.get(key) or back_propagate)(*inputs)

    def _first(self, key: Any, back_propagate: Pass, inputs: tuple[Tensor | None, ...]) -> Tensor:
        """Run a pass on the stream of the graphs, as torch requires before a capture. Its graph will keep the memory that it
        takes; at least as much must be left, for validation and the passes without a graph."""
        if self.stream is None:
            self.stream, self.pool = torch.cuda.Stream(self.device), torch.cuda.graph_pool_handle()
        places = self._places()
        torch.cuda.empty_cache()
        before, current = torch.cuda.mem_get_info(self.device)[0], torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            loss = back_propagate(*inputs)
        current.wait_stream(self.stream)
        left = torch.cuda.mem_get_info(self.device)[0]
        if self._places() == places:  # else it made gradients, to which the next pass adds
            self.passes[key] = None
            if before - left > left:
                self._close("it would leave too little memory")
        return loss

    def _places(self) -> list[tuple[int, int]]:
        """The addresses of the parameters and of their gradients."""
        return [(p.data_ptr(), 0 if p.grad is None else p.grad.data_ptr()) for p in self.parameters]

    def _close(self, reason: str) -> None:
        """Record nothing more."""
        self.is_open, self.passes = False, {key: found for key, found in self.passes.items() if found}
        torch.cuda.empty_cache()
        note(f"an update is not recorded as a CUDA graph, so that training may be slower: {reason}")


class RecordedPass:
    """A pass as a CUDA graph. Its inputs are copied to fixed addresses; the gradients are added to where they were."""

    def __init__(self, back_propagate: Pass, inputs: tuple[Tensor | None, ...], stream: Any, pool: Any):
        self.inputs = [None if given is None else given.clone() for given in inputs]
        self.graph = torch.cuda.CUDAGraph()
        capture = torch.cuda.graph(self.graph, pool=pool, stream=stream, capture_error_mode="thread_local")
        with recording, torch.cuda.stream(stream), capture:  # the stream is left even if the end of the capture raises
            self.loss = back_propagate(*self.inputs)

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        for fixed, given in zip(self.inputs, inputs, strict=True):
            if fixed is not None and given is not None:
                fixed.copy_(given)
        self.graph.replay()
        return self.loss.clone()  # the next replay overwrites it
