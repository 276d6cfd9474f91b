"""The contract of a recurrent layer; the cells that keep it: plain RNN, LSTM, GRU; stacks of them, in one direction or both."""

from abc import abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from pixelrnn.products import Packable, Product, widened

State = tuple[Tensor, ...]  # the state of one layer, each (batch, width)


class Cell(Packable):
    """One recurrent layer of `width` units over inputs of size `inputs`.

    `project` is the part of a step that needs the input alone, so that one matrix product projects a whole sequence;
    `recur` is the rest, the cell's equations. A subclass defines `derive`, whose result has a product named `inputs`, and
    `recur`. If torch has a fused layer for the same equations, `forward` calls it; both ways give the same numbers.
    """

    def __init__(self, inputs: int, width: int, carried: int):
        super().__init__()
        self.inputs, self.width = inputs, width
        self.initial = nn.Parameter(torch.zeros(carried, width))  # the learned state before the first step

    def project(self, inputs: Tensor) -> Tensor:
        """The input's part of every gate: (..., inputs) -> (..., gates)."""
        return self.derived().inputs(inputs)

    @abstractmethod
    def recur(self, projected: Tensor, state: State) -> State:
        """One step: (batch, gates) and the state before it -> the state after it, whose first tensor is the output h.

        Without gradients, `projected` may be overwritten.
        """

    def begin(self, batch: int) -> State:
        """The learned initial state for a batch."""
        return tuple(row.expand(batch, -1) for row in self.initial)

    def step(self, inputs: Tensor, state: State, projected: bool = False) -> tuple[Tensor, State]:
        """One step: inputs (batch, inputs), or projected ones (batch, gates) -> output (batch, width), the next state."""
        state = self.recur(inputs if projected else self.project(inputs), state)
        return state[0], state

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps: inputs (batch, steps, inputs) -> outputs (batch, steps, width) and the last state."""
        outputs = []
        for projected in self.project(inputs).unbind(1):
            state = self.recur(projected, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state


def fused(layer: Any, inputs: Tensor, state: Any) -> Any:
    """Run torch's fused layer over all steps.

    On CUDA it stays out of an autocast, which would run cuDNN's layers in float16 even if bfloat16 is asked for, and
    small gradients would become 0. cuDNN has a backward pass in training mode only; without dropout, the modes are alike.
    """
    if not inputs.is_cuda:
        return layer(inputs, state)
    with torch.autocast("cuda", enabled=False):
        layer.train(torch.is_grad_enabled())
        dtype = layer.weight_hh_l0.dtype
        return layer(inputs.to(dtype), tree_map_only(Tensor, lambda part: part.to(dtype), state))


def flatten(model: nn.Module) -> None:
    """Put the weights of each fused layer of a copied model into one block, as cuDNN needs them; it would do so at each call."""
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()


def sigmoid(values: Tensor) -> Tensor:
    """σ(x) = (1 + tanh(x/2)) / 2: torch's tanh is several times as fast as its sigmoid on some CPUs."""
    return torch.tanh(values * 0.5).mul(0.5).add_(0.5)


MakeCell = Callable[[int, int], Cell]  # (inputs, width) -> a new cell
NONLINEARITIES = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": sigmoid}


