"""Pictures of the user's own: recognised, inverted, cropped and centred for a model of digits, and put back."""

import numpy as np
import pytest
import torch
from conftest import tiny_model
from PIL import Image

import pixelrnn
from pixelrnn import pretrained
from pixelrnn.errors import UserError, notes_to
from pixelrnn.own_picture import from_file
from pixelrnn.own_picture.typical import QUANTILES, Typical, say_if_unlike
from pixelrnn.pixels import requantise


@pytest.fixture(scope="module")
def model():
    """A model without training, of binary 28x28 images, that says what MNIST's are like."""
    made = tiny_model((1, 28, 28), 2, model="PixelCNN")
    made.trained_on["typical"] = Typical(100, (-0.2,) * len(QUANTILES), 0, 0.714).as_dict()
    return made


def digit():
    """A "7" as MNIST has it: white on black, 20 of 28 pixels high, in the middle; bool (28, 28)."""
    ink = np.zeros((28, 28), bool)
    ink[4:7, 7:21] = True
    for row in range(7, 24):
        ink[row, 19 - row // 2 : 22 - row // 2] = True
    return ink


def photo(scale=8, top=60, left=90, size=(420, 380), paper=235, ink=50):
    """The digit on a sheet of paper: uint8 (height, width)."""
    values = np.full(size, paper, np.uint8)
    drawn = digit()[4:24, 6:22].repeat(scale, 0).repeat(scale, 1)
    values[top : top + drawn.shape[0], left : left + drawn.shape[1]][drawn] = ink
    return values


def read(values, model, tmp_path, hidden=None, **options):
    """The picture for the model, what is hidden of it, and what is said."""
    Image.fromarray(values).save(tmp_path / "photo.png")
    said = []
    if hidden is not None:
        Image.fromarray(hidden.astype(np.uint8) * 255).save(tmp_path / "mask.png")
        options["mask"] = tmp_path / "mask.png"
    with notes_to(said.append):
        own, found = from_file(tmp_path / "photo.png", model, **options)
    return own, found, " ".join(said)


@pytest.mark.parametrize("scale", [2, 8, 13])
@pytest.mark.parametrize(
    ("paper", "ink", "inverted"), [(235, 50, True), (255, 0, True), (20, 240, False), (90, 5, True)]
)
def test_a_digit_on_paper_becomes_what_the_model_knows(scale, paper, ink, inverted, model, tmp_path):
    values = photo(scale, paper=paper, ink=ink)
    own, _, said = read(values, model, tmp_path)
    assert ("inverted" in said) == inverted and "framed around its strokes" in said
    assert (own.image[0].bool().numpy() == digit()).mean() > 0.9
    white = torch.ones(1, 28, 28, dtype=torch.uint8)
    hidden = torch.rand(values.shape) < 0.5
    pasted = own.paste(white, hidden)
    inside = own.enlarge(torch.ones(28, 28, dtype=torch.bool))
    assert torch.equal(pasted[:, ~hidden], own.picture[:, ~hidden])
    assert (pasted[:, hidden & inside].int() - ink).abs().max() <= 1  # the model's white is ink
    assert (pasted[:, hidden & ~inside].int() - paper).abs().max() <= 1 or bool(inside.all())


def test_a_digit_in_colour_serves_a_grey_model_of_digits(model, tmp_path):
    values = photo()[..., None].repeat(3, 2)
    values[photo() == 50] = (40, 40, 140)
    own, _, _ = read(values, model, tmp_path)
    assert (own.image[0].bool().numpy() == digit()).mean() > 0.9
    pasted = own.paste(torch.ones(1, 28, 28, dtype=torch.uint8), torch.ones(values.shape[:2], dtype=torch.bool))
    assert [40, 40, 140] in pasted.flatten(1).T.tolist()


@pytest.mark.parametrize("options", [{"invert": False}, {"invert": True}])
def test_a_digit_in_colour_can_be_inverted_by_hand(options, model, tmp_path):
    values = np.dstack([photo(), photo(), photo(paper=200)])
    own, _, _ = read(values, model, tmp_path, **options)
    assert own.paste(own.image, torch.zeros(values.shape[:2], dtype=torch.bool)).equal(own.picture)


def test_shade_on_the_paper_is_no_ink(model, tmp_path):
    """Paper that gets darker by a fifth towards a corner."""
    shade = 1 - 0.2 * np.add.outer(np.arange(420) / 420, np.arange(380) / 380) / 2
    own, _, _ = read((photo() * shade).astype(np.uint8), model, tmp_path)
    assert (own.image[0].bool().numpy() == digit()).mean() > 0.9


def test_a_picture_of_cream_paper_counts_as_grey(model, tmp_path):
    values = np.dstack([np.full((40, 30), 250), np.full((40, 30), 246), np.full((40, 30), 235)]).astype(np.uint8)
    _, _, said = read(values, model, tmp_path)
    assert "sees a single level" in said and "no strokes" in said


def test_values_of_12_bits_are_said_to_be_nearly_black(model, tmp_path):
    Image.fromarray(photo().astype(np.uint16) * 16).save(tmp_path / "deep.png")
    said = []
    with notes_to(said.append):
        from_file(tmp_path / "deep.png", model)
    assert "read as nearly black" in said[0]


def test_thin_strokes_are_not_lost(model, tmp_path):
    values = np.full((600, 600), 255, np.uint8)
    values[100:500, 298:302] = 0  # a pencil's line: a seventh of a pixel of the model
    values[100:104, 200:302] = 0
    own, _, _ = read(values, model, tmp_path)
    assert 20 <= int(own.image.sum()) <= 60


@pytest.mark.parametrize("side", ["bottom", "top", "left", "right"])
def test_a_frame_makes_room_for_the_hidden_part(side, model, tmp_path):
    values, hidden = photo(), np.zeros((420, 380), bool)
    middle_row, middle_column = 60 + 80, 90 + 64
    {"bottom": hidden[middle_row:], "top": hidden[:middle_row], "left": hidden[:, :middle_column],
     "right": hidden[:, middle_column:]}[side][:] = True  # fmt: skip
    own, found, said = read(values, model, tmp_path, hidden)
    assert np.array_equal(found.numpy(), hidden)
    inside = own.enlarge(torch.ones(28, 28, dtype=torch.bool)).numpy()
    assert (inside & (values == 50)).sum() >= 0.8 * (values == 50).sum()
    assert "outside what the model sees" in said


def test_the_hidden_part_is_not_looked_at(model, tmp_path):
    hidden = np.zeros((420, 380), bool)
    hidden[140:] = True
    other = photo()
    other[140:] = np.random.default_rng(0).integers(0, 256, other[140:].shape)
    one, two = (read(values, model, tmp_path, hidden)[0] for values in (photo(), other))
    seen = ~one.reduce(torch.from_numpy(hidden))
    assert (one.crop, one.tone) == (two.crop, two.tone) and torch.equal(one.image[:, seen], two.image[:, seen])


def test_an_image_as_the_model_knows_them_stays_as_it_is(model, tmp_path):
    own, _, said = read(digit().astype(np.uint8) * 255, model, tmp_path)
    assert np.array_equal(own.image[0].numpy(), digit()) and not said


def test_the_grey_values_of_an_image_as_the_model_knows_them_count_as_they_are(model, tmp_path):
    values = np.where(digit(), 200, 0).astype(np.uint8)
    values[4, 7:21], values[7, 7:15] = 255, 120  # the grey pixels are nearer to black
    own, _, _ = read(values, model, tmp_path)
    assert not own.resized and np.array_equal(own.image[0].numpy(), values >= 128)


def test_a_photograph_is_not_taken_for_a_digit(model, tmp_path):
    ramp = np.add.outer(np.arange(120), np.arange(90)).astype(np.uint8)
    own, _, said = read(ramp, model, tmp_path)
    assert own.crop is None and not said


def test_fit_and_invert_can_be_chosen(model, tmp_path):
    own, _, said = read(photo(), model, tmp_path, fit="stretch", invert=False)
    assert own.crop is None and not said and own.image.float().mean() > 0.5
    own, _, said = read(photo(), model, tmp_path, fit="stretch")
    assert own.crop is None and "inverted" in said and own.image.float().mean() < 0.5
    own, _, _ = read(photo(), model, tmp_path, invert=False)
    assert own.crop and not own.tone.inverted
    own, _, _ = read(photo(paper=0, ink=255), model, tmp_path, invert=True)
    assert own.tone.inverted
    with pytest.raises(UserError, match=r"fit=none: .* is 380x420 and the model's images are 28x28"):
        read(photo(), model, tmp_path, fit="none")


def test_what_is_hidden_elsewhere_is_completed_too(model, tmp_path):
    hidden = np.zeros((420, 380), bool)
    hidden[400:410, 300:310] = True  # far from the digit
    own, found, _ = read(photo(), model, tmp_path, hidden)
    assert own.crop is None and own.reduce(found).any()


def test_a_model_of_dark_strokes_on_a_light_ground_gets_them(tmp_path):
    made = tiny_model((1, 28, 28), 2, model="PixelCNN")
    made.trained_on["typical"] = Typical(100, (-0.2,) * len(QUANTILES), 250, 0.714).as_dict()
    hidden = np.zeros((420, 380), bool)
    hidden[60:80, 90:], hidden[400:, :] = True, True  # a part of the digit, and of the paper far from it
    own, found, said = read(photo(), made, tmp_path, hidden)
    assert "inverted" not in said and "outside what the model sees" in said
    seen = own.image[0][~own.reduce(found)]
    assert float(seen.float().mean()) > 0.5  # white paper
    pasted = own.paste(torch.ones(1, 28, 28, dtype=torch.uint8), found)
    assert int((pasted[0, 400:].int() - 235).abs().max()) <= 5


@pytest.mark.parametrize("name", pretrained.names())
def test_bundled_models_know_what_is_typical(name):
    made = pixelrnn.load(name)
    typical, images = Typical.of_model(made), pretrained.examples(name)
    assert typical.ground == (None if name in ("cifar10", "photos") else 0)
    said = []
    with notes_to(said.append):
        say_if_unlike(made, "example", images[:4])
        assert not said
        noise = torch.randint(made.levels, (2, *made.shape), dtype=torch.uint8)
        say_if_unlike(made, "noise", noise)
    assert len(said) == 1 and "noise is unlike what the model was trained on" in said[0]
    if typical.ground == 0 and name != "fashion_mnist":  # clothes differ too much from one another
        with notes_to(said.append):
            say_if_unlike(
                made, "inverted", requantise(255 - requantise(images[:4], made.levels, 256), 256, made.levels)
            )
        assert "inverted is unlike" in said[1]


@pytest.mark.parametrize(
    "typical", [None, 3, {}, {"images": 1}, {**Typical(1, (0.0,) * 7, 0, 0.5).as_dict(), "ground": "x"}]
)
def test_a_stranger_s_nonsense_is_left_alone(typical, model):
    made = tiny_model((1, 4, 4), 2)
    made.trained_on["typical"] = typical
    assert Typical.of_model(made) is None


def test_a_mask_file_among_occlusions_is_like_a_mask(call, tmp_path):
    """Also what the mask hides of the strokes says nothing about the crop, and a part outside of it is told."""
    values, hidden = photo(8), np.zeros((420, 380), bool)
    hidden[150:190, 100:200], hidden[390:, 350:] = True, True
    values[hidden] = 0  # a scribble where something is to be completed
    Image.fromarray(values).save(tmp_path / "photo.png")
    Image.fromarray(hidden.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    pictures = []
    for word in ("mask=mask.png", "occlusions=[{name:mask,path:mask.png}]"):
        words = ["checkpoint=mnist_binary", "image=photo.png", word, "count=1"]
        code, out, err = call("complete", *words, f"hydra.run.dir=out{len(pictures)}")
        assert code == 0, err
        assert "lie outside what the model sees" in out and "of what the model sees" not in out
        pictures.append(np.array(Image.open(tmp_path / f"out{len(pictures)}" / "completions" / "000-000.png")))
    assert (pictures[0] == pictures[1]).all()
