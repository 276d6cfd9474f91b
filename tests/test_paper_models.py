"""The paper's layers: their equations pixel by pixel in NumPy, their gradients, and two mistakes that the tests must catch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import SYMMETRIES, all_images, influence, ordering_spec, random_images, randomise, tiny_model

from pixelrnn.errors import UserError
from pixelrnn.evaluation import evaluate
from pixelrnn.model import MODELS, MultiScale
from pixelrnn.model.orders import symmetries
from pixelrnn.model.paper import diagonal_bilstm, row_lstm
from pixelrnn.model.paper.diagonal_bilstm import DiagonalBiLSTMLayer, diagonals
from pixelrnn.model.paper.lines import Line, LineLSTM
from pixelrnn.model.paper.multiscale import coarse_to_fine
from pixelrnn.model.paper.pixelcnn import PixelCNNLayer
from pixelrnn.model.paper.raster import MaskedConv, raster_path
from pixelrnn.model.paper.row_lstm import RowLSTMLayer
from pixelrnn.ordering import ORDERINGS, build

WIDTH = 3
LAYERS = {
    "row": lambda: RowLSTMLayer(WIDTH),
    "row, kernel 5": lambda: RowLSTMLayer(WIDTH, 5),
    "diagonal": lambda: DiagonalBiLSTMLayer(WIDTH),
    "pixelcnn": lambda: PixelCNNLayer(WIDTH),
}
SIZES = [(1, 1), (1, 4), (4, 1), (3, 4), (4, 3)]


def arrays(module):
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(z, cell):
    """The paper's equation 3 on arguments in the order i, f, g, o."""
    i, f, g, o = np.split(z, 4)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def row_by_the_equations(layer, x):
    p, (rows, columns, _), reach = arrays(layer), x.shape, layer.reach
    weight, bias = p["input_to_state.weight"], p["input_to_state.bias"]
    h0, c0 = p["initial"]
    h, c = {}, {}
    for r in range(rows):
        for j in range(columns):
            z = bias.copy()
            for tap in range(reach + 1):
                if j - reach + tap >= 0:
                    z += weight[:, :, tap] @ x[r, j - reach + tap]
            for tap in range(2 * reach + 1):
                z += h.get((r - 1, j - reach + tap), h0) @ p["state_to_state"][tap * WIDTH : (tap + 1) * WIDTH]
            h[r, j], c[r, j] = lstm(z, c.get((r - 1, j), c0))
    return h


def diagonal_by_the_equations(layer, x):
    p, (rows, columns, _) = arrays(layer), x.shape
    outputs = {(r, j): np.zeros(WIDTH) for r in range(rows) for j in range(columns)}
    for d, side in ((0, -1), (1, 1)):
        h0, c0 = p["initial"][:, d]
        own, above = np.split(p["state_to_state"][d], 2)
        gates = slice(4 * WIDTH * d, 4 * WIDTH * (d + 1))
        h, c = {}, {}
        for r in range(rows):
            for j in range(columns)[::-side]:
                z = p["input_to_state.weight"][gates] @ x[r, j] + p["input_to_state.bias"][gates]
                z = z + h.get((r, j + side), h0) @ own + h.get((r - 1, j), h0) @ above
                h[r, j], c[r, j] = lstm(z, c.get((r, j + side), c0))
                if d == 0:
                    outputs[r, j] += h[r, j]
                elif r + 1 < rows:
                    outputs[r + 1, j] += h[r, j]
    return outputs


def pixelcnn_by_the_equations(layer, x):
    p, (rows, columns, _) = arrays(layer), x.shape
    reduced = np.maximum(np.maximum(x, 0) @ p["down.weight"].T + p["down.bias"], 0)
    outputs = {}
    for r in range(rows):
        for j in range(columns):
            z = p["conv.bias"].copy()
            for tap, (dr, dj) in enumerate([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 0)]):
                if r + dr >= 0 and 0 <= j + dj < columns:
                    z += p["conv.weight"][:, :, tap] @ reduced[r + dr, j + dj]
            outputs[r, j] = np.maximum(z, 0)
    return outputs


