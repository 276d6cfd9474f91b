"""A CUDA device in emulation: the program takes every branch that it takes on a card, and computes right values on a CPU.

`with emulated() as device:` gives torch two cards, cuda:0 and cuda:1, and takes them away at the end. A tensor on a card is a
CardTensor: a CPU tensor that says in Python that it is on a card. C++ takes it for a CPU tensor, so that autograd works.

- CardTensor.__torch_dispatch__ sees each operation. It refuses tensors of different devices as CUDA does, counts operations
  and waits for the device, and notes the precision of matrix products.
- A TorchFunctionMode sees the calls in Python: it makes and moves tensors, computes in bfloat16 what CUDA's autocast does,
  refuses .numpy() and generators of another device, and takes cuDNN's part in the recurrent layers.
- A CUDA graph notes the operations of its capture. Then it undoes their writes and fills fresh memory with NaN, because a
  capture computes nothing. A replay runs the operations on the same memory. So an address that has changed, a branch in Python
  or a number read in a capture show as on a card.

It cannot see how CUDA's kernels round, TF32's digits, races of streams, how much memory is in use (a single tensor may be too
large), NCCL, or time. An operation may be several kernels of CUDA, and a recurrent layer of cuDNN is one operation. Random
numbers come from the CPU's generators, so that a card draws what the CPU does. The mode is that of one thread: another one
enters Calls() first.
"""

import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from pixelrnn.model.paper.diagonal_bilstm import diagonals
from pixelrnn.model.precision import SETTINGS

CARDS = 2
PACKAGE = str(Path(__file__).resolve().parents[1] / "pixelrnn")
FREE = {"empty", "empty_like", "new_empty", "detach", "alias", "lift_fresh", "set_", "resize_", "_local_scalar_dense"}
WAITS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
SCALARS = {"where", "masked_fill", "masked_fill_", "fill_", *INDEXED}  # they take a CPU tensor of no dimension
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "baddbmm_", "convolution", "convolution_backward"}
# What autocast computes in bfloat16, of what there is in the program. Its list of what stays in float32 is left out.
LOWER = {torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.matmul, Tensor.matmul, Tensor.__matmul__, F.linear}
LOWER |= {torch.conv2d, torch.conv_transpose2d}


class CardTensor(torch.Tensor):
    """A tensor on a card. It shares the memory of a CPU tensor."""

    card: int
    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: torch.device("cuda", self.card))
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _device.dispatch(func, args, kwargs or {})

    def get_device(self) -> int:
        return self.card

    def __deepcopy__(self, memo: Any) -> Tensor:
        """Parameters that share a block, as cuDNN's weights do, no longer do so in a copy."""
        memo[id(self)] = copied = self.detach().clone().requires_grad_(self.requires_grad)
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        return plain(self).__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"cuda:{self.card} {plain(self)!r}"


def on_card(tensor: Tensor, card: int) -> CardTensor:
    found = torch.Tensor._make_subclass(CardTensor, tensor)
    found.card = card
    return found


def plain(value: Any) -> Any:
    """The CPU tensors that share the memory of the card's tensors in value."""
    with torch._C._DisableTorchDispatch():
        return tree_map_only(CardTensor, lambda tensor: torch.Tensor._make_subclass(torch.Tensor, tensor), value)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """As torch's tree_leaves, which takes several times as long."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def place(tensor: Tensor) -> tuple[Any, ...]:
    return memory(tensor), tensor.storage_offset(), tensor.stride(), tensor.dtype


def card_of(device: Any) -> int | None:
    """The card's number; None for the CPU."""
    device = torch.device(device)
    if device.type != "cuda":
        return None
    if (index := _device.current if device.index is None else device.index) >= CARDS:
        raise RuntimeError("CUDA error: invalid device ordinal")
    return index


def where() -> str:
    """The function of the program that is running, as "file:function"."""
    frame: Any = sys._getframe()
    while frame and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}" if frame else "outside the package"


class Generator(torch.Generator):
    """A generator that says that it is on a card."""

    def __new__(cls, device: Any = "cpu") -> Any:
        made = super().__new__(cls, "cpu")
        made.place = torch.device(device)
        return made

    device = property(lambda self: self.place)


