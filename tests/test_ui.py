"""What the page does, without a browser: masks, uploads, plans, draws that can be watched and ended, and the server."""

import dataclasses
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
from pixelrnn.ui import drawing, html, masks
from pixelrnn.ui.drawing import Drawing, Ended
from pixelrnn.ui.draws import Request, fulfil
from pixelrnn.ui.plan import Choice, plan
from pixelrnn.ui.seen import seen
from pixelrnn.ui.shelf import Offer, Shelf
from pixelrnn.ui.subject import Subject, example, upload
from pixelrnn.ui.watch import Errand, watch


def offer(shape=(1, 6, 6), levels=4, name="tiny", **options):
    model = tiny_model(shape, levels, **options).float().eval()
    return Offer(name, model, random_images(4, shape, levels), "made up")


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
    text = masks.to_text(hidden)
    assert len(text) == height * width and text[0] == str(int(hidden[0, 0]))
    assert torch.equal(masks.from_text(text, height, width), hidden)


@pytest.mark.parametrize("text", ["", "1", "1" * 37, "0" * 35 + "2", None, 3, ["1"] * 36, "1" * 35 + "１"])
def test_what_is_no_mask_is_refused(text):
    with pytest.raises(UserError, match="not one of 6x6 pixels"):
        masks.from_text(text, 6, 6)


@pytest.mark.parametrize("title", masks.STANDARD)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (5, 7)])
def test_standard_occlusions_hide_a_part(title, size):
    hidden = masks.standard(title, *size, seed=1)
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
    own = upload(offer(), picture(np.full((24, 24), 90))).own
    hidden, fine = masks.from_file(picture(MASKS[kind](rows), "mask.png"), 6, 6, own if scale > 1 else None)
    assert (fine is None) == (scale == 1) or torch.equal(fine, torch.from_numpy(rows > 0))
    assert torch.equal(hidden, torch.arange(6)[:, None].expand(6, 6) >= 4)


def test_a_pixel_is_hidden_if_any_part_of_it_is(picture):
    own = upload(offer(), picture(np.full((24, 24), 90))).own
    dot = np.zeros((24, 24))
    dot[23, 0] = 255
    hidden, _ = masks.from_file(picture(dot, "mask.png"), 6, 6, own)
    assert hidden.nonzero().tolist() == [[5, 0]]


def test_mask_files_that_cannot_serve_are_refused(picture):
    own = upload(offer(), picture(np.full((24, 24), 90))).own
    with pytest.raises(UserError, match=r"the mask is 6x5 .* the image's size, 6x6 or 24x24"):
        masks.from_file(picture(np.full((5, 6), 255)), 6, 6, own)
    with pytest.raises(UserError, match="hides nothing"):
        masks.from_file(picture(np.zeros((6, 6))), 6, 6, None)
    with pytest.raises(UserError, match="the limit is 4,000,000"):
        masks.from_file(picture(Image.new("L", (2001, 2000))), 6, 6, None)


# Pictures that visitors send


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (3, 50), (61, 47)])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6, 6)])
def test_a_picture_is_completed_at_its_own_size(size, shape, picture):
    values = np.random.default_rng(0).integers(0, 256, (*size, 3) if shape[0] == 3 else size)
    subject = upload(offer(shape, 256), picture(values))
    assert subject.image.shape == shape and subject.own.picture.shape[1:] == size
    hidden = masks.standard("bottom half", 6, 6, 0)
    white = torch.full(shape, 255, dtype=torch.uint8)
    finished = subject.finished(white, hidden, 256)
    outside = ~subject.own.enlarge(hidden)
    assert finished.shape == subject.own.picture.shape
    assert torch.equal(finished[:, outside], subject.own.picture[:, outside])  # what was observed, to the bit
    assert (finished[:, ~outside] == 255).all()


def test_pictures_that_cannot_serve_are_refused(picture, tmp_path):
    tiny = offer()
    with pytest.raises(UserError, match="is in colour"):
        upload(tiny, picture(np.random.default_rng(0).integers(0, 256, (6, 6, 3))))
    with pytest.raises(UserError, match="the limit is 4,000,000"):
        upload(tiny, picture(Image.new("L", (4000, 1001))))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="not a picture"):
        upload(tiny, tmp_path / "text.png")


