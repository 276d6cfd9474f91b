"""Contract of every occlusion."""

import inspect

import numpy as np
import pytest
import torch
from conftest import generator
from PIL import Image

from pixelrnn.errors import UserError
from pixelrnn.files.pictures import to_picture
from pixelrnn.occlusion import OCCLUSIONS, batch, build, draw

SIZES = [(4, 4), (5, 8), (8, 5), (13, 16), (28, 28)]
SEEDED = [name for name, function in OCCLUSIONS.items() if "seed" in inspect.signature(function).parameters]


@pytest.fixture
def spec(tmp_path):
    """An occlusion by name, with the options that it requires."""

    def with_options(name, height, width):
        if name != "mask":
            return {"name": name}
        white = torch.zeros(1, height, width, dtype=torch.uint8)
        white[0, 0, 1:] = 255
        to_picture(white).save(tmp_path / "mask.png")
        return {"name": "mask", "path": str(tmp_path / "mask.png")}

    return with_options


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", OCCLUSIONS)
def test_it_hides_pixels_of_the_image(name, size, spec):
    hidden = build(spec(name, *size), *size)
    assert hidden.dtype == torch.bool and hidden.shape == size
    assert bool(hidden.any())
    assert torch.equal(build(spec(name, *size), *size), hidden)


@pytest.mark.parametrize("name", SEEDED)
def test_the_seed_decides(name):
    state = torch.get_rng_state()
    drawn = [build({"name": name, "seed": seed}, 28, 28) for seed in range(20)]
    assert all(torch.equal(build({"name": name, "seed": s}, 28, 28), hidden) for s, hidden in enumerate(drawn))
    distinct = len({tuple(hidden.flatten().tolist()) for hidden in drawn})
    assert distinct == 20 or (name == "mixed" and distinct > 8)  # which hides everything, or a half, more than once
    assert torch.equal(torch.get_rng_state(), state)  # training's random numbers stay as they are


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 3)], ids=str)
def test_even_small_images_lose_a_pixel_at_every_seed(name, size):
    for seed in range(50):
        assert bool(build({"name": name, "seed": seed}, *size).any())


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("top", [[1, 1, 1], [0, 0, 0], [0, 0, 0]]),
        ("bottom", [[0, 0, 0], [0, 0, 0], [1, 1, 1]]),
        ("left", [[1, 0, 0], [1, 0, 0], [1, 0, 0]]),
        ("right", [[0, 0, 1], [0, 0, 1], [0, 0, 1]]),
    ],
)
def test_halves(side, expected):
    assert build({"name": "half", "side": side}, 3, 3).int().tolist() == expected
    assert build({"name": "half", "side": side}, 4, 6).sum() == 12


def test_box_and_centre_lie_where_they_say():
    box = build({"name": "box", "top": 1, "left": 2, "rows": 2, "columns": 1}, 4, 4)
    assert box.nonzero().tolist() == [[1, 2], [2, 2]]
    assert build("centre", 4, 4).nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert bool(build({"name": "centre", "fraction": 1.0}, 3, 5).all())


def test_fractions_and_counts_are_kept():
    assert bool(build("all", 5, 8).all())
    for fraction, pixels in [(0.25, 25), (0.5, 50), (1.0, 100), (0.001, 1)]:
        assert build({"name": "random_pixels", "fraction": fraction}, 10, 10).sum() == pixels
    thin, thick = (build({"name": "strokes", "thickness": t}, 28, 28).sum() for t in (0.05, 0.3))
    assert thin < thick
    one, many = (build({"name": "random_boxes", "count": count}, 28, 28).sum() for count in (1, 12))
    assert one < many


def test_a_mask_file_hides_what_is_white(tmp_path):
    values = torch.tensor([[[0, 127, 128], [255, 10, 200]]], dtype=torch.uint8)
    to_picture(values).save(tmp_path / "mask.png")
    hidden = build({"name": "mask", "path": str(tmp_path / "mask.png")}, 2, 3)
    assert hidden.tolist() == [[False, False, True], [True, False, True]]


