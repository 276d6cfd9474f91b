"""The page without a browser: masks, uploads, requests, draws that can be watched and cancelled, and the server."""

import io
import json
import os
import re
import socket
import sys
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import generator, random_images, tiny_model
from PIL import Image

import pixelrnn
from pixelrnn.errors import UserError
from pixelrnn.files.pictures import to_tensor
from pixelrnn.pixels import requantise
from pixelrnn.ui import views
from pixelrnn.ui.page import step_view
from pixelrnn.ui.request import (
    STANDARD,
    LoadedModel,
    ModelCatalog,
    Request,
    Target,
    mask_from_text,
    mask_to_text,
    standard_mask,
)
from pixelrnn.ui.views import Cancelled, DrawSession, draw, drawing, watch


def load(shape=(1, 6, 6), levels=4, name="tiny", **options):
    model = tiny_model(shape, levels, **options).float().eval()
    return LoadedModel(name, model, random_images(4, shape, levels), "made up")


def example(loaded=None, index=0):
    loaded = loaded or load()
    return Target(loaded.name, loaded.examples[index])


@pytest.fixture
def picture(tmp_path):
    """picture(values or an Image, "name.png") -> its path"""

    def write(values, name="picture.png", **options):
        image = values if isinstance(values, Image.Image) else Image.fromarray(np.asarray(values, dtype=np.uint8))
        image.save(tmp_path / name, **options)
        return str(tmp_path / name)

    return write


# Masks


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (28, 28), (300, 400)])
def test_masks_go_to_the_browser_and_back(height, width):
    hidden = torch.rand(height, width) < 0.5
    text = mask_to_text(hidden)
    assert len(text) == height * width and text[0] == str(int(hidden[0, 0]))
    assert torch.equal(mask_from_text(text, height, width), hidden)


@pytest.mark.parametrize("text", ["", "1", "1" * 37, "0" * 35 + "2", None, 3, ["1"] * 36, "1" * 35 + "１"])
def test_invalid_masks_are_refused(text):
    with pytest.raises(UserError, match="does not have 6x6 pixels"):
        mask_from_text(text, 6, 6)


@pytest.mark.parametrize("text", ["x" * 36, "0" * 35, "", None])
def test_an_invalid_mask_is_not_taken_for_an_empty_one(text):
    from pixelrnn.ui.complete_tab import HINT, CompleteTab

    tab, target = SimpleNamespace(panel=SimpleNamespace(line="line")), Target("digits", torch.zeros(1, 6, 6))
    assert CompleteTab.forecast(tab, target, "0" * 36) == {"line": HINT}
    with pytest.raises(UserError, match="does not have 6x6 pixels"):
        CompleteTab.forecast(tab, target, text)


@pytest.mark.parametrize("title", STANDARD)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (5, 7)])
def test_standard_occlusions_hide_a_part(title, size):
    hidden = standard_mask(title, *size, seed=1)
    assert hidden.shape == size and hidden.any() and bool(hidden.all()) == (title == "everything")


MASKS = {  # how a drawing program may save a mask whose rows 4 and 5 of 6 are white
    "grey": lambda white: Image.fromarray(white * 255),
    "bits": lambda white: Image.fromarray(white * 255).convert("1"),
    "palette": lambda white: Image.fromarray(white * 255).convert("P"),
    "RGB": lambda white: Image.fromarray(white * 255).convert("RGB"),
    "RGBA": lambda white: Image.fromarray(white * 255).convert("RGBA"),
    "16 bits": lambda white: Image.fromarray(white.astype(np.uint16) * 65535),
    "two layers": lambda white: _two_layers(white),
}


def _two_layers(white):
    """A stroke over the lower border, on a layer of its own that is transparent elsewhere, on black."""
    layer = np.zeros((*white.shape, 4), dtype=np.uint8)
    layer[white > 0] = 255
    return Image.alpha_composite(Image.new("RGBA", white.shape[::-1], "black"), Image.fromarray(layer))


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("scale", [1, 4], ids=["of the model's size", "of the picture's size"])
def test_mask_files_of_all_kinds(kind, scale, picture):
    rows = np.zeros((6 * scale, 6 * scale), dtype=np.uint8)
    rows[4 * scale :] = 1
    target = Target.upload(load(), picture(np.full((24, 24), 90))) if scale > 1 else example()
    target = target.with_mask_file(picture(MASKS[kind](rows), "mask.png"))
    assert torch.equal(target.mask, torch.from_numpy(rows > 0))
    assert torch.equal(mask_from_text(target.painted, 6, 6), torch.arange(6)[:, None].expand(6, 6) >= 4)


