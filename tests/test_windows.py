"""Pictures of any size, completed window by window: one distribution that sums to 1, drawn as it is computed."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from conftest import INPAINTING, accepts, every_pair, generator, random_images, tiny_model
from PIL import Image

import pixelrnn
from pixelrnn.completion.windows import complete_windows, for_few_draws, log_probs, rounds, tiles
from pixelrnn.errors import UserError, notes_to
from pixelrnn.training.update import Objective

CASES = every_pair(
    lambda case: accepts(case["likelihood"], 2),
    size=[(1, 1), (3, 4), (5, 9), (12, 6)],  # of the picture; the windows are 4×4 or 4×8, with tiles of 2×2 or 2×4
    shape=[(1, 4, 4), (1, 4, 8)],
    **{**INPAINTING, "orders": [None]},
)
DRAWS = 20_000


def make(case):
    options = {key: value for key, value in case.items() if key not in ("size", "shape")}
    return tiny_model(case["shape"], 2, **options)


def masks(height, width, number=4):
    """Masks of one to eight hidden pixels, which lie together or apart."""
    draw = generator(1)
    for k in range(number):
        hidden = torch.zeros(height * width, dtype=torch.bool)
        chosen = torch.randperm(height * width, generator=draw)[: 8 - 2 * k]
        hidden[
            chosen if k % 2 else chosen.sort().values[:1] + torch.arange(min(6, height * width - int(chosen.min())))
        ] = True
        yield hidden.view(height, width)


def all_values(hidden):
    """Every filling of the hidden pixels: uint8 (2^pixels, 1, pixels)."""
    return torch.tensor(list(product(range(2), repeat=int(hidden.sum()))), dtype=torch.uint8)[:, None]


@pytest.mark.parametrize("case", CASES)
def test_the_probabilities_of_all_fillings_sum_to_one(case):
    model, picture = make(case), random_images(1, (1, *case["size"]), 2)[0]
    for hidden in masks(*case["size"]):
        nats = log_probs(model, picture, hidden, all_values(hidden))
        assert abs(float(nats.exp().sum()) - 1) < 1e-5
        other = picture.masked_fill(hidden, 0)  # what is under the mask has no influence
        torch.testing.assert_close(log_probs(model, other, hidden, all_values(hidden)), nats)


@pytest.mark.parametrize("case", CASES)
def test_draws_report_their_probability_and_keep_the_observed_pixels(case):
    model, picture = make(case), random_images(1, (1, *case["size"]), 2)[0]
    for hidden in masks(*case["size"]):
        found = complete_windows(model, picture, hidden, 5, generator=generator())
        torch.testing.assert_close(found.log_probs, log_probs(model, picture, hidden, found.draws))
        again = complete_windows(model, picture, hidden, 5, generator=generator())
        assert torch.equal(found.draws, again.draws)
        for whole in (found.draw(4), found.mean):
            assert torch.equal(whole[:, ~hidden], picture[:, ~hidden]) and whole.dtype == torch.uint8


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic_mixture"])
def test_draws_and_means_are_those_of_the_distribution(likelihood):
    model, picture = tiny_model((1, 4, 4), 2, model="InpaintingRNN", likelihood=likelihood), torch.zeros(1, 4, 7).byte()
    hidden = torch.zeros(4, 7, dtype=torch.bool)
    hidden[1, 1] = hidden[1, 2] = hidden[2, 4] = hidden[3, 6] = True
    probabilities = log_probs(model, picture, hidden, all_values(hidden)).exp()
    found = complete_windows(model, picture, hidden, DRAWS, generator=generator())
    codes = (found.draws[:, 0].long() * torch.tensor([8, 4, 2, 1])).sum(1)
    shares = torch.bincount(codes, minlength=16).double() / DRAWS
    assert float((shares - probabilities).abs().max()) < 0.015
    if likelihood == "bernoulli":  # of a mixture of logistics, the mean is that before rounding to levels
        expected = (probabilities[:, None] * all_values(hidden)[:, 0]).sum(0)
        torch.testing.assert_close(found.means[0].double(), expected, atol=0.015, rtol=0)


@pytest.mark.parametrize("orders", [None, "symmetries"])
def test_a_picture_of_the_models_size_is_one_of_its_images(orders):
    model = tiny_model((3, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture", orders=orders)
    picture, holes = random_images(1, (3, 8, 8), 256), torch.zeros(4, 8, 8, dtype=torch.bool)
    holes[0, 2:6, 2:6] = holes[1, :4] = holes[2, :, :3] = holes[3] = True
    for hidden in holes:
        with torch.no_grad():
            nats = model.log_prob(picture, hidden)
        torch.testing.assert_close(log_probs(model, picture[0], hidden, picture[:, :, hidden])[0], nats[0])


def test_a_tile_of_a_larger_picture_has_the_probability_of_its_window():
    model = tiny_model((3, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture", orders="symmetries")
    picture, hidden = random_images(1, (3, 12, 12), 256), torch.zeros(12, 12, dtype=torch.bool)
    hidden[4:8, 4:8] = True  # a tile, in the middle of the window of 8x8 pixels from 2, 2 on
    window = slice(2, 10)
    with torch.no_grad(), model.along(0):
        nats = model.fill_log_prob(picture[:, :, window, window], hidden[None, window, window])
    torch.testing.assert_close(log_probs(model, picture[0], hidden, picture[:, :, hidden])[0], nats[0])


@pytest.mark.parametrize("size", [(1, 1), (5, 31), (40, 17), (64, 64)])
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
def test_each_hidden_pixel_lies_in_one_tile_and_no_neighbours_share_a_round(size, share):
    hidden = torch.rand(size, generator=generator(3)) < share
    hidden[-1, -1] = True
    corners = tiles(hidden, 8, 8)
    covered = torch.zeros(size[0] + 32, size[1] + 32, dtype=torch.int)
    for y, x in (corners + 16).tolist():
        covered[y : y + 8, x : x + 8] += 1
    inside = covered[16 : 16 + size[0], 16 : 16 + size[1]]
    assert bool((inside[hidden] == 1).all()) and int(covered.max()) == 1
    known = torch.nn.functional.pad(~hidden, (16,) * 4)
    seen = []
    for chosen in rounds(known, corners + 16, (8, 8), (4, 4)):
        apart = (chosen[:, None] - chosen[None]).abs().amax(2)
        assert bool((apart[apart > 0] >= 16).all())
        for y, x in chosen.tolist():
            known[y : y + 8, x : x + 8] = True
        seen.append(chosen)
    assert len(seen) <= 40
    together = torch.cat(seen)
    assert len(together) == len(corners) == len(together.unique(dim=0))


@pytest.mark.parametrize("height", [*range(1, 21), 25, 34, 40, 44, 62])  # those of windows of 64 and 72 are 40 and 44
def test_tiles_of_any_size_cover_each_hidden_pixel_once(height):
    width = 23
    hidden = torch.rand(90, 70, generator=generator(height)) < 0.01
    covered, edge = torch.zeros(300, 300, dtype=torch.int), 100
    for y, x in (tiles(hidden, height, width) + edge).tolist():
        assert hidden[max(0, y - edge) : y - edge + height, max(0, x - edge) : x - edge + width].any()
        covered[y : y + height, x : x + width] += 1
    assert bool((covered[edge : edge + 90, edge : edge + 70][hidden] == 1).all()) and int(covered.max()) == 1


def test_a_small_hole_lies_in_one_tile():
    for y, x in ((0, 0), (13, 29), (30, 31)):
        hidden = torch.zeros(64, 64, dtype=torch.bool)
        hidden[y : y + 16, x : x + 16] = True
        assert len(tiles(hidden, 32, 32)) == 1


def test_a_large_hole_is_closed_from_its_border():
    hidden = torch.ones(40, 40, dtype=torch.bool)
    hidden[0] = False
    known = torch.nn.functional.pad(~hidden, (16,) * 4)
    first = next(iter(rounds(known, tiles(hidden, 8, 8) + 16, (8, 8), (4, 4))))
    assert int(first[:, 0].max()) <= 16 + 8  # the tiles below the only known row


@pytest.mark.parametrize("likelihood", ["categorical", "logistic_mixture"])
def test_the_intervals_are_those_of_the_exact_marginals(likelihood):
    levels, hidden = 6, torch.zeros(4, 7, dtype=torch.bool)
    hidden[1, 2], hidden[1, 3], hidden[3, 6] = True, True, True
    model, picture = (
        tiny_model((1, 4, 4), levels, model="InpaintingRNN", likelihood=likelihood),
        torch.zeros(1, 4, 7).byte(),
    )
    fillings = torch.tensor(list(product(range(levels), repeat=3)), dtype=torch.uint8)[:, None]
    weights = log_probs(model, picture, hidden, fillings).exp()
    of_levels = torch.stack([(weights[:, None] * (fillings[:, 0] == level)).sum(0) for level in range(levels)])
    at_most = of_levels.cumsum(0)  # (levels, pixels)
    found = complete_windows(model, picture, hidden, 3000, generator=generator())
    for share, ends in ((0.05, found.low), (0.95, found.high)):
        sure = ((at_most - share).abs() > 0.01).all(0)
        assert sure.any()
        assert torch.equal(ends[0][sure].long(), (at_most < share).sum(0)[sure])


@pytest.mark.parametrize("draws", [3, 6, 16])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])  # of the variance that is between the draws
def test_intervals_of_a_few_draws_hold_nine_tenths(draws, share):
    random = torch.Generator().manual_seed(draws)
    likelihood = tiny_model((1, 4, 4), 256, model="InpaintingRNN", likelihood="logistic_mixture").likelihood
    n, deviation = 3000, 20 / 127.5  # 20 levels in all

    def normal(count):
        return torch.randn(count, n, 1, generator=random, dtype=torch.float64) * math.sqrt(share) * deviation

    within = math.sqrt(1 - share) * deviation * math.sqrt(3) / math.pi  # the scale of a logistic distribution
    parameters = torch.zeros(draws, n, 10, 3, dtype=torch.float64)  # of each component: weight, mean, log scale
    parameters[..., 1], parameters[..., 2] = normal(draws), math.log(within)
    parameters, values = parameters.flatten(2), torch.zeros(draws, n, 1, dtype=torch.int64)
    u = torch.rand(n, 1, generator=random, dtype=torch.float64)
    new = ((normal(1)[0] + within * (u / (1 - u)).log() + 1) * 127.5).round()
    low, high = likelihood.quantiles(parameters, values, (0.05, 0.95))
    narrow = ((new >= low) & (new <= high)).double().mean()
    low, high = for_few_draws(low, high, likelihood.mean(parameters, values), 256)
    held = ((new >= low) & (new <= high)).double().mean()
    assert held >= narrow and 0.86 < held < 0.94
    assert narrow < 0.8 or (draws, share) != (3, 0.9)


def test_a_single_draw_leaves_its_intervals_and_levels_have_ends():
    low, high = torch.tensor([[0], [3]]), torch.tensor([[1], [5]])
    for draws, expected in ((1, [[0.5], [4.0]]), (2, [[0.0], [3.0]])):
        found = for_few_draws(low, high, torch.tensor([expected] * draws), 6)
        assert torch.equal(found[0], low) and torch.equal(found[1], high)
    low, high = torch.tensor([[0], [1]]), torch.tensor([[4], [5]])
    found = for_few_draws(low, high, torch.tensor([[[0.0], [0.0]], [[5.0], [5.0]]]), 6)
    assert (found[0] == 0).all() and (found[1] == 5).all()


def test_even_one_draw_has_intervals_that_hold_its_likes():
    model = tiny_model((3, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture")
    picture, hidden = random_images(1, (3, 30, 40), 256)[0], torch.rand(30, 40, generator=generator(3)) < 0.3
    found = complete_windows(model, picture, hidden, 1, generator=generator())
    assert (found.low <= found.high).all()
    held = ((found.draws[0] >= found.low) & (found.draws[0] <= found.high)).float().mean()
    assert held > 0.88


@pytest.mark.parametrize(
    ("picture", "hidden", "message"),
    [
        (torch.zeros(1, 5, 5).byte(), torch.ones(5, 5).bool(), "this model takes torch.uint8 (3, height, width)"),
        (torch.zeros(3, 5, 5), torch.ones(5, 5).bool(), "torch.float32"),
        (torch.zeros(3, 5, 5).byte(), torch.ones(5, 4).bool(), "must be torch.bool (5, 5)"),
        (torch.zeros(3, 5, 5).byte(), torch.zeros(5, 5).bool(), "hides nothing"),
        (
            torch.full((3, 5, 5), 7).byte(),
            torch.eye(5).bool(),
            "the value 7; this model has 4 levels, 0 to 3: for 8-bit",
        ),
    ],
)
def test_what_does_not_fit_is_refused(picture, hidden, message):
    model = tiny_model((3, 4, 4), 4, model="InpaintingRNN", likelihood="categorical")
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        complete_windows(model, picture, hidden)


def test_progress_counts_the_hidden_pixels():
    model, told = tiny_model((1, 4, 4), 2, model="InpaintingRNN", likelihood="bernoulli"), []
    hidden = torch.ones(6, 7, dtype=torch.bool)
    complete_windows(model, torch.zeros(1, 6, 7).byte(), hidden, 2, progress=lambda *at: told.append(at))
    assert [at[0] for at in told] == sorted(at[0] for at in told) and told[-1][:2] == (42, 42)
    assert told[0][2].shape == (1, 1, 6, 7)


def test_the_mean_varies_less_than_the_mean_of_the_draws():
    model = tiny_model((1, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture")
    picture, hidden = random_images(1, (1, 8, 8), 256)[0], torch.ones(8, 8, dtype=torch.bool)
    runs = [complete_windows(model, picture, hidden, 4, generator=generator(seed)) for seed in range(30)]
    of_means = torch.stack([run.means for run in runs]).var(0).mean()
    of_draws = torch.stack([run.draws.float().mean(0) for run in runs]).var(0).mean()
    assert of_means < of_draws and math.isfinite(of_means)


# --- pictures as PIL, NumPy and torch have them ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos():
    return tiny_model((3, 8, 8), 256, model="InpaintingRNN", likelihood="logistic_mixture")


def test_the_same_completions_of_pil_numpy_and_torch(photos, tmp_path):
    picture, hidden = random_images(1, (3, 9, 13), 256)[0], torch.zeros(9, 13, dtype=torch.bool)
    hidden[3:5, 4:11] = True
    array, mask = picture.permute(1, 2, 0).numpy(), Image.fromarray((hidden.numpy() * 255).astype(np.uint8))
    given = [
        (picture, hidden),
        (array, hidden.numpy()),
        (Image.fromarray(array), mask),
        (Image.fromarray(array), mask.convert("1")),
    ]
    found = [pixelrnn.complete_picture(*pair, photos, count=2, generator=generator()) for pair in given]
    for one in found[1:]:
        assert torch.equal(one.draws, found[0].draws) and torch.equal(one.draw(1), found[0].draw(1))
    pixelrnn.save(photos.float(), tmp_path / "photos")
    again = pixelrnn.complete_picture(picture, hidden, tmp_path / "photos", count=2, generator=generator())
    assert again.draws.shape == (2, 3, 14) and torch.equal(again.draw(0)[:, ~hidden], picture[:, ~hidden])
    photos.double()


def test_a_grey_picture_is_completed_as_one_with_equal_channels(photos):
    grey, hidden = random_images(1, (1, 5, 6), 256)[0], torch.ones(5, 6, dtype=torch.bool).triu()
    forms = (grey, grey[0].numpy(), Image.fromarray(grey[0].numpy()), grey.expand(3, -1, -1))
    found = [pixelrnn.complete_picture(form, hidden, photos, count=1, generator=generator()) for form in forms]
    assert all(torch.equal(one.draws, found[0].draws) for one in found) and found[0].draw(0).shape == (3, 5, 6)


def turned(image):
    image.getexif()[0x0112] = 6
    return image


def test_pil_images_are_understood_as_files_are(photos):
    values = np.arange(35, dtype=np.uint16).reshape(5, 7) * 257 * 7
    opaque = Image.merge("RGBA", [*random_rgb(5, 7).split(), Image.new("L", (7, 5), 255)])
    strokes = np.zeros((5, 7, 4), np.uint8)
    strokes[1, 2:5] = 255, 0, 0, 255
    for picture, stored in ((Image.fromarray(values), values // 257), (opaque, np.array(opaque.convert("RGB")))):
        found = pixelrnn.complete_picture(picture, Image.fromarray(strokes), photos, count=1, generator=generator())
        assert found.hidden.nonzero().tolist() == [[1, 2], [1, 3], [1, 4]]
        observed = found.draw(0)[:, ~found.hidden].numpy()
        assert (observed == (stored if stored.ndim == 3 else stored[..., None])[~found.hidden.numpy()].T).all()


def test_a_pil_picture_is_brought_to_the_levels_of_a_model_of_few():
    model = tiny_model((1, 6, 6), 4, model="InpaintingRNN", likelihood="categorical")
    hidden, said = torch.eye(7, dtype=torch.bool), []
    with notes_to(said.append):
        found = pixelrnn.complete_picture(Image.new("L", (7, 7), 200), hidden, model, count=1, generator=generator())
    assert (found.draw(0)[:, ~hidden] == 2).all() and any("reduced to the 4" in text for text in said)
    values = torch.full((1, 7, 7), 3, dtype=torch.uint8).masked_fill(hidden, 255)  # which hidden pixels may hold
    found = pixelrnn.complete_picture(values, hidden, model, count=1, generator=generator())
    assert (found.draw(0)[:, ~hidden] == 3).all()


def test_another_default_dtype_changes_nothing(photos):
    hidden = torch.zeros(20, 20, dtype=torch.bool)
    hidden[2:15, 2:15] = True
    draws, widths, means = [], [], []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            found = pixelrnn.complete_picture(random_rgb(20, 20), hidden, photos, count=1, generator=generator())
            draws.append(found.draw(0))
            widths.append(found.interval_widths)
            means.append(found.means)
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(*draws) and torch.equal(*widths) and torch.equal(*means)


def random_rgb(height, width):
    return Image.fromarray(random_images(1, (3, height, width), 256)[0].permute(1, 2, 0).numpy())


def test_the_best_draw_is_the_most_probable_and_the_repr_is_short(photos):
    hidden = torch.ones(5, 6, dtype=torch.bool)
    found = pixelrnn.complete_picture(random_rgb(5, 6), hidden, photos, count=4, generator=generator())
    assert torch.equal(found.best, found.draw(int(found.log_probs.argmax())))
    assert repr(found) == "PictureCompletions(4 draws of 30 hidden pixels of 6x5)"


def test_the_callers_picture_may_change_afterwards(photos):
    for picture in (torch.full((3, 4, 5), 7, dtype=torch.uint8), np.full((4, 5, 3), 7, np.uint8)):
        hidden = torch.zeros(4, 5, dtype=torch.bool)
        hidden[0, 0] = True
        found = pixelrnn.complete_picture(picture, hidden, photos, count=1, generator=generator())
        picture[:] = 0
        hidden[:] = True
        assert (found.mean[:, 1:] == 7).all() and found.hidden.sum() == 1


def test_what_is_no_generator_is_refused(photos):
    with pytest.raises(UserError, match="generator=3 is no generator"):
        pixelrnn.complete_picture(np.zeros((5, 5), np.uint8), np.ones((5, 5), bool), photos, generator=3)
    with pytest.raises(UserError, match="progress=True is no function"):
        pixelrnn.complete_picture(np.zeros((5, 5), np.uint8), np.ones((5, 5), bool), photos, progress=True)


@pytest.mark.parametrize(
    ("picture", "hidden", "message"),
    [
        ("photo.jpg", torch.ones(5, 5).bool(), "the picture is a str"),
        (Image.new("RGBA", (5, 5)), torch.ones(5, 5).bool(), "partly transparent"),
        (np.zeros(5, np.uint8), torch.ones(5).bool(), "the picture is uint8 \\(5,\\); give uint8"),
        (
            [Image.new("L", (5, 5))],
            torch.ones(5, 5).bool(),
            "a list of Image; give a PIL picture, a NumPy array or a tensor",
        ),
        (np.zeros((5, 5, 4), np.uint8), torch.ones(5, 5).bool(), "the picture is uint8 \\(5, 5, 4\\); give uint8"),
        (np.zeros((5, 5, 3)), torch.ones(5, 5).bool(), "float64 .* \\(255 \\* picture\\).round"),
        (torch.zeros(1, 3, 5, 5).byte(), torch.ones(5, 5).bool(), "torch.uint8 \\(1, 3, 5, 5\\)"),
        (turned(Image.new("RGB", (5, 5))), torch.ones(5, 5).bool(), "EXIF orientation 6.*exif_transpose"),
        (Image.new("I", (5, 5), 70_000), torch.ones(5, 5).bool(), "the picture holds values from 70000"),
        (np.zeros((5, 5, 3), np.uint8), Image.new("L", (5, 5)), "mask hidden hides nothing"),
        (
            np.zeros((5, 5, 3), np.uint8),
            np.ones((5, 5), np.uint8),
            "hidden is torch.uint8 .*must be torch.bool .*mask > 127",
        ),
        (np.zeros((5, 5, 3), np.uint8), [[True]], "hidden is a list of list; give"),
        (np.zeros((5, 5, 3), np.uint8), Image.new("L", (4, 5), 255), "must be torch.bool \\(5, 5\\)"),
    ],
)
def test_what_is_no_picture_or_no_mask_is_refused(photos, picture, hidden, message):
    with pytest.raises(UserError, match=message):
        pixelrnn.complete_picture(picture, hidden, photos)


def test_a_model_of_images_of_one_size_is_refused():
    with pytest.raises(UserError, match="SequenceRNN completes images of one size"):
        pixelrnn.complete_picture(np.zeros((5, 5), np.uint8), np.ones((5, 5), bool), "digits")
    with pytest.raises(UserError, match="model is a NoneType; give a model"):
        pixelrnn.complete_picture(np.zeros((5, 5), np.uint8), np.ones((5, 5), bool), None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window=0: the side of the window of pixels drawn before is odd"),
        ({"window": 4}, "window=4"),
        ({"dropout": 2.0}, "dropout=2.0: it is in"),
        ({"encoder_width": 0}, "encoder_width=0: it is at least 1"),
    ],
)
def test_options_that_make_no_model_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        tiny_model(model="InpaintingRNN", **options)


@pytest.mark.parametrize("bptt", ["truncated", "checkpointed"])
def test_training_that_would_save_no_memory_is_refused(bptt):
    with pytest.raises(UserError, match=f"^bptt={bptt}.* InpaintingRNN .*use bptt=full"):
        Objective(tiny_model(model="InpaintingRNN"), bptt)


def test_a_window_of_one_pixel_has_no_middle_to_draw():
    model = tiny_model((1, 1, 4), 2, model="InpaintingRNN")
    with pytest.raises(UserError, match="at least 2x2 pixels"):
        complete_windows(model, torch.zeros(1, 3, 3).byte(), torch.ones(3, 3).bool())