def test_the_transparent_part_of_a_picture_is_hidden(picture):
    clear = np.zeros((6, 6, 4))
    clear[:3, :, 3] = 255  # black above, nothing below
    subject = upload(offer((3, 6, 6), 256), picture(clear))
    assert torch.equal(subject.mask, torch.arange(6)[:, None].expand(6, 6) >= 3)


@pytest.mark.parametrize("size", [(24, 24), (30, 20), (50, 61)])
def test_a_mask_file_keeps_every_pixel_that_it_does_not_hide(size, picture):
    """A scratch a pixel wide hides whole pixels of the model, and of the picture itself alone."""
    values = np.random.default_rng(0).integers(0, 256, size)
    scratch = np.zeros(size)
    scratch[np.arange(15), np.arange(15)] = 255
    subject = upload(offer(levels=256), picture(values))
    hidden, fine = masks.from_file(picture(scratch, "mask.png"), 6, 6, subject.own)
    subject = dataclasses.replace(subject, mask=fine)
    white = torch.full((1, 6, 6), 255, dtype=torch.uint8)
    finished = subject.finished(white, hidden, 256)[0].numpy()
    assert np.array_equal(finished[scratch == 0], values[scratch == 0]) and (finished[scratch > 0] == 255).all()
    more = hidden.clone()
    more[5, 5] = True  # painted by the visitor, over what the file does not hide
    assert int(subject.own_hidden(more).sum()) > int(fine.sum())
    assert not (subject.own_hidden(hidden) & ~fine).any()


# Choices and plans


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"count": 0}, "number of images is 0; it is a number from 1 to 64"),
        ({"count": None}, "number of images is empty"),
        ({"count": 1e9}, "from 1 to 64"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "x"}, "seed is x"),
        ({"strategy": "magic"}, "there is no strategy 'magic'"),
        ({"order": 8}, "order is 8; it is a number from 0 to 7"),
    ],
)
def test_choices_out_of_range_are_refused(choice, words):
    with pytest.raises(UserError, match=re.escape(words)):
        Choice.of(**{"count": 1, "temperature": 1, "seed": 0, "orders": 8, **choice})


def test_a_plan_says_what_completion_does():
    raster, eight, sees = offer(), offer(orders="symmetries"), offer(bidirectional=True)
    top = masks.standard("top half", 6, 6, 0)
    for given, choice, words in (
        (raster, Choice(), "raster: estimated by particles, which take in 18 observed pixels that come later"),
        (
            raster,
            Choice(temperature=0.5),
            "samples at temperature 0.5, not of p(hidden | observed); estimated by particles",
        ),
        (
            raster,
            Choice(strategy="ancestral"),
            "not conditioned on 18 observed pixels that come later in the ordering.",
        ),
        (eight, Choice(), "flip_rows (the second of 8 orders): exact samples of p(hidden | observed)."),
        (eight, Choice(order=0), "raster (the first of 8 orders): estimated by particles"),
        (sees, Choice(), "with the encoder: exact samples of p(hidden | observed)."),
        (sees, Choice(temperature=0.5), "with the encoder: samples at temperature 0.5, not of p(hidden | observed)."),
    ):
        foreseen = plan(given, top, choice)
        drawn = fulfil(Request(given, example(given, 0), top, choice), lambda *_: None)
        assert words in foreseen.words and foreseen.words.startswith("18 of 36 pixels are hidden")
        assert drawn.completions.orders == [foreseen.order]
        assert drawn.completions.exact == ["exact samples" in foreseen.words] == [drawn.how["how"] == "exact"]
        assert (drawn.completions.strategies[0] == "particles") == ("particles" in foreseen.words)
    with pytest.raises(UserError, match="nothing is hidden"):
        plan(raster, torch.zeros(6, 6, dtype=torch.bool), Choice())