def test_a_pixel_is_hidden_if_any_part_of_it_is(picture):
    dot = np.zeros((24, 24))
    dot[23, 0] = 255
    target = Target.upload(load(), picture(np.full((24, 24), 90)))
    target = target.with_mask_file(picture(dot, "mask.png"))
    assert mask_from_text(target.painted, 6, 6).nonzero().tolist() == [[5, 0]]


def test_mask_files_that_do_not_fit_are_refused(picture):
    image, own = example(), Target.upload(load(), picture(np.full((24, 24), 90)))
    for target, size in ((image, "image 6x6"), (own, "picture 24x24")):
        with pytest.raises(UserError, match=f"is 6x5 pixels and the {size}"):
            target.with_mask_file(picture(np.full((5, 6), 255)))
    with pytest.raises(UserError, match="hides nothing"):
        image.with_mask_file(picture(np.zeros((6, 6))))
    for target in (image, own):
        with pytest.raises(UserError, match="the limit is 4,000,000"):
            target.with_mask_file(picture(Image.new("L", (2001, 2000))))


# Pictures that visitors send


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (3, 50), (61, 47)])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6, 6)])
def test_a_picture_is_completed_at_its_own_size(size, shape, picture):
    values = np.random.default_rng(0).integers(0, 256, (*size, 3) if shape[0] == 3 else size)
    loaded = load(shape, 256)
    target = Target.upload(loaded, picture(values))
    assert target.image.shape == shape and target.own.picture.shape[1:] == size
    hidden = standard_mask("bottom half", 6, 6, 0)
    white = torch.full(shape, 255, dtype=torch.uint8)
    finished = Request(loaded, target, hidden).full_size(white)
    outside = ~target.own.enlarge(hidden)
    assert finished.shape == target.own.picture.shape
    assert torch.equal(finished[:, outside], target.own.picture[:, outside])  # what was observed, to the bit
    assert (finished[:, ~outside] == 255).all()


def test_unusable_pictures_are_refused(picture, tmp_path):
    tiny = load()
    with pytest.raises(UserError, match="is in colour"):
        Target.upload(tiny, picture(np.random.default_rng(0).integers(0, 256, (6, 6, 3))))
    with pytest.raises(UserError, match="the limit is 4,000,000"):
        Target.upload(tiny, picture(Image.new("L", (4000, 1001))))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="not a picture"):
        Target.upload(tiny, tmp_path / "text.png")


def test_the_transparent_part_of_a_picture_is_hidden(picture):
    clear = np.zeros((6, 6, 4))
    clear[:3, :, 3] = 255  # black above, nothing below
    target = Target.upload(load((3, 6, 6), 256), picture(clear))
    assert torch.equal(target.mask, torch.arange(6)[:, None].expand(6, 6) >= 3)


@pytest.mark.parametrize("size", [(24, 24), (30, 20), (50, 61)])
def test_a_mask_file_keeps_every_pixel_that_it_does_not_hide(size, picture):
    """A scratch a pixel wide hides whole pixels of the model, and of the picture itself alone."""
    values = np.random.default_rng(0).integers(0, 256, size)
    scratch = np.zeros(size)
    scratch[np.arange(15), np.arange(15)] = 255
    loaded = load(levels=256)
    target = Target.upload(loaded, picture(values)).with_mask_file(picture(scratch, "mask.png"))
    hidden = mask_from_text(target.painted, 6, 6)
    white = torch.full((1, 6, 6), 255, dtype=torch.uint8)
    finished = Request(loaded, target, hidden).full_size(white)[0].numpy()
    assert np.array_equal(finished[scratch == 0], values[scratch == 0]) and (finished[scratch > 0] == 255).all()
    more = hidden.clone()
    more[5, 5] = True  # painted by the visitor, over what the file does not hide
    assert int(Request(loaded, target, more).full_size_mask.sum()) > int(target.mask.sum())
    assert not (Request(loaded, target, hidden).full_size_mask & ~target.mask).any()