class Device:
    """The cards, and what they have seen."""

    def __init__(self) -> None:
        self.current, self.memory = 0, 2**40  # bytes of a card
        self.capturing: tuple[CUDAGraph, int, str] | None = None  # with the thread and the error mode
        self.default_stream: Stream | None = None  # of captures
        self.during_capture: Callable[[], None] = lambda: None
        self.captures: list[tuple[int, str]] = []  # the card and the error mode of each
        self.pools: list[tuple[Any, Any]] = []  # the memory and the stream of each
        self.lowered: dict[int, tuple[Tensor, Tensor]] = {}  # autocast's copies of weights
        self.forget()

    def forget(self) -> None:
        self.operations = self.replays = 0
        self.waits: Counter[str] = Counter()  # by the function of the program
        self.products: Counter[tuple[str, torch.dtype, bool]] = Counter()  # kind, dtype, and whether in full float32

    @property
    def capture(self) -> "CUDAGraph | None":
        """The graph that this thread captures."""
        return self.capturing[0] if self.capturing and self.capturing[1] == threading.get_ident() else None

    def wait(self) -> None:
        if self.capturing and (self.capture or self.capturing[2] == "global"):
            raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing: a wait in {where()}")
        self.waits[where()] += 1

    def product(self, name: str, dtype: torch.dtype) -> None:
        self.products[name, dtype, all(setting.fp32_precision == "ieee" for setting in SETTINGS)] += 1

    def dispatch(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation of which a tensor is on a card."""
        op, indices = facts(func), ()
        tensors = [*tensors_in(args), *tensors_in([*kwargs.values()])]
        hosts = [tensor for tensor in tensors if not isinstance(tensor, CardTensor)]
        cards = {tensor.card for tensor in tensors if isinstance(tensor, CardTensor)}
        if op.name == "copy_":
            if hosts and not (len(args) > 2 and args[2]):
                self.wait()
            cards, hosts = {args[0].card if isinstance(args[0], CardTensor) else None}, []
        elif op.name in INDEXED and isinstance(args[0], CardTensor):
            indices = [index for index in args[1] if index is not None]
            hosts = [host for host in hosts if all(host is not index for index in indices)]
            for index in indices:
                is_mask = index.dtype == torch.bool and (op.name == "index" or args[2].numel() != 1)
                if is_mask or not isinstance(index, CardTensor):  # it is counted, or copied from the CPU
                    self.wait()
        elif op.name == "cat" and torch._C._current_graph_task_id() >= 0:
            hosts = []  # in the backward pass of a split, C++ makes zeros for the parts that have no gradient
        elif op.waits:
            self.wait()
        if len(cards) > 1 or any(host.ndim or not op.takes_scalars for host in hosts):
            found = ", ".join(sorted({str(tensor.device) for tensor in tensors}))
            raise RuntimeError(f"Expected all tensors to be on the same device, but found two, {found}, in {where()}")
        if self.capture and op.draws and kwargs.get("generator") is not None:  # torch records the default one's draws
            raise RuntimeError(f"a draw from a generator of one's own in a capture, in {where()}")
        if op.name in PRODUCTS:
            self.product(op.name, args[0].dtype)
        written = [args[i] if i < len(args) else kwargs.get(name) for i, name in op.written]
        return self.run(op.name, partial(func, *args, **kwargs), tensors, cards.pop(), written)

    def run(self, name: str, call: Callable[[], Any], given: list[Tensor], card: int | None, written: Any = ()) -> Any:
        """Run an operation, count it, and note it in a capture. card: where its results are; None for the CPU."""
        if self.capture:
            self.capture.before(card, tensors_in(written))
        with torch._C._DisableTorchDispatch():
            found = call()
        old = {id(tensor) for tensor in given}
        new = [tensor for tensor in tensors_in(found) if id(tensor) not in old]
        if (size := sum(tensor.nbytes for tensor in new)) > self.memory:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU {card}")
        places = {memory(tensor) for tensor in given}
        is_view = not written and bool(new) and all(memory(tensor) in places for tensor in new)
        if card is not None and new:
            if isinstance(found, Tensor):
                found = on_card(found, card)
            else:
                found = tree_map_only(Tensor, lambda x: x if id(x) in old else on_card(x, card), found)
        if name == "copy_" and place(given[0]) == place(given[1]):  # as after x[…] += 1: CUDA copies nothing
            is_view = True
        is_counted = not is_view and name not in FREE
        self.operations += is_counted
        if self.capture and not is_view:
            self.capture.note(call if is_counted else None, found, places)
        return found


@cache
def facts(func: Any) -> SimpleNamespace:
    """What there is to know of an operation."""
    name, tags = func._schema.name.removeprefix("aten::"), set(func.tags)
    return SimpleNamespace(
        name=name,
        waits=bool(WAITS & tags) and name not in INDEXED,
        takes_scalars=torch.Tag.pointwise in tags or name in SCALARS,  # of the CPU
        draws=torch.Tag.nondeterministic_seeded in tags,
        written=[
            (i, argument.name)
            for i, argument in enumerate(func._schema.arguments)
            if argument.alias_info and argument.alias_info.is_write
        ],
    )


class Calls(TorchFunctionMode):
    """What has to be seen in Python, because C++ takes the card's tensors for the CPU's."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if handler := HANDLERS.get(func):
            return handler(func, *args, **kwargs)
        if (generator := kwargs.get("generator")) is not None:
            at = card_of(kwargs["device"]) if kwargs.get("device") else getattr(args[0], "card", None)
            if card_of(generator.device) != at:
                raise RuntimeError(f"Expected a generator on card {at}, but found one on {generator.device}")
        if kwargs.get("device") is not None:
            return make(func, *args, **kwargs)
        if func in LOWER and torch.is_autocast_enabled("cuda") and kwargs.get("out") is None:
            args = tree_map_only(CardTensor, lowered, args)
        return func(*args, **kwargs)


def make(func: Any, *args: Any, device: Any, **kwargs: Any) -> Any:
    """A function that makes a tensor on a given device."""
    if (card := card_of(device)) is None:
        return func(*plain(args), **kwargs, device=device)
    if func in (torch.tensor, torch.as_tensor):  # copies numbers of the CPU
        _device.wait()
    return _device.run(func.__name__, partial(func, *plain(args), **kwargs, device="cpu"), [], card)


def to(func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Tensor.to: first the conversion, then the move."""
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
    if dtype or layout:
        tensor = func(tensor, dtype=dtype or tensor.dtype, memory_format=layout or torch.preserve_format)
    if device is None or device.type == "meta":
        return tensor if device is None else func(plain(tensor), device)
    if (card := card_of(device)) == getattr(tensor, "card", None):
        return tensor
    if card is None or not (non_blocking and getattr(tensor, "pinned", False)):
        _device.wait()
    return Moved.apply(tensor, card)


def pin(func: Any, tensor: Tensor) -> Tensor:
    """A copy in pinned memory."""
    tensor = tensor.clone()
    tensor.pinned = True  # type: ignore[attr-defined]
    return tensor


class Moved(torch.autograd.Function):
    """A copy on another device: the number of a card, or None for the CPU."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, card: int | None) -> Tensor:
        ctx.card = getattr(tensor, "card", None)
        return _device.run("copy", plain(tensor).clone, [], card)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return Moved.apply(gradient, ctx.card), None


def lowered(tensor: Tensor) -> Tensor:
    """A float32 tensor in bfloat16. Autocast keeps the copies of weights."""
    if tensor.dtype != torch.float32:
        return tensor
    if not (tensor.is_leaf and tensor.requires_grad):
        return tensor.to(torch.bfloat16)
    if id(tensor) not in _device.lowered:
        _device.lowered[id(tensor)] = tensor, tensor.to(torch.bfloat16)
    return _device.lowered[id(tensor)][1]


def read(func: Any, tensor: Tensor) -> Any:
    """Tensor.tolist."""
    if isinstance(tensor, CardTensor):
        _device.wait()
    return func(plain(tensor))


def numpy(func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
    if isinstance(tensor, CardTensor):
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy. Use Tensor.cpu() first")
    return func(tensor, *args, **kwargs)


def set_item(func: Any, tensor: Tensor, index: Any, value: Any) -> Any:
    """Tensor.__setitem__: a number is written by an operation, and not copied from the CPU."""
    if isinstance(tensor, CardTensor) and not isinstance(value, Tensor):
        value = on_card(torch.tensor(value, dtype=tensor.dtype), tensor.card)
    return func(tensor, index, value)


def rnn(func: Any, inputs: Tensor, state: Any, weights: list[Tensor], *args: Any) -> Any:
    """A recurrent layer. On a card it is cuDNN's: autocast makes it float16, and it wants its weights in one block."""
    if not isinstance(inputs, CardTensor):
        return func(inputs, state, weights, *args)
    states = list(state) if isinstance(state, (list, tuple)) else [state]
    dtype = torch.float16 if torch.is_autocast_enabled("cuda") else weights[0].dtype
    _device.product("rnn", dtype)
    tensors = [inputs, *states, *weights]
    if {tensor.device for tensor in tensors} != {inputs.device}:
        raise RuntimeError("Input, hidden and parameter tensors are not at the same device")
    if dtype != torch.float16 and {tensor.dtype for tensor in tensors} != {dtype}:
        raise RuntimeError("Input, hidden and parameter tensors are not of the same type")
    if not all(part.is_contiguous() for part in states):
        raise RuntimeError("rnn: hx is not contiguous")
    if len({memory(weight) for weight in weights}) > 1:
        warnings.warn("RNN module weights are not part of single contiguous chunk of memory", stacklevel=2)

    def call(first: Tensor, *others: Tensor) -> tuple[Tensor, ...]:  # on the CPU
        of_state = others[: len(states)]
        given = tuple(of_state) if isinstance(state, (list, tuple)) else of_state[0]
        return tuple(func(first, given, list(others[len(states) :]), *args))

    training = args[3]
    if not torch.is_grad_enabled():
        return _device.run("rnn", lambda: call(*plain(tensors)), [], inputs.card)
    return CuDNN.apply(call, training, inputs.card, *tensors)


class CuDNN(torch.autograd.Function):
    """A recurrent layer as one operation, and its backward pass as another."""

    @staticmethod
    def forward(ctx: Any, call: Any, training: bool, card: int, *tensors: Tensor) -> Any:
        ctx.given = [part.detach().requires_grad_() for part in plain(tensors)]
        ctx.training, ctx.card = training, card
        keep = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)

        def run() -> tuple[Tensor, ...]:  # again in a replay, on the same memory
            with torch.enable_grad(), keep:  # torch's checkpoint does not see what cuDNN keeps
                ctx.found = call(*ctx.given)
            return tuple(part.detach() for part in ctx.found)

        return _device.run("rnn", run, [], card)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if not ctx.training:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        _device.product("rnn", gradients[0].dtype)
        given = plain(gradients)

        def run() -> tuple[Any, ...]:
            return torch.autograd.grad(ctx.found, ctx.given, given, allow_unused=True)

        return None, None, None, *_device.run("rnn_backward", run, [], ctx.card)


def whole(func: Any, *args: Any, **kwargs: Any) -> Any:
    """A function in Python that makes tensors inside, as one operation without a gradient."""
    if not (devices := {tensor.device for tensor in tensors_in(args) if isinstance(tensor, CardTensor)}):
        return func(*args, **kwargs)
    if {tensor.device for tensor in tensors_in(args)} != devices or len(devices) > 1:
        raise RuntimeError(f"Expected all tensors to be on the same device, in {where()}")
    return _device.run(func.__name__, partial(func, *plain(args), **kwargs), [], card_of(devices.pop()))


def flatten(func: Any, weights: list[Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Put the weights of a recurrent layer into one block."""
    block = torch.cat([plain(weight).detach().flatten() for weight in weights])
    start = 0
    with torch._C._DisableTorchDispatch(), torch.no_grad():
        for weight in weights:
            weight.set_(block.untyped_storage(), start, weight.shape)
            start += weight.numel()
    return block


HANDLERS: dict[Any, Callable[..., Any]] = {
    Tensor.to: to,
    Tensor.cpu: lambda func, tensor: to(Tensor.to, tensor, "cpu"),
    Tensor.pin_memory: pin,
    Tensor.tolist: read,
    Tensor.numpy: numpy,
    Tensor.__array__: numpy,
    Tensor.__setitem__: set_item,
    **dict.fromkeys((torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu), rnn),
    F.embedding_bag: whole,
    torch._use_cudnn_rnn_flatten_weight: lambda func: True,
    torch._cudnn_rnn_flatten_weight: flatten,
}


class Stream:
    def __init__(self, device: Any = None):
        self.device = torch.device("cuda", _device.current if device is None else card_of(device))

    def wait_stream(self, other: "Stream") -> None:
        """All operations run one after the other."""

    def synchronize(self) -> None:
        _device.wait()


class CUDAGraph:
    """The operations of a capture. `calls` are run again on the same memory."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[[], Any], list[Tensor]]] = []
        self.fresh: dict[int, Any] = {}
        self.saved: dict[int, tuple[Any, Any]] = {}
        self.card, self.seed = -1, torch.empty(0)

    def before(self, card: int, written: Iterable[Tensor]) -> None:
        """Keep what an operation overwrites."""
        if card != self.card:
            raise RuntimeError(f"an operation on {card} in a capture on cuda:{self.card}, in {where()}")
        for tensor in written:
            if memory(tensor) not in self.fresh and memory(tensor) not in self.saved:
                self.saved[memory(tensor)] = tensor.untyped_storage(), tensor.untyped_storage().clone()

    def note(self, call: Callable[[], Any] | None, found: Any, given: set[int]) -> None:
        results = [*tensors_in(found)]
        for tensor in results:
            if memory(tensor) not in given:
                self.fresh[memory(tensor)] = tensor.untyped_storage()
        if call:
            self.calls.append((call, results))

    def end(self) -> None:
        """A capture computes nothing."""
        for storage, before in self.saved.values():
            storage.copy_(before)
        for storage in self.fresh.values():
            storage.fill_(255)  # NaN
        torch.set_rng_state(self.seed)

    def replay(self) -> None:
        _device.replays += 1
        with torch._C._DisableTorchDispatch(), torch.no_grad():
            for call, results in self.calls:
                for old, new in zip(results, tensors_in(call()), strict=True):
                    if memory(old) != memory(new):
                        old.copy_(new)


@contextmanager
def stream(given: Stream) -> Iterator[None]:
    before, _device.current = _device.current, given.device.index
    try:
        yield
    finally:
        _device.current = before


@contextmanager
def graph(
    made: CUDAGraph, pool: Any = None, stream: Stream | None = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    """torch.cuda.graph. Without a stream, torch takes one of the device that was current at its first use."""
    if _device.capturing:
        raise RuntimeError("two captures at the same time")
    _device.default_stream = _device.default_stream or Stream()
    made.seed = torch.get_rng_state()
    made.card = (stream or _device.default_stream).device.index
    _device.captures.append((made.card, capture_error_mode))
    _device.pools.append((pool, stream))
    _device.capturing = made, threading.get_ident(), capture_error_mode
    try:
        _device.during_capture()
        yield
    finally:
        _device.capturing = None
        made.end()


def exchange(card: int) -> int:
    before = _device.current
    if card >= 0:
        _device.current = card
    return before


def grouped(lists: list[list[Tensor]], with_indices: bool = False) -> dict[Any, Any]:
    """torch's helper of the optimisers. C++ would group the tensors by the CPU."""
    groups: dict[Any, Any] = {}
    for i, first in enumerate(lists[0]):
        parts, indices = groups.setdefault((first.device, first.dtype), ([[] for _ in lists], []))
        for part, given in zip(parts, lists, strict=True):
            part += given[i : i + 1]
        indices += [i] if with_indices else []
    return groups


CUDA = {  # of torch.cuda
    "_initialized": True,
    "is_available": lambda: True,
    "device_count": lambda: CARDS,
    "current_device": lambda: _device.current,
    "_exchange_device": exchange,
    "_maybe_exchange_device": exchange,
    "synchronize": lambda device=None: _device.wait(),
    "empty_cache": lambda: None,
    "graph_pool_handle": object,
    "mem_get_info": lambda device=None: (_device.memory, _device.memory),
    "manual_seed_all": lambda seed: None,
    "get_rng_state": lambda device="cuda": torch.get_rng_state(),
    "set_rng_state": lambda state, device="cuda": None,
    "is_bf16_supported": lambda including_emulation=True: True,
    "is_current_stream_capturing": lambda: _device.capture is not None,
    "get_device_capability": lambda device=None: (9, 0),
    "get_arch_list": lambda: ["sm_90"],
    "Stream": Stream,
    "current_stream": Stream,
    "stream": stream,
    "CUDAGraph": CUDAGraph,
    "graph": graph,
}

_device = Device()


def run_backward(*args: Any, real: Any = torch.autograd._engine_run_backward, **kwargs: Any) -> Any:
    """The mode is off inside a call, such as Tensor.backward; but this one calls the program."""
    with Calls():
        return real(*args, **kwargs)


def exchange_generators(old: type, new: type) -> None:
    """Modules have the name from `from torch import Generator`."""
    for module in [*sys.modules.values()]:
        if getattr(module, "__dict__", {}).get("Generator") is old and module is not sys.modules[__name__]:
            module.Generator = new


@contextmanager
def emulated() -> Iterator[Device]:
    """Context manager: torch has two cards."""
    global _device
    _device, real, swaps = Device(), torch.Generator, torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, value in CUDA.items():
            stack.enter_context(patch.object(torch.cuda, name, value))
        stack.enter_context(patch.object(torch._C, "_group_tensors_by_device_and_dtype", grouped))
        stack.enter_context(
            patch.object(clip_grad, "_has_foreach_support", lambda tensors, device: device.type == "cuda")
        )
        stack.enter_context(patch.object(torch.autograd, "_engine_run_backward", run_backward))
        stack.enter_context(patch.object(torch, "clear_autocast_cache", lambda: _device.lowered.clear()))
        stack.enter_context(patch.object(torch.backends.cudnn, "is_acceptable", lambda tensor: tensor.is_cuda))
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, swaps)
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # .to() makes new parameters
        stack.callback(exchange_generators, Generator, real)
        exchange_generators(real, Generator)
        stack.callback(diagonals.cache_clear)  # it keeps tensors by their device
        diagonals.cache_clear()
        stack.enter_context(Calls())
        yield _device