def test_invalid_mask_files_are_refused(tmp_path):
    Image.new("L", (3, 2), "white").save(tmp_path / "white.png")
    Image.new("L", (3, 2), "black").save(tmp_path / "black.png")
    (tmp_path / "text.png").write_text("not a picture")
    for name, size, message in [
        ("white.png", (3, 2), "3x2 .*image 2x3"),
        ("black.png", (2, 3), "hides nothing"),
        ("text.png", (2, 3), "not a picture"),
        ("none.png", (2, 3), "no such file"),
        ("", (2, 3), "folder"),
    ]:
        with pytest.raises(UserError, match=message) as error:
            build({"name": "mask", "path": str(tmp_path / name)}, *size)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("haf", "unknown occlusion 'haf'; did you mean 'half'"),
        ({"name": "half", "sid": "top"}, "no option 'sid'; did you mean 'side'"),
        ({"name": "half", "side": "middle"}, "side=middle.*top, bottom, left, right"),
        ({"name": "box", "rows": 5}, "5x4.*4x4"),
        ({"name": "box", "top": 1}, "row 1.*4x4"),
        ({"name": "box", "left": -1}, "column -1"),
        ({"name": "box", "rows": 0}, "0x4"),
        ({"name": "centre", "fraction": 0}, "fraction=0"),
        ({"name": "centre", "fraction": 1.5}, "fraction=1.5"),
        ({"name": "random_pixels", "fraction": -0.5}, "fraction=-0.5"),
        ({"name": "random_boxes", "count": 0}, "count=0"),
        ({"name": "strokes", "count": 0}, "count=0"),
        ({"name": "mixed", "everything_share": 1.5}, "everything_share=1.5"),
        ({"name": "strokes", "thickness": 0}, "thickness=0"),
        ({"name": "random_pixels", "seed": 10**20}, "occlusion.seed=10"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(UserError, match=message):
        build(spec, 4, 4)


def test_masks_are_drawn_each_with_its_seed():
    drawn = draw("mixed", 50, 8, 8, torch.Generator().manual_seed(1))
    assert drawn.shape == (50, 8, 8) and bool(drawn.flatten(1).any(1).all())
    assert torch.equal(drawn, draw("mixed", 50, 8, 8, torch.Generator().manual_seed(1)))
    assert len({tuple(hidden.flatten().tolist()) for hidden in drawn}) > 15
    assert torch.equal(draw("half", 3, 4, 4), build("half", 4, 4).expand(3, 4, 4))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 8)], ids=str)
def test_a_batch_of_one_is_the_single_mask(size):
    for seed in range(20):
        drawn = draw("mixed", 1, *size, torch.Generator().manual_seed(seed))
        assert torch.equal(drawn[0], build({"name": "mixed", "seed": seed}, *size))


def test_mixed_masks_are_of_all_kinds():
    drawn = draw("mixed", 2000, 8, 8, torch.Generator().manual_seed(1))
    assert abs(drawn.flatten(1).all(1).float().mean() - 0.25) < 0.03
    sides = [build({"name": "half", "side": side}, 8, 8) for side in ("top", "bottom", "left", "right")]
    for hidden in sides:
        assert abs((drawn == hidden).flatten(1).all(1).float().mean() - 0.75 * 0.3 / 4) < 0.02
    always = torch.Generator().manual_seed(1)
    assert bool(batch.draw_mixed(50, 8, 8, everything_share=1.0, generator=always).all())
    assert not bool(batch.draw_mixed(50, 8, 8, everything_share=0.0, generator=always).flatten(1).all(1).all())


def uniform_of(count, seed=0):
    """Numbers as each kind of mixed takes them; those that decide if a mask is inverted, the last, say no."""
    state = generator(seed)

    def uniform(*size):
        numbers = torch.rand(count, *size, generator=state)
        if size[1:] == (1, 1) and size[0] > 1:
            numbers[:, -1] = 1
        return numbers

    return uniform


def test_random_pixels_of_mixed_are_of_any_density():
    drawn = batch._pixels(uniform_of(2000), 28, 28).flatten(1).float().mean(1)
    quantiles = drawn.quantile(torch.linspace(0, 1, 5))
    assert torch.allclose(quantiles, torch.linspace(0.05, 1, 5), atol=0.04)
    assert bool(batch._pixels(uniform_of(500), 2, 2).flatten(1).any(1).all()), "a pixel at least"


@pytest.mark.parametrize(
    ("kind", "alone", "options"),
    [
        (batch._boxes, "random_boxes", lambda k: {"count": 1 + k % 3}),
        (batch._strokes, "strokes", lambda k: {"count": 1 + k % 4, "thickness": 0.05 + 0.25 * (k // 4 % 100) / 99}),
    ],
    ids=["boxes", "strokes"],
)
@pytest.mark.parametrize("size", [(12, 20), (28, 28)], ids=str)
def test_boxes_and_strokes_of_mixed_are_like_those_alone(kind, alone, options, size):
    """As large, and in the same places. The ends of strokes are round here, and flat there."""
    together = kind(uniform_of(1200), *size).float()
    singly = torch.stack([build({"name": alone, "seed": k, **options(k)}, *size) for k in range(1200)]).float()
    shares = [masks.flatten(1).mean(1).quantile(torch.tensor([0.1, 0.5, 0.9])) for masks in (together, singly)]
    assert torch.allclose(*shares, atol=0.03 if kind is batch._boxes else 0.09)
    assert float((together.mean(0) - singly.mean(0)).abs().max()) < (0.07 if kind is batch._boxes else 0.15)
    inverted = kind(lambda *n: torch.rand(400, *n, generator=generator(1)), *size).flatten(1).float().mean(1)
    assert abs(float(inverted.mean()) - 0.5) < 0.05


def test_hiding_nothing_is_refused():
    with pytest.raises(UserError, match="hides nothing of an image of 1x1"):
        build("half", 1, 1)


@pytest.mark.parametrize("spec", [*sorted(OCCLUSIONS.keys() - {"mask"}), {"name": "damage", "kind": "text"}], ids=str)
def test_a_mask_holds_bytes_of_0_and_1(spec):
    """Other libraries read a bool array's bytes, as scikit-image's biharmonic inpainting does."""
    assert set(build(spec, 32, 32).numpy().view(np.uint8).flatten().tolist()) <= {0, 1}