# Requests


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"count": 0}, "number of images is 0; it must be a whole number from 1 to 64"),
        ({"count": None}, "number of images is empty"),
        ({"count": 1e9}, "a whole number from 1 to 64"),
        ({"count": 2.5}, "number of images is 2.5"),
        ({"temperature": 0}, "temperature is 0; it must be a number from 0.05 to 5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "x"}, "seed is x"),
        ({"strategy": "magic"}, "strategy=magic: it is auto, ancestral or particles"),
        ({"order": 8}, "order is 8; it must be a whole number from 0 to 7"),
        ({"order": "x"}, "order is x"),
    ],
)
def test_choices_out_of_range_are_refused(choice, words):
    loaded = load(orders="symmetries")
    with pytest.raises(UserError, match=re.escape(words)):
        Request(loaded, example(loaded), torch.ones(6, 6, dtype=torch.bool), **choice)


def test_the_forecast_says_what_completion_does():
    raster, eight, sees = load(), load(orders="symmetries"), load(bidirectional=True)
    top = standard_mask("top half", 6, 6, 0)
    cool, ancestral = {"temperature": 0.5}, {"strategy": "ancestral"}
    for loaded, choice, words in (
        (raster, {}, "raster: estimated by particles, which take in 18 observed pixels that come later"),
        (raster, cool, "samples at temperature 0.5, not of p(hidden | observed); estimated by particles"),
        (raster, ancestral, "not conditioned on 18 observed pixels that come later in the ordering."),
        (eight, {}, "flip_rows (the second of 8 orders): exact samples of p(hidden | observed)."),
        (eight, {"order": 0}, "raster (the first of 8 orders): estimated by particles"),
        (sees, {}, "with the encoder: exact samples of p(hidden | observed)."),
        (sees, cool, "with the encoder: samples at temperature 0.5, not of p(hidden | observed)."),
    ):
        request = Request(loaded, example(loaded), top, **choice)
        drawn = draw(request, lambda *_: None)
        assert words in request.forecast and request.forecast.startswith("18 of 36 pixels are hidden")
        assert drawn.how["order"] == loaded.order_names[request.order_index]
        assert drawn.how["exact"] == ("exact samples" in request.forecast) == (drawn.how["how"] == "exact")
        assert (drawn.how["strategy"] == "particles") == ("particles" in request.forecast)
    with pytest.raises(UserError, match="nothing is hidden"):
        Request(raster, example(raster), torch.zeros(6, 6, dtype=torch.bool))


# Draws that are watched


def count_to(total, seconds=0.0):
    def work(progress):
        for done in range(1, total + 1):
            time.sleep(seconds)
            progress(done, total, torch.full((1, 1, 2, 2), done, dtype=torch.uint8))
        return "done"

    return work


def test_a_draw_is_seen_while_it_goes_on(monkeypatch):
    monkeypatch.setattr(views, "PERIOD", 0.001)
    seen, canvas = threading.Event(), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)

    def work(progress):
        for done in range(1, 6):
            progress(done, 5, canvas.fill_(done))
            assert seen.wait(300)
            seen.clear()
        return "done"

    frames = []
    for news in drawing(work, DrawSession()):
        frames.append(news)
        seen.set()
    assert frames.pop() == "done"
    assert [(frame.done, frame.total, int(frame.images.max())) for frame in frames] == [(i, 5, i) for i in range(1, 6)]


def test_a_draw_can_be_cancelled():
    session = DrawSession()
    with pytest.raises(Cancelled):
        for _ in drawing(count_to(10_000, 0.001), session):
            session.cancelled = True


def test_a_draw_ends_if_the_visitor_leaves():
    ended = threading.Event()

    def work(progress):
        try:
            return count_to(10_000, 0.01)(progress)
        except Cancelled:
            ended.set()
            raise

    frames = drawing(work, DrawSession())
    next(frames)
    frames.close()
    assert ended.wait(300)


def test_a_draw_passes_on_an_error():
    def fail(progress):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(drawing(fail, DrawSession()))


