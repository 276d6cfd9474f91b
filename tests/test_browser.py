"""The page in a browser, as a visitor uses it: it is painted on, completes, can be cancelled, and says what is wrong.

It is seen as on a desktop and as on a phone, light and dark. Screenshots of every tab are left in outputs/browser/.
"""

import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import CHROMIUM, tiny_model
from PIL import Image

import pixelrnn

pytestmark = pytest.mark.browser
SCREENSHOTS = Path(__file__).parents[1] / "outputs" / "browser"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SIZES = {
    "desktop": {"viewport": {"width": 1200, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
LOOKS = {f"{size}-{scheme}": {**SIZES[size], "color_scheme": scheme} for size in SIZES for scheme in ("light", "dark")}
TINT = np.array([237, 140, 51])


@contextmanager
def served(checkpoint):
    """pixelrnn serve, as a process of its own; it ends with the code of the signal that ends it. Its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pixelrnn", "serve", f"checkpoint={checkpoint}", "open=false", f"port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    found = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(found, timeout=1)
            break
        except OSError:
            time.sleep(0.2)
    yield found
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert found in out and "Traceback" not in err


@pytest.fixture(scope="module")
def address():
    with served("digits") as found:
        yield found


@pytest.fixture(scope="module")
def any_size_address(tmp_path_factory):
    """A page with a model of pictures of any size."""
    folder = tmp_path_factory.mktemp("photos")
    pixelrnn.save(tiny_model((3, 8, 8), 256, model="InpaintingRNN").float(), folder)
    with served(folder) as found:
        yield found


@pytest.fixture(scope="module")
def colour_address(tmp_path_factory):
    """A page with a model of small colour images."""
    folder = tmp_path_factory.mktemp("colour")
    pixelrnn.save(tiny_model((3, 8, 8), 256, bidirectional=True).float(), folder)
    with served(folder) as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(chromium, address, kind, shows):
    """The page, loaded; afterwards there was no error on the console, and no request to another host."""
    context = chromium.new_context(**LOOKS[kind], accept_downloads=True)
    page, wrong = context.new_page(), []
    page.kind = kind
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda asked: None if asked.url.startswith((address, "data:", "blob:")) else wrong.append(asked.url)
    )
    page.goto(address)
    page.wait_for_selector(shows)
    yield page
    context.close()
    assert wrong == []


@pytest.fixture(params=LOOKS)
def page(chromium, address, request):
    with opened(chromium, address, request.param, "#painter canvas") as page:
        yield page


@pytest.fixture(params=LOOKS)
def any_size_page(chromium, any_size_address, request):
    with opened(chromium, any_size_address, request.param, "#painter canvas") as page:
        yield page


@pytest.fixture(params=LOOKS)
def colour_page(chromium, colour_address, request):
    with opened(chromium, colour_address, request.param, "#painter canvas") as page:
        yield page


def says(page, words, line="#line"):
    page.wait_for_function(
        "([line, words]) => document.querySelector(line).innerText.includes(words)", arg=[line, words], timeout=60_000
    )
    return page.inner_text(line)


def chosen(page, box, name):
    page.locator(f"{box} input").click()
    page.get_by_role("option").filter(has_text=re.compile(rf"^\s*✓?\s*{re.escape(name)}(:|\s|$)")).click()


def chooses_a_long_draw(page):
    """A model and a mask for which a draw takes many particles."""
    chosen(page, "#model", "mnist_binary_raster")
    says(page, "An example, 28x28")
    page.get_by_role("button", name="Top half").click()
    says(page, "estimated by particles, which take in")


def stroke(page, start, end, on="#painter canvas"):
    """From one place of the painter to another, as shares of its width and height."""
    canvas = page.locator(on).first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=6)
    page.mouse.up()


def tiles(page, within="#pictures"):
    """The pictures of a tab by the first word below each: arrays (height, width, 3)."""
    found = []
    for tile in page.locator(f"{within} figure").all():
        file = base64.b64decode(tile.locator("img").get_attribute("src").split(",")[1])
        found.append((tile.inner_text().strip(), np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)))
    return found


def shoot(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # what fades has faded
    page.screenshot(path=SCREENSHOTS / f"{name}-{page.kind}.png", full_page=True)


FAINT = """() => {
  // The words on the page that stand out from what is behind them by less than 4.5 to 1, with the contrast (WCAG 2.2, 1.4.3).
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const lightness = (colours) => {
    for (pen.fillStyle of ["white", ...colours]) pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (element) => {
    const behind = [];
    for (let e = element; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
    const pair = [lightness(behind), lightness([...behind, getComputedStyle(element).color])];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };
  const told = [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .filter((e) => !e.matches(":disabled, [type=checkbox], [type=range]"))
    .map((e) => [e, e.value || [...e.childNodes].map((n) => (n.nodeType === 3 ? n.data.trim() : "")).join("")])
    .filter(([, words]) => words);
  if (told.length < 20) return ["no words"];
  return told.map(([e, words]) => [words, contrast(e)]).filter(([, ratio]) => ratio < 4.5);
}"""


def test_paint_complete_and_download(page):
    page.get_by_role("button", name="Clear mask").click()
    says(page, "Paint over")
    page.get_by_role("button", name="2", exact=True).click()
    stroke(page, (0.45, 0.3), (1.2, 0.3))  # over the border
    assert "of 64 pixels are hidden" in says(page, "exact samples")
    page.click("#go")
    says(page, "Done")
    assert page.locator("#pictures abbr").first.get_attribute("title")  # words are explained
    shown = tiles(page)
    given, completions = shown[0][1], [picture for words, picture in shown if "nats" in words]
    hidden = (given == TINT).all(-1)
    rows, columns = hidden.nonzero()
    assert len(completions) == 6 and set(rows) == {2, 3} and columns.max() == 7 and 3 <= columns.min() <= 4
    original = next(picture for words, picture in shown if words == "original")
    for completion in completions:
        assert (completion[~hidden] == original[~hidden]).all()
        assert not (completion == TINT).all(-1).any()
    assert any((completion[hidden] != completions[0][hidden]).any() for completion in completions)
    with page.expect_download() as download:
        page.click("#files")
    with zipfile.ZipFile(download.value.path()) as archive:
        report = json.loads(archive.read("completions.json"))
        first = np.asarray(Image.open(archive.open("000.png")).convert("RGB")).astype(int)
    assert report["exact"] and len(report["completions"]) == 6
    assert (first == completions[0]).all()
    shoot(page, "complete")
    assert page.evaluate(FAINT) == []
    for button in (
        "#go",
        "#painter [aria-pressed=true]",
        "#painter [data-do=undo]",
        "#files",
        "#player [data-do=play]",
    ):
        page.hover(button)
        page.wait_for_timeout(500)
        assert page.evaluate(FAINT) == []


def test_undo_invert_and_the_keyboard(page):
    page.get_by_role("button", name="Top half").click()
    says(page, "32 of 64")
    stroke(page, (0.5, 0.9), (0.5, 0.9))
    says(page, "38 of 64")  # two rows of three pixels more, and one beyond the border
    page.get_by_role("button", name="Undo").click()
    says(page, "32 of 64")
    stroke(page, (0.01, 0.01), (0.01, 0.01))
    page.get_by_role("button", name="Clear mask").click()
    page.get_by_role("button", name="1", exact=True).click()
    page.locator("#painter canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    says(page, "1 of 64")
    page.get_by_role("button", name="Invert mask").click()
    says(page, "63 of 64")
    page.get_by_role("button", name="Reveal").click()
    stroke(page, (0.6, 0.6), (0.6, 0.6))
    says(page, "62 of 64")


def test_the_painter_shows_where_the_keyboard_is(page):
    canvas = page.locator("#painter canvas")
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    page.locator("#painter [data-tool='1']").focus()
    page.keyboard.press("Shift+Tab")
    assert canvas.evaluate("canvas => canvas === document.activeElement")
    assert canvas.evaluate("canvas => getComputedStyle(canvas).outline").endswith("solid 3px")
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before  # the brush
    shoot(page, "focus")
    page.keyboard.press("Tab")
    assert canvas.evaluate("canvas => canvas.toDataURL()") == before


def test_the_forecast_follows_the_last_stroke_and_choice(page):
    page.get_by_role("button", name="Clear mask").click()
    says(page, "Paint over")
    page.get_by_role("button", name="1", exact=True).click()
    page.locator("#painter canvas").focus()  # the brush is in the middle
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    for _ in range(8):
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
    says(page, "8 of 64")
    assert page.inner_text("#painter .where") == "row 5, column 8: hidden"
    page.locator("#settings button").first.click()
    page.get_by_label("number input for Temperature").first.fill("0.5")
    says(page, "samples at temperature 0.5, not of p(hidden | observed)")
    page.get_by_label("number input for Completions").fill("")
    says(page, "The number of images is empty; it must be a whole number from 1 to 64")
    page.keyboard.press("Tab")  # the box is left, and takes the least
    says(page, "samples at temperature 0.5, not of p(hidden | observed)")


def test_the_last_example_is_shown(page):
    page.evaluate("""async () => {
      for (const number of [2, 5, 9]) {
        document.querySelector(`#examples [data-number='${number}']`).click();
        await new Promise((go) => setTimeout(go, 10));
      }
    }""")
    says(page, "An example")
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="Bottom half").click()
    page.click("#go")
    says(page, "Done")
    original = next(picture for words, picture in tiles(page) if words == "original")
    example = page.locator("#examples [data-number='9'] img").get_attribute("src").split(",")[1]
    assert (original == np.asarray(Image.open(io.BytesIO(base64.b64decode(example))).convert("RGB"))).all()


def test_a_second_click_begins_anew(page):
    chooses_a_long_draw(page)
    page.get_by_label("number input for Completions").fill("2")
    for _ in range(2):
        page.click("#go")
        says(page, "Drawing")
    page.wait_for_selector("#cancel:not([disabled])")  # the end of the first draw has not taken it away
    says(page, "Done")
    page.wait_for_selector("#cancel[disabled]")
    assert len(tiles(page)) == 4


def test_a_long_run_is_cancelled(page):
    chooses_a_long_draw(page)
    page.click("#go")
    says(page, "Drawing")
    page.click("#cancel")
    says(page, "Cancelled before it was done")
    page.get_by_role("button", name="Bottom half").click()
    says(page, "exact samples")
    page.click("#go")
    says(page, "Done")


def test_the_draw_of_a_visitor_who_leaves_is_ended(page, chromium, address):
    """Draws wait for their turn: the next visitor's begins soon, not when the long one is done."""
    leaving = chromium.new_page()
    leaving.goto(address)
    leaving.wait_for_selector("#painter canvas")
    chooses_a_long_draw(leaving)
    leaving.get_by_label("number input for Completions").fill("16")
    leaving.click("#go")
    says(leaving, "Drawing")
    leaving.close()
    page.click("#go")
    page.wait_for_function("document.querySelector('#line').innerText.includes('Done')", timeout=60_000)


def test_unusable_files_are_refused_in_one_line(page, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((Path(__file__).parents[1] / "docs" / "strategies.png").read_bytes()[:3000])
    Image.new("L", (6001, 4000)).save(tmp_path / "huge.png")
    Image.new("L", (5, 5), 255).save(tmp_path / "mask.png")
    for button, name, words in (
        ("#own-picture", "text.png", "text.png is not a picture that can be read; use PNG or JPEG"),
        ("#own-picture", "cut.png", "cut.png cannot be read as a picture"),
        ("#own-picture", "huge.png", "huge.png has 6001x4000 pixels; the limit is 24,000,000"),
        ("#mask-file", "mask.png", "mask.png is 5x5 pixels and the image 8x8"),
    ):
        with page.expect_file_chooser() as chooser:
            page.click(button)
        chooser.value.set_files(tmp_path / name)
        assert len(says(page, words).splitlines()) == 1
        page.wait_for_function(
            "(({ top, bottom }) => top >= 0 && bottom <= innerHeight)(document.querySelector('#line p').getBoundingClientRect())"
        )
    assert "/" not in page.inner_text("#line").replace("height x width", "")  # no folder of the machine's
    page.get_by_role("button", name="Clear mask").click()
    says(page, "Paint over")
    page.click("#go")
    says(page, "Nothing is hidden yet")
    assert not page.locator("#line .wrong").count()  # this is no mistake
    assert page.evaluate(FAINT) == []


def test_an_own_picture_is_completed_at_its_own_size(colour_page):
    page = colour_page
    with page.expect_file_chooser() as chooser:
        page.click("#own-picture")
    chooser.value.set_files(Path(__file__).parents[1] / "docs" / "mnist_completions.png")
    says(page, "the completions are pasted back into it")
    page.get_by_role("button", name="Left half").click()
    says(page, "exact samples")
    page.click("#go")
    says(page, "Done")
    page.wait_for_selector("#pasted img")
    assert page.inner_text("#pasted") == "in your picture"
    shoot(page, "own-picture")


@pytest.mark.parametrize("size", [(320, 240), (97, 151)], ids=str)
def test_a_mask_of_the_picture_s_size_keeps_every_other_pixel(colour_page, tmp_path, size):
    page = colour_page
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    scratch = np.zeros(values.shape[:2], np.uint8)
    scratch[np.arange(20, 80), np.arange(15, 75)] = 255
    Image.fromarray(values).save(tmp_path / "photo.png")
    Image.fromarray(scratch).save(tmp_path / "mask.png")
    for button, name, words in (("#own-picture", "photo.png", "pasted back"), ("#mask-file", "mask.png", "are hidden")):
        with page.expect_file_chooser() as chooser:
            page.click(button)
        chooser.value.set_files(tmp_path / name)
        says(page, words)
    page.click("#go")
    says(page, "Done")
    page.wait_for_selector("#files:not([disabled])")
    with page.expect_download() as download:
        page.click("#files")
    archive = zipfile.ZipFile(download.value.path())
    for number in range(6):
        completed = np.asarray(Image.open(io.BytesIO(archive.read(f"{number:03d}.png"))))
        changed = (completed != values).any(2)
        assert completed.shape == values.shape and not changed[scratch == 0].any() and changed[scratch > 0].mean() > 0.9
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read("mask.png")))), scratch)


def send(page, path, button="#own-picture"):
    with page.expect_file_chooser() as chooser:
        page.click(button)
    chooser.value.set_files(path)


def downloaded(page, button):
    page.wait_for_selector(f"{button}:not([disabled])")
    with page.expect_download() as download:
        page.click(button)
    return download.value.path()


def canvas_of(page, selector):
    """The pixels of a canvas: (height, width, 3)."""
    data = page.locator(selector).evaluate("canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGB")).astype(int)


def test_a_picture_is_painted_on_and_completed_at_its_own_size(any_size_page, tmp_path):
    page = any_size_page
    values = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "photo.png")
    send(page, tmp_path / "photo.png")
    says(page, "120x90 pixels, completed at its own size")
    page.get_by_role("button", name="8", exact=True).click()
    stroke(page, (0.4, 0.5), (0.6, 0.5))
    assert "of 10,800 pixels are hidden" in says(page, "exact samples")
    page.click("#go")
    says(page, "Drawing")
    says(page, "Done")
    assert page.locator("#pictures [data-number]").count() == 7 and "bits per value" in page.inner_text("#pictures")
    with zipfile.ZipFile(downloaded(page, "#files")) as archive:
        hidden, mean, second = (
            np.asarray(Image.open(archive.open(name))) for name in ("mask.png", "mean.png", "001.png")
        )
    page.locator("#pictures [data-number='2']").click()
    page.wait_for_function("document.querySelector('#player .words').innerText.startsWith('draw 2')")
    assert page.locator("#pictures [data-number='2']").get_attribute("aria-pressed") == "true"
    taken = np.asarray(Image.open(downloaded(page, "#file")))
    assert hidden.shape == (90, 120) and 0 < (hidden > 0).mean() < 0.5 and np.array_equal(taken, second)
    for answer in (mean, second):
        assert np.array_equal(answer[hidden == 0], values[hidden == 0]) and not np.array_equal(answer, values)
    assert page.evaluate("innerWidth") == LOOKS[page.kind]["viewport"]["width"]  # nothing is wider than the screen
    shoot(page, "own-size")
    assert page.evaluate(FAINT) == []
    page.click("#further")
    says(page, "The completed picture (draw 2")
    page.wait_for_function("!document.querySelector('#pictures img')")
    page.click("#go")
    says(page, "Nothing is hidden yet")


def test_a_large_picture_is_enlarged_and_moved(any_size_page, tmp_path):
    page = any_size_page
    Image.new("RGB", (400, 300), "teal").save(tmp_path / "photo.png")
    send(page, tmp_path / "photo.png")
    says(page, "400x300 pixels")
    wide = page.locator("#painter canvas").bounding_box()["width"]
    page.locator("#painter [data-do=closer]").click()
    assert page.locator("#painter canvas").bounding_box()["width"] > 1.8 * wide
    before = page.locator("#painter .view").evaluate("view => view.scrollLeft")
    page.locator("#painter [data-tool=move]").click()
    view = page.locator("#painter .view")
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 140, box["y"] + 90, steps=4)
    page.mouse.up()
    assert view.evaluate("view => view.scrollLeft") == pytest.approx(before + 60, abs=2)
    assert "Paint over" in page.inner_text("#line")  # moving painted nothing
    page.locator("#painter [data-tool='1']").click()
    page.get_by_role("button", name="4", exact=True).click()
    page.mouse.click(box["x"] + 100, box["y"] + 100)
    says(page, "16 of 120,000 pixels are hidden")


