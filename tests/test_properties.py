"""What holds of every image, order, mask and model, on examples that hypothesis draws; the same ones every time."""

import torch
from conftest import accepts, generator, ordering_spec, random_images, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

import pixelrnn
from pixelrnn import ordering as orderings
from pixelrnn.completion import complete
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model import MODELS
from pixelrnn.own_picture import OwnPicture
from pixelrnn.pixels import requantise, to_images, to_sequence
from pixelrnn.ui.painted import from_text, to_text

few, some = (settings(derandomize=True, deadline=None, max_examples=count, database=None) for count in (100, 200))

heights, widths, levels = st.integers(1, 6), st.integers(1, 7), st.integers(2, 256)
channels, seeds = st.sampled_from([1, 3]), st.integers(0, 2**31)
transforms = st.lists(st.sampled_from(sorted(orderings.TRANSFORMS)), max_size=4)
names = st.sampled_from(sorted(orderings.ORDERINGS))


def draw_mask(height, width, seed, least=0):
    """bool (height, width), of any density; at least `least` pixels are True."""
    noise = torch.rand(height, width, generator=generator(seed))
    hidden = noise < torch.rand((), generator=generator(seed + 1))
    return hidden | (noise.flatten().argsort().argsort().view(height, width) < least)


def make(model, height, width, channels, levels, likelihood, ordering, several):
    """A tiny model of the drawn form, as it is used: in single precision."""
    if not accepts(likelihood, levels):
        likelihood = "categorical"
    if model != "SequenceRNN":
        ordering = {"name": "raster", "transforms": ordering["transforms"]}
    shape, orders = (channels, height, width), "symmetries" if several else None
    made = tiny_model(shape, levels, model=model, likelihood=likelihood, ordering=ordering, orders=orders).float()
    made.cursor.index = 0
    return made


@some
@given(heights, widths, names, transforms)
def test_an_ordering_is_a_permutation(height, width, name, steps):
    order = orderings.build(ordering_spec(name, height, width, steps), height, width)
    assert order.sort().values.tolist() == list(range(height * width))


@some
@given(heights, widths, channels, levels, st.integers(0, 3), names, transforms, seeds)
def test_a_sequence_is_the_image(height, width, channels, levels, batch, name, steps, seed):
    images = random_images(batch, (channels, height, width), levels, seed)
    order = orderings.build(ordering_spec(name, height, width, steps), height, width)
    sequence = to_sequence(images, order)
    assert sequence.shape == (batch, height * width, channels)
    assert torch.equal(to_images(sequence, order, height, width).to(torch.uint8), images)


@some
@given(levels, levels, seeds)
def test_more_levels_and_back_is_the_same_image(few_levels, more_levels, seed):
    few_levels, more_levels = sorted((few_levels, more_levels))
    images = random_images(2, (3, 4, 5), few_levels, seed)
    finer = requantise(images, few_levels, more_levels)
    assert torch.equal(requantise(finer, more_levels, few_levels), images) and int(finer.max()) < more_levels
    ends = torch.tensor([0, few_levels - 1], dtype=torch.uint8)
    assert requantise(ends, few_levels, more_levels).tolist() == [0, more_levels - 1]


@some
@given(heights, widths, seeds)
def test_what_is_painted_survives_as_text(height, width, seed):
    states = torch.randint(4, (height, width), generator=generator(seed)).to(torch.uint8)
    assert torch.equal(from_text(to_text(states), height, width), states)