@pytest.mark.parametrize("strategy", ["auto", "ancestral", "particles"])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6, 6)])
def test_the_page_shows_and_packs_what_the_library_draws(strategy, shape, monkeypatch):
    monkeypatch.setattr(views, "PERIOD", 0.001)
    given = load(shape, orders="symmetries")
    hidden, choice = standard_mask("centre", 6, 6, 0), {"count": 3, "seed": 4, "strategy": strategy}
    target = example(given, 1)
    *frames, last = watch(lambda: Request(given, target, hidden, **choice), DrawSession())
    assert frames and all("Drawing: " in view.line and view.pictures.count("<img") == 4 for view in frames)
    expected = pixelrnn.complete_in_detail(
        given.model, target.image[None], hidden, generator=generator(4), count=3, strategy=strategy
    )
    with zipfile.ZipFile(io.BytesIO(last.archive)) as archive:
        names = archive.namelist()
        report = json.loads(archive.read("completions.json"))
        images = [to_tensor(Image.open(archive.open(f"{k:03d}.png"))) for k in range(3)]
    assert names == ["000.png", "001.png", "002.png", "mask.png", "mean.png", "entropy.png", "completions.json"]
    shown = requantise(expected.images[0], given.model.levels, 256)
    assert torch.equal(torch.stack(images), shown)
    assert report["exact"] == expected.exact[0] and report["strategy"] == expected.strategies[0]
    assert sorted(row["rank"] for row in report["completions"]) == [1, 2, 3]
    assert last.pictures.count("<img") == 7 and "bits" in last.pictures  # given, three, original, mean, entropy
    assert ", the most probable" in last.pictures and "rank\N{NO-BREAK SPACE}3" in last.pictures
    assert {"how", "observed_ahead", "order"} <= report.keys()


@pytest.mark.parametrize(
    ("title", "choice", "below"),
    [
        ("bottom half", {}, "log p(hidden | observed), and its rank."),
        ("bottom half", {"temperature": 0.5}, "log p(hidden | observed), and its rank."),
        ("top half", {}, "log p(hidden | observed), estimated, and its rank."),
        ("top half", {"temperature": 0.5}, "the log-probability by the plain fill at temperature 1, and its rank."),
        (
            "top half",
            {"strategy": "ancestral"},
            "the log-probability by the plain fill at temperature 1, and its rank.",
        ),
    ],
)
def test_the_page_explains_the_numbers_below_the_images(title, choice, below):
    given, hidden = load((1, 4, 4)), standard_mask(title, 4, 4, 0)
    target = example(given)
    *_, last = watch(lambda: Request(given, target, hidden, **choice), DrawSession())
    assert f"Below each image: {below}" in last.pictures
    request = Request(given, target, hidden, **choice)
    drawn = draw(request, lambda *_: None)
    with given.model.evaluating(), given.model.along(request.order_index):
        numbers = given.model.fill_log_prob(drawn.images, hidden.expand(len(drawn.images), -1, -1))
    shown = torch.tensor([fact["log_prob_nats"] for fact in drawn.facts])
    assert torch.allclose(shown, numbers.float(), atol=1e-4) == ("estimated" not in below)


def test_samples_are_drawn_from_scratch():
    given, everything = load(), torch.ones(6, 6, dtype=torch.bool)
    *_, last = watch(lambda: Request(given, example(given), everything, count=5, seed=2), DrawSession())
    with zipfile.ZipFile(io.BytesIO(last.archive)) as archive:
        images = [to_tensor(Image.open(archive.open(f"{k:03d}.png"))) for k in range(5)]
    expected = pixelrnn.sample(given.model, 5, generator=generator(2))
    assert torch.equal(torch.stack(images), requantise(expected, 4, 256))
    assert "exact samples of p(x)" in last.line and "original" not in last.pictures


def test_completions_are_pasted_into_the_visitors_picture(picture):
    given, hidden = load((3, 6, 6), 256), standard_mask("left half", 6, 6, 0)
    target = Target.upload(given, picture(np.random.default_rng(0).integers(0, 256, (30, 40, 3))))
    *_, last = watch(lambda: Request(given, target, hidden, "ancestral", count=2), DrawSession())
    assert "in your picture" in last.pictures and "original" not in last.pictures  # nobody knows what a visitor hides
    with zipfile.ZipFile(io.BytesIO(last.archive)) as archive:
        completed = to_tensor(Image.open(archive.open("000.png")))
    assert torch.equal(completed[:, :, 20:], target.own.picture[:, :, 20:])
    assert not torch.equal(completed, target.own.picture)


