"""Completion: the draws of a naive sampler, the exact conditional, and observed pixels as they were."""

import copy
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import (
    ENSEMBLES,
    INPAINTING,
    PAPER,
    SEEING,
    accepts,
    all_images,
    every_pair,
    generator,
    ordering_spec,
    random_images,
    tiny_model,
)
from PIL import Image

from pixelrnn.cell import CELLS
from pixelrnn.completion import complete, complete_in_detail, is_exact, sample
from pixelrnn.completion.describe import how_drawn
from pixelrnn.completion.parts import check_generator, noises
from pixelrnn.errors import UserError
from pixelrnn.files.pictures import to_picture
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.occlusion import build as occlude
from pixelrnn.ordering import ORDERINGS
from pixelrnn.products import Packable

CASES = every_pair(
    lambda case: accepts(case["likelihood"], case["images"][-1]),
    cell=list(CELLS),
    likelihood=list(LIKELIHOODS),
    ordering=list(ORDERINGS),
    window=[0, 3],
    bidirectional=[False, True],
    orders=[None, "symmetries", ["raster", "spiral"]],
    images=[(1, 4, 4, 2), (3, 3, 4, 2), (1, 3, 5, 17)],
)
CASES += every_pair(
    lambda case: accepts(case["likelihood"], case["images"][-1]),
    images=[(1, 4, 4, 2), (3, 3, 4, 2), (1, 3, 5, 17)],
    **PAPER,
)
CASES += every_pair(
    lambda case: accepts(case["likelihood"], case["images"][-1]),
    images=[(1, 4, 4, 2), (3, 3, 4, 2), (1, 3, 5, 17)],
    **INPAINTING,
)
for ensembles in (ENSEMBLES, SEEING):
    CASES += every_pair(
        lambda case: accepts(case["likelihood"], case["images"][-1]),
        images=[(1, 4, 4, 2), (3, 3, 4, 2), (1, 3, 5, 17)],
        **ensembles,
    )
BINARY = every_pair(cell=list(CELLS), likelihood=list(LIKELIHOODS), window=[0, 3])
BINARY += every_pair(model=PAPER["model"], likelihood=list(LIKELIHOODS), layer=PAPER["layer"])
BINARY += every_pair(model=["Ensemble"], members=ENSEMBLES["members"], likelihood=list(LIKELIHOODS))
MASKS = torch.tensor([[bits >> i & 1 for i in range(4)] for bits in range(1, 16)]).bool().view(-1, 2, 2)
DRAWS = 20_000


def make(case, **options):
    channels, height, width, levels = case.get("images", (1, 2, 2, 2))
    paper = "model" in case
    ordering = case.get("ordering", "raster" if paper else "snake")
    if isinstance(ordering, str):
        ordering = ordering_spec(ordering, height, width)
    chosen = {"depth": 2} | {key: value for key, value in case.items() if key not in ("images", "ordering")}
    return tiny_model((channels, height, width), levels, ordering=ordering, **chosen, **options)


def naive(model, images, hidden, count, temperature, draw, chosen=None):
    """Ancestral completion that runs the whole model again for each pixel, in each image's best order or a chosen one."""
    completed = torch.empty(len(images), count, *model.shape, dtype=torch.uint8)
    for order, rows in model.by_best_order(hidden) if chosen is None else [(chosen, torch.arange(len(images)))]:
        canvas, masks = images[rows].repeat_interleave(count, 0), hidden[rows].repeat_interleave(count, 0)
        noise = noises(model, len(canvas), int(masks.flatten(1).any(0).sum()), draw)
        canvas = torch.where(masks[:, None], torch.randint(model.levels, canvas.shape, dtype=torch.uint8), canvas)
        for t, pixel in enumerate(model.orders[order].tolist()):
            row, column = divmod(pixel, model.shape[2])
            here = masks[:, row, column]
            if here.any():
                with torch.no_grad(), model.along(order):
                    drawn = model.likelihood.draw(model(canvas, masks)[:, t], next(noise), temperature).to(torch.uint8)
                canvas[here, :, row, column] = drawn[here]
        completed[rows] = canvas.unflatten(0, (-1, count))
    return completed


