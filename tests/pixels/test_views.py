"""Views: crop rules, windows, and that nothing is ever enlarged."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqa.errors import ConfigurationError
from pqa.pixels import statistics
from pqa.pixels.source import open_picture
from pqa.pixels.views import VIEWS, crop_box, make_view, normalise
from pqa.spec import CropRule, ViewSpec
from pqa.types import Face

LANDMARKS = ((0.0, 0.0),) * 5


def face(*box):
    return Face(tuple(map(float, box)), LANDMARKS, 0.99)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_square_crop_by_hand():
    rule = CropRule(scale=1.5)
    assert crop_box(rule, face(100, 100, 140, 160), 400, 400) == (75, 85, 165, 175)


def test_margin_without_square():
    rule = CropRule(margin_px=20, square=False)
    assert crop_box(rule, face(100, 100, 140, 160), 400, 400) == (80, 80, 160, 180)


def test_minimum_side_and_moving_inside():
    rule = CropRule(min_side=200)
    assert crop_box(rule, face(0, 380, 20, 400), 400, 400) == (0, 200, 200, 400)


@pytest.mark.parametrize(("fallback", "box"), [("whole", (0, 0, 300, 200)), ("centre", (50, 0, 250, 200))])
def test_without_a_face(fallback, box):
    assert crop_box(CropRule(fallback=fallback), None, 300, 200) == box


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.tuples(st.floats(-50, 450), st.floats(-50, 450), st.floats(1, 500), st.floats(1, 500)),
    st.floats(0.5, 3),
    st.floats(0, 600),
)
@settings(derandomize=True, max_examples=200)
def test_crops_lie_inside_the_picture(width, height, box, scale, least):
    x, y, wide, high = box
    x1, y1, x2, y2 = crop_box(CropRule(scale=scale, min_side=least), face(x, y, x + wide, y + high), width, height)
    assert -1e-6 <= x1 < x2 <= width + 1e-6
    assert -1e-6 <= y1 < y2 <= height + 1e-6


def test_normalise_by_hand():
    rgb = np.array([[[0, 128, 255]]], np.uint8)
    got = normalise(rgb, (0.5, 0.5, 0.5), (0.5, 0.25, 1.0))
    assert got.shape == (3, 1, 1)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.ravel(), [-1.0, (128 / 255 - 0.5) / 0.25, 0.5], atol=1e-6)


IDENTITY = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (500, 20), (64, 64), (200, 300)])
@pytest.mark.parametrize("kind", list(VIEWS))
def test_every_view_of_every_size_is_finite_and_of_its_shape(kind, size):
    length = {
        "statistics": (len(statistics.NAMES),),
        "face_statistics": (len(statistics.NAMES),),
        "face_geometry": (3,),
    }
    crops = {"squashed": 9, "fragments": 9, "patches": 6}.get(kind, 1)
    view = ViewSpec(kind, kind, length.get(kind, (56, 56)), crops, short_side=64, crop=CropRule(1.3, min_side=64))
    source = open_picture(picture(*size))
    for main in (None, face(0, 0, min(size) * 0.8, min(size))):
        got = make_view(source, main, view)
        assert got.dtype == np.float32
        several = (crops,) if crops > 1 else ()
        assert got.shape == (view.size if VIEWS[kind].vector else (*several, 3, *view.size))
        assert np.isfinite(got).all()


def test_a_small_picture_is_mirrored_not_enlarged():
    rgb = picture(16, 16)
    view = ViewSpec("global", "global", (32, 32), **IDENTITY)
    got = np.rint(make_view(open_picture(rgb), None, view) * 255).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(got[8:24, 8:24], rgb)
    np.testing.assert_array_equal(got[7, 8:24], rgb[0])


def test_the_global_window_follows_the_face():
    rgb = np.zeros((64, 192, 3), np.uint8)
    rgb[:, 128:] = 255
    view = ViewSpec("global", "global", (64, 64), **IDENTITY)
    centred = make_view(open_picture(rgb), None, view)
    followed = make_view(open_picture(rgb), face(140, 10, 180, 50), view)
    assert centred.mean() == 0
    assert followed.mean() > 0.85


def grey(view, source, main=None):
    """The red channel of a view as whole numbers."""
    return np.rint(make_view(source, main, view)[..., 0, :, :] * 255).astype(int)


def test_one_crop_has_no_axis_of_crops_and_is_the_central_of_nine():
    source = open_picture(picture(90, 120))
    for kind in ("squashed", "fragments"):
        one = make_view(source, None, ViewSpec(kind, kind, (56, 56), 1, short_side=64))
        nine = make_view(source, None, ViewSpec(kind, kind, (56, 56), 9, short_side=64))
        np.testing.assert_array_equal(one, nine[4])


def test_squashed_shows_the_whole_picture_whatever_its_shape():
    rgb = np.zeros((100, 300, 3), np.uint8)
    rgb[:, 150:] = 255
    view = ViewSpec("s", "squashed", (56, 56), 9, short_side=56, **IDENTITY)
    got = grey(view, open_picture(rgb))
    assert (got[:, :, :27] == 0).all()
    assert (got[:, :, 29:] == 255).all()


def test_fragments_are_cut_from_the_reduced_picture_and_never_enlarged():
    rgb = picture(60, 80)
    view = ViewSpec("f", "fragments", (56, 56), 1, short_side=672, **IDENTITY)
    got = grey(view, open_picture(rgb))
    # Row 0 of the mosaic: cells of 80 / 7 columns, patches of 8, centred in each.
    columns = np.concatenate(
        [np.arange(8) + k * 80 // 7 + round(((k + 1) * 80 // 7 - k * 80 // 7 - 8) / 2) for k in range(7)]
    )
    np.testing.assert_array_equal(got[0], rgb[0][columns, 0])


def test_patches_of_the_picture_and_of_its_face():
    rgb = np.zeros((200, 300, 3), np.uint8)
    rgb[100:160, 200:260] = 255
    source = open_picture(rgb)
    main = face(200, 100, 260, 160)
    whole = grey(ViewSpec("p", "patches", (40, 40), 30, **IDENTITY), source, main)
    of_face = grey(ViewSpec("p", "patches", (40, 40), 30, crop=CropRule(), **IDENTITY), source, main)
    assert (whole[0] == 0).all()
    assert (of_face == 255).all()
    reduced = grey(ViewSpec("p", "patches", (40, 40), 30, short_side=40, crop=CropRule(2.0), **IDENTITY), source, main)
    assert (reduced == reduced[0]).all()  # the crop of 120 pixels fills one window
    assert 0.2 < reduced.mean() / 255 < 0.3


@pytest.mark.parametrize("size", [(200, 400), (400, 200)])
def test_face_geometry_is_over_the_shorter_side(size):
    view = ViewSpec("geometry", "face_geometry", (3,))
    source = open_picture(picture(*size))
    assert make_view(source, face(10, 10, 40, 60), view) == pytest.approx([1.0, 0.25, 0.99])
    assert make_view(source, None, view).tolist() == [0.0, 0.0, 0.0]


def test_unknown_view_offers_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'global'"):
        make_view(open_picture(picture(8, 8)), None, ViewSpec("x", "globl", (8, 8)))


def test_five_crops_are_the_corners_and_the_centre():
    rgb = picture(60, 90)
    view = ViewSpec("crops", "crops", (20, 30), crops=5, mean=(0, 0, 0), std=(1, 1, 1))
    got = np.rint(make_view(open_picture(rgb), None, view) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    corners = [(0, 0), (0, 60), (40, 0), (40, 60), (20, 30)]
    assert got.shape == (5, 20, 30, 3)
    for crop, (top, left) in zip(got, corners, strict=True):
        assert (crop == rgb[top : top + 20, left : left + 30]).all()


def test_crops_enlarge_only_where_the_spec_says_so_and_only_what_is_smaller():
    rgb = np.repeat(np.linspace(0, 255, 40).astype(np.uint8)[:, None, None], 50, axis=1).repeat(3, axis=2)
    plain = ViewSpec("crops", "crops", (80, 80), mean=(0, 0, 0), std=(1, 1, 1))
    grown = ViewSpec("crops", "crops", (80, 80), mean=(0, 0, 0), std=(1, 1, 1), enlarge=True)
    mirrored, enlarged = (make_view(open_picture(rgb), None, view)[0, :, 40] for view in (plain, grown))
    assert (np.diff(enlarged) >= 0).all()
    assert (np.diff(mirrored) < 0).any()
    small = ViewSpec("crops", "crops", (30, 30), enlarge=True)
    same = ViewSpec("crops", "crops", (30, 30))
    source = open_picture(picture(40, 50))
    assert (make_view(source, None, small) == make_view(source, None, same)).all()


def test_crops_of_a_face_come_from_its_own_crop():
    rgb = picture(200, 200)
    rule = CropRule(margin_px=20, square=False)
    view = ViewSpec("crops", "crops", (16, 16), crops=5, crop=rule, mean=(0, 0, 0), std=(1, 1, 1))
    got = np.rint(make_view(open_picture(rgb), face(60, 60, 100, 120), view) * 255).transpose(0, 2, 3, 1)
    assert (got[0] == rgb[40:56, 40:56]).all()
    assert (got[3] == rgb[124:140, 104:120]).all()


@pytest.mark.parametrize(("high", "wide"), [(100, 300), (300, 100)])
def test_the_geometry_of_a_face_is_its_longer_edge_over_the_short_side(high, wide):
    view = ViewSpec("face_geometry", "face_geometry", (3,))
    got = make_view(open_picture(picture(high, wide)), face(10, 20, 40, 70), view)
    np.testing.assert_allclose(got, [1.0, 0.5, 0.99], rtol=1e-6)


@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1), (2, 30_000)])
@pytest.mark.parametrize("kind", list(VIEWS))
def test_views_of_thin_pictures_take_no_more_memory_than_of_square_ones(kind, size):
    vector = {"statistics": 160, "face_statistics": 160, "face_geometry": 3}
    tensor = (vector[kind],) if kind in vector else (224, 224)
    view = ViewSpec(kind, kind, tensor, 1, short_side=224, crop=CropRule(1.3), enlarge=kind == "crops")
    peaks = []
    for shape in ((480, 480), size):
        source = open_picture(np.zeros((*shape, 3), np.uint8))
        tracemalloc.start()
        make_view(source, None, view)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 2 * peaks[0] + 2**20
