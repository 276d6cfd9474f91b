"""Figures show what they should, where they should."""

import io

import numpy as np
import pytest
import torch
from conftest import ordering_spec, random_images
from PIL import Image, ImageSequence

from pixelrnn import UserError, figures
from pixelrnn import ordering as orderings
from pixelrnn.figures.strips import TINT
from pixelrnn.ordering import ORDERINGS


def _pixels(figure):
    figure.canvas.draw() if hasattr(figure.canvas, "draw") else None
    return figure.axes[0].images[0].get_array()


def test_the_strip_tints_exactly_the_hidden_pixels():
    completed = torch.ones(2, 3, 1, 8, 8, dtype=torch.uint8)
    hidden = torch.zeros(2, 8, 8, dtype=torch.bool)
    hidden[:, 4:] = True
    sheet = _pixels(figures.completions(completed[:, 0], hidden, completed, 2))
    tinted = (np.abs(sheet - TINT) < 1e-6).all(-1)
    assert tinted.sum() == hidden.sum()
    assert tinted[5 : 1 + 8, 1:9].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_strip_has_a_column_for_each_completion_and_the_original(channels):
    completed = torch.zeros(2, 3, channels, 8, 8, dtype=torch.uint8)  # black, on white paper
    hidden = torch.ones(2, 8, 8, dtype=torch.bool)
    for originals, columns in ((completed[:, 0], 4), (None, 3)):
        sheet = _pixels(figures.completions(originals, hidden, completed, 2))
        assert (sheet == 0).all(-1).sum() == 2 * columns * 64


def test_occlusions_stand_side_by_side():
    completed = torch.zeros(2, 3, 2, 1, 8, 8, dtype=torch.uint8)  # two images, three occlusions, two completions each
    hidden = torch.zeros(2, 3, 8, 8, dtype=torch.bool)
    hidden[:, 1, 4:] = True
    figure = figures.by_occlusion(completed[:, 0, 0], hidden, completed, 2, ["none", "half", "nothing"])
    sheet = _pixels(figure)
    assert (sheet == 0).all(-1).sum() == 2 * (1 + 3 * 3) * 64 - hidden.sum()
    tinted = (np.abs(sheet - TINT) < 1e-6).all(-1)
    assert tinted.sum() == hidden.sum() and not tinted[:5].any()
    assert [text.get_text() for text in figure.axes[0].texts] == ["original", "none", "half", "nothing"]


def test_a_grid_shows_every_image():
    sheet = _pixels(figures.grid(torch.zeros(7, 1, 4, 4, dtype=torch.uint8), 2))
    assert (sheet == 0).all(-1).sum() == 7 * 16