@pytest.mark.parametrize(
    ("number", "case"), [pytest.param(i, *param.values, id=param.id) for i, param in enumerate(CASES)]
)
def test_the_draws_of_a_naive_sampler(number, case):
    """With a mask for each image; and with one of three masks for all images, in turn."""
    model = make(case)
    height, width = model.shape[1:]
    images = random_images(3, model.shape, model.levels)
    each_its_own = torch.stack([occlude({"name": "random_pixels", "seed": seed}, height, width) for seed in range(3)])
    for_all = [
        (occlude("all", height, width), 2, 1.0),
        (occlude("half", height, width), 3, 0.7),
        (occlude({"name": "half", "side": "top"}, height, width), 1, 1.0),
    ]
    for hidden, count, temperature in (each_its_own, 4, 1.3), for_all[number % 3]:
        got = complete(
            model, images, hidden, count, strategy="ancestral", temperature=temperature, generator=generator()
        )
        whole = hidden.expand(3, height, width)
        expected = naive(model, images, whole, count, temperature, generator())
        assert got.dtype == torch.uint8 and got.shape == (3, count, *model.shape)
        assert torch.equal(got, expected)
        observed = ~whole[:, None, None].expand_as(got)
        assert torch.equal(got[observed], images[:, None].expand_as(got)[observed])
        garbage = torch.where(whole[:, None], model.levels - 1 - images, images)
        again = complete(
            model, garbage, hidden, count, strategy="ancestral", temperature=temperature, generator=generator()
        )
        assert torch.equal(again, got)