# Draws that are watched


def count_to(total, seconds=0.0):
    def work(progress):
        for done in range(1, total + 1):
            time.sleep(seconds)
            progress(done, total, torch.full((1, 1, 2, 2), done, dtype=torch.uint8))
        return "done"

    return work


def test_a_draw_is_seen_while_it_goes_on(monkeypatch):
    monkeypatch.setattr(drawing, "PERIOD", 0.0)
    lock, seen, canvas = threading.Lock(), threading.Event(), torch.zeros(1, 1, 2, 2, dtype=torch.uint8)

    def work(progress):
        for done in range(1, 6):
            progress(done, 5, canvas.fill_(done))
            assert seen.wait(300)
            seen.clear()
        return "done"

    draw, frames = Drawing(work, lock), []
    for frame in draw.frames():
        frames.append(frame)
        assert lock.locked()
        seen.set()
    assert draw.result == "done" and not lock.locked()
    assert [(frame.done, frame.total, int(frame.images.max())) for frame in frames] == [(i, 5, i) for i in range(1, 6)]


def test_a_draw_can_be_ended():
    draw = Drawing(count_to(10_000, 0.001), lock := threading.Lock())
    with pytest.raises(Ended):
        for _ in draw.frames():
            draw.end()
    assert not lock.locked()


def test_a_draw_that_nobody_looks_at_ends_itself(monkeypatch):
    monkeypatch.setattr(drawing, "PATIENCE", 0.0)
    monkeypatch.setattr(drawing, "PERIOD", 0.0)
    lock = threading.Lock()
    draw = Drawing(count_to(10_000, 0.01), lock)
    frames = draw.frames()
    next(frames)
    with lock:  # had once the draw has given up
        assert isinstance(draw._error, Ended)
    frames.close()


def test_a_draw_passes_on_what_goes_wrong():
    def fails(progress):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Drawing(fails, threading.Lock()).frames())


@pytest.mark.parametrize("strategy", ["auto", "ancestral", "particles"])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 6, 6)])
def test_the_page_shows_and_packs_what_the_library_draws(strategy, shape, monkeypatch):
    monkeypatch.setattr(drawing, "PERIOD", 0.0)
    given = offer(shape, orders="symmetries")
    hidden, choice = masks.standard("centre", 6, 6, 0), Choice(count=3, seed=4, strategy=strategy)
    subject = example(given, 1)
    *frames, last = watch(lambda: Request(given, subject, hidden, choice), Errand())
    assert frames and all("Drawing: " in view.line and view.pictures.count("<img") == 4 for view in frames)
    expected = pixelrnn.complete_in_detail(
        given.model, subject.image[None], hidden, generator=generator(4), count=3, strategy=strategy
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
        ("bottom half", Choice(), "log p(hidden | observed), and"),
        ("bottom half", Choice(temperature=0.5), "log p(hidden | observed), and"),
        ("top half", Choice(), "log p(hidden | observed), estimated, and"),
        ("top half", Choice(temperature=0.5), "the log-probability by the plain fill at temperature 1, and"),
        ("top half", Choice(strategy="ancestral"), "the log-probability by the plain fill at temperature 1, and"),
    ],
)
def test_the_page_says_what_the_numbers_below_the_images_are(title, choice, below):
    given, hidden = offer((1, 4, 4)), masks.standard(title, 4, 4, 0)
    subject = example(given, 0)
    *_, last = watch(lambda: Request(given, subject, hidden, choice), Errand())
    assert f"Below each image: {below} its rank among them." in last.pictures
    drawn = fulfil(Request(given, subject, hidden, choice), lambda *_: None)
    images = drawn.completions.images[0]
    with given.model.evaluating(), given.model.along(drawn.completions.orders[0]):
        numbers = given.model.fill_log_prob(images, hidden.expand(len(images), -1, -1))
    shown = torch.tensor([fact["log_prob_nats"] for fact in drawn.facts])
    assert torch.allclose(shown, numbers.float(), atol=1e-4) == ("estimated" not in below)


