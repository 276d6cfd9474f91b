"""Images, sequences and levels."""

import numpy as np
import pytest
import torch
from conftest import generator, random_images
from PIL import Image

from pixelrnn.errors import UserError, notes_to
from pixelrnn.files.pictures import to_picture
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


@pytest.mark.parametrize("levels", [-1, 0, 1, 257, 2.5, "a", None])
def test_requantise_refuses_levels_no_image_has(levels):
    for given in ((2, levels), (levels, 2)):
        with pytest.raises(UserError, match=f"levels={levels}.*2 to 256"):
            requantise(torch.zeros(1, dtype=torch.uint8), *given)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(1, 1, 2, 3),
            r"float32.*uint8 levels in \[0, 17\): for values from 0 to 1, \(images \* 16\).round",
        ),
        (torch.zeros(1, 1, 2, 3, dtype=torch.int64), "int64.*uint8"),
        (torch.zeros(5, 3, 2, dtype=torch.uint8), r"\(5, 3, 2\).*\(batch, 1, 2, 3\)"),
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
        (torch.ones(2, 3), "float32.*bool.*mask > 127"),
        (torch.ones(2, 3, dtype=torch.uint8), "uint8.*bool"),
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


SHAPES = [(1, 4, 5), (3, 4, 5), (3, 28, 3), (3, 3, 28), (1, 5, 1), (1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("as_array", [False, True], ids=["torch", "NumPy"])
def test_images_come_in_any_layout(shape, as_array):
    images = random_images(6, shape, 256)
    last = images.movedim(1, -1)
    forms = [images, last, *([images[:, 0]] if shape[0] == 1 else [])]
    for form in [*forms, *(form[0] for form in forms)]:
        given = form.numpy() if as_array else form
        found = check_images(given, shape, 256)
        assert torch.equal(found, images[: len(found)]) and found.is_contiguous() and len(found) in (1, 6)


def test_a_model_says_which_axis_is_which():
    """3×28×3: the channels may be the first axis or the last."""
    images = random_images(2, (3, 28, 3), 256)
    assert torch.equal(check_images(images, (3, 28, 3), 256), images)
    assert torch.equal(check_images(images, (3, 3, 28), 256), images.movedim(-1, 1))


def test_arrays_that_share_no_memory_with_torch_are_read_too():
    values = random_images(2, (1, 4, 4), 256).numpy()
    frozen = values.copy()
    frozen.flags.writeable = False
    backwards = values[:, :, ::-1]
    for given in (frozen, backwards):
        assert np.array_equal(check_images(given, (1, 4, 4), 256).numpy(), given)


def test_pictures_are_images():
    images = random_images(2, (3, 4, 5), 256)
    pictures = [to_picture(image) for image in images]
    assert torch.equal(check_images(pictures, (3, 4, 5), 256), images)
    assert torch.equal(check_images(pictures[0], (3, 4, 5), 256), images[:1])
    grey = Image.fromarray(images[0, 0].numpy())
    assert torch.equal(check_images(grey, (3, 4, 5), 256)[0, 2], images[0, 0])


def test_pictures_take_the_levels_of_the_model_with_a_note():
    values, notes = torch.tensor([[0, 60], [128, 255]], dtype=torch.uint8), []
    with notes_to(notes.append):
        assert check_images(to_picture(values[None]), (1, 2, 2), 2).flatten().tolist() == [0, 0, 1, 1]
        check_images(Image.new("1", (2, 2), 1), (1, 2, 2), 2)
    assert notes == ["the pictures have 256 levels; they are reduced to the 2 of this model"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((5, 2, 3)),
            "images are float64; they must be uint8 levels in .* from 0 to 1, \\(images \\* 16\\).round",
        ),
        (np.zeros((5, 2, 3), np.int32), "images are int32; they must be uint8"),
        (np.zeros((5, 2, 3), object), "images is an array of object"),
        (np.full((5, 2, 3), 17, np.uint8), r"value 17.*pixelrnn.requantise\(images, 256, 17\)"),
        (
            torch.zeros(5, 2, 3, dtype=torch.uint8).to_sparse(),
            "images is a tensor that is sparse_coo; give a dense one",
        ),
        (torch.zeros(5, 2, 3, dtype=torch.uint8, device="meta"), "images is a tensor that holds no values"),
        ([[0, 1]], "images is a list of list; give a tensor, a NumPy array, a PIL picture"),
        ([np.zeros((2, 3), np.uint8)], "images is a list of ndarray"),
        ([], "images is a list; give"),
        ([Image.new("L", (3, 2)), Image.new("L", (2, 3))], r"picture 2 is 2x3 pixels; this model takes 3x2: .*resize"),
        (Image.new("RGB", (3, 2), "red"), "the picture is in colour"),
        (Image.new("RGBA", (3, 2)), "the picture is partly transparent"),
    ],
)
def test_other_forms_are_refused_in_one_line(images, message):
    with pytest.raises(UserError, match=message) as error:
        check_images(images, (1, 2, 3), 17)
    assert "\n" not in str(error.value)


def test_requantise_takes_arrays_and_no_floats():
    assert requantise(np.array([0, 127, 128, 255], np.uint8), 256, 2).tolist() == [0, 0, 1, 1]
    with pytest.raises(UserError, match="images are float32; they must be uint8 levels"):
        requantise(torch.ones(2), 256, 2)


def test_masks_come_as_arrays_and_pictures():
    images, hidden = random_images(2, (1, 4, 5), 2), torch.zeros(2, 4, 5, dtype=torch.bool)
    hidden[0, 1:3], hidden[1, :, 4] = True, True
    pictures = [Image.fromarray((mask * 255).numpy().astype(np.uint8)) for mask in hidden]
    for given in (hidden.numpy(), pictures):
        assert torch.equal(check_hidden(given, images), hidden)
    assert torch.equal(check_hidden(pictures[1], images), hidden[1].expand(2, 4, 5))
    with pytest.raises(UserError, match=r"the masks have several sizes.*\(3, 2\), \(4, 5\)"):
        check_hidden([pictures[0], Image.new("L", (2, 3), 255)], images)


@pytest.mark.parametrize(("value", "levels"), [(255, 2), (20, 17), (17, 17), (200, 16)])
def test_requantise_refuses_values_above_the_levels(value, levels):
    with pytest.raises(UserError, match=f"hold the value {value}, and {levels} levels are 0 to {levels - 1}"):
        requantise(torch.tensor([0, value], dtype=torch.uint8), levels, 17)