def count_images(drawn):
    """How often each of the 16 binary 2x2 images is among them, in the order of all_images."""
    return torch.bincount((drawn.flatten(1).long() * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16).double()


def fill_errors(model):
    """For each mask, by how much the plain fill misses p(hidden | observed), the worst of all 2x2 images: (15,)."""
    images, errors = all_images(1, 2, 2, 2), []
    with torch.no_grad():
        joint = model.log_prob(images).exp()
        for hidden in MASKS:
            share = ((images[:, None] == images) | hidden).flatten(2).all(2).double()  # (16, 16): the same is observed
            errors.append((model.fill_log_prob(images, hidden).exp() - joint / (share @ joint)).abs().max())
    return torch.stack(errors)


def strong(case):
    """Return a model that goes far wrong where it ignores the observed pixels ahead: the first, or worst, of ten."""
    gain = (
        1.5 if case.get("model", "Ensemble") != "Ensemble" else 3.0
    )  # a relu may make an image impossible, 0 / 0, the more so in PixelCNN
    worst, most = None, -1.0
    for seed in range(10):
        model = make(case, seed=seed, gain=gain)
        error = float(fill_errors(model).max().nan_to_num(0))
        if error > most:
            worst, most = model, error
        if most > 0.3:
            break
    return worst


@pytest.mark.parametrize("case", BINARY)
def test_the_exact_distribution_for_every_mask(case):
    """Frequencies are those of fill_log_prob everywhere, and p(hidden | observed) where is_exact says so."""
    model, images = strong(case), all_images(1, 2, 2, 2)
    errors, exact = fill_errors(model), torch.tensor([is_exact(model, hidden) for hidden in MASKS])
    assert exact.sum() == 4 and errors[exact].max() < 1e-9  # the masks whose hidden pixels the order visits last
    assert errors[~exact].max() > 0.1  # what is_exact guards against
    with torch.no_grad():
        joint, fills = model.log_prob(images).exp(), [model.fill_log_prob(images, hidden).exp() for hidden in MASKS]
    model.float()
    for seed, (hidden, filled) in enumerate(zip(MASKS, fills, strict=True)):
        if not exact[seed] and seed % 3:  # a third of the others shows how far they are from it
            continue
        draws, margin = (DRAWS, 0.015) if exact[seed] else (DRAWS // 5, 0.035)
        prefixes = images.masked_fill(hidden, 0).unique(dim=0)
        prefixes = prefixes[:: max(1, len(prefixes) // 2)]  # two of the observed parts
        completions = complete(model, prefixes, hidden, draws, strategy="ancestral", generator=generator(seed))
        for prefix, drawn in zip(prefixes, completions, strict=True):
            agrees = ((images == prefix) | hidden).flatten(1).all(1)
            frequencies = count_images(drawn) / draws
            assert frequencies[~agrees].sum() == 0
            assert (frequencies - filled * agrees).abs().max() < margin
            if exact[seed]:
                conditional = joint * agrees / joint[agrees].sum()
                assert (frequencies - conditional).abs().max() < margin


@pytest.mark.parametrize("name", ORDERINGS)
def test_is_exact_where_the_hidden_pixels_come_last(name):
    model = tiny_model((1, 3, 4), ordering=ordering_spec(name, 3, 4))
    flat = torch.zeros(12, dtype=torch.bool)
    for seen in range(12):
        hidden = flat.scatter(0, model.order[seen:], True).view(3, 4)
        assert is_exact(model, hidden) and is_exact(model, hidden[None].expand(2, 3, 4))
        if seen < 11:
            ahead = hidden.flatten().scatter(0, model.order[-1:], False).view(3, 4)
            assert not is_exact(model, ahead)
            assert not is_exact(model, torch.stack([hidden, ahead]))  # one image of the batch is enough
            assert model.observed_ahead(ahead[None]).tolist() == [1]


def test_only_the_hidden_span_is_computed(monkeypatch):
    model, steps, reports = tiny_model((1, 4, 4)), [], []
    step = model.step

    def counted(canvas, t, state):
        if not steps:
            assert canvas[:3, :, 1, 1].sum() == canvas[3:, :, 2, 3].sum() == 0  # what is hidden is not even passed on
        steps.append((t, len(canvas)))
        return step(canvas, t, state)

    monkeypatch.setattr(model, "step", counted)
    hidden = torch.zeros(2, 4, 4, dtype=torch.bool)
    hidden[0, 1, 1] = hidden[1, 2, 3] = True  # steps 5 and 11
    images = torch.ones(2, *model.shape, dtype=torch.uint8)
    seen = []

    def report(done, total, so_far):
        reports.append((done, total))
        seen.append(so_far.clone())

    drawn = complete(model, images, hidden, 3, strategy="ancestral", progress=report)
    assert steps == [(5, 6), (11, 6)]  # what lies between is observed in both, and read in one pass
    assert reports == [(1, 7), (6, 7), (7, 7)]
    assert torch.equal(seen[0][:3], drawn[0]) and not seen[0][3:, :, 2, 3].any()  # one image is done, one not begun
    assert torch.equal(seen[-1], drawn.flatten(0, 1))


def test_completions_know_their_probabilities_the_best_and_the_mean_and_have_a_short_repr():
    model, images, hidden = tiny_model((3, 4, 4), 4), random_images(2, (3, 4, 4), 4), occlude("half", 4, 4)
    drawn = complete_in_detail(model, images, hidden, generator=generator(), count=5)
    assert repr(drawn) == "Completions(5 of each of 2 images (3, 4, 4); exact for 2 of them)"
    for i in range(2):
        nats = model.log_prob(drawn.images[i], hidden).double()
        torch.testing.assert_close(drawn.log_probs[i], nats)
        assert torch.equal(drawn.best[i], drawn.images[i, int(nats.argmax())])
        assert torch.equal(drawn.mean[i], drawn.images[i].float().mean(0))


def test_arrays_and_pictures_are_completed_like_tensors():
    model, images, hidden = tiny_model((3, 4, 5), 256), random_images(2, (3, 4, 5), 256), occlude("half", 4, 5)
    expected = complete(model, images, hidden, 2, generator=generator())
    last = images.movedim(1, -1)
    mask = Image.fromarray((hidden * 255).numpy().astype(np.uint8))
    for form, shape in (
        (last.numpy(), hidden.numpy()),
        ([to_picture(image) for image in images], mask),
        (last.contiguous().movedim(-1, 1), hidden),  # its channels lie last in memory
    ):
        assert torch.equal(complete(model, form, shape, 2, generator=generator()), expected)


def test_a_mask_may_be_used_again():
    """The log-probabilities are computed when they are asked for, of the mask as it was."""
    model, mask = tiny_model((1, 4, 4)).float().eval(), np.zeros((4, 4), bool)
    mask[2:] = True
    images = random_images(2, model.shape, model.levels)
    found = complete_in_detail(model, images, mask, count=2, generator=generator())
    same = complete_in_detail(model, images, mask.copy(), count=2, generator=generator())
    mask[:] = False
    assert torch.equal(found.hidden, same.hidden) and torch.equal(found.log_probs, same.log_probs)


@pytest.mark.parametrize("kind", [{}, {"cell": "gru"}, {"model": "PixelCNN"}, {"model": "InpaintingRNN"}], ids=str)
def test_autocast_changes_nothing(kind):
    model = tiny_model((1, 6, 6), **kind).float().eval()
    images, mask = random_images(2, model.shape, model.levels), occlude("half", 6, 6)
    plain = complete_in_detail(model, images, mask, count=2, generator=generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = complete_in_detail(model, images, mask, count=2, generator=generator())
        assert torch.equal(inside.images, plain.images) and torch.equal(inside.log_probs, plain.log_probs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_draws_rare_values_as_often_as_it_should(dtype):
    model = tiny_model((1, 4, 4), 2, model="PixelCNN", likelihood="bernoulli").eval()
    with torch.no_grad():
        for name, weights in model.likelihood.named_parameters():
            weights.fill_(-9.0 if name.endswith("bias") else 0.0)
    share = float(sample(model.to(dtype), 32_000, generator=generator()).float().mean())
    assert 0.5 < share * (1 + math.exp(9)) < 2


def test_a_chosen_order_is_followed():
    model = tiny_model((1, 4, 4), orders="symmetries")
    images, hidden = random_images(3, model.shape, 2), occlude("half", 4, 4).expand(3, -1, -1)
    for order in range(len(model.orders)):
        drawn = complete_in_detail(
            model, images, hidden, generator=generator(1), count=2, strategy="ancestral", order=order
        )
        assert torch.equal(drawn.images, naive(model, images, hidden, 2, 1.0, generator(1), order))
        assert drawn.orders == [order] * 3
        with model.along(order):
            assert drawn.exact == [not model.unseen_count(hidden[:1]).any()] * 3
    with pytest.raises(UserError, match="order=8: this model has 8, counted from 0"):
        complete(model, images, hidden, order=8)


@pytest.mark.parametrize(
    ("side", "options", "how", "words"),
    [
        ("bottom", {}, "exact", "raster: exact samples of p(hidden | observed)"),
        ("bottom", {"strategy": "particles"}, "exact", "raster: exact samples of p(hidden | observed)"),
        (
            "bottom",
            {"temperature": 0.5},
            "another distribution",
            "samples at temperature 0.5, not of p(hidden | observed)",
        ),
        ("top", {}, "particles", "estimated by particles (at least "),
        ("top", {"particles": 2}, "particles", "a rough approximation (at worst "),
        (
            "top",
            {"temperature": 2.0},
            "particles",
            "samples at temperature 2, not of p(hidden | observed); estimated by",
        ),
        (
            "top",
            {"strategy": "ancestral"},
            "not conditioned",
            "not conditioned on 8 observed pixels that come later in the",
        ),
    ],
)
def test_words_say_what_the_numbers_support(side, options, how, words):
    model, hidden = tiny_model((1, 4, 4), gain=0.5).float(), occlude({"name": "half", "side": side}, 4, 4)[None]
    drawn = complete_in_detail(
        model, random_images(1, model.shape, 2), hidden, generator=generator(), count=2, **options
    )
    said = how_drawn(model, drawn, slice(0, 1))
    assert (said["how"], said["exact"]) == (how, how == "exact") and words in said["caption"]
    assert drawn.exact == [how == "exact"]
    told = " ".join([*said["lines"], *said["notes"]])
    assert "nearly" not in told and "no draws" not in told
    if how == "particles":
        assert said["effective_particles"] == float(drawn.effective.min()) and f"of {said['particles']}" in told
        assert ("a rough approximation" in told) == (said["effective_particles"] < 10)
        assert ("more particles" in told) == (said["effective_particles"] < 10)


def test_a_progress_that_raises_ends_the_completion():
    model = tiny_model((1, 4, 4))

    def stop(done, total, so_far):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        complete(model, random_images(1, model.shape, 2), occlude("half", 4, 4), progress=stop)
    assert model.cursor.index == 0


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(training, monkeypatch):
    model = tiny_model((1, 4, 4), dropout=0.9).train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images, hidden = random_images(1, model.shape, 2), occlude("half", 4, 4)
    given = images.clone(), hidden.clone()
    one, two = (complete(model, images, hidden, 5, strategy="ancestral", generator=generator(3)) for _ in range(2))
    assert torch.equal(one, two)  # no dropout while it draws
    monkeypatch.setattr(model.likelihood, "draw", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        complete(model, images, hidden, strategy="ancestral")
    assert all(module.training == training for module in model.modules())
    assert all(module._kept is None for module in model.modules() if isinstance(module, Packable))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(images, given[0]) and torch.equal(hidden, given[1])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_seed_decides(likelihood):
    model = tiny_model((3, 4, 4), 2, likelihood=likelihood)
    images, hidden = random_images(2, model.shape, 2), occlude("half", 4, 4)
    draws = [complete(model, images, hidden, 20, strategy="ancestral", generator=generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert len(draws[0][0].flatten(1).unique(dim=0)) > 1  # the completions of one image differ


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 5), (3, 4, 3)])
def test_samples_are_completions_of_everything(shape):
    model = tiny_model(shape, 3)
    drawn = sample(model, 7, generator=generator(1))
    assert drawn.dtype == torch.uint8 and drawn.shape == (7, *shape) and drawn.max() <= 2
    blank, hidden = torch.zeros(1, *shape, dtype=torch.uint8), occlude("all", *shape[1:])
    assert torch.equal(drawn, complete(model, blank, hidden, 7, strategy="ancestral", generator=generator(1))[0])
    cold = sample(model, 3, temperature=1e-6)
    assert torch.equal(cold[0], cold[1]) and torch.equal(cold[0], cold[2])


def test_samples_have_the_models_probabilities():
    model, images = tiny_model((1, 2, 2)), all_images(1, 2, 2, 2)
    frequencies = count_images(sample(model, DRAWS, generator=generator())) / DRAWS
    with torch.no_grad():
        expected = model.log_prob(images).exp()
    assert (frequencies - expected).abs().max() < 0.015


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count=0"),
        ({"count": -2}, "count=-2"),
        ({"temperature": 0}, "temperature=0"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"strategy": "ancestrall"}, "strategy=ancestrall: .*; did you mean 'ancestral'"),
        ({"hidden": torch.zeros(2, 2, dtype=torch.bool)}, "hides nothing"),
        ({"hidden": torch.ones(3, 2, dtype=torch.bool)}, r"\(3, 2\)"),
        ({"hidden": torch.ones(2, 2)}, "must be bool"),
        ({"images": torch.zeros(1, 1, 2, 2)}, "must be uint8"),
        ({"images": torch.zeros(1, 1, 2, 3, dtype=torch.uint8)}, r"\(1, 1, 2, 3\)"),
        (
            {"images": torch.full((1, 1, 2, 2), 2, dtype=torch.uint8), "hidden": torch.eye(2).bool()},
            "value 2.*2 levels",
        ),
        ({"temperature": 1e-40}, "temperature=1e-40: it is a number from 1e-06"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"particles": "many"}, "particles=many: it is a whole number from 1, or auto"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"progress": True}, "progress=True is no function; give one that takes .done, total, images."),
        ({"generator": np.int64(3)}, "is no generator"),
    ],
)
def test_mistakes_are_named(options, message):
    usual = {"images": torch.zeros(1, 1, 2, 2, dtype=torch.uint8), "hidden": torch.ones(2, 2, dtype=torch.bool)}
    with pytest.raises(UserError, match=message):
        complete(tiny_model((1, 2, 2)), **{**usual, **options})
    if options.keys() <= {"count", "temperature"}:
        with pytest.raises(UserError, match=message):
            sample(tiny_model((1, 2, 2)), **{"count": 1, **options})


@pytest.mark.parametrize(
    ("ordering", "occlusion"),
    [
        ("raster", "half"),
        ({"name": "raster", "transforms": ["flip_rows"]}, {"name": "half", "side": "top"}),
        ("column", {"name": "half", "side": "right"}),
        ("spiral", "centre"),
    ],
)
def test_the_orderings_that_the_readme_recommends_leave_the_region_last(ordering, occlusion):
    assert is_exact(tiny_model((1, 8, 8), ordering=ordering), occlude(occlusion, 8, 8))


def test_what_images_hold_where_hidden_is_ignored():
    model, hidden = tiny_model((1, 4, 4)), occlude("half", 4, 4)
    images = random_images(2, model.shape, 2)
    out_of_range = images.masked_fill(hidden, 255)
    draws = [complete(model, given, hidden, 2, generator=generator(1)) for given in (images, out_of_range)]
    assert torch.equal(*draws)


def test_progress_is_of_all_that_is_drawn():
    """Of images with several orders and strategies, and of parts; done is total once, at the end."""
    model, reports = tiny_model((1, 4, 4), orders=["raster", "column"]), []
    sides = ("top", "left", "bottom", "right")
    hidden = torch.stack([occlude({"name": "half", "side": side}, 4, 4) for side in sides])
    images = random_images(4, model.shape, 2)
    for options in ({}, {"particles": 4}, {"batch_size": 2, "count": 3}):
        reports.clear()
        complete(model, images, hidden, **options, progress=lambda *now: reports.append(now[:2]))
        done, totals = zip(*reports, strict=True)
        assert list(done) == sorted(done) and list(totals) == sorted(totals)
        assert [now for now in reports if now[0] >= now[1]] == [reports[-1]]
        assert len(set(totals)) == 1 or not options  # particles that are added add to the total


@pytest.mark.parametrize(
    ("strategy", "particles", "most"), [("ancestral", 1, 5), ("particles", 4, 5), ("particles", 8, 8)]
)
def test_so_many_are_drawn_at_a_time(strategy, particles, most, monkeypatch):
    model, rows = tiny_model((1, 4, 4), bidirectional=strategy == "ancestral"), []
    step, begin = model.step, model.begin
    monkeypatch.setattr(model, "step", lambda canvas, *now: rows.append(len(canvas)) or step(canvas, *now))
    monkeypatch.setattr(model, "begin", lambda canvas, *now: rows.append(len(canvas)) or begin(canvas, *now))
    images, hidden = random_images(7, model.shape, 2), occlude({"name": "half", "side": "top"}, 4, 4)
    for count in (1, 3, 12):
        rows.clear()
        drawn = complete_in_detail(
            model,
            images,
            hidden,
            generator=generator(),
            count=count,
            strategy=strategy,
            particles=particles,
            batch_size=5,
        )
        assert max(rows) <= most
        assert torch.equal(drawn.images[:, :, 0, 2:], images[:, None, 0, 2:].expand(-1, count, -1, -1))
        assert drawn.strategies == [strategy] * 7 and drawn.exact == [strategy == "ancestral"] * 7
        assert bool((drawn.images < 2).all())
        assert bool(drawn.log_observed.isnan().any()) == (strategy == "ancestral")


# Several threads


def in_threads(*works):
    """What each work() returns, all of them begun at once in threads that take turns often."""
    barrier, interval = Barrier(len(works)), sys.getswitchinterval()

    def begin(work):
        barrier.wait(60)
        return work()

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(len(works)) as pool:
            return [future.result() for future in [pool.submit(begin, work) for work in works]]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("copied", [False, True])
def test_two_threads_draw_from_one_model_what_one_thread_draws(copied):
    """Along two of its orders, and of a model that is in training mode."""
    model = tiny_model((1, 6, 6), orders="symmetries", dropout=0.5).train()
    model = copy.deepcopy(model) if copied else model
    images = random_images(2, model.shape, 2)
    halves = [occlude({"name": "half", "side": side}, 6, 6) for side in ("top", "bottom")]

    def draw(hidden):
        return complete(model, images, hidden, 2, generator=generator(1))

    alone = [draw(hidden) for hidden in halves]
    for _ in range(20):
        together = in_threads(*(lambda hidden=hidden: draw(hidden) for hidden in halves))
        assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert model.training


def test_a_likelihood_is_of_one_order_while_another_thread_draws_along_another():
    model = tiny_model((1, 6, 6), orders="symmetries")
    model.cursor.index = 0
    images, top = random_images(2, model.shape, 2), occlude({"name": "half", "side": "top"}, 6, 6)
    with torch.no_grad():
        alone = model.log_prob(images)
    for _ in range(20):

        def likelihoods():
            with torch.no_grad():
                return [model.log_prob(images) for _ in range(10)]

        found, _ = in_threads(likelihoods, lambda: complete(model, images, top, 2))
        assert all(torch.equal(log_prob, alone) for log_prob in found)


def test_a_generator_without_an_index_is_on_the_current_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    first, second, current = (
        torch.device("cuda:0"),
        torch.device("cuda:1"),
        SimpleNamespace(device=torch.device("cuda")),
    )
    check_generator(current, second)
    check_generator(SimpleNamespace(device=second), second)
    check_generator(torch.Generator(), torch.device("cpu"))
    for given, device in ((current, first), (SimpleNamespace(device=second), first), (torch.Generator(), first)):
        with pytest.raises(UserError, match="the generator is on "):
            check_generator(given, device)