def test_a_draw_can_be_cancelled_before_and_while_it_goes_on(monkeypatch):
    monkeypatch.setattr(views, "PERIOD", 0.001)
    given, everything = load((1, 12, 12)), torch.ones(12, 12, dtype=torch.bool)
    session = DrawSession(cancelled=True)
    (view,) = watch(lambda: Request(given, example(given), everything), session)
    assert "Cancelled" in view.line
    session = DrawSession()
    draw, told = given.model.likelihood.draw, threading.Semaphore()  # the first pixel is drawn, the second one waits
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *arguments: told.acquire() and draw(*arguments))
    seen = watch(lambda: Request(given, example(given), everything), session)
    next(seen)
    session.cancelled = True
    told.release()
    assert "Cancelled" in list(seen)[-1].line


def test_every_error_becomes_one_line(monkeypatch, caplog):
    given, nothing = load(), torch.zeros(6, 6, dtype=torch.bool)
    (view,) = watch(lambda: Request(given, example(given), nothing), DrawSession())
    assert 'role="alert"' in view.line and "nothing is hidden" in view.line
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *_: 1 / 0)
    (view,) = watch(lambda: Request(given, example(given), ~nothing), DrawSession())
    assert "The draw failed" in view.line and "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *_: torch.empty(2**50))
    (view,) = watch(lambda: Request(given, example(given), ~nothing), DrawSession())
    assert 'role="alert"' in view.line and "The memory is full" in view.line


def test_markup_in_words_is_escaped():
    assert "<script>" not in views.line("<script>") + views.tile(np.zeros((1, 1, 3)), "<script>")
    with pytest.raises(UserError) as error:
        ModelCatalog()["<script>"]
    assert "&lt;script&gt;" in views.line(str(error.value), "wrong")


# Orderings


@pytest.mark.parametrize("step", [0, 1, 17, 36])
def test_the_page_shows_what_a_model_has_seen_and_its_next_probability(step):
    given = load(orders="symmetries")
    for index in (0, 3):
        line, picture = step_view(given, 1, index, [], step)
        assert f"Step {step} of 36" in line and picture.count("<img") == 1
        if step < 36:
            with given.model.evaluating(), given.model.along(index):
                p = float(given.model.pixel_log_probs(given.examples[:1])[0, step].exp())
            assert f"its true value a probability of {p:.1%}" in line
    assert "true value" not in step_view(given, 1, "hilbert", ["flip_rows"], step)[0]  # not one of the model's orders


def test_the_page_does_not_wait_for_a_model_that_draws():
    given, begun, done = load(), threading.Event(), threading.Event()

    def hold():
        with given.model.evaluating():
            begun.set()
            done.wait(300)

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(300)
    assert "true value" not in step_view(given, 1, 0, [], 3)[0]
    done.set()
    holder.join()
    assert "true value" in step_view(given, 1, 0, [], 3)[0]


def test_an_unknown_ordering_is_refused():
    for ordering, transforms in (
        *(("nowhere", []), (8, []), (-1, []), (None, []), ("raster", ["turn"]), ("permutation", [])),
        *(("raster", None), ("raster", 3), ("raster", [["reverse"]])),
    ):
        with pytest.raises(UserError):
            step_view(load(), 1, ordering, transforms, 3)


# Pictures at their own size


@pytest.fixture
def own_size(monkeypatch, tmp_path):
    """own_size(loaded) -> the tab, for a model of pictures of any size, with files in a temporary folder."""
    import gradio as gr
    from pixelrnn.ui.own_size import OwnSize

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(views, "PERIOD", 0.001)

    def build(loaded):
        with gr.Blocks():
            return OwnSize(ModelCatalog(loaded), loaded)

    return build


def inpainting(shape=(3, 4, 4), levels=256):
    return load(shape, levels, model="InpaintingRNN")


def layer(hidden):
    """What the editor sends of a painted mask."""
    return np.where(hidden[..., None], 255, np.zeros(4)).astype(np.uint8)


def chosen_picture(tab, path, mask=None):
    """The target, after the visitor has sent a picture, and perhaps a mask."""
    answer = tab.choose_picture({"path": path}, Target("tiny", torch.zeros(3, 4, 4)))
    if mask:
        answer = tab.choose_mask({"path": mask}, answer[tab.target])
    return answer[tab.target]


