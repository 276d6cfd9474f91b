"""The page without a browser: masks, uploads, requests, draws that can be watched and cancelled, and the server."""

import base64
import dataclasses
import io
import json
import os
import re
import socket
import sys
import threading
import time
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import generator, random_images, tiny_model
from PIL import Image, ImageCms

import pixelrnn
from pixelrnn.errors import UserError
from pixelrnn.files.pictures import to_picture, to_tensor
from pixelrnn.own_picture.picture import from_file
from pixelrnn.pixels import requantise
from pixelrnn.ui import session as sessions
from pixelrnn.ui import views
from pixelrnn.ui.catalog import LoadedModel, ModelCatalog
from pixelrnn.ui.drawn import draw
from pixelrnn.ui.page import step_view
from pixelrnn.ui.painted import from_text, to_text
from pixelrnn.ui.request import STANDARD, NothingHidden, Request, Target, standard_mask
from pixelrnn.ui.session import Cancelled, DrawSession, drawing
from pixelrnn.ui.ways import ways


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


def watch(ask, session, how=draw):
    return views.watch(ask, how, session)


def plain(html):
    return re.sub("<[^>]*>", "", html)


def unpacked(drawn):
    return zipfile.ZipFile(io.BytesIO(drawn.archive()))


# What is painted


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (28, 28), (300, 400)])
def test_masks_go_to_the_browser_and_back(height, width):
    hidden = torch.rand(height, width) < 0.5
    assert torch.equal(from_text(to_text(hidden), height, width) == 1, hidden)


def test_the_painted_text_has_runs_of_pixels():
    states = torch.tensor([[0, 0, 1], [1, 1, 2], [3, 0, 0]], dtype=torch.uint8)
    assert to_text(states) == "2.3h1w1b2." and torch.equal(from_text("2.3h1w1b2.", 3, 3), states)


@pytest.mark.parametrize(
    "text",
    ["", "36", "36x", "35.", "37h", "0" * 36, "-1h37.", "36.h", "1e1h26.", None, 3, ["36."], "36．", "9999999999h"],
)
def test_invalid_masks_are_refused(text):
    with pytest.raises(UserError, match="does not have 6x6 pixels"):
        from_text(text, 6, 6)


def test_white_and_black_are_painted_into_the_image():
    loaded, target = load(levels=4), Target.blank(load(levels=4))
    assert target.painted == "36h" and target.words == "your drawing"
    changed, hidden = target.after_painting(from_text("6w6b6.18h", 6, 6), loaded)
    assert changed.image[0, :3].flatten().tolist() == [3] * 6 + [0] * 12 and not hidden[:3].any() and hidden[3:].all()
    assert torch.equal(target.after_painting(from_text("36h", 6, 6), loaded)[0].image, target.image)
    request = Request(loaded, changed, hidden, count=2)
    for answer in draw(request, lambda *_: None).answers:
        assert torch.equal(answer.image[:, :3], changed.image[:, :3])


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
    target = target.with_mask_file(picture(MASKS[kind](rows), "mask.png"), load())
    assert torch.equal(target.mask, torch.from_numpy(rows > 0))
    assert torch.equal(from_text(target.painted, 6, 6) == 1, torch.arange(6)[:, None].expand(6, 6) >= 4)


def test_a_pixel_is_hidden_if_any_part_of_it_is(picture):
    dot = np.zeros((24, 24))
    dot[23, 0] = 255
    target = Target.upload(load(), picture(np.full((24, 24), 90)))
    target = target.with_mask_file(picture(dot, "mask.png"), load())
    assert from_text(target.painted, 6, 6).nonzero().tolist() == [[5, 0]]


def test_mask_files_that_do_not_fit_are_refused(picture):
    image, own = example(), Target.upload(load(), picture(np.full((24, 24), 90)))
    for target, size in ((image, "image 6x6"), (own, "picture 24x24")):
        with pytest.raises(UserError, match=f"is 6x5 pixels and the {size}"):
            target.with_mask_file(picture(np.full((5, 6), 255)), load())
    with pytest.raises(UserError, match="hides nothing"):
        image.with_mask_file(picture(np.zeros((6, 6))), load())
    for target in (image, own):
        with pytest.raises(UserError, match="the limit is 24,000,000"):
            target.with_mask_file(picture(Image.new("L", (6001, 4000))), load())


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
    with pytest.raises(UserError, match="the limit is 24,000,000"):
        Target.upload(tiny, picture(Image.new("L", (6001, 4000))))
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
    target = Target.upload(loaded, picture(values)).with_mask_file(picture(scratch, "mask.png"), loaded)
    hidden = from_text(target.painted, 6, 6) == 1
    white = torch.full((1, 6, 6), 255, dtype=torch.uint8)
    finished = Request(loaded, target, hidden).full_size(white)[0].numpy()
    assert np.array_equal(finished[scratch == 0], values[scratch == 0]) and (finished[scratch > 0] == 255).all()
    more = hidden.clone()
    more[5, 5] = True  # painted by the visitor, over what the file does not hide
    assert int(Request(loaded, target, more).full_size_mask.sum()) > int(target.mask.sum())
    assert not (Request(loaded, target, hidden).full_size_mask & ~target.mask).any()


