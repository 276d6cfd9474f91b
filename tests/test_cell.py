"""The cells: their equations in NumPy, a step against the whole sequence, gradients against finite differences."""

import numpy as np
import pytest
import torch
from conftest import randomise
from torch.autograd import gradcheck

from pixelrnn.cell import CELLS, Bidirectional, Stack
from pixelrnn.products import packed

INPUTS, WIDTH, BATCH, STEPS = 3, 4, 2, 5


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain(activation):
    """h_t = φ(W x_t + U h_{t-1} + b)."""

    def step(cell, x, h):
        layer = cell.layer
        W, U, b, c = (numpy(p) for p in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0))
        return (activation(x @ W.T + b + h @ U.T + c),)

    return step


def lstm(cell, x, h, c):
    """c_t = f ∘ c_{t-1} + i ∘ g, h_t = o ∘ tanh(c_t); torch stacks the gates as i, f, g, o."""
    layer = cell.layer
    W, U, b, d = (numpy(p) for p in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0))
    i, f, g, o = np.split(x @ W.T + b + h @ U.T + d, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(cell, x, h):
    """n = tanh(W_n x + b_n + r ∘ (U_n h + c_n)): the reset gate acts after the product."""
    layer = cell.layer
    W, U, b, c = (numpy(p) for p in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0))
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(x @ W.T + b, 3, axis=1), np.split(h @ U.T + c, 3, axis=1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return ((1 - z) * np.tanh(x_n + r * h_n) + z * h,)


def gru_reset_before(cell, x, h):
    """n = tanh(W_n x + U_n (r ∘ h) + b_n): the reset gate acts before the product."""
    W, b, U, U_n = (numpy(p) for p in (cell.input.weight, cell.input.bias, cell.gates.weight, cell.candidate.weight))
    (x_r, x_z, x_n), (h_r, h_z) = np.split(x @ W.T + b, 3, axis=1), np.split(h @ U.T, 2, axis=1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    return ((1 - z) * np.tanh(x_n + (r * h) @ U_n.T) + z * h,)


EQUATIONS = {
    "rnn": plain(np.tanh),
    "rnn_relu": plain(lambda x: np.maximum(x, 0)),
    "rnn_sigmoid": plain(sigmoid),
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
}


def numpy(tensor):
    return tensor.detach().double().numpy()


def unroll(layer, inputs, state):
    """All steps, one by one, of a cell or a stack."""
    outputs = []
    for x in inputs.unbind(1):
        output, state = layer.step(x, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def strong_cell(name, seed=0):
    return randomise(CELLS[name](INPUTS, WIDTH), seed)


def strong_state(cell):
    return tuple(torch.randn(BATCH, WIDTH, dtype=torch.double) for _ in cell.begin(BATCH))


def flat(states):
    return [part for state in states for part in state]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equations(name, dtype):
    cell = strong_cell(name)
    inputs, state = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double), strong_state(cell)
    expected, carried = [], [numpy(part) for part in state]
    for t in range(STEPS):
        carried = EQUATIONS[name](cell, numpy(inputs[:, t]), *carried)
        expected.append(carried[0])
    cell, inputs, state = cell.to(dtype), inputs.to(dtype), tuple(part.to(dtype) for part in state)
    for run in (cell, lambda *arguments: unroll(cell, *arguments)):
        outputs, last = run(inputs, state)
        assert outputs.dtype == dtype
        np.testing.assert_allclose(numpy(outputs), np.stack(expected, 1), rtol=0, atol=1e-5)
        for part, value in zip(last, carried, strict=True):
            np.testing.assert_allclose(numpy(part), value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equations_of_a_bidirectional_network(name, depth):
    """One cell over the sequence, another over it backwards, side by side; the next layer reads both."""
    network = randomise(Bidirectional(CELLS[name], INPUTS, WIDTH, depth))
    inputs = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double)
    stream = [numpy(x) for x in inputs.unbind(1)]
    for forwards, backwards in zip(network.forwards, network.backwards, strict=True):
        sides = []
        for cell, steps in ((forwards, range(STEPS)), (backwards, reversed(range(STEPS)))):
            carried, outputs = [numpy(part) for part in cell.begin(BATCH)], {}
            for t in steps:
                carried = EQUATIONS[name](cell, stream[t], *carried)
                outputs[t] = carried[0]
            sides.append(outputs)
        stream = [np.concatenate([outputs[t] for outputs in sides], 1) for t in range(STEPS)]
    np.testing.assert_allclose(numpy(network(inputs)), np.stack(stream, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_the_learned_state_comes_before_the_first_step(name):
    cell = strong_cell(name)
    assert torch.equal(torch.stack(cell.begin(BATCH)), cell.initial[:, None].expand(-1, BATCH, -1))
    stack = randomise(Stack(CELLS[name], INPUTS, WIDTH, 3))
    outputs, _ = stack(torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double), stack.begin(BATCH))
    outputs.sum().backward()
    assert all(layer.initial.grad.abs().amax(1).min() > 0 for layer in stack.layers)


def test_the_two_forms_of_the_gru_differ():
    after, before = strong_cell("gru"), strong_cell("gru_reset_before")
    with torch.no_grad():  # the same weights, and no second bias, which the other form has not
        after.layer.weight_ih_l0.copy_(before.input.weight)
        after.layer.bias_ih_l0.copy_(before.input.bias)
        after.layer.weight_hh_l0.copy_(torch.cat([before.gates.weight, before.candidate.weight]))
        after.layer.bias_hh_l0.zero_()
    inputs, zero = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double), (torch.zeros(BATCH, WIDTH).double(),)
    one, other = after(inputs, zero)[0], before(inputs, zero)[0]
    assert torch.allclose(one[:, 0], other[:, 0])  # nothing to reset yet
    assert (one[:, 1:] - other[:, 1:]).abs().amax((0, 2)).min() > 1e-3


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", CELLS)
def test_a_stack_steps_as_it_runs(name, depth, layer_norm, residual):
    stack = randomise(Stack(CELLS[name], INPUTS, WIDTH, depth, 0.5, layer_norm, residual))
    inputs = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double)
    whole, last = stack(inputs, stack.begin(BATCH))
    with torch.inference_mode(), packed(stack):
        outputs, states = unroll(stack, stack.layers[0].project(inputs), stack.begin(BATCH))
    torch.testing.assert_close(outputs, whole)
    torch.testing.assert_close(flat(states), flat(last))
    first, middle = stack(inputs[:, :2], stack.begin(BATCH))
    second, _ = stack(inputs[:, 2:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


@pytest.mark.parametrize("name", CELLS)
def test_residual_and_layer_norm_are_where_they_belong(name):
    stack = randomise(Stack(CELLS[name], INPUTS, WIDTH, 3, layer_norm=True, residual=True))
    inputs, states = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double), stack.begin(BATCH)
    one = stack.layers[0](inputs, states[0])[0]
    two = one + stack.layers[1](stack.norms[0](one), states[1])[0]
    three = two + stack.layers[2](stack.norms[1](two), states[2])[0]
    torch.testing.assert_close(stack(inputs, states)[0], stack.norms[2](three))


def test_dropout_acts_in_training_only():
    stack = randomise(Stack(CELLS["rnn"], INPUTS, WIDTH, 2, dropout=0.5))
    inputs, states = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double), stack.begin(BATCH)
    assert torch.equal(stack(inputs, states)[0], stack(inputs, states)[0])
    outputs = stack.train()(inputs, states)[0]
    assert 0 < (outputs == 0).sum() < outputs.numel()
    assert not torch.equal(outputs, stack(inputs, states)[0])


@pytest.mark.parametrize("name", CELLS)
def test_packing_keeps_the_weights_until_it_ends(name):
    cell, inputs = strong_cell(name), torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double)
    plain_outputs = unroll(cell, inputs, cell.begin(BATCH))[0]
    with packed(cell):
        torch.testing.assert_close(unroll(cell, inputs, cell.begin(BATCH))[0], plain_outputs)
    randomise(cell, seed=1)
    changed = unroll(cell, inputs, cell.begin(BATCH))[0]
    assert not torch.allclose(changed, plain_outputs)  # the old weights are forgotten
    torch.testing.assert_close(changed, cell(inputs, cell.begin(BATCH))[0])