@pytest.mark.parametrize("size", [(1, 7), (9, 5), (5, 12)])
@pytest.mark.parametrize("kind", ["RGB", "grey"])
@pytest.mark.parametrize("shown", [1280, 6], ids=["as it is", "reduced"])
def test_a_picture_of_any_size_keeps_it_and_every_observed_pixel(size, kind, shown, own_size, picture, monkeypatch):
    from pixelrnn.ui import own_size as module

    monkeypatch.setattr(module, "SHOWN", shown)
    values = np.random.default_rng(0).integers(0, 256, (*size, 3) if kind == "RGB" else size)
    scratch = np.zeros(size)
    scratch[0, 1:4] = 255
    tab = own_size(inpainting())
    target = chosen_picture(tab, picture(values), picture(scratch, "mask.png"))
    hidden = module.hidden_part(target, module.editor_value(target)["layers"])
    assert max(target.image.shape) <= shown and torch.equal(hidden, torch.from_numpy(scratch > 0))
    request = module.PictureRequest(tab.models["tiny"], target, hidden, count=2, seed=3)
    *_, last = watch(lambda: request, DrawSession(), module.WAY)
    assert last.drawn.request is request and "3 of " in last.line and "exact samples" in last.line
    answers = [np.asarray(Image.open(file)) for file in last.drawn.files[:-1]]
    assert len(answers) == len(last.drawn.words) == 3
    for answer in answers:
        assert answer.shape == values.shape and np.array_equal(answer[scratch == 0], values[scratch == 0])
    before = np.asarray(Image.open(last.drawn.files[-1]))
    assert (before[scratch > 0] == module.TINT).all() and before.shape == (*size, 3)
    expected = pixelrnn.complete_picture(
        torch.from_numpy(values.astype(np.uint8)).movedim(-1, 0) if kind == "RGB" else values.astype(np.uint8),
        hidden, tab.models["tiny"].model, count=2, generator=generator(3),
    )  # fmt: skip
    assert torch.equal(last.drawn.found.draws, expected.draws)
    with zipfile.ZipFile(io.BytesIO(last.archive)) as archive:
        assert archive.namelist() == ["mean.png", "000.png", "001.png", "mask.png", "interval.png", "completions.json"]
        report = json.loads(archive.read("completions.json"))
        assert np.array_equal(np.asarray(Image.open(archive.open("mask.png"))), scratch)
    nats = [fact["log_prob_nats"] for fact in report["completions"]]
    assert nats == expected.log_probs.tolist() and report["hidden_pixels"] == 3
    assert report["completions"][0]["bits_per_dim"] == pytest.approx(-nats[0] / 9 / np.log(2))


@pytest.mark.parametrize(
    ("choices", "said"),
    [({"count": 2}, ""), ({"count": 1}, "a single draw"), ({"count": 2, "temperature": 0.5}, "temperature=1")],
)
def test_the_page_says_when_intervals_do_not_hold_their_share(choices, said, own_size):
    from pixelrnn.ui import own_size as module

    loaded, hidden = inpainting(), torch.eye(8, dtype=torch.bool)
    target = module.target_of(loaded, random_images(1, (3, 8, 8), 256)[0])
    own_size(loaded)
    view = module.view_result(module.draw(module.PictureRequest(loaded, target, hidden, **choices), lambda *_: None))
    assert ("They do not hold 90 % of the hidden values" in view.line) == bool(said) and said in view.line
    with zipfile.ZipFile(io.BytesIO(view.archive)) as archive:
        assert json.loads(archive.read("completions.json"))["interval_share"] == (None if said else 0.9)


def test_a_hole_is_seen_as_it_fills(own_size):
    from pixelrnn.ui import own_size as module

    loaded, hidden, told = inpainting(), torch.zeros(8, 8, dtype=torch.bool), []
    hidden[::2] = True
    target = module.target_of(loaded, random_images(1, (3, 8, 8), 256)[0])
    own_size(loaded)
    request = module.PictureRequest(loaded, target, hidden, count=2)
    module.draw(request, lambda *news: told.append(views.Frame(*news)))
    assert [frame.total for frame in told] == [32] * len(told) and told[-1].done == 32 and len(told) > 1
    view = module.view_frame(request, told[0])
    assert f"Drawing: {told[0].done} of 32 pixels" in view.line and view.pictures.count("<img") == 1