def strokes_on_paper():
    """A loaded model of white strokes on black, and a function that draws a "7" on white paper, 300x400 pixels."""
    loaded = load((1, 14, 14), 2)
    typical = {"images": 9, "log_prob_per_pixel": [-0.2, -0.16, -0.12, -0.1, -0.09, -0.04, -0.03]}
    loaded.model.trained_on["typical"] = {**typical, "ground": 0, "extent": 0.7}

    def seven(scribble=False):
        values = np.full((400, 300), 230)
        values[100:125, 80:200] = 30
        for row in range(125, 300):
            values[row, 200 - row // 3 : 225 - row // 3] = 30
        if scribble:
            values[330:380, 10:290] = 20
        return values

    return loaded, seven


def test_what_a_mask_file_hides_does_not_change_what_the_model_sees_of_a_picture(picture):
    """Also if it hides the lower part of the strokes, from which the frame and the tone would be found."""
    loaded, seven = strokes_on_paper()
    mask = np.zeros((400, 300))
    mask[250:] = 255
    seen = []
    for scribble in (False, True):
        target = Target.upload(loaded, picture(seven(scribble))).with_mask_file(picture(mask, "mask.png"), loaded)
        changed, hidden = target.after_painting(from_text(target.painted, 14, 14), loaded)
        request = Request(loaded, changed, hidden)
        seen.append((changed.own.crop, changed.own.tone, changed.image[:, ~hidden], hidden, request.full_size_mask))
    (crop, tone, *tensors), (crop2, tone2, *tensors2) = seen
    assert crop and (crop, tone) == (crop2, tone2)
    assert all(torch.equal(one, two) for one, two in zip(tensors, tensors2, strict=True))
    assert torch.equal(tensors[-1], torch.from_numpy(mask > 0))  # also outside of the frame
    with pytest.raises(NothingHidden):  # all of it is gone once it is cleared
        Request(loaded, *target.after_painting(from_text("196.", 14, 14), loaded))


def test_paper_whose_strokes_are_all_hidden_is_still_inverted(picture):
    loaded, seven = strokes_on_paper()
    target = Target.upload(loaded, picture(seven()))
    changed, hidden = target.after_painting(from_text("196h", 14, 14), loaded)
    assert changed.own.tone.inverted and not changed.image[:, ~hidden].any() and 0 < hidden.sum() < 196


@pytest.mark.parametrize("painted", ["98.98h", "6.4h186.", "28h168."])
def test_the_command_sees_the_same_part_of_a_picture(painted, picture, tmp_path):
    loaded, seven = strokes_on_paper()
    target = Target.upload(loaded, picture(seven()))
    changed, hidden = target.after_painting(from_text(painted, 14, 14), loaded)
    request = Request(loaded, changed, hidden)
    picture(to_picture(request.given), "given.png")
    picture(request.full_size_mask.numpy() * 255, "mask.png")
    own, mask = from_file(tmp_path / "given.png", loaded.model, mask=tmp_path / "mask.png")
    assert torch.equal(mask, request.full_size_mask) and torch.equal(own.image, changed.image)
    assert torch.equal(own.reduce(mask), hidden) and own.crop == changed.own.crop


def test_each_model_that_is_compared_sees_the_picture_framed_for_itself(picture):
    loaded, seven = strokes_on_paper()
    wider = load((1, 14, 14), 2, name="wider")
    wider.model.trained_on["typical"] = {**loaded.model.trained_on["typical"], "extent": 1.0}
    text = from_text("98.98h", 14, 14)
    request = Request(loaded, *Target.upload(loaded, picture(seven())).after_painting(text, loaded))
    models = {"tiny": loaded, "wider": wider}
    catalog = type("Catalog", (dict,), {"names": list(models)})(models)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # notes that nobody would read
        found = {way.loaded.name: way for _, way in ways(request, catalog)}
    assert found["tiny"].target is request.target
    other = found["wider"].target.own
    assert other.crop.height < request.target.own.crop.height
    assert torch.equal(found["wider"].hidden, other.reduce(request.full_size_mask))


def test_a_mask_file_away_from_the_strokes_is_shown(picture):
    loaded, seven = strokes_on_paper()
    mask = np.zeros((400, 300))
    mask[:10, :10] = 255
    target = Target.upload(loaded, picture(seven())).with_mask_file(picture(mask, "mask.png"), loaded)
    assert target.own.crop is None and "h" in target.painted


def test_the_colour_profile_of_a_picture_is_saved_with_it(picture):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    loaded = load((3, 6, 6), 256)
    target = Target.upload(loaded, picture(np.random.default_rng(0).integers(0, 256, (8, 8, 3)), icc_profile=profile))
    drawn = draw(Request(loaded, target, standard_mask("centre", 6, 6, 0), count=1), lambda *_: None)
    with unpacked(drawn) as archive:
        kept = {name: Image.open(archive.open(name)).info.get("icc_profile") for name in ("000.png", "picture.png")}
    assert kept == {"000.png": profile, "picture.png": profile}


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
        (raster, {}, "estimated by particles, which take in 18 observed pixels that come later in the ordering."),
        (raster, cool, "samples at temperature 0.5, not of p(hidden | observed); estimated by particles"),
        (raster, ancestral, "not conditioned on 18 observed pixels that come later in the ordering."),
        (eight, {}, "along the second of 8 orders, exact samples of p(hidden | observed)."),
        (eight, {"order": 0}, "along the first of 8 orders, estimated by particles"),
        (sees, {}, "hidden: exact samples of p(hidden | observed)."),
        (sees, cool, "samples at temperature 0.5, not of p(hidden | observed)."),
    ):
        request = Request(loaded, example(loaded), top, **choice)
        report = draw(request, lambda *_: None).report
        assert words in request.forecast and request.forecast.startswith("18 of 36 pixels are hidden")
        assert report["order"] == loaded.order_names[request.order_index]
        assert report["exact"] == ("exact samples" in request.forecast) == (report["how"] == "exact")
        assert (report["strategy"] == "particles") == ("particles" in request.forecast)
    with pytest.raises(NothingHidden, match="Nothing is hidden yet"):
        Request(raster, example(raster), torch.zeros(6, 6, dtype=torch.bool))


