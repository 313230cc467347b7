"""Windows of a picture: they cover it, keep their order, and copy pixels without changing them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqa.errors import ConfigurationError
from pqa.pixels.fragments import GRID, POSITIONS, cut, dense, fragments, lattice, mirrored, squashed, strided, windows


def coordinates(height, width):
    """A picture whose pixels name their place: (row, column, 0)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)


SHAPES = st.tuples(st.integers(56, 250), st.integers(56, 250))


@given(SHAPES, st.sampled_from(sorted(POSITIONS)), st.none() | st.integers(0, 2**32))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_every_patch_lies_whole_in_its_own_cell(shape, count, seed):
    rgb = coordinates(*shape)
    draw = None if seed is None else np.random.default_rng(seed)
    for mosaic in fragments(rgb, (56, 56), count, draw):
        for i in range(GRID):
            for j in range(GRID):
                patch = mosaic[8 * i : 8 * i + 8, 8 * j : 8 * j + 8].astype(int)
                top, left = patch[0, 0, :2]
                expected = coordinates(*shape)[top : top + 8, left : left + 8]
                np.testing.assert_array_equal(patch, expected)
                assert i * shape[0] // GRID <= top
                assert top + 8 <= (i + 1) * shape[0] // GRID
                assert j * shape[1] // GRID <= left
                assert left + 8 <= (j + 1) * shape[1] // GRID


def test_rq_net_at_its_published_size():
    """Short side 672: cells of 96 rows, patches of 32; the nine positions reach corners, edges and centre of a cell."""
    rgb = np.zeros((672, 896, 3), np.uint8)
    rgb[..., 0] = (np.arange(672) % 96)[:, None]
    rgb[..., 1] = (np.arange(896) % 128)[None]
    got = fragments(rgb, (224, 224), 9)
    assert got.shape == (9, 224, 224, 3)
    assert [tuple(int(v) for v in mosaic[0, 0, :2]) for mosaic in got] == [
        (y, x) for y in (0, 32, 64) for x in (0, 48, 96)
    ]


def test_crop_k_lies_in_its_cell_as_crop_k_of_the_window_lies_in_its_picture():
    """Order of the nine positions: the offset of each crop, as a share of the room it has, agrees between the views."""
    crops = windows(coordinates(244, 244), (224, 224), 9)
    room = np.array([20, 20])
    mosaics = fragments(coordinates(7 * 28, 7 * 28), (56, 56), 9)
    cell_room = np.array([20, 20])
    for crop, mosaic in zip(crops, mosaics, strict=True):
        np.testing.assert_array_equal(crop[0, 0, :2] / room, mosaic[0, 0, :2] / cell_room)


def test_too_small_a_picture_is_mirrored_and_its_pixels_stay():
    rgb = coordinates(20, 30)
    (grown,) = cut(rgb, (56, 56), [(0, 0)])
    np.testing.assert_array_equal(grown[18:38, 13:43], rgb)
    np.testing.assert_array_equal(grown, np.pad(rgb, ((18, 18), (13, 13), (0, 0)), mode="symmetric"))
    assert fragments(rgb, (56, 56), 9).shape == (9, 56, 56, 3)
    np.testing.assert_array_equal(mirrored(30, 20), np.arange(30))


def test_squashing_never_enlarges():
    assert squashed(coordinates(100, 40), 60).shape == (60, 40, 3)
    np.testing.assert_array_equal(squashed(coordinates(50, 40), 60), coordinates(50, 40))


@pytest.mark.parametrize(
    ("high", "wide", "expected"), [(300, 400, (5, 6)), (400, 300, (6, 5)), (100, 900, (2, 15)), (900, 20, (30, 1))]
)
def test_the_lattice_follows_the_shape(high, wide, expected):
    assert lattice(30, high, wide) == expected


@given(SHAPES, st.integers(1, 30))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_dense_windows_reach_all_edges(shape, count):
    got = dense(coordinates(*shape), (50, 40), count)
    assert got.shape == (count, 50, 40, 3)
    rows, columns = lattice(count, *shape)
    if rows > 1:
        assert (got[0, 0, 0, 0], got[-1, -1, -1, 0]) == (0, shape[0] - 1)
    if columns > 1:
        assert (got[0, 0, 0, 1], got[-1, -1, -1, 1]) == (0, shape[1] - 1)


def test_dense_windows_overlap_and_leave_no_pixel_out():
    seen = np.zeros((100, 130), bool)
    for patch in dense(coordinates(100, 130), (30, 30), 30):
        seen[patch[..., 0], patch[..., 1]] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda rgb: windows(rgb, (8, 8), 4), "one of .1, 5, 9."),
        (lambda rgb: fragments(rgb, (60, 56), 1), "multiple of 7"),
    ],
)
def test_wrong_requests_are_named(call, says):
    with pytest.raises(ConfigurationError, match=says):
        call(coordinates(80, 80))


def test_strided_takes_every_nth_window_row_by_row():
    """1280 x 960 and patches of 224: 34 x 24 = 816 windows, 15 of them, every 54th."""
    rgb = np.zeros((960, 1280, 3), np.uint8)
    rgb[..., 0], rgb[..., 1] = (np.arange(960) // 32)[:, None], (np.arange(1280) // 32)[None]
    got = strided(rgb, (224, 224), 15)
    assert got.shape == (15, 224, 224, 3)
    assert [tuple(map(int, patch[0, 0, :2])) for patch in got] == [divmod(54 * k, 34) for k in range(15)]


def test_strided_repeats_windows_where_there_are_too_few():
    got = strided(coordinates(64, 128), (64, 64), 5)
    assert [int(patch[0, 0, 1]) for patch in got] == [0, 0, 32, 32, 64]
    assert strided(coordinates(20, 30), (64, 64), 3).shape == (3, 64, 64, 3)


def test_drawn_fragments_take_one_place_a_row_of_cells_and_one_a_column():
    (mosaic,) = fragments(coordinates(200, 230), (56, 56), 1, np.random.default_rng(0))
    tops, lefts = mosaic[::8, ::8, 0].astype(int), mosaic[::8, ::8, 1].astype(int)
    assert (tops == tops[:, :1]).all()
    assert (lefts == lefts[:1]).all()
    places = tops[:, 0] - np.arange(GRID) * 200 // GRID
    assert len(set(places)) > 2


@pytest.mark.parametrize("cut", [windows, dense])
def test_drawn_windows_lie_anywhere_and_the_seed_rules(cut):
    rgb = coordinates(120, 90)
    made = [cut(rgb, (40, 40), 2000, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    tops, lefts = made[0][:, 0, 0, 0], made[0][:, 0, 0, 1]
    assert (tops.min(), tops.max(), lefts.min(), lefts.max()) == (0, 80, 0, 50)