def test_painted_strokes_and_the_transparent_part_are_hidden(own_size, picture):
    from pixelrnn.ui import own_size as module

    values = np.random.default_rng(0).integers(0, 256, (6, 9, 4))
    values[..., 3] = 255
    values[:2, :3, 3] = 0
    tab = own_size(inpainting())
    target = chosen_picture(tab, picture(values))
    given = module.editor_value(target)["layers"]
    assert torch.equal(module.hidden_part(target, given), torch.from_numpy(values[..., 3] == 0))
    stroke = np.zeros((6, 9), dtype=bool)
    stroke[5] = True
    assert int(module.hidden_part(target, [*given, layer(stroke)]).sum()) == 6 + 9
    assert int(module.hidden_part(target, [layer(stroke)]).sum()) == 9  # the transparent part was erased
    with pytest.raises(UserError, match="another size than the picture"):
        module.hidden_part(target, [layer(stroke[:5])])


def test_an_answer_is_chosen_and_taken_further(own_size, picture):
    from pixelrnn.ui import own_size as module

    tab = own_size(inpainting())
    target = chosen_picture(tab, picture(np.random.default_rng(0).integers(0, 256, (6, 9, 3))))
    request = module.PictureRequest(tab.models["tiny"], target, torch.ones(6, 9, dtype=torch.bool), count=2, first=1)
    drawn = module.draw(request, lambda *_: None)
    shown = tab.show(drawn)
    assert (
        shown[tab.chosen] == 1
        and shown[tab.slider] == (drawn.files[-1], drawn.files[1])
        and len(shown[tab.gallery]) == 3
    )
    shown = tab.choose_answer(drawn, SimpleNamespace(index=2))
    assert shown[tab.file] == drawn.files[2] and shown[tab.chosen] == 2
    further = tab.take_further(drawn, 2)
    assert torch.equal(further[tab.target].own.picture, drawn.found.draw(1)) and further[tab.drawn] is None
    assert not module.hidden_part(further[tab.target], further[tab.editor]["layers"]).any()
    assert "draw 2" in further[tab.panel.line]


def test_what_the_page_does_not_complete_at_its_own_size_is_refused(own_size, picture):
    from pixelrnn.ui import own_size as module

    tab, colour = own_size(inpainting()), np.random.default_rng(0).integers(0, 256, (6, 9, 3))
    target, hidden = chosen_picture(tab, picture(colour)), torch.zeros(6, 9, dtype=torch.bool)
    for choice, words in (
        ({}, "nothing is hidden"),
        ({"count": 65}, "number of images is 65"),
        ({"temperature": None}, "temperature is empty"),
        ({"seed": "x"}, "seed is x"),
        ({"first": 2}, "answer to show first is 2"),
    ):
        with pytest.raises(UserError, match=words):
            module.PictureRequest(tab.models["tiny"], target, hidden, **choice)
    with pytest.raises(
        UserError, match="250,000 hidden pixels, 6 times, would take too long: the page draws up to 1,000,000"
    ):
        module.PictureRequest(tab.models["tiny"], target, torch.ones(500, 500, dtype=torch.bool))
    with pytest.raises(UserError, match="nothing is hidden"):
        tab.request(target, None, 6, 1.0, 0, 0)
    with pytest.raises(UserError, match="is in colour"):
        chosen_picture(own_size(inpainting((1, 4, 4))), picture(colour))
    with pytest.raises(UserError, match="the limit is 24,000,000"):
        chosen_picture(tab, picture(Image.new("L", (6001, 4000))))
    with pytest.raises(UserError, match="is 5x5 pixels and the picture 9x6"):
        tab.choose_mask({"path": picture(np.full((5, 5), 255), "mask.png")}, target)


# Models


def test_the_catalog_has_the_bundled_models_and_the_users_own():
    own = load(name="outputs/mine")
    catalog = ModelCatalog(own)
    assert catalog.names == ["outputs/mine", *pixelrnn.pretrained.names()] and catalog.first == "outputs/mine"
    assert catalog["outputs/mine"] is own and catalog["digits"] is catalog["digits"]
    assert catalog["digits"].examples.shape == (16, 1, 8, 8)
    assert ModelCatalog().first == "mnist_binary"
    for name in ("nothing", None, 3, "../digits"):
        with pytest.raises(UserError, match="there is no model"):
            catalog[name]


# Gradio


@pytest.fixture(scope="module")
def address():
    """A page that is served, with a model of one's own."""
    from pixelrnn.ui.server import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ready, done = threading.Event(), threading.Event()

    def wait():
        ready.set()
        done.wait()

    server = threading.Thread(target=serve, args=(ModelCatalog(load()), "127.0.0.1", port, False, wait), daemon=True)
    server.start()
    assert ready.wait(300)
    yield f"http://127.0.0.1:{port}"
    done.set()
    server.join(30)
    assert not server.is_alive()


