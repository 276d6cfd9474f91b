"""verify() passes what is right and names what is wrong."""

import pytest
import torch
import torch.nn.functional as F
from conftest import tiny_model

from pixelrnn import VerificationError, verify
from pixelrnn.model.inputs import PixelInputs


@pytest.mark.parametrize(
    "options", [{}, {"window": 3}, {"cell": "gru", "ordering": "spiral"}, {"depth": 2, "residual": True}]
)
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 3)])
def test_a_sound_model_passes(shape, options):
    assert len(verify(tiny_model(shape, 4, **options).float())) == 7


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sound_model_of_256_levels_passes(bidirectional):
    """255 + 1 does not fit into 8 bits."""
    verify(tiny_model((1, 4, 4), 256, bidirectional=bidirectional).float())


@pytest.mark.parametrize("model", ["RowLSTM", "DiagonalBiLSTM", "PixelCNN", "MultiScale"])
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 3)])
def test_a_sound_model_of_the_paper_passes(shape, model):
    assert len(verify(tiny_model(shape, 4, model=model, depth=2).float())) == 7
    assert len(verify(tiny_model(shape, 4, model=model, orders="symmetries").float())) == 8


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("orders", [None, "symmetries"])
def test_a_sound_bidirectional_model_passes(window, orders):
    lines = verify(tiny_model((1, 4, 5), 4, window=window, bidirectional=True, orders=orders).float())
    assert len(lines) == (9 if orders else 8) and any("observed pixels only" in line for line in lines)


def test_an_encoder_that_reads_hidden_pixels_is_named(monkeypatch):
    model = tiny_model((1, 4, 4), bidirectional=True).float()
    encode = model.encoder.forward
    # It is told that all pixels are observed, unless all are hidden.
    monkeypatch.setattr(
        model.encoder,
        "forward",
        lambda canvas, hidden: encode(canvas, hidden & hidden.flatten(1).all(1)[:, None, None]),
    )
    with pytest.raises(VerificationError, match="changes the distribution of a hidden one before it"):
        verify(model)


def test_a_leak_along_another_order_is_named(monkeypatch):
    model = tiny_model((1, 4, 4), window=3, orders="symmetries").float()
    model.inputs.window.factors[5] = 1.0
    with pytest.raises(VerificationError, match="the future leaks"):
        verify(model)


def test_the_second_direction_that_is_not_moved_is_named(monkeypatch):
    monkeypatch.setattr("pixelrnn.model.paper.diagonal_bilstm.moved_down", lambda maps: maps)
    with pytest.raises(VerificationError, match="the future leaks"):
        verify(tiny_model((1, 4, 4), model="DiagonalBiLSTM").float())


def test_a_leak_is_named(monkeypatch):
    def unshifted(self, flat, start, stop):
        values = flat[:, :, self.cursor.visits[start:stop]]
        return self.value(values.transpose(1, 2).long() + self.offsets).sum(2)

    monkeypatch.setattr(PixelInputs, "_previous", unshifted)
    with pytest.raises(
        VerificationError, match="the future leaks: the pixel of step 0 changes the distribution of step 0"
    ):
        verify(tiny_model((1, 4, 4)).float())


def test_a_window_that_looks_ahead_is_named():
    model = tiny_model((1, 4, 4), window=3).float()
    model.inputs.window.factors.fill_(1.0)  # of the neighbours that are not there as well: pixel 0 stands in for them
    with pytest.raises(VerificationError, match="the future leaks"):
        verify(model)


def test_a_sampler_that_disagrees_is_named(monkeypatch):
    model = tiny_model((1, 4, 4), depth=2).float()
    monkeypatch.setattr(model.stack.layers[0], "recur", lambda projected, state: state)
    with pytest.raises(VerificationError, match="the sampler's step 0 differs"):
        verify(model)


def test_channels_that_look_ahead_are_named(monkeypatch):
    model = tiny_model((3, 3, 3), likelihood="bernoulli").float()
    monkeypatch.setattr(type(model.likelihood), "_given", lambda self, p, v: p + F.linear(v.to(p.dtype), self.coupling))
    with pytest.raises(VerificationError, match="channel 0"):
        verify(model)


def test_bad_weights_and_orders_are_named():
    model = tiny_model((1, 3, 3)).float()
    model.order[0] = model.order[1]
    with pytest.raises(VerificationError, match="must visit each of the 9 pixels"):
        verify(model)
    model = tiny_model((1, 3, 3)).float()
    with torch.no_grad():
        model.stack.layers[0].initial[0, 0] = torch.nan
    with pytest.raises(VerificationError, match=r"stack\.layers\.0\.initial"):
        verify(model)