@pytest.mark.parametrize("name", ORDERINGS)
def test_an_ordering_is_drawn_with_a_star_on_its_last_pixel(name):
    spec = ordering_spec(name, 4, 6)
    figure = figures.draw_ordering(spec if name == "permutation" else name, 4, 6)
    star = figure.axes[0].collections[-1].get_offsets()[0]
    last = int(orderings.build(spec, 4, 6)[-1])
    assert tuple(star) == (last % 6, last // 6)
    assert len(figure.axes[0].collections[0].get_segments()) == 23


@pytest.mark.parametrize("step", [0, 7, 24])
def test_seen_pixels_are_shown_and_the_rest_is_tinted(step):
    image, order = torch.ones(1, 4, 6, dtype=torch.uint8), orderings.build("spiral", 4, 6)
    figure = figures.seen(image, 2, order, step, window=3)
    shown = _pixels(figure)
    assert (np.abs(shown - TINT) < 1e-6).all(-1).sum() == 24 - step
    assert (shown == 1).all(-1).reshape(-1)[order[:step].numpy()].all()
    frames = figure.axes[0].patches  # the causal window, then the pixel itself
    assert [frame.get_width() for frame in frames] == ([3, 1] if step < 24 else [])
    if step < 24:
        assert tuple(frames[1].get_center()) == (int(order[step]) % 6, int(order[step]) // 6)
    assert len(figure.axes[0].collections[0].get_segments()) == min(step, 23)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_figures_are_written_whole(tmp_path, suffix):
    figure = figures.grid(random_images(4, (3, 8, 8), 256), 256, "four")
    path = tmp_path / "new" / f"grid{suffix}"
    figures.save_figure(figure, path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    if suffix == ".png":
        assert Image.open(path).size[0] > 100


def test_curves_take_any_records():
    records = [{"step": s, "train_bits_per_dim": 3.0 / s} for s in range(1, 9)] + [
        {"step": 8, "valid_bits_per_dim": 0.5}
    ]
    lines = figures.curves(records).axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [8, 1]
    axes = figures.curves(records[:1]).axes[0]
    assert axes.lines[0].get_marker() == "o" and axes.get_xlim()[0] == 0, (
        "a single point is seen, and it is not at the edge"
    )


def test_runs_are_compared_by_updates_and_by_minutes():
    records = [{"step": s, "seconds": 60.0 * s, "valid_nats": 90.0 / s} for s in range(1, 5)] + [
        {"step": 5, "seconds": 9.0}
    ]
    by_updates, by_minutes = figures.compare({"one": records, "two": records[:2], "none": []}).axes
    assert [len(line.get_xdata()) for line in by_updates.lines] == [4, 2, 0]
    assert list(by_minutes.lines[0].get_xdata()) == [1, 2, 3, 4]


def test_an_animation_draws_the_hidden_pixels_in_their_order(tmp_path):
    hidden = torch.zeros(2, 4, 4, dtype=torch.bool)
    hidden[0, 2:], hidden[1, :, 1] = True, True
    orders = torch.stack([torch.arange(16), torch.arange(16).flip(0)])
    times = figures.times_of(hidden, orders)
    assert torch.equal(times[0].flatten(), torch.cat([torch.zeros(8), torch.arange(1, 9) / 8]))
    assert torch.equal(times[1, :, 1], torch.tensor([1.0, 0.75, 0.5, 0.25])) and times[1].sum() == 2.5

    white = torch.ones(2, 3, 1, 4, 4, dtype=torch.uint8)
    figures.save_animation(white, times, 2, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as animation:
        frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]
    assert len(frames) == 9, "as many as the longest has hidden pixels"
    to_come = [(frame != 255).any(-1).mean() for frame in frames]
    assert to_come == sorted(to_come, reverse=True) and to_come[0] > 0.3 and to_come[-1] == 0
    assert len({tuple(colour) for colour in frames[3].reshape(-1, 3)}) == 3, "drawn, next, and to come"
    with pytest.raises(UserError, match=r"ends in \.gif"):
        figures.save_animation(white, times, 2, tmp_path / "a.mp4")


def test_a_pixel_is_drawn_in_the_round_after_which_it_stays(tmp_path):
    hidden = torch.tensor([[True, True, False, True]])
    rounds = [torch.tensor([[[5, 0, 9, 0]]]), torch.tensor([[[5, 7, 9, 0]]]), torch.tensor([[[5, 7, 9, 0]]])]
    assert torch.allclose(figures.times_of_rounds(rounds, hidden), torch.tensor([[1.0, 2.0, 0.0, 1.0]]) / 3)


def test_maps_have_a_column_for_each_map():
    hidden = torch.ones(2, 8, 8, dtype=torch.bool)
    black, bits = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2, 8, 8)
    bits[0, 0, 0] = 0.5
    for originals, columns in ((black, 4), (None, 3)):
        figure = figures.maps(hidden, black, black.float(), bits, originals, 2)
        sheet = _pixels(figure)
        dark = (sheet < 0.02).all(-1).sum()  # black: most probable, mean, the entropy but for one pixel, the original
        assert dark == 2 * columns * 64 - 1
        bar = figure.axes[1]
        assert (bar.get_xlim(), bar.get_xlabel()) == ((0, 0.5), "bits")


def test_rows_have_labels_and_the_strip_a_caption():
    completed, hidden = torch.zeros(2, 1, 1, 8, 8, dtype=torch.uint8), torch.ones(2, 8, 8, dtype=torch.bool)
    figure = figures.completions(None, hidden, completed, 2, ["first", "second"], "how it was done")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["occluded", "completion", "first", "second", "how it was done"]


def test_likelihoods_have_a_colour_for_each_method():
    row = {"bits_per_dim": 0.2, "bits_per_dim_error": 0.01}
    figure = figures.likelihoods({"all": {**row, "how": "exact"}, "top": {**row, "how": "fill"}}, "digits")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all", "top"]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2 and figure.legends


def test_one_mask_serves_all_images_of_a_strip():
    completed, hidden = torch.ones(8, 2, 1, 8, 8, dtype=torch.uint8), torch.zeros(8, 8, dtype=torch.bool)
    hidden[4:] = True
    one = _pixels(figures.completions(None, hidden, completed, 2))
    assert np.array_equal(one, _pixels(figures.completions(None, hidden.expand(8, 8, 8), completed, 2)))


def test_a_figure_is_a_png_file():
    file = figures.as_png(figures.grid(random_images(4, (3, 8, 8), 256), 256))
    assert Image.open(io.BytesIO(file)).format == "PNG"