@pytest.mark.parametrize(
    "choice", [{}, {"strategy": "ancestral", "temperature": 0.5}, {"order": 3}, {"strategy": "particles"}], ids=str
)
@pytest.mark.parametrize("source", ["example", "drawing", "upload", "nothing"])
def test_the_command_draws_the_same(choice, source, picture, tmp_path, monkeypatch):
    """The command, typed where the archive is unpacked, gives the pictures of the archive to the bit."""
    from pixelrnn import cli

    loaded = load((1, 6, 6), 4, orders="symmetries")
    pixelrnn.save(loaded.model, tmp_path / "model")
    loaded = LoadedModel(str(tmp_path / "model"), loaded.model, loaded.examples, "made up")
    target, hidden = example(loaded), standard_mask("centre", 6, 6, 0)
    if source == "drawing":
        target, hidden = Target.blank(loaded).after_painting(from_text("6w6b6.18h", 6, 6), loaded)
    if source == "upload":
        target = Target.upload(loaded, picture(np.random.default_rng(0).integers(0, 256, (13, 19))))
        target, hidden = target.after_painting(hidden.to(torch.uint8), loaded)
    if source == "nothing":
        target, hidden = Target.blank(loaded), torch.ones(6, 6, dtype=torch.bool)
    drawn = draw(Request(loaded, target, hidden, count=2, seed=5, **choice), lambda *_: None)
    with unpacked(drawn) as archive:
        archive.extractall(tmp_path / "all")
    monkeypatch.chdir(tmp_path / "all")
    monkeypatch.setattr(sys, "argv", [*drawn.command.split(), "hydra.run.dir=again"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    sampled = source == "nothing" and "order" not in choice
    again = sorted((tmp_path / "all/again" / ("samples" if sampled else "completions")).iterdir())
    assert len(again) == 2
    for number, path in enumerate(again):
        assert np.array_equal(np.asarray(Image.open(f"{number:03d}.png")), np.asarray(Image.open(path)))


# Draws that are watched


def count_to(total, seconds=0.0):
    def work(progress):
        for done in range(1, total + 1):
            time.sleep(seconds)
            progress(done, total, torch.full((1, 1, 2, 2), done, dtype=torch.uint8))
        return "done"

    return work


def test_a_draw_is_seen_while_it_goes_on(monkeypatch):
    monkeypatch.setattr(sessions, "PERIOD", 0.001)
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
    monkeypatch.setattr(sessions, "PERIOD", 0.001)
    given = load(shape, orders="symmetries")
    hidden, choice = standard_mask("centre", 6, 6, 0), {"count": 3, "seed": 4, "strategy": strategy}
    target = example(given, 1)
    *frames, last = watch(lambda: Request(given, target, hidden, **choice), DrawSession())
    assert frames and all("Drawing, " in view.line and view.pictures.count("<img") == 4 for view in frames)
    expected = pixelrnn.complete_in_detail(
        given.model, target.image[None], hidden, generator=generator(4), count=3, strategy=strategy
    )
    with unpacked(last.drawn) as archive:
        names = archive.namelist()
        report = json.loads(archive.read("completions.json"))
        images = [to_tensor(Image.open(archive.open(f"{k:03d}.png"))) for k in range(3)]
        assert torch.equal(to_tensor(Image.open(archive.open("picture.png"))), requantise(target.image, 4, 256))
    assert sorted(names) == sorted(
        [*(f"{k:03d}.png" for k in range(3)), "picture.png", "mask.png", "mean.png", "entropy.png", "completions.json"]
    )
    shown = requantise(expected.images[0], given.model.levels, 256)
    assert torch.equal(torch.stack(images), shown)
    assert report["exact"] == expected.exact[0] and report["strategy"] == expected.strategies[0]
    assert sorted(row["rank"] for row in report["completions"]) == [1, 2, 3]
    assert last.pictures.count("<img") == 5 and views.maps(last.drawn).count("<img") == 2  # given, three, original
    assert last.pictures.count("data-number") == 3 and last.pictures.count('class="first"') == 1
    assert "</abbr>\N{NO-BREAK SPACE}3" in last.pictures  # rank 3
    assert {"how", "observed_ahead", "order", "command"} <= report.keys()


@pytest.mark.parametrize(
    ("title", "choice", "below"),
    [
        ("bottom half", {}, "log p(hidden | observed), and its rank;"),
        ("bottom half", {"temperature": 0.5}, "log p(hidden | observed), and its rank;"),
        ("top half", {}, "log p(hidden | observed), estimated, and its rank;"),
        ("top half", {"temperature": 0.5}, "the log-probability by the plain fill at temperature 1, and its rank;"),
        (
            "top half",
            {"strategy": "ancestral"},
            "the log-probability by the plain fill at temperature 1, and its rank;",
        ),
    ],
)
def test_the_page_explains_the_numbers_below_the_images(title, choice, below):
    given, hidden = load((1, 4, 4)), standard_mask(title, 4, 4, 0)
    target = example(given)
    *_, last = watch(lambda: Request(given, target, hidden, **choice), DrawSession())
    assert last.drawn.note.startswith(f"Below each image: {below}")
    request = Request(given, target, hidden, **choice)
    drawn = draw(request, lambda *_: None)
    images = torch.stack([answer.image for answer in drawn.answers])
    with given.model.evaluating(), given.model.along(request.order_index):
        numbers = given.model.fill_log_prob(images, hidden.expand(len(images), -1, -1))
    shown = torch.tensor([fact["log_prob_nats"] for fact in drawn.report["completions"]])
    assert torch.allclose(shown, numbers.float(), atol=1e-4) == ("estimated" not in below)


def test_samples_are_drawn_from_scratch():
    given, everything = load(), torch.ones(6, 6, dtype=torch.bool)
    *_, last = watch(lambda: Request(given, example(given), everything, count=5, seed=2), DrawSession())
    with unpacked(last.drawn) as archive:
        images = [to_tensor(Image.open(archive.open(f"{k:03d}.png"))) for k in range(5)]
    expected = pixelrnn.sample(given.model, 5, generator=generator(2))
    assert torch.equal(torch.stack(images), requantise(expected, 4, 256))
    assert "Everything is drawn: exact samples of p(x)" in plain(last.line) and "original" not in last.pictures


def test_completions_are_pasted_into_the_visitors_picture(picture):
    given, hidden = load((3, 6, 6), 256), standard_mask("left half", 6, 6, 0)
    target = Target.upload(given, picture(np.random.default_rng(0).integers(0, 256, (30, 40, 3))))
    *_, last = watch(lambda: Request(given, target, hidden, "ancestral", count=2), DrawSession())
    assert "original" not in last.pictures  # nobody knows what a visitor hides
    with unpacked(last.drawn) as archive:
        completed = to_tensor(Image.open(archive.open("000.png")))
    assert torch.equal(completed[:, :, 20:], target.own.picture[:, :, 20:])
    assert not torch.equal(completed, target.own.picture)


def test_a_draw_can_be_cancelled_before_and_while_it_goes_on(monkeypatch):
    monkeypatch.setattr(sessions, "PERIOD", 0.001)
    given, everything = load((1, 12, 12)), torch.ones(12, 12, dtype=torch.bool)
    session = DrawSession(cancelled=True)
    *_, view = watch(lambda: Request(given, example(given), everything), session)
    assert "Cancelled" in view.line
    session = DrawSession()
    draw, told = given.model.likelihood.draw, threading.Semaphore()  # the first pixel is drawn, the second one waits
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *arguments: told.acquire() and draw(*arguments))
    seen = watch(lambda: Request(given, example(given), everything), session)
    next(seen)
    session.cancelled = True
    assert "Cancelling" in next(seen).line
    told.release()
    assert "Cancelled" in list(seen)[-1].line


def test_every_error_becomes_one_line(monkeypatch, caplog):
    given, nothing = load(), torch.zeros(6, 6, dtype=torch.bool)
    (view,) = watch(lambda: Request(given, example(given), nothing), DrawSession())
    assert 'role="alert"' not in view.line and "Nothing is hidden yet" in view.line
    (view,) = watch(lambda: Request(given, example(given), ~nothing, count=0), DrawSession())
    assert 'role="alert"' in view.line and "The number of images is 0" in view.line
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *_: 1 / 0)
    (view,) = watch(lambda: Request(given, example(given), ~nothing), DrawSession())
    assert "The draw failed" in view.line and "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *_: torch.empty(2**50))
    (view,) = watch(lambda: Request(given, example(given), ~nothing), DrawSession())
    assert 'role="alert"' in view.line and "The memory is full" in view.line


