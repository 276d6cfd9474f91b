"""data=photos: patches of photographs of any sizes, and the training of a model on them."""

import numpy as np
import pytest
import torch
from conftest import random_images, tiny_model
from PIL import Image

from pixelrnn.cli import main
from pixelrnn.datasets import load
from pixelrnn.errors import UserError
from pixelrnn.occlusion import draw


def save(path, height, width, colour=True, seed=0):
    size = (height, width, 3) if colour else (height, width)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.RandomState(seed).randint(256, size=size).astype(np.uint8)).save(path)


pytestmark = pytest.mark.filterwarnings("ignore:.*has too few pictures", "ignore:photos of .* left out")


@pytest.fixture
def root(tmp_path):
    for i, (height, width) in enumerate([(40, 30), (16, 90), (25, 25), (70, 20)]):
        save(tmp_path / "photos" / f"{i}.png", height, width, colour=i != 2, seed=i)
    return tmp_path / "photos"


def read(root, **options):
    return load({"name": "photos", "root": str(root), **options})


def places_of(patch, photo):
    """Where a patch, (channels, side, side), lies in a photo."""
    side = patch.shape[-1]
    spots = photo.unfold(1, side, 1).unfold(2, side, 1)
    return (spots == patch[:, None, None]).all(dim=-1).all(dim=-1).all(dim=0).nonzero().tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_parts_of_the_photos(root, channels):
    data = read(root, size=8, channels=channels)
    assert data.shape == (channels, 8, 8) and data.levels == 256
    train = data.train
    photos = [
        train.values[begin : begin + h * w * channels].view(h, w, channels).permute(2, 0, 1)
        for begin, h, w in train.places.tolist()
    ]
    found = [[bool(places_of(patch, photo)) for photo in photos] for patch in train.draw(60)]
    assert all(any(hits) for hits in found)
    assert len({hits.index(True) for hits in found}) > 2  # of several photos, and of reduced copies
    assert len(data.valid) == len(data.test) == 256


def test_training_patches_are_drawn_anew_from_torchs_generator(root):
    data, index = read(root, size=8), torch.arange(20)
    torch.manual_seed(1)
    first, second = data.training_batch(index), data.training_batch(index)
    assert first.dtype == torch.uint8 and first.shape == (20, 3, 8, 8) and not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(data.training_batch(index), first)
    assert data.train_digests is None
    again = read(root, size=8)
    assert torch.equal(again.valid, data.valid) and torch.equal(again.test, data.test)


def test_some_patches_are_grey_and_most_are_changed(root):
    train = read(root, size=8).train
    torch.manual_seed(0)
    drawn = train[torch.arange(300)]
    grey = (drawn == drawn[:, :1]).flatten(1).all(1).float().mean()
    assert 0.02 < grey < 0.6  # one of the four photos is grey


def test_photos_smaller_than_a_patch_are_left_out_with_a_note(root, tmp_path):
    for part in ("train", "valid", "test"):
        save(tmp_path / "some" / part / "large.png", 30, 30)
    save(tmp_path / "some" / "train" / "small.png", 7, 40)
    with pytest.warns(UserWarning, match=r"left out: 1 smaller than a patch of 8x8 \(data.size\)"):
        read(tmp_path / "some", size=8)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (
            {"size": 64},
            "none of the .* photos in .* is as large as a patch of 64x64; .* short side of 20: set data.size",
        ),
        ({"levels": 16}, "data=photos keeps the 256 levels"),
        ({"binarization": "threshold"}, "data=photos keeps the 256 levels"),
    ],
)
def test_what_it_refuses(root, options, pattern):
    with pytest.raises(UserError, match=pattern):
        read(root, **options)
    with pytest.raises(UserError, match=r"data=photos needs data\.root"):
        load({"name": "photos"})


def test_masks_of_an_update_are_of_one_kind():
    torch.manual_seed(0)
    for _ in range(20):
        counts = draw("damage", 16, 64, 64, alike=True).flatten(1).sum(1)
        assert counts.max() < 4096 * 0.6 or counts.median() > 100  # no mask of everything among scratches
    counts = draw("damage", 300, 64, 64).flatten(1).float().mean(1)
    assert counts.min() < 0.05 and counts.max() > 0.9


@pytest.mark.parametrize("likelihood", ["categorical", "logistic_mixture"])
def test_what_training_maximises_is_log_p_of_the_hidden_pixels(likelihood, monkeypatch):
    model = tiny_model((1, 8, 8), 16, model="InpaintingRNN", likelihood=likelihood)
    images, hidden = random_images(3, (1, 8, 8), 16), draw("damage", 3, 8, 8)
    drawn = torch.stack([model.training_log_prob(images, hidden) for _ in range(8)])
    assert torch.isfinite(drawn).all() and len(drawn.sum(1).unique()) > 1  # tiles and borders are drawn at random
    monkeypatch.setattr(type(model), "_random_tile", lambda self, border=False: torch.ones(8, 8, dtype=torch.bool))
    found = model.training_log_prob(images, hidden)
    torch.testing.assert_close(found, model.fill_log_prob(images, hidden))
    torch.testing.assert_close(model.training_log_prob(images), model.log_prob(images))


def test_the_expected_values_learn_from_their_squared_error_too(monkeypatch):
    """The gradient is that of log p, and of a normal log p around the expected values with each image's own variance."""
    model = tiny_model((3, 8, 8), 16, model="InpaintingRNN", likelihood="logistic_mixture")
    images, hidden = random_images(4, (3, 8, 8), 16), draw("damage", 4, 8, 8)
    monkeypatch.setattr(type(model), "_random_tile", lambda self, border=False: torch.ones(8, 8, dtype=torch.bool))

    def gradients(objective):
        model.zero_grad()
        objective.sum().backward()
        return [model.expected.weight.grad.clone(), model.expected.bias.grad.clone()]

    total = gradients(model.training_log_prob(images, hidden))
    of_log_p = gradients(model.fill_log_prob(images, hidden))
    _, _, errors = model._score(images, hidden)
    values = 3 * hidden.flatten(1).sum(1)
    of_normal = gradients(-values / 2 * torch.log(errors.sum(1) / values + 2e-5))
    for whole, one, other in zip(total, of_log_p, of_normal, strict=True):
        torch.testing.assert_close(whole, one + other)
        assert other.abs().max() > 0


def test_a_model_is_trained_on_photos_and_the_run_goes_on(root, tmp_path, monkeypatch, capsys):
    command = [
        "pixelrnn train experiment=photos", f"data.root={root} data.size=8 training.samples=1",
        "model.width=6 model.encoder_width=3 model.head=8 model.window=3 training.valid_limit=4",
        f"training.validate_every=2 hydra.run.dir={tmp_path}/run",
    ]  # fmt: skip
    for epochs, said in ((1, "InpaintingRNN"), (2, "goes on from update")):
        monkeypatch.setattr("sys.argv", [*" ".join(command).split(), f"training.epochs={epochs}"])
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        output = capsys.readouterr()
        assert said in output.out + output.err