def test_a_mask_file_hides_what_it_hides_of_a_reduced_picture(any_size_page, tmp_path):
    page = any_size_page
    scratch = np.zeros((1000, 1500), np.uint8)
    scratch[np.arange(300, 400), np.arange(300, 400)] = 255
    Image.new("RGB", (1500, 1000), "teal").save(tmp_path / "photo.png")
    Image.fromarray(scratch).save(tmp_path / "mask.png")
    for button, name in (("#own-picture", "photo.png"), ("#mask-file", "mask.png")):
        send(page, tmp_path / name, button)
        says(page, "1,500x1,000 pixels" if name == "photo.png" else "100 of 1,500,000 pixels are hidden")
    page.click("#go")
    says(page, "Done: 100 of 1,500,000 pixels")


def test_the_model_menu_changes_the_painter(any_size_page):
    page = any_size_page
    name = page.locator("#model input").input_value().split(":")[0]
    chosen(page, "#model", "digits")
    says(page, "An example, 8x8")
    assert "handwritten digits, small" in page.locator("#model input").input_value()
    page.get_by_role("button", name="Bottom half").click()
    says(page, "exact samples")
    page.click("#go")
    says(page, "Done")
    page.locator("#settings button").first.click()
    page.wait_for_selector("#order")
    assert not page.locator("#strategy").is_visible()  # the encoder sees every observed pixel
    chosen(page, "#model", "mnist_binary_raster")
    page.wait_for_selector("#strategy")
    chosen(page, "#model", name)
    says(page, "completed at its own size")
    page.wait_for_selector("#order", state="hidden")
    assert not page.locator("#blank").is_visible() and not page.locator("#pictures img").count()