class RNN(Cell):
    """h_t = φ(W x_t + U h_{t-1} + b), φ = tanh, relu or sigmoid."""

    def __init__(self, inputs: int, width: int, nonlinearity: str = "tanh"):
        super().__init__(inputs, width, carried=1)
        self.nonlinearity = nonlinearity
        # Holds the weights even if φ is the sigmoid, which torch's fused layer does not offer.
        self.layer = nn.RNN(inputs, width, batch_first=True, nonlinearity="relu" if nonlinearity == "relu" else "tanh")

    def derive(self, product: type[Product]) -> SimpleNamespace:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        return SimpleNamespace(inputs=product(W, input_bias + recurrent_bias), recurrent=product(U))

    def recur(self, projected: Tensor, state: State) -> State:
        return (NONLINEARITIES[self.nonlinearity](self.derived().recurrent(state[0], projected)),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        if self.nonlinearity == "sigmoid":
            return super().forward(inputs, state)
        outputs, last = fused(self.layer, inputs, state[0][None].contiguous())
        return outputs, (last[0],)


class LSTM(Cell):
    """i, f, o = σ(W x_t + U h_{t-1} + b), g = tanh(W_g x_t + U_g h_{t-1} + b_g),

    c_t = f ∘ c_{t-1} + i ∘ g,  h_t = o ∘ tanh(c_t).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, carried=2)
        self.layer = nn.LSTM(inputs, width, batch_first=True)
        with torch.no_grad():  # the forget gate stays open until it has learned to close (Jozefowicz et al. 2015)
            input_bias = self.layer.all_weights[0][2]
            input_bias[width : 2 * width] = 1.0
        register_gates(self, width)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        rows, bias = self.scale[:, None], self.scale * (input_bias + recurrent_bias)  # with the gates' inner scale
        return SimpleNamespace(
            inputs=product(rows * W, bias), recurrent=product(rows * U), scale=self.scale, shift=self.shift
        )

    def recur(self, projected: Tensor, state: State) -> State:
        h, c = state
        d = self.derived()
        arguments = d.recurrent(h, projected, out=None if torch.is_grad_enabled() else projected)
        return lstm_gates(arguments, c, d.scale, d.shift)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, (h, c) = fused(self.layer, inputs, tuple(part[None].contiguous() for part in state))
        return outputs, (h[0], c[0])


def register_gates(module: nn.Module, width: int) -> None:
    """Give an LSTM's module the buffers scale and shift = 1 - scale, (4·width,) each, of the gates i, f, g and o in turn.

    σ(x) = (1 + tanh(x/2)) / 2 makes all four gates one call of tanh, gates = scale · tanh(scale · x) + shift. On some CPUs it
    is several times as fast as sigmoid. shift is written out: on torch's meta device (pixelrnn/checkpoint.py) a subtraction
    would import its compiler.
    """
    for name, values in {"scale": (0.5, 0.5, 1.0, 0.5), "shift": (0.5, 0.5, 0.0, 0.5)}.items():
        module.register_buffer(name, torch.tensor(values).repeat_interleave(width), persistent=False)


def lstm_gates(scaled: Tensor, c: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """h and c from the gates' scaled arguments (…, 4·width) and the c before, (…, width). Overwrites the arguments."""
    tanhs = scaled.tanh_()
    gates = torch.addcmul(shift, scale, tanhs, out=None if torch.is_grad_enabled() else tanhs)
    i, f, g, o = gates.chunk(4, dim=-1)
    c = torch.addcmul(f * c, i, g)
    return o * torch.tanh(c), c


class GRU(Cell):
    """torch's form: the reset gate acts after the matrix product.

    r, z = σ(W x_t + U h_{t-1} + b),  n = tanh(W_n x_t + b_n + r ∘ (U_n h_{t-1} + b_un)),  h_t = (1 - z) ∘ n + z ∘ h_{t-1}.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, carried=1)
        self.layer = nn.GRU(inputs, width, batch_first=True)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        W, U, input_bias, recurrent_bias = self.layer.all_weights[0]
        return SimpleNamespace(inputs=product(W, input_bias), recurrent=product(U, recurrent_bias))

    def recur(self, projected: Tensor, state: State) -> State:
        (h,), gates = state, 2 * self.width
        recurrent = self.derived().recurrent(h)
        r, z = sigmoid(projected[:, :gates] + recurrent[:, :gates]).chunk(2, dim=-1)
        n = torch.tanh(torch.addcmul(projected[:, gates:], r, recurrent[:, gates:]))
        return (torch.lerp(n, h, z),)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, last = fused(self.layer, inputs, state[0][None].contiguous())
        return outputs, (last[0],)


class GRUResetBefore(Cell):
    """The original form, and the lecture's: the reset gate acts on h before the matrix product.

    r, z = σ(W x_t + U h_{t-1} + b),  n = tanh(W_n x_t + U_n (r ∘ h_{t-1}) + b_n),  h_t = (1 - z) ∘ n + z ∘ h_{t-1}.
    torch has no fused layer for it, so training runs it step by step.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, carried=1)
        self.input = nn.Linear(inputs, 3 * width)
        self.gates = nn.Linear(width, 2 * width, bias=False)
        self.candidate = nn.Linear(width, width, bias=False)

    def derive(self, product: type[Product]) -> SimpleNamespace:
        inputs = product(self.input.weight, self.input.bias)
        return SimpleNamespace(
            inputs=inputs, gates=product(self.gates.weight), candidate=product(self.candidate.weight)
        )

    def recur(self, projected: Tensor, state: State) -> State:
        (h,), gates = state, 2 * self.width
        d = self.derived()
        r, z = sigmoid(d.gates(h, projected[:, :gates])).chunk(2, dim=-1)
        n = torch.tanh(d.candidate(r * h, projected[:, gates:]))
        return (torch.lerp(widened(n), h, widened(z)),)