def test_samples_are_drawn_from_scratch():
    given, everything = offer(), torch.ones(6, 6, dtype=torch.bool)
    *_, last = watch(lambda: Request(given, None, everything, Choice(count=5, seed=2)), Errand())
    with zipfile.ZipFile(io.BytesIO(last.archive)) as archive:
        images = [to_tensor(Image.open(archive.open(f"{k:03d}.png"))) for k in range(5)]
    expected = pixelrnn.sample(given.model, 5, generator=generator(2))
    assert torch.equal(torch.stack(images), requantise(expected, 4, 256))
    assert "exact samples of p(x)" in last.line


def test_a_visitors_picture_is_pasted_back_into(picture):
    given, hidden = offer((3, 6, 6), 256), masks.standard("left half", 6, 6, 0)
    subject = upload(given, picture(np.random.default_rng(0).integers(0, 256, (30, 40, 3))))
    *_, last = watch(lambda: Request(given, subject, hidden, Choice(count=2, strategy="ancestral")), Errand())
    assert "in your picture" in last.pictures and "original" not in last.pictures  # nobody knows what a visitor hides
    with zipfile.ZipFile(io.BytesIO(last.archive)) as archive:
        completed = to_tensor(Image.open(archive.open("000.png")))
    assert torch.equal(completed[:, :, 20:], subject.own.picture[:, :, 20:])
    assert not torch.equal(completed, subject.own.picture)


def test_a_draw_can_be_ended_before_and_while_it_goes_on(monkeypatch):
    monkeypatch.setattr(drawing, "PERIOD", 0.0)
    given, everything = offer((1, 12, 12)), torch.ones(12, 12, dtype=torch.bool)
    errand = Errand()
    errand.end()
    (view,) = watch(lambda: Request(given, None, everything, Choice()), errand)
    assert "Ended" in view.line
    errand.begin()
    draw, told = given.model.likelihood.draw, threading.Semaphore()  # the first pixel is drawn, the second one waits
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *arguments: told.acquire() and draw(*arguments))
    views = watch(lambda: Request(given, None, everything, Choice()), errand)
    next(views)
    errand.end()
    told.release()
    assert "Ended" in list(views)[-1].line and not given.lock.locked()


def test_whatever_goes_wrong_becomes_one_line(monkeypatch, caplog):
    given, nothing = offer(), torch.zeros(6, 6, dtype=torch.bool)
    (view,) = watch(lambda: Request(given, None, nothing, Choice()), Errand())
    assert 'role="alert"' in view.line and "nothing is hidden" in view.line
    monkeypatch.setattr(given.model.likelihood, "draw", lambda *_: 1 / 0)
    (view,) = watch(lambda: Request(given, None, ~nothing, Choice()), Errand())
    assert "That failed" in view.line and "ZeroDivisionError" in caplog.text


def test_words_are_no_markup():
    assert "<script>" not in html.line("<script>") + html.bar("<script>", 0.5) + html.tile(
        np.zeros((1, 1, 3)), "<script>"
    )
    with pytest.raises(UserError) as error:
        Shelf()["<script>"]
    assert "&lt;script&gt;" in html.line(str(error.value), "wrong")


# Orderings


@pytest.mark.parametrize("step", [0, 1, 17, 36])
def test_what_a_model_has_seen_is_told_with_its_probability(step):
    given = offer(orders="symmetries")
    image = example(given, 0).image
    for index in (0, 3):
        view = seen(given, image, str(index), [], step)
        assert f"Step {step} of 36" in view.line and view.pictures.count("<img") == 1
        if step < 36:
            with given.model.evaluating(), given.model.along(index):
                p = float(given.model.pixel_log_probs(image[None])[0, step].exp())
            assert f"its true value {p:.1%}" in view.line
    assert "true value" not in seen(given, image, "hilbert", ["flip_rows"], step).line  # not an order of the model's
    with given.lock:
        assert "true value" not in seen(given, image, "0", [], step).line  # the model is at work: do not wait