def test_markup_in_words_is_escaped():
    assert "<script>" not in views.line("<script>") + views.tile(np.zeros((1, 1, 3)), "<script>") + views.explained(
        "nats <script>"
    )
    with pytest.raises(UserError) as error:
        ModelCatalog()["<script>"]
    assert "&lt;script&gt;" in views.line(str(error.value), "wrong")


# Orderings


@pytest.mark.parametrize("step", [0, 1, 17, 36])
def test_the_page_shows_what_a_model_has_seen_and_its_next_probability(step):
    given = load(orders="symmetries")
    for index in (0, 3):
        line, picture = step_view(given, given.examples[0], index, [], step)
        assert f"Step {step} of 36" in line and picture.count("<img") == 1
        if step < 36:
            with given.model.evaluating(), given.model.along(index):
                p = float(given.model.pixel_log_probs(given.examples[:1])[0, step].exp())
            assert f"its true value a probability of {100 * p:.1f} %" in line and "the model has seen" in line
    line = step_view(given, given.examples[0], "hilbert", ["flip_rows"], step)[0]  # not one of the model's orders
    assert "true value" not in line and "this ordering has visited" in line


def test_a_small_probability_is_not_called_zero(monkeypatch):
    monkeypatch.setattr("pixelrnn.ui.page.pixel_probability", lambda *_: 2.0**-15)
    given = load((3, 4, 4), 256)
    assert (
        "its true colour a probability of 1 in 32,768, which is 15.00"
        in step_view(given, given.examples[0], 0, [], 3)[0]
    )