def test_a_digit_is_drawn_and_completed(page):
    page.click("#blank")
    says(page, "Draw a part of a picture with White")
    assert page.locator("#painter [data-tool='2']").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="1", exact=True).click()
    stroke(page, (0.3, 0.06), (0.7, 0.06))
    says(page, "of 64 pixels are hidden")
    page.locator("#painter [data-tool='3']").click()
    stroke(page, (0.06, 0.94), (0.06, 0.94))
    page.click("#go")
    says(page, "Done")
    shown = [picture for words, picture in tiles(page) if "nats" in words]
    assert len(shown) == 6 and all((picture[0, 3:5] == 255).all() and not picture[7, 0].any() for picture in shown)
    shoot(page, "drawn")


def test_keys_undo_and_redo(page):
    page.get_by_role("button", name="Top half").click()
    says(page, "32 of 64")
    page.get_by_role("button", name="Centre").click()
    says(page, "16 of 64")
    page.keyboard.press("Control+z")
    says(page, "32 of 64")
    stroke(page, (0.5, 0.9), (0.5, 0.9))
    says(page, "38 of 64")
    page.keyboard.press("Control+z")
    says(page, "32 of 64")
    page.keyboard.press("Control+y")
    says(page, "38 of 64")


DROP = """([where, kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "sent.png", { type: "image/png" }));
  const given = kind === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
  const event = kind === "paste" ? new ClipboardEvent("paste", { ...given, bubbles: true, cancelable: true })
    : new DragEvent("drop", { ...given, bubbles: true, cancelable: true });
  document.querySelector(where).dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page, kind):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)).save(file, format="PNG")
    page.evaluate(DROP, ["#painter", kind, base64.b64encode(file.getvalue()).decode()])
    says(page, "Your picture, 30x20 pixels")
    if kind == "drop":
        mask = io.BytesIO()
        Image.fromarray(np.eye(20, 30, dtype=np.uint8) * 255).save(mask, format="PNG")
        page.evaluate(DROP, ["#mask-file", kind, base64.b64encode(mask.getvalue()).decode()])
        says(page, "20 of 600 pixels are hidden")


def test_a_completion_is_replayed_step_by_step(page):
    page.get_by_role("button", name="Bottom half").click()
    says(page, "32 of 64")
    page.get_by_label("number input for Completions").fill("2")
    page.click("#go")
    says(page, "Done")
    slider, canvas = page.locator("#player [type=range]"), "#player canvas"
    page.wait_for_function("document.querySelector('#player [data-do=play]').innerText === 'Pause'")  # it plays at once
    page.locator("#pictures [data-number='1']").click()
    page.wait_for_function("document.querySelector('#player .words').innerText.includes('rank')")
    page.wait_for_timeout(500)
    final = next(picture for words, picture in tiles(page)[2:3])
    whole = canvas_of(page, canvas)
    side = len(whole) // 8
    assert (whole[side // 2 :: side, side // 2 :: side] == final).all() and slider.input_value() == "32"
    page.locator("#player [data-do=back]").click()
    now = canvas_of(page, canvas)[side // 2 :: side, side // 2 :: side]
    assert slider.input_value() == "31" and (now == TINT).all(-1).sum() == 1
    assert page.inner_text("#player output") == "31/32" and page.inner_text("#player [data-do=play]") == "Play on"
    page.locator("#player [name=path]").check()
    assert (canvas_of(page, canvas) != whole).any()
    page.locator("#player [name=path]").uncheck()
    page.locator("#player [name=before]").check()
    original = next(picture for words, picture in tiles(page) if words == "original")
    assert (canvas_of(page, canvas)[side // 2 :: side, side // 2 :: side] == original).all()
    page.locator("#player [name=before]").uncheck()
    page.locator("#player select").select_option("2")
    page.locator("#player [data-do=play]").click()
    page.wait_for_function("document.querySelector('#player [type=range]').value === '32'")
    page.wait_for_function("document.querySelector('#player [data-do=play]').innerText === 'Replay'")
    with page.expect_download() as download:
        page.click("#gif")
    replay = Image.open(download.value.path())
    assert replay.format == "GIF" and replay.n_frames > 30
    assert page.inner_text("#player code").startswith("pixelrnn complete checkpoint=digits image=picture.png")


def test_before_the_first_draw_there_is_nothing_to_save(page):
    for button in ("#further", "#file", "#player", "#sample-further"):
        assert not page.locator(button).is_visible()


def test_the_completions_come_into_view_and_stay_when_the_menu_is_passed(page):
    page.get_by_role("button", name="Bottom half").click()
    says(page, "32 of 64")
    page.click("#go")
    says(page, "Done")
    page.wait_for_timeout(1000)
    seen = "(([top, bottom]) => top >= 0 && bottom <= innerHeight)"
    first = "(box => [box.top, box.bottom])(document.querySelector('#pictures [data-number]').getBoundingClientRect())"
    assert page.evaluate(f"{seen}({first})")
    page.focus("#model input")
    page.keyboard.press("Tab")
    page.wait_for_timeout(1500)
    assert len(tiles(page)) == 8 and page.inner_text("#earlier") == ""


def test_others_are_drawn(page):
    page.get_by_role("button", name="Bottom half").click()
    says(page, "32 of 64")
    page.click("#go")
    says(page, "Done")
    page.wait_for_selector("#cancel[disabled]")
    before = [picture for words, picture in tiles(page) if "nats" in words]
    page.click("#others")
    page.wait_for_function("document.querySelector('#player code').innerText.includes('seed=1')")
    after = [picture for words, picture in tiles(page) if "nats" in words]
    assert len(before) == len(after) == 6 and any((x != y).any() for x, y in zip(before, after, strict=True))
    assert page.inner_text("#earlier") == ""


def test_another_picture_ends_the_draw(page):
    chooses_a_long_draw(page)
    page.click("#go")
    says(page, "Drawing")
    page.locator("#examples [data-number='4']").click()
    says(page, "An example, 28x28")
    page.wait_for_selector("#cancel[disabled]")
    assert "An example" in page.inner_text("#line") and not page.locator("#pictures img").count()


def test_results_are_of_what_is_shown(page):
    page.get_by_role("button", name="Bottom half").click()
    page.click("#go")
    says(page, "Done")
    page.wait_for_function("document.querySelector('#earlier').innerText === ''")
    page.get_by_role("button", name="Top half").click()
    page.wait_for_function("document.querySelector('#earlier').innerText.includes('earlier mask')")
    shoot(page, "earlier")
    page.locator("#examples [data-number='4']").click()
    page.wait_for_function("!document.querySelector('#pictures img')")
    assert page.inner_text("#earlier") == "" and not page.locator("#files").is_visible()


def test_ways_are_compared(page):
    page.get_by_role("button", name="Top half").click()
    says(page, "exact samples")
    page.locator("#settings button").first.click()
    page.click("#compare")
    says(page, "Each row completes them in another way")
    ways = page.locator("#pictures .way").all_inner_texts()
    assert ways[0].startswith("digits: exact; its encoder") and [way.split(":")[0] for way in ways[1:]] == [
        "Telea",
        "biharmonic",
    ]
    page.locator("#pictures [data-number='6']").click()
    page.wait_for_function("document.querySelector('#player .words').innerText.startsWith('Telea: classical')")
    assert not page.locator("#player .command").is_visible()
    shoot(page, "ways")
    assert page.evaluate(FAINT) == []


def test_samples(page):
    page.get_by_role("tab", name="Sample").click()
    page.click("#sample-go")
    says(page, "exact samples of p(x)", "#sample-line")
    assert (
        page.locator("#sample-pictures figure img").count() == 2 * 16
    )  # the nearest training images stand beside them
    assert "1,297 training images" in page.inner_text("#sample-pictures")
    assert page.locator("#sample-maps img").count() == 2
    shoot(page, "sample")
    assert page.evaluate(FAINT) == []
    page.locator("#sample-pictures [data-number='3']").click()
    page.wait_for_timeout(500)
    page.click("#sample-further")
    says(page, "The completed picture")
    assert page.locator("#painter").is_visible()
    page.get_by_role("tab", name="Sample").click()
    chosen(page, "#model", "mnist_binary")
    page.wait_for_function("!document.querySelector('#sample-pictures img')")


def test_an_ordering_is_played(page):
    page.get_by_role("tab", name="Orderings").click()
    says(page, "Step 32 of 64", "#ordering-line")
    step = page.get_by_label("number input for Step t")
    step.fill("")
    says(page, "The step is empty; it must be a whole number from 0 to 64", "#ordering-line")
    step.fill("3.5")
    says(page, "The step is 3.5; it must be a whole number", "#ordering-line")
    step.fill("3")
    says(page, "Step 3 of 64", "#ordering-line")
    page.click("#play")
    says(page, "Step 40 of 64", "#ordering-line")
    page.click("#pause")
    page.wait_for_timeout(500)
    paused = page.inner_text("#ordering-line")
    page.wait_for_timeout(500)
    assert page.inner_text("#ordering-line") == paused
    chosen(page, "#ordering", "hilbert")
    page.wait_for_function("!document.querySelector('#ordering-line').innerText.includes('true value')")
    shoot(page, "orderings")
    assert page.evaluate(FAINT) == []
