"""Contract of every ordering and every transform."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from conftest import ordering_spec

from pixelrnn import SequenceRNN, occlusion
from pixelrnn.errors import UserError
from pixelrnn.ordering import ORDERINGS, TRANSFORMS, build, check_order

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (4, 4), (5, 8), (8, 5), (13, 16)]
# What a transform does to the pixel (row, column) of the path; transpose's path is that through the transposed image.
MOVES = {
    "transpose": lambda row, col, height, width: (col, row),
    "flip_rows": lambda row, col, height, width: (height - 1 - row, col),
    "flip_columns": lambda row, col, height, width: (row, width - 1 - col),
}


def path(spec, height, width):
    """The visited pixels as (row, column)."""
    return [divmod(int(index), width) for index in build(spec, height, width)]


def jumps(visited):
    """Of each step, how far it goes down or up and how far left or right."""
    return [(abs(r - q), abs(d - c)) for (q, c), (r, d) in pairwise(visited)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ORDERINGS)
def test_every_pixel_is_visited_once(name, size):
    pixels = size[0] * size[1]
    for transforms in [(), *((t,) for t in TRANSFORMS), *product(TRANSFORMS, repeat=2), tuple(TRANSFORMS)]:
        order = build(ordering_spec(name, *size, transforms), *size)
        assert order.dtype == torch.int64
        assert sorted(order.tolist()) == list(range(pixels)), transforms
        check_order(order, pixels)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ORDERINGS)
def test_the_same_call_gives_the_same_order(name, size):
    assert torch.equal(build(ordering_spec(name, *size), *size), build(ordering_spec(name, *size), *size))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_undo_themselves(name, transform, size):
    twice = build(ordering_spec(name, *size, [transform] * 2), *size)
    assert torch.equal(twice, build(ordering_spec(name, *size), *size))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ORDERINGS)
def test_transforms_do_what_they_say(name, size):
    height, width = size
    plain = path(ordering_spec(name, *size), *size)
    assert path(ordering_spec(name, *size, ["reverse"]), *size) == plain[::-1]
    for transform, move in MOVES.items():
        source = ordering_spec(name, *size)
        visited = path(source, width, height) if transform == "transpose" else plain
        expected = [move(row, col, height, width) for row, col in visited]
        assert path(source | {"transforms": [transform]}, *size) == expected, transform


def test_transforms_apply_from_left_to_right():
    both = build({"name": "raster", "transforms": ["flip_rows", "transpose"]}, 2, 3)
    assert both.tolist() == [2, 5, 1, 4, 0, 3]  # upside down first, then mirrored at the diagonal
    other = build({"name": "raster", "transforms": ["transpose", "flip_rows"]}, 2, 3)
    assert other.tolist() == [3, 0, 4, 1, 5, 2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("raster", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("column", [0, 3, 6, 1, 4, 7, 2, 5, 8]),
        ("snake", [0, 1, 2, 5, 4, 3, 6, 7, 8]),
        ("diagonal", [0, 1, 3, 6, 4, 2, 5, 7, 8]),
        ("spiral", [0, 1, 2, 5, 8, 7, 6, 3, 4]),
        ("centre_out", [4, 1, 5, 7, 3, 2, 8, 6, 0]),
    ],
)
def test_the_path_through_3x3(name, expected):
    assert build(name, 3, 3).tolist() == expected


def test_hilbert_has_hilberts_shape():
    quadrants = [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert path("hilbert", 2, 2) == quadrants
    assert [(row // 4, col // 4) for row, col in path("hilbert", 8, 8)] == [q for q in quadrants for _ in range(16)]
    assert path("hilbert", 4, 4)[:4] == [(0, 0), (0, 1), (1, 1), (1, 0)]  # the first quadrant is turned


@pytest.mark.parametrize("size", [*SIZES, (3, 3), (2, 9), (28, 28), (31, 17), (32, 32)], ids=str)
def test_neighbours_in_the_order_touch(size):
    for name in ["snake", "spiral"]:
        assert all(sum(jump) == 1 for jump in jumps(path(name, *size))), name
    steps = jumps(path("hilbert", *size))
    assert all(max(jump) == 1 for jump in steps)
    assert sum(jump == (1, 1) for jump in steps) <= 1


def test_random_is_seeded():
    first, same, other = (build({"name": "random", "seed": seed}, 5, 8) for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    state = torch.get_rng_state()
    build("random", 5, 8)
    assert torch.equal(torch.get_rng_state(), state)  # it draws from a generator of its own


def test_an_order_serves_as_it_is():
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(build(order, 2, 2), order)
    assert torch.equal(build({"name": "permutation", "order": [2, 0, 3, 1]}, 2, 2), order)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("snak", "unknown ordering 'snak'; did you mean 'snake'.*known: raster"),
        ("zzzzzz", r"unknown ordering 'zzzzzz' \(known: raster"),
        ({"name": "raster", "transforms": ["flip_row"]}, "'flip_row'; did you mean 'flip_rows'"),
        ({"name": "raster", "transforms": "reverse"}, r"transforms=reverse.*\[reverse\]"),
        ({"name": "random", "sed": 1}, "'random' has no option 'sed'; did you mean 'seed'"),
        ({"name": "raster", "seed": 1}, "'raster' has no option 'seed'.*options: none"),
        ({"name": "raster", "height": 1}, "no option 'height'"),
        ("permutation", "lists 0 pixels.*2x2 has 4"),
        ({"name": "permutation", "order": None}, "ordering.order is a list of raster indices"),
        ({"name": "random", "seed": 10**20}, r"ordering.seed=1\d*0: it is a whole number from 0 to"),
        ({"name": "permutation", "order": [0, 1, 2]}, "lists 3 pixels.*2x2 has 4.*ordering.order"),
        ({"name": "permutation", "order": [0, 1, 2, 2]}, "each of the 4 pixels .* once"),
        ({"name": "permutation", "order": [1, 2, 3, 4]}, "each of the 4 pixels .* once"),
        ({"name": "permutation", "order": [1, 2, 3, 4], "transforms": ["flip_rows"]}, "each of the 4 pixels .* once"),
        (torch.tensor([0, 1, 2]), "each of the 4 pixels"),
        (torch.tensor([0, 1, 1, 2]), "each of the 4 pixels"),
        (torch.tensor([[0, 1], [2, 3]]), "each of the 4 pixels"),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(UserError, match=message) as error:
        build(spec, 2, 2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("order", [[3, 1, 0, 2], (3, 1, 0, 2), np.array([3, 1, 0, 2])], ids=["list", "tuple", "NumPy"])
def test_an_order_that_is_no_tensor_is_refused_with_the_way_to_give_it(order):
    with pytest.raises(UserError, match=r"ordering is a \w+; give an order as a tensor, torch.tensor\(.*permutation"):
        SequenceRNN((1, 2, 2), 2, ordering=order)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4, 1.5), ("4", 4), (None, 4)])
def test_a_size_that_no_image_has_is_refused(size):
    for build_one in (build, occlusion.build):
        with pytest.raises(UserError, match=r"(height|width)=.*: it is a whole number from 1"):
            build_one("raster" if build_one is build else "half", *size)