def test_the_page_does_not_wait_for_a_model_that_draws():
    given, begun, done = load(), threading.Event(), threading.Event()

    def hold():
        with given.model.evaluating():
            begun.set()
            done.wait(300)

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait(300)
    assert "true value" not in step_view(given, given.examples[0], 0, [], 3)[0]
    done.set()
    holder.join()
    assert "true value" in step_view(given, given.examples[0], 0, [], 3)[0]


def test_an_unknown_ordering_is_refused():
    for ordering, transforms in (
        *(("nowhere", []), (8, []), (-1, []), (None, []), ("raster", ["turn"]), ("permutation", [])),
        *(("raster", None), ("raster", 3), ("raster", [["reverse"]])),
    ):
        with pytest.raises(UserError):
            step_view(load(), load().examples[0], ordering, transforms, 3)


# The first tab: one for models of images of one size, and for models of pictures of any size


@pytest.fixture
def tab(monkeypatch, tmp_path):
    """tab(loaded) -> the tab for a model, with files in a temporary folder."""
    import gradio as gr

    from pixelrnn.ui.complete_tab import CompleteTab, first_target

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(sessions, "PERIOD", 0.001)

    def build(loaded):
        with gr.Blocks():
            models = ModelCatalog(loaded)
            return CompleteTab(models, gr.Dropdown(models.names), gr.State(first_target(loaded)))

    return build


def inpainting(shape=(3, 4, 4), levels=256):
    return load(shape, levels, model="InpaintingRNN")


def sent(tab, path, mask=None, before=None):
    """The target, and the text of the painter, after the visitor has sent a picture, and perhaps a mask."""
    answer = tab.choose_picture({"path": path}, before or Target("tiny", torch.zeros(3, 4, 4)))
    target, text = answer[tab.target], answer[tab.painter].value
    if mask:
        answer = tab.choose_mask({"path": mask}, None, target, "auto", "best", 2, 1.0, 0)
        target, text = answer[tab.target], answer[tab.painter]
    return target, text


@pytest.mark.parametrize("size", [(1, 7), (9, 5), (5, 12)])
@pytest.mark.parametrize("kind", ["RGB", "grey"])
@pytest.mark.parametrize("shown", [1280, 6], ids=["as it is", "reduced"])
def test_a_picture_of_any_size_keeps_it_and_every_observed_pixel(size, kind, shown, tab, picture, monkeypatch):
    from pixelrnn.ui import request as module

    monkeypatch.setattr(module, "SHOWN", shown)
    values = np.random.default_rng(0).integers(0, 256, (*size, 3) if kind == "RGB" else size)
    scratch = np.zeros(size)
    scratch[0, 1:4] = 255
    tab = tab(inpainting())
    target, text = sent(tab, picture(values), picture(scratch, "mask.png"))
    request = tab.request(target, text, "auto", "best", 2, 1.0, 3)
    hidden = request.full_size_mask
    assert max(target.image.shape) <= shown and torch.equal(hidden, torch.from_numpy(scratch > 0))
    *_, last = watch(lambda: request, DrawSession())
    assert last.drawn.request is request and "3 of " in last.line and "exact samples" in last.line
    assert [answer.words.split(":")[0] for answer in last.drawn.answers] == ["mean of the draws", "draw 1", "draw 2"]
    for answer in last.drawn.answers:
        whole = to_picture(answer.full_size())
        assert whole.size == size[::-1] and whole.mode == ("RGB" if kind == "RGB" else "L")
        assert np.array_equal(np.asarray(whole)[scratch == 0], values[scratch == 0])
        assert answer.image.shape[1:] == answer.steps.shape == target.image.shape[1:]
        assert torch.equal(answer.steps > 0, target.own.reduce(hidden))
    expected = pixelrnn.complete_picture(
        torch.from_numpy(values.astype(np.uint8)).movedim(-1, 0) if kind == "RGB" else values.astype(np.uint8),
        hidden, tab.models["tiny"].model, count=2, generator=generator(3),
    )  # fmt: skip
    with unpacked(last.drawn) as archive:
        names = ["mean.png", "000.png", "001.png", "picture.png", "mask.png", "interval.png", "completions.json"]
        assert sorted(archive.namelist()) == sorted(names)
        report = json.loads(archive.read("completions.json"))
        assert np.array_equal(np.asarray(Image.open(archive.open("mask.png"))), scratch)
        assert np.array_equal(np.asarray(Image.open(archive.open("picture.png"))), values)
        drawn = np.asarray(Image.open(archive.open("001.png")))
    if kind == "RGB":
        assert np.array_equal(drawn, expected.draw(1).movedim(0, -1).numpy())
    nats = [fact["log_prob_nats"] for fact in report["completions"]]
    assert nats == expected.log_probs.tolist() and report["hidden_pixels"] == 3
    assert report["completions"][0]["bits_per_dim"] == pytest.approx(-nats[0] / 9 / np.log(2))


@pytest.mark.parametrize(
    ("choices", "said"),
    [({"count": 2}, ""), ({"count": 1}, "a single draw"), ({"count": 2, "temperature": 0.5}, "temperature=1")],
)
def test_the_page_says_when_intervals_do_not_hold_their_share(choices, said):
    loaded, hidden = inpainting(), torch.eye(8, dtype=torch.bool)
    target = Target.at_own_size(loaded, random_images(1, (3, 8, 8), 256)[0])
    view = views.view_drawn(draw(Request(loaded, target, hidden, **choices), lambda *_: None))
    assert ("They do not hold 90 % of the hidden values" in view.line) == bool(said) and said in view.line
    with unpacked(view.drawn) as archive:
        assert json.loads(archive.read("completions.json"))["interval_share"] == (None if said else 0.9)