def get(url, data=None, **headers):
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data, headers), timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_page_asks_no_other_host(address):
    status, page = get(address)
    assert status == 200 and "pixelrnn" in page
    asked = re.findall(r'(?:src|href)="(https?://[^"]+)"', page)
    assert [link for link in asked if not link.startswith(address)] == []
    _, theme = get(f"{address}/theme.css")
    assert "--body-text-color" in theme and not re.search(r"""@import|url\(["']?https?:""", theme)


def test_the_page_has_no_open_api(address):
    _, described = get(f"{address}/gradio_api/info")
    assert json.loads(described) == {"named_endpoints": {}, "unnamed_endpoints": {}}
    status, _ = get(f"{address}/gradio_api/call/complete", b"{}", **{"Content-Type": "application/json"})
    assert status >= 400


def test_a_file_that_is_too_large_is_refused(address):
    edge = "----edge"
    body = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'.encode()
    body += b"x" * (9 * 2**20) + f"\r\n--{edge}--\r\n".encode()
    status, _ = get(f"{address}/gradio_api/upload", body, **{"Content-Type": f"multipart/form-data; boundary={edge}"})
    assert status == 413


def test_a_taken_address_is_refused_in_one_line(address):
    from pixelrnn.ui.server import serve

    port = int(address.rsplit(":", 1)[1])
    for host in ("127.0.0.1", "nowhere..ö"):
        with pytest.raises(UserError, match=f"host={host} port={port} cannot be used"):
            serve(ModelCatalog(load()), host, port, False, lambda: None)


@pytest.mark.parametrize(("host", "said"), [(None, "null"), ("", ""), (8080, "8080")])
def test_an_invalid_address_is_refused_in_one_line(host, said):
    from pixelrnn.ui.server import serve

    with pytest.raises(UserError, match=f"^host={said}: it must be an address, such as 127.0.0.1$"):
        serve(ModelCatalog(load()), host, 7860, False, lambda: None)


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    import pixelrnn.ui
    from pixelrnn.ui.server import serve

    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "pixelrnn.ui.page", raising=False)
    monkeypatch.delattr(pixelrnn.ui, "page", raising=False)
    with pytest.raises(UserError, match=r"pip install -e '\.\[ui\]' in the source tree, or pip install 'gradio>="):
        serve(ModelCatalog(load()), "127.0.0.1", 7860, False, lambda: None)


def test_a_gradio_that_cannot_be_imported_is_not_called_missing(monkeypatch):
    import pixelrnn.ui
    from pixelrnn.ui.server import serve

    monkeypatch.setitem(sys.modules, "pixelrnn.ui.page", None)
    monkeypatch.delattr(pixelrnn.ui, "page", raising=False)
    with pytest.raises(UserError, match=r"Gradio, which is installed and cannot be imported \(.*pixelrnn\.ui\.page"):
        serve(ModelCatalog(load()), "127.0.0.1", 7860, False, lambda: None)


def test_the_page_asks_no_proxy_and_leaves_the_environment_as_it_was(monkeypatch):
    import pixelrnn.ui
    from pixelrnn.ui.server import serve

    names = ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "https_proxy", "no_proxy", "Ftp_Proxy")
    for name in names:
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    found = {}
    blocks = SimpleNamespace(queue=lambda **_: None, close=lambda **_: None)
    blocks.launch = lambda **_: found.update(os.environ) or (None, "http://nowhere", None)
    page = SimpleNamespace(build=lambda _: blocks, THEME=None, CSS="")
    monkeypatch.setitem(sys.modules, "pixelrnn.ui.page", page)
    monkeypatch.setattr(pixelrnn.ui, "page", page, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve(ModelCatalog(load()), "127.0.0.1", port, False, lambda: None)
    assert {name: value for name, value in found.items() if name.lower().endswith("_proxy")} == {"NO_PROXY": "*"}
    assert all(os.environ[name] == "socks5://127.0.0.1:9" for name in names) and "NO_PROXY" not in os.environ


def test_sessions_can_be_copied():
    """Gradio gives each visitor a copy of what a page begins with."""
    import copy

    target = copy.deepcopy(Target("tiny", torch.zeros(1, 2, 2, dtype=torch.uint8)))
    assert copy.deepcopy(DrawSession()) == DrawSession() and target.model == "tiny"
