"""Images, sequences and levels."""

import pytest
import torch
from conftest import generator, random_images

from pixelrnn.errors import UserError
from pixelrnn.pixels import check_hidden, check_images, requantise, to_images, to_sequence


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (1, 7, 1), (3, 4, 4), (3, 5, 8), (1, 28, 28)])
def test_images_survive_the_sequence(shape):
    images, order = random_images(3, shape, 256), torch.randperm(shape[1] * shape[2], generator=generator())
    sequence = to_sequence(images, order)
    assert sequence.dtype == torch.int64 and sequence.shape == (3, shape[1] * shape[2], shape[0])
    assert torch.equal(to_images(sequence, order, *shape[1:]), images.long())


def test_the_sequence_follows_the_order():
    image = torch.tensor([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]], dtype=torch.uint8)  # two channels of 2x2
    assert to_sequence(image, torch.tensor([3, 0, 1, 2])).tolist() == [[[4, 8], [1, 5], [2, 6], [3, 7]]]


@pytest.mark.parametrize("levels", range(2, 257))
def test_levels_survive_being_shown(levels):
    values = torch.arange(levels, dtype=torch.uint8)
    shown = requantise(values, levels, 256)
    assert shown.dtype == torch.uint8 and shown[0] == 0 and shown[-1] == 255
    assert bool((shown.int().diff() > 0).all())
    assert torch.equal(requantise(shown, 256, levels), values)


def test_every_pair_of_levels_keeps_black_white_and_order():
    for levels in range(2, 257):
        values = torch.arange(levels, dtype=torch.uint8)
        for more in range(levels, 257):
            there = requantise(values, levels, more)
            back = requantise(there, more, levels)
            assert there[0] == 0 and there[-1] == more - 1, (levels, more)
            assert torch.equal(back, values), (levels, more)


@pytest.mark.parametrize(("levels", "new_levels"), [(256, 2), (256, 17), (17, 2), (3, 256), (5, 3)])
def test_requantise_takes_the_nearest_level(levels, new_levels):
    values = torch.arange(levels, dtype=torch.uint8)
    exact = values.double() * (new_levels - 1) / (levels - 1)
    assert bool(((requantise(values, levels, new_levels).double() - exact).abs() <= 0.5).all())


def test_halves_go_up():
    assert requantise(torch.tensor([0, 1, 2], dtype=torch.uint8), 3, 2).tolist() == [0, 1, 1]


@pytest.mark.parametrize("new_levels", [-1, 0, 1, 257])
def test_requantise_refuses_levels_no_image_has(new_levels):
    with pytest.raises(UserError, match=f"levels={new_levels}.*2 to 256"):
        requantise(torch.zeros(1, dtype=torch.uint8), 2, new_levels)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 1, 2, 3), "float32.*torch.uint8"),
        (torch.zeros(1, 1, 2, 3, dtype=torch.int64), "int64.*torch.uint8"),
        (torch.zeros(1, 2, 3, dtype=torch.uint8), r"\(1, 2, 3\).*\(batch, 1, 2, 3\)"),
        (torch.zeros(1, 3, 2, 3, dtype=torch.uint8), r"\(1, 3, 2, 3\).*\(batch, 1, 2, 3\)"),
        (torch.zeros(1, 1, 3, 2, dtype=torch.uint8), r"\(1, 1, 3, 2\).*\(batch, 1, 2, 3\)"),
        (torch.full((1, 1, 2, 3), 17, dtype=torch.uint8), "value 17.*17 levels, 0 to 16.*requantise"),
    ],
)
def test_check_images_names_the_fault(images, message):
    with pytest.raises(UserError, match=message):
        check_images(images, (1, 2, 3), 17)


def test_check_images_accepts_good_images():
    check_images(torch.full((2, 1, 2, 3), 16, dtype=torch.uint8), (1, 2, 3), 17)
    check_images(torch.full((2, 1, 2, 3), 255, dtype=torch.uint8), (1, 2, 3), 256)
    check_images(torch.zeros((0, 1, 2, 3), dtype=torch.uint8), (1, 2, 3), 17)


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        (torch.ones(2, 3), "float32.*torch.bool"),
        (torch.ones(2, 3, dtype=torch.uint8), "uint8.*torch.bool"),
        (torch.ones(3, 2, dtype=torch.bool), r"\(3, 2\).*\(2, 3\) or \(4, 2, 3\)"),
        (torch.ones(2, 2, 3, dtype=torch.bool), r"\(2, 2, 3\).*\(2, 3\) or \(4, 2, 3\)"),
        (torch.zeros(2, 3, dtype=torch.bool), "hides nothing"),
        (torch.tensor([True, True, False, True])[:, None, None].expand(4, 2, 3), "hides nothing"),
    ],
)
def test_check_hidden_names_the_fault(hidden, message):
    with pytest.raises(UserError, match=message):
        check_hidden(hidden, torch.zeros(4, 1, 2, 3, dtype=torch.uint8))


def test_check_hidden_gives_each_image_its_mask():
    images, hidden = torch.zeros(4, 1, 2, 3, dtype=torch.uint8), torch.rand(4, 2, 3) < 0.5
    hidden[:, 0, 0] = True
    assert torch.equal(check_hidden(hidden, images), hidden)
    assert torch.equal(check_hidden(hidden[1], images), hidden[1].expand(4, 2, 3))