def test_a_hole_is_seen_as_it_fills_and_is_replayed_in_this_order():
    loaded, hidden, told = inpainting(), torch.zeros(8, 8, dtype=torch.bool), []
    hidden[::2] = True
    target = Target.at_own_size(loaded, random_images(1, (3, 8, 8), 256)[0])
    request = Request(loaded, target, hidden, count=2)
    drawn = draw(request, lambda *news: told.append(sessions.Snapshot(*news)))
    assert [news.total for news in told] == [32] * len(told) and told[-1].done == 32 and len(told) > 1
    view = views.view_snapshot(request, told[0])
    assert f"Drawing, {100 * told[0].done / 32:.0f} %" in view.line
    assert view.pictures.count("<img") == 2  # given, the draw so far
    steps = drawn.answers[1].steps
    assert set(steps[hidden].tolist()) <= {news.done for news in told} | {1} and not steps[~hidden].any()
    first = (told[0].images[0] != 0).any(0) & hidden
    assert (steps[first] == told[0].done).all() and (steps[hidden & ~first] != told[0].done).any()


def test_painted_strokes_and_the_transparent_part_are_hidden(tab, picture):
    values = np.random.default_rng(0).integers(0, 256, (6, 9, 4))
    values[..., 3] = 255
    values[:2, :3, 3] = 0
    tab = tab(inpainting())
    target, text = sent(tab, picture(values))
    hidden = torch.from_numpy(values[..., 3] == 0)
    assert torch.equal(from_text(text, 6, 9) == 1, hidden)
    more = hidden.clone()
    more[5] = True
    for states in (more, more & ~hidden):  # in the second, the transparent part was revealed
        request = tab.request(target, to_text(states), "auto", "best", 2, 1.0, 0)
        assert torch.equal(request.full_size_mask, states)
    with pytest.raises(UserError, match="does not have 9x6 pixels"):
        tab.request(target, "45.", "auto", "best", 2, 1.0, 0)


@pytest.mark.parametrize("any_size", [True, False])
def test_an_answer_is_enlarged_saved_and_gone_on_from(any_size, tab, picture):
    tab = tab(inpainting() if any_size else load((3, 4, 4), 256))
    target, _ = sent(tab, picture(np.random.default_rng(0).integers(0, 256, (6, 9, 3))))
    text = to_text(torch.ones(target.image.shape[1:], dtype=torch.bool))
    drawn = draw(tab.request(target, text, "auto", "best", 2, 1.0, 0), lambda *_: None)
    panel = tab.panel
    shown = panel.show(drawn)
    assert shown[panel.chosen] == 0 and shown[panel.drawn] is drawn
    shown = panel.choose(1, drawn)
    whole = drawn.answers[1].full_size()
    assert torch.equal(to_tensor(Image.open(shown[panel.file].value["path"])), whole) and whole.shape[1:] == (6, 9)
    assert (
        shown[panel.player].props["words"] == drawn.answers[1].words
        and ("in your picture" in shown[panel.pasted]) != any_size
    )
    gif = Image.open(panel.animate(drawn, 1).value["path"])
    assert gif.n_frames > 2
    for number in (-1, 99, None, "1", True):
        with pytest.raises(UserError, match="number of the picture"):
            panel.choose(number, drawn)
    further = tab.go_on(drawn, 1)
    target = further[tab.target]
    assert torch.equal(target.own.picture, whole) and torch.equal(target.image, drawn.answers[1].image)
    assert further[panel.drawn] is None and not from_text(further[tab.painter].value, *target.image.shape[1:]).any()
    assert drawn.answers[1].words in further[panel.line]


def test_the_steps_of_the_replay_survive_as_a_picture():
    loaded = load((1, 6, 6), 4)
    hidden = torch.zeros(6, 6, dtype=torch.bool)
    hidden[2:4, 1:] = True
    request = Request(loaded, example(loaded), hidden, count=1)
    answer = draw(request, lambda *_: None).answers[0]
    assert answer.steps[2, 1:].tolist() == [1, 2, 3, 4, 5] and answer.steps[3, 1:].tolist() == [6, 7, 8, 9, 10]
    assert int(answer.steps.sum()) == 55
    large = dataclasses.replace(answer, steps=answer.steps * 70_000)
    file = io.BytesIO(base64.b64decode(views.steps_url(large).split(",")[1]))
    red, green, blue = np.asarray(Image.open(file)).astype(int).transpose(2, 0, 1)
    assert np.array_equal(red * 65536 + green * 256 + blue, large.steps.numpy())