EQUATIONS = {
    "row": row_by_the_equations,
    "row, kernel 5": row_by_the_equations,
    "diagonal": diagonal_by_the_equations,
    "pixelcnn": pixelcnn_by_the_equations,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_equations(name, size):
    layer = randomise(LAYERS[name]())
    maps = torch.randn(2, *size, 2 * WIDTH).double()
    with torch.no_grad():
        outputs, _ = layer(maps)
    for image, got in zip(maps.numpy(), outputs.numpy(), strict=True):
        for (r, j), expected in EQUATIONS[name](layer, image).items():
            np.testing.assert_allclose(got[r, j], expected, atol=1e-9)


@pytest.mark.parametrize("size", [*SIZES[:4], pytest.param(SIZES[4], marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", LAYERS)
def test_back_propagation_agrees_with_finite_differences(name, size):
    layer = randomise(LAYERS[name]())
    maps = torch.randn(1, *size, 2 * WIDTH).double().requires_grad_()
    condition = torch.randn(1, *size, layer.states).double().requires_grad_()
    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, added, *_: layer(x, added)[0], (maps, condition, *parameters))


def test_an_unused_output_has_no_gradient():
    """The cells that LineLSTM returns are for the sampler; a loss must not hang on them unnoticed."""
    projected = torch.randn(4, 1, 8).double().requires_grad_()
    recurrent, initial, scale = torch.randn(1, 2, 8).double(), torch.zeros(2, 1, 2).double(), torch.ones(8).double()
    hidden, cells = LineLSTM.apply(projected, recurrent, initial, scale, (Line(0, 2, 0), Line(2, 4, 0)), (0,))
    assert hidden.requires_grad and not cells.requires_grad


@pytest.mark.parametrize("size", SIZES)
def test_the_skew_holds_each_pixel_and_direction_once(size):
    skew, lines = diagonals(*size, torch.device("cpu"))
    assert sorted(skew.tolist()) == list(range(2 * size[0] * size[1]))
    assert len(lines) == sum(size) - 1
    for d, line in enumerate(lines):
        entries = skew[line.start : line.stop].tolist()
        half = len(entries) // 2
        for n, entry in enumerate(entries):
            row, column = divmod(entry // 2, size[1])
            assert entry % 2 == n // half
            assert row == line.first + n % half
            assert row + (column if entry % 2 == 0 else size[1] - 1 - column) == d


@pytest.mark.parametrize(("above", "reach"), [(0, 1), (0, 2), (1, 1), (2, 2)])
def test_a_masked_convolution_is_one_whose_hidden_weights_are_zero(above, reach):
    conv = randomise(MaskedConv(2, 3, above, reach))
    maps = torch.randn(2, 5, 6, 2).double()
    kernel = torch.zeros(3, 2, 2 * above + 1, 2 * reach + 1).double()
    kernel.flatten(2)[:, :, : (2 * reach + 1) * above + reach + 1] = conv.weight
    expected = F.conv2d(maps.permute(0, 3, 1, 2), kernel, conv.bias, padding=(above, reach)).permute(0, 2, 3, 1)
    torch.testing.assert_close(conv(maps), expected)


# --- mistakes that published implementations make -----------------------------------------------------------------------


def zero_row_at_the_wrong_end(maps):
    """A mutant: the second direction moves up instead of down, so that a pixel sees those to its right and below."""
    return F.pad(maps[:, 1:], (0, 0, 0, 0, 0, 1))


def not_moved(maps):
    """A mutant: the second direction is added where it is, so that a pixel sees itself and those to its right."""
    return maps


def units_mixed_with_width(packed, rows, columns):
    """A mutant: a reshape where a transposition belongs, so that columns and hidden units change places."""
    batch, features = packed.shape[1:]
    return packed.transpose(0, 1).reshape(batch, rows, features, columns).transpose(2, 3)


@pytest.mark.parametrize(
    ("model", "module", "name", "mutant"),
    [
        ("DiagonalBiLSTM", diagonal_bilstm, "moved_down", zero_row_at_the_wrong_end),
        ("DiagonalBiLSTM", diagonal_bilstm, "moved_down", not_moved),
        ("DiagonalBiLSTM", diagonal_bilstm, "unpack", units_mixed_with_width),
        ("RowLSTM", row_lstm, "unpack", units_mixed_with_width),
    ],
)
def test_the_tests_catch_a_known_mistake(model, module, name, mutant, monkeypatch):
    def leak_and_mass():
        made, images = tiny_model((1, 2, 2), 2, model=model, depth=2), all_images(1, 2, 2, 2)
        with torch.no_grad():
            leak = torch.stack([influence(made, image).tril().max() for image in images]).max()
            return leak, made.log_prob(images).exp().sum()

    leak, mass = leak_and_mass()
    assert leak == 0 and abs(mass - 1) < 1e-5
    monkeypatch.setattr(module, name, mutant)
    leak, mass = leak_and_mass()
    assert leak > 1e-3 and abs(mass - 1) > 1e-3


# --- what a pixel sees --------------------------------------------------------------------------------------------------


ROWS, COLUMNS, ROW, COLUMN = 9, 31, 8, 15  # an image, and the pixel of it that looks


@pytest.mark.parametrize("model", ["RowLSTM", "DiagonalBiLSTM", "PixelCNN"])
def test_the_receptive_field_of_one_layer(model):
    """Row LSTM sees a triangle, Diagonal BiLSTM everything before but one pixel, PixelCNN what two kernels cover."""
    made = tiny_model((1, ROWS, COLUMNS), 2, model=model, width=8, head=16)
    moved = torch.stack([influence(made, image) for image in random_images(4, made.shape, 2)]).amax(0)
    seen = moved[:, ROW * COLUMNS + COLUMN].view(ROWS, COLUMNS) > 0
    rows, columns = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    before = (rows < ROW) | (columns < COLUMN)
    up, aside = ROW - rows, (columns - COLUMN).abs()
    if model == "RowLSTM":
        # h widens by one to either side each row, the gates' inputs by one to the left, and the first convolution by
        # three: to the left in its own row already, to the right in the row above.
        expected = before & (columns >= COLUMN - up - 4) & (columns <= COLUMN + up + 2)
    elif model == "DiagonalBiLSTM":
        # The second direction ends at the right border on a pixel that, like all, sees those before it and not itself.
        expected = before & ~((up == 1) & (columns == COLUMNS - 1))
    else:
        expected = before & (up <= 4) & (aside <= 4)
        expected &= ~((up == 1) & (columns == COLUMN + 4))  # the same, at the kernel's right border
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("ordering", SYMMETRIES, ids=lambda spec: "_".join([spec["name"], *spec["transforms"]]))
def test_a_symmetry_is_the_model_on_the_turned_image(ordering):
    """A model of another symmetry is the raster's, with the same weights, on the image that is flipped or transposed."""
    order = build(ordering, 3, 4)
    frame = raster_path(order, 3, 4).frame
    turned = tiny_model((1, 3, 4), 3, model="RowLSTM", ordering=ordering)
    plain = tiny_model((1, frame.rows, frame.columns), 3, model="RowLSTM")
    plain.load_state_dict({k: v for k, v in turned.state_dict().items() if k != "orders"}, strict=False)
    images = random_images(2, (1, 3, 4), 3)
    as_visited = images.flatten(2)[:, :, order].view(2, 1, frame.rows, frame.columns)
    with torch.no_grad():
        torch.testing.assert_close(plain(as_visited), turned(images))


@pytest.mark.parametrize("name", [name for name in ORDERINGS if name not in ("raster", "column")])
@pytest.mark.parametrize("model", ["RowLSTM", "DiagonalBiLSTM", "PixelCNN", "MultiScale"])
def test_other_orderings_are_refused(model, name):
    with pytest.raises(UserError, match="ordering=raster or ordering=column"):
        tiny_model((1, 5, 5), model=model, ordering=ordering_spec(name, 5, 5))


# --- multi-scale ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3])
def test_the_small_image_comes_first(scale):
    model = tiny_model((1, 6, 7), model="MultiScale", scale=scale)
    small = torch.arange(42).view(6, 7)[::scale, ::scale].flatten().tolist()
    assert model.visits[: len(small)] == small
    assert model.visits[len(small) :] == [p for p in range(42) if p not in small]
    chosen, rest = coarse_to_fine(symmetries(6, 7)[0], scale)
    assert sorted([*chosen.tolist(), *rest.tolist()]) == list(range(42))


@pytest.mark.parametrize("layer", ["row_lstm", "diagonal_bilstm", "pixelcnn"])
def test_the_full_image_sees_all_of_the_small_one(layer):
    model = tiny_model((1, 6, 6), model="MultiScale", layer=layer, scale=3)
    moved = torch.stack([influence(model, image) for image in random_images(4, model.shape, 2)]).amax(0)
    assert bool((moved[: model.small_pixels, model.small_pixels :] > 1e-9).any(1).all())
    first_of_the_rest = moved[: model.small_pixels, model.small_pixels]
    assert first_of_the_rest[-1] > 1e-12  # a pixel at the other end, which no mask of the raster would let it see


def test_the_two_likelihoods_add_up_to_the_total():
    model = tiny_model((1, 4, 4), model="MultiScale").float()
    images = random_images(20, model.shape, 2)
    ((name, hidden),) = model.parts.items()
    assert name == "all but the small 2x2 image" and int(hidden.sum()) == 12
    with torch.no_grad():
        small = model.pixel_log_probs(images)[:, :4].sum(1)
        torch.testing.assert_close(small + model.log_prob(images, hidden), model.log_prob(images))
    assert evaluate(model, images, hidden).dimensions == 12


@pytest.mark.parametrize("ordering", SYMMETRIES, ids=lambda spec: "_".join([spec["name"], *spec["transforms"]]))
def test_a_saved_order_gives_its_symmetry_back(ordering):
    for shape in ((1, 4, 6), (1, 5, 5)):
        model = tiny_model(shape, model="MultiScale", ordering=ordering)
        options = {name: value for name, value in model.arguments.items() if name not in ("shape", "levels")}
        again = MultiScale(shape, 2, **{**options, "ordering": model.order}).double()
        again.load_state_dict(model.state_dict(), strict=True)
        images = random_images(3, shape, 2)
        with torch.no_grad():
            assert torch.equal(again(images), model(images))


# --- mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("RowLSTM", {"kernel": 4}, "kernel=4.*odd"),
        ("RowLSTM", {"kernel": 1}, "kernel=1"),
        ("RowLSTM", {"depth": 0}, "depth=0"),
        ("DiagonalBiLSTM", {"width": 0}, "width=0"),
        ("PixelCNN", {"head": 0}, "head=0"),
        ("PixelCNN", {"levels": 1}, "levels=1"),
        ("MultiScale", {"scale": 1}, "scale=1"),
        ("MultiScale", {"scale": 5}, "scale=5"),
        ("MultiScale", {"layer": "row_lstn"}, "unknown layer 'row_lstn'; did you mean 'row_lstm'"),
        ("MultiScale", {"small_depth": 0}, "small_depth=0"),
        ("MultiScale", {"upsampled": 0}, "upsampled=0"),
    ],
)
def test_bad_options_are_refused(model, options, message):
    options = {"shape": (1, 4, 4), "levels": 2, **options}
    with pytest.raises(UserError, match=message):
        MODELS[model](options.pop("shape"), options.pop("levels"), **options)