class Stack(nn.Module):
    """`depth` layers, each over the outputs of the one below.

    dropout acts on every layer's outputs; layer_norm on every layer's inputs but the first's, and on the last outputs;
    residual adds a layer's inputs to its outputs from the second layer on.
    """

    layers: Any  # an nn.ModuleList of cells

    def __init__(
        self,
        cell: MakeCell,
        inputs: int,
        width: int,
        depth: int,
        dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
    ):
        super().__init__()
        self.layers = nn.ModuleList([cell(inputs if i == 0 else width, width) for i in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(depth)] if layer_norm else [])
        self.dropout = nn.Dropout(dropout)
        self.residual = residual

    def begin(self, batch: int) -> list[State]:
        """The learned initial states of all layers."""
        return [layer.begin(batch) for layer in self.layers]

    def forward(self, inputs: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """All steps: inputs (batch, steps, inputs) -> features (batch, steps, width) and the last states."""
        return self._climb(inputs, states, stepwise=False)

    def step(self, projected: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """One step of inputs that the first layer has projected: (batch, gates) -> features (batch, width) and the next
        states."""
        return self._climb(projected, states, stepwise=True)

    def _climb(self, inputs: Tensor, states: list[State], stepwise: bool) -> tuple[Tensor, list[State]]:
        stream, next_states = inputs, []
        for i, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            outputs, state = layer.step(inputs, state, projected=i == 0) if stepwise else layer(inputs, state)
            if self.training:
                outputs = self.dropout(outputs)
            stream = stream + outputs if self.residual and i > 0 else outputs
            inputs = self.norms[i](stream) if self.norms else stream
            next_states.append(state)
        return inputs, next_states


class Bidirectional(nn.Module):
    """`depth` layers, each with a cell that reads the sequence forwards and one that reads it backwards (Schuster & Paliwal
    1997).

    The outputs at a step are those of both cells side by side; the next layer reads them. dropout acts on every layer's
    outputs. Each output depends on the whole sequence, so this network reads a given sequence; it cannot predict one.
    """

    forwards: Any  # an nn.ModuleList of cells
    backwards: Any

    def __init__(self, cell: MakeCell, inputs: int, width: int, depth: int, dropout: float = 0.0):
        super().__init__()
        sizes = [inputs if i == 0 else 2 * width for i in range(depth)]
        self.forwards = nn.ModuleList([cell(size, width) for size in sizes])
        self.backwards = nn.ModuleList([cell(size, width) for size in sizes])
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (batch, steps, inputs) -> outputs (batch, steps, 2·width)."""
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            ahead, _ = forwards(inputs, forwards.begin(len(inputs)))
            back, _ = backwards(inputs.flip(1), backwards.begin(len(inputs)))
            inputs = self.dropout(torch.cat([ahead, back.flip(1)], dim=-1))
        return inputs