def test_what_was_drawn_is_cleared_or_called_earlier(tab, picture):
    from pixelrnn.ui.events import EARLIER

    tab = tab(load((1, 6, 6), 256))
    target = example(tab.models["tiny"])
    choices = ["auto", "best", 2, 1.0, 0]
    drawn = draw(tab.request(target, "18h18.", *choices), lambda *_: None)
    panel = tab.panel
    assert tab.forecast(drawn, target, "12h24.", *choices)[panel.earlier] == EARLIER
    assert tab.forecast(None, target, "12h24.", *choices)[panel.earlier] == ""
    assert tab.forecast(drawn, target, "18h18.", *choices)[panel.earlier] == ""  # nothing is different
    assert tab.forecast(drawn, target, "18h18.", *choices[:-1], 1)[panel.earlier] == EARLIER
    assert tab.forecast(drawn, target, "36.", *choices)[panel.earlier] == EARLIER
    assert tab.choose_occlusion("centre", drawn, target, "36.", *choices)[panel.earlier] == EARLIER
    mask = {"path": picture(np.eye(6) * 255, "mask.png")}
    assert tab.choose_mask(mask, drawn, target, *choices)[panel.earlier] == EARLIER
    for answer in (
        tab.choose_example(1, target),
        tab.choose_blank(target),
        tab.choose_model("digits", target, "36."),
        tab.choose_picture({"path": picture(np.random.default_rng(0).integers(0, 256, (7, 8)))}, target),
    ):
        assert (
            answer[panel.drawn] is None
            and answer[panel.pictures].props["pictures"] == ""
            and answer[panel.earlier] == ""
        )
    assert tab.choose_model("tiny", target, "36.") == {}  # it was the model before


def test_another_target_ends_the_draw_of_the_one_before_without_a_word(tab):
    tab = tab(load())
    for shown, ends in (({tab.target: 1}, True), ({}, False)):
        session = DrawSession()
        assert tab._replacing(lambda name, shown=shown: shown)(session, "any") is shown
        assert session.cancelled == session.replaced == ends
    ended = DrawSession()
    ended.replace()
    given = load()
    assert list(watch(lambda: Request(given, example(given), torch.ones(6, 6, dtype=torch.bool)), ended)) == []


def test_a_mask_that_asks_for_too_much_is_shown_with_the_reason(tab, monkeypatch):
    monkeypatch.setattr("pixelrnn.ui.request.MAX_DRAWN", 20)
    tab = tab(inpainting())
    answer = tab.choose_occlusion(
        "everything", None, Target.example(tab.models["tiny"], 0), "16.", "auto", "best", 2, 1.0, 0
    )
    assert answer[tab.painter] == "16h" and "would take too long" in str(answer[tab.panel.line])


def test_a_row_of_ways_that_begins_anew_does_not_go_back():
    from pixelrnn.ui.ways import compare

    binary, told = load((1, 4, 4), 2), []
    request = Request(binary, example(binary), standard_mask("top half", 4, 4, 0), count=2)
    compare(request, ModelCatalog(binary), lambda done, *_: told.append(done))
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("words", "told"), [("the seed is", "The seed is"), ("mask.png is", "mask.png is"), ("mask=x: a", "mask=x: a")]
)
def test_a_sentence_begins_with_a_capital_unless_a_name_does(words, told):
    assert views.sentence(words) == told


def test_an_occlusion_keeps_what_was_drawn_outside_of_it(tab):
    tab = tab(load((1, 4, 4), 2))
    target = Target.blank(tab.models["tiny"])
    answer = tab.choose_occlusion("bottom half", None, target, "4w4h4b4h", "auto", "best", 2, 1.0, 0)
    assert answer[tab.painter] == "4w4.8h"


def test_a_model_keeps_the_picture_that_it_can_complete(tab, picture):
    tab = tab(load((1, 28, 28), 2))
    target, text = dataclasses.replace(example(tab.models["tiny"]), words="your drawing"), "392h392."
    answer = tab.choose_model("mnist_binary", target, text)
    assert torch.equal(answer[tab.target].image, target.image) and answer[tab.target].model == "mnist_binary"
    assert answer[tab.painter] == text  # of the same form
    assert "392 pixels are hidden" in answer[tab.panel.line]
    answer = tab.choose_model("digits", target, text)
    assert answer[tab.target].image.shape == (1, 8, 8) and answer[tab.target].words == "an example"
    values = np.random.default_rng(0).integers(0, 256, (30, 40))
    target, _ = sent(tab, picture(values), before=target)
    answer = tab.choose_model("photos", target, text)
    assert torch.equal(answer[tab.target].own.picture[0], torch.from_numpy(values)) and answer[tab.model] == "photos"


def test_a_picture_in_colour_goes_to_the_model_of_photographs(tab, picture):
    tab = tab(load((1, 6, 6), 256))
    target = example(tab.models["tiny"])
    values = np.random.default_rng(0).integers(0, 256, (9, 12, 3))
    answer = tab.choose_picture({"path": picture(values)}, target)
    assert answer[tab.target].model == answer[tab.model] == "photos"
    assert "tiny is for grey images, so model photos was chosen" in answer[tab.panel.line]
    grey = tab.choose_picture({"path": picture(values[..., 0])}, target)
    assert grey[tab.target].model == "tiny" and "choose model photos" in grey[tab.panel.line]


def test_what_the_page_does_not_complete_at_its_own_size_is_refused(tab, picture):
    made, colour = tab(inpainting()), np.random.default_rng(0).integers(0, 256, (6, 9, 3))
    target, _ = sent(made, picture(colour))
    loaded, hidden = made.models["tiny"], torch.ones(500, 500, dtype=torch.bool)
    large = Target.at_own_size(loaded, torch.zeros(3, 500, 500, dtype=torch.uint8))
    with pytest.raises(
        UserError, match="250,000 hidden pixels, 6 times, would take too long: the page draws up to 1,000,000"
    ):
        Request(loaded, large, hidden)
    with pytest.raises(NothingHidden):
        made.request(target, "54.", "auto", "best", 6, 1.0, 0)
    with pytest.raises(UserError, match="is in colour"):
        sent(tab(inpainting((1, 4, 4))), picture(colour))
    with pytest.raises(UserError, match="the limit is 24,000,000"):
        sent(made, picture(Image.new("L", (6001, 4000))))
    with pytest.raises(UserError, match="is 5x5 pixels and the picture 9x6"):
        made.choose_mask({"path": picture(np.full((5, 5), 255), "mask.png")}, None, target, "auto", "best", 6, 1.0, 0)
    for number in (-1, 4, None, "0"):
        with pytest.raises(UserError, match="number of the example"):
            made.choose_example(number, target)