@few
@given(
    st.sampled_from(sorted(MODELS)), heights, widths, channels, levels, st.sampled_from(sorted(LIKELIHOODS)),
    names, transforms, st.booleans(), st.integers(1, 3), st.integers(1, 2), st.sampled_from(["ancestral", "particles"]), seeds,
)  # fmt: skip
def test_a_completion_keeps_the_observed_pixels(
    model, height, width, channels, levels, likelihood, name, steps, several, batch, count, strategy, seed
):
    made = make(model, height, width, channels, levels, likelihood, ordering_spec(name, height, width, steps), several)
    images = random_images(batch, made.shape, levels, seed)
    hidden = torch.stack([draw_mask(height, width, seed + i, least=1) for i in range(batch)])
    drawn = complete(made, images, hidden, count, strategy=strategy, generator=generator(seed), particles=3)
    assert drawn.shape == (batch, count, *made.shape) and drawn.dtype == torch.uint8
    assert int(drawn.max()) < levels
    observed = ~hidden[:, None, None].expand_as(drawn)
    assert torch.equal(drawn[observed], images[:, None].expand_as(drawn)[observed])


@few
@given(
    st.sampled_from(sorted(set(MODELS) - {"InpaintingRNN"})), heights, widths, channels, levels,
    st.sampled_from(sorted(LIKELIHOODS)), names, transforms, st.data(),
)  # fmt: skip
def test_a_prefix_and_the_rest_make_the_whole(model, height, width, channels, levels, likelihood, name, steps, data):
    """log p(prefix) + log p(rest | prefix) = log p(x), where the prefix is what the order visits first."""
    made = make(model, height, width, channels, levels, likelihood, ordering_spec(name, height, width, steps), False)
    first = data.draw(st.integers(0, height * width - 1))
    images = random_images(2, made.shape, levels, data.draw(seeds))
    hidden = torch.zeros(height * width, dtype=torch.bool)
    hidden[made.order[first:]] = True
    hidden = hidden.view(height, width)
    with torch.no_grad():
        prefix = made.pixel_log_probs(images)[:, :first].sum(1)
        blank = images.masked_fill(hidden, 0)  # p(prefix) does not look at the rest
        torch.testing.assert_close(made.pixel_log_probs(blank)[:, :first].sum(1), prefix, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(prefix + made.log_prob(images, hidden), made.log_prob(images), atol=1e-3, rtol=1e-4)


@few
@given(
    st.sampled_from(sorted(MODELS)), heights, widths, channels, levels, st.sampled_from(sorted(LIKELIHOODS)),
    names, transforms, st.booleans(), seeds,
)  # fmt: skip
def test_a_saved_model_comes_back(
    tmp_path_factory, model, height, width, channels, levels, likelihood, name, steps, several, seed
):
    made = make(model, height, width, channels, levels, likelihood, ordering_spec(name, height, width, steps), several)
    folder = tmp_path_factory.mktemp("model")
    pixelrnn.save(made, folder)
    loaded, images = pixelrnn.load(folder), random_images(2, made.shape, levels, seed)
    assert torch.equal(loaded.log_prob(images), made.log_prob(images)) and loaded.arguments == made.arguments


@some
@given(heights, widths, st.integers(1, 20), st.integers(1, 20), channels, levels, seeds)
def test_a_completion_is_pasted_where_it_is_hidden(height, width, own_height, own_width, channels, levels, seed):
    picture = random_images(1, (channels, own_height, own_width), 256, seed)[0]
    own = OwnPicture(picture, random_images(1, (channels, height, width), levels, seed + 1)[0], levels)
    hidden = draw_mask(own_height, own_width, seed)
    completed = random_images(1, (channels, height, width), levels, seed + 2)[0]
    pasted = own.paste(completed, hidden)
    assert pasted.shape == picture.shape and pasted.dtype == torch.uint8
    assert torch.equal(pasted[:, ~hidden], picture[:, ~hidden])
    shown = requantise(completed, levels, 256)
    assert {tuple(pixel) for pixel in pasted[:, hidden].T.tolist()} <= {tuple(p) for p in shown.flatten(1).T.tolist()}
    assert bool(own.reduce(hidden).any()) == bool(hidden.any())
    of_model = draw_mask(height, width, seed)
    assert not bool((of_model & ~own.reduce(own.enlarge(of_model))).any()), "each of its hidden pixels is hidden"
    if not own.resized:
        assert torch.equal(own.reduce(hidden), hidden) and torch.equal(own.enlarge(hidden), hidden)