@pytest.mark.parametrize("stepwise", [False, True], ids=["sequence", "steps"])
@pytest.mark.parametrize("name", CELLS)
def test_back_propagation_through_time_agrees_with_finite_differences(name, stepwise):
    cell = strong_cell(name)
    inputs = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double, requires_grad=True)
    state = tuple(part.requires_grad_() for part in strong_state(cell))

    def run(*_):  # gradcheck moves the arguments in place: the inputs, the state and every weight
        outputs, last = unroll(cell, inputs, state) if stepwise else cell(inputs, state)
        return outputs, *last

    weights = [p for key, p in cell.named_parameters() if key != "initial"]
    assert gradcheck(run, (inputs, *state, *weights))
    assert gradcheck(lambda initial: cell(inputs.detach(), cell.begin(BATCH))[0], (cell.initial,))


def test_back_propagation_through_time_by_hand():
    cell = strong_cell("rnn")
    inputs = torch.randn(BATCH, STEPS, INPUTS, dtype=torch.double, requires_grad=True)
    (state,) = strong_state(cell)
    target = torch.randn(BATCH, STEPS, WIDTH, dtype=torch.double)
    outputs, _ = cell(inputs, (state.requires_grad_(),))
    (0.5 * (outputs - target).square().sum()).backward()

    W, U = numpy(cell.layer.weight_ih_l0), numpy(cell.layer.weight_hh_l0)
    bias = numpy(cell.layer.bias_ih_l0 + cell.layer.bias_hh_l0)
    x, hs = numpy(inputs), [numpy(state)]
    for t in range(STEPS):
        hs.append(np.tanh(x[:, t] @ W.T + hs[t] @ U.T + bias))
    dW, dU, db, dx, dh = np.zeros_like(W), np.zeros_like(U), np.zeros_like(bias), np.zeros_like(x), 0
    for t in reversed(range(STEPS)):
        dh = dh + hs[t + 1] - numpy(target[:, t])  # from the steps after, and from this step's loss
        da = dh * (1 - hs[t + 1] ** 2)  # through tanh
        dW, dU, db = dW + da.T @ x[:, t], dU + da.T @ hs[t], db + da.sum(0)
        dx[:, t], dh = da @ W, da @ U
    layer = cell.layer
    pairs = [(layer.weight_ih_l0, dW), (layer.weight_hh_l0, dU), (layer.bias_ih_l0, db), (inputs, dx), (state, dh)]
    for tensor, gradient in pairs:
        np.testing.assert_allclose(numpy(tensor.grad), gradient, rtol=0, atol=1e-10)