# Ways side by side, and the nearest training images


def test_the_ways_to_complete_stand_side_by_side(monkeypatch):
    from pixelrnn.ui.ways import compare

    plain, sees, other = load(), load(bidirectional=True), load((1, 4, 4))
    loaded = [LoadedModel(name, it.model, it.examples, "") for name, it in (("a", plain), ("b", sees), ("c", other))]
    models = ModelCatalog(loaded[0])
    models._loaded, models.names = {it.name: it for it in loaded}, [it.name for it in loaded]
    hidden, told = standard_mask("top half", 6, 6, 0), []
    drawn = compare(
        Request(loaded[0], example(loaded[0]), hidden, count=2, seed=3), models, lambda *news: told.append(news)
    )
    titles = list(drawn.rows)
    for title, words in zip(
        titles, ("a, plain fill: ignores 18", "a, particles: ", "b: exact", "Telea", "biharmonic"), strict=True
    ):
        assert title.startswith(words)
    assert all("PSNR" in title for title in titles) and [done for done, *_ in told] == sorted(done for done, *_ in told)
    expected = pixelrnn.complete(
        plain.model, plain.examples[:1], hidden, 2, strategy="particles", generator=generator(3)
    )
    assert torch.equal(torch.stack([answer.image for answer in drawn.rows[titles[1]]]), expected[0])
    for answer in drawn.answers:
        assert torch.equal(answer.image[:, 3:], plain.examples[0][:, 3:])
    assert views.view_drawn(drawn).pictures.count('class="way"') == 5
    with unpacked(drawn) as archive:
        named = [file for way in json.loads(archive.read("completions.json"))["ways"] for file in way["files"]]
        assert len(set(named)) == len(drawn.answers) == 8 and {*named, "picture.png", "mask.png"} < {
            *archive.namelist()
        }
        first = to_tensor(Image.open(archive.open(named[2])))
    assert torch.equal(first, requantise(expected[0][0], 4, 256))  # the first of the particles
    bottom = compare(Request(loaded[0], example(loaded[0]), ~hidden, count=2), models, lambda *_: None)
    first, second, *_ = bottom.rows
    assert first.startswith("a: exact; its order draws the hidden pixels last") and second.startswith("b:")


def test_ways_for_photographs_and_for_two_levels():
    from pixelrnn.ui.ways import compare

    loaded, binary = inpainting(), load((1, 4, 4), 2)
    target = Target.at_own_size(loaded, random_images(1, (3, 8, 8), 256)[0])
    drawn = compare(
        Request(loaded, target, torch.eye(8, dtype=torch.bool), count=2), ModelCatalog(loaded), lambda *_: None
    )
    assert [title.split(":")[0] for title in drawn.rows] == ["tiny", "Telea", "biharmonic"]
    assert [len(row) for row in drawn.rows.values()] == [3, 1, 1]
    request = Request(binary, example(binary), standard_mask("top half", 4, 4, 0), count=2)
    drawn = compare(request, ModelCatalog(binary), lambda *_: None)
    first, *_, last = drawn.rows
    assert "not for images of two levels" in last and "% of the hidden pixels are as in" in first


def test_samples_stand_beside_the_nearest_training_images(monkeypatch):
    from pixelrnn.ui.sample_tab import draw_samples

    loaded = load((1, 8, 8), 17)
    loaded.model.trained_on = {"data": {"name": "digits"}}
    blank = Target("tiny", torch.zeros(1, 8, 8, dtype=torch.uint8), words="a sample")
    request = Request(loaded, blank, torch.ones(8, 8, dtype=torch.bool), count=3)
    drawn, training = draw_samples(request, lambda *_: None), pixelrnn.datasets.load("digits").train
    for answer in drawn.answers:
        squares = (training.int() - answer.image.int()).square().flatten(1).sum(1)
        image, words = answer.beside
        assert int((image.int() - answer.image.int()).square().sum()) == int(squares.min())
        assert f"differs by {(float(squares.min()) / 64) ** 0.5:.1f} levels" in words
    assert "1,297 training images" in drawn.note and views.view_drawn(drawn).pictures.count("<img") == 6
    lacking = load((1, 8, 8), 17)
    lacking.model.trained_on = {"data": {"name": "folder", "root": "nowhere"}}
    drawn = draw_samples(dataclasses.replace(request, loaded=lacking), lambda *_: None)
    assert "not on this machine" in views.view_drawn(drawn).line


# Models


def test_training_images_that_are_binarised_anew_have_the_levels_of_the_samples():
    loaded, data = load((1, 8, 8), 2), {"name": "digits", "levels": 2, "binarization": "dynamic"}
    loaded.model.trained_on = {"data": data}
    grey = pixelrnn.datasets.load(data).train
    assert grey.max() == 255 and torch.equal(loaded.training_images, (grey >= 128).to(torch.uint8))


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


def test_the_page_is_built_without_a_warning(monkeypatch, tmp_path):
    from pixelrnn.ui.page import build

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        build(ModelCatalog(load()))


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