def test_an_ordering_that_is_not_there_is_refused():
    given = offer()
    for ordering, transforms in (
        *(("nowhere", []), ("8", []), ("9" * 5000, []), ("raster", ["turn"]), ("permutation", [])),
        *(("raster", None), ("raster", 3), ("raster", [["reverse"]])),
    ):
        with pytest.raises(UserError):
            seen(given, example(given, 0).image, ordering, transforms, 3)


# The shelf


def test_the_shelf_has_the_bundled_models_and_ones_own():
    own = offer(name="outputs/mine")
    shelf = Shelf(own)
    assert shelf.names == ["outputs/mine", *pixelrnn.pretrained.names()] and shelf.first == "outputs/mine"
    assert shelf["outputs/mine"] is own and shelf["digits"] is shelf["digits"]
    assert shelf["digits"].examples.shape == (16, 1, 8, 8)
    assert Shelf().first == "mnist_binary"
    for name in ("nothing", None, 3, "../digits"):
        with pytest.raises(UserError, match="there is no model"):
            shelf[name]


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

    server = threading.Thread(target=serve, args=(Shelf(offer()), "127.0.0.1", port, False, wait), daemon=True)
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


def test_the_page_is_there_and_asks_no_other_host(address):
    status, page = get(address)
    assert status == 200 and "pixelrnn" in page
    asked = re.findall(r'(?:src|href)="(https?://[^"]+)"', page)
    assert [link for link in asked if not link.startswith(address)] == []
    _, theme = get(f"{address}/theme.css")
    assert "--body-text-color" in theme and not re.search(r"""@import|url\(["']?https?:""", theme)


def test_no_answer_is_open_to_programs(address):
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


def test_an_address_that_is_taken_is_said_in_one_line(address):
    from pixelrnn.ui.server import serve

    port = int(address.rsplit(":", 1)[1])
    for host in ("127.0.0.1", "nowhere..ö"):
        with pytest.raises(UserError, match=f"host={host} port={port} cannot be had"):
            serve(Shelf(offer()), host, port, False, lambda: None)


@pytest.mark.parametrize(("host", "said"), [(None, "null"), ("", ""), (8080, "8080")])
def test_what_is_no_address_is_said_in_one_line(host, said):
    from pixelrnn.ui.server import serve

    with pytest.raises(UserError, match=f"^host={said}: it is an address, such as 127.0.0.1$"):
        serve(Shelf(offer()), host, 7860, False, lambda: None)


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    import pixelrnn.ui
    from pixelrnn.ui.server import serve

    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "pixelrnn.ui.page", raising=False)
    monkeypatch.delattr(pixelrnn.ui, "page", raising=False)
    with pytest.raises(UserError, match=r"pip install -e '\.\[ui\]' in the source tree, or pip install 'gradio>="):
        serve(Shelf(offer()), "127.0.0.1", 7860, False, lambda: None)


def test_a_gradio_that_cannot_be_imported_is_not_said_to_be_missing(monkeypatch):
    import pixelrnn.ui
    from pixelrnn.ui.server import serve

    monkeypatch.setitem(sys.modules, "pixelrnn.ui.page", None)
    monkeypatch.delattr(pixelrnn.ui, "page", raising=False)
    with pytest.raises(UserError, match=r"Gradio, which is installed and cannot be imported \(.*pixelrnn\.ui\.page"):
        serve(Shelf(offer()), "127.0.0.1", 7860, False, lambda: None)


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
    serve(Shelf(offer()), "127.0.0.1", port, False, lambda: None)
    assert {name: value for name, value in found.items() if name.lower().endswith("_proxy")} == {"NO_PROXY": "*"}
    assert all(os.environ[name] == "socks5://127.0.0.1:9" for name in names) and "NO_PROXY" not in os.environ


def test_subjects_can_be_copied():
    """Gradio gives each visitor a copy of what a page begins with."""
    import copy

    subject = copy.deepcopy(Subject("tiny", torch.zeros(1, 2, 2, dtype=torch.uint8)))
    assert copy.deepcopy(Errand()) == Errand() and subject.model == "tiny"
