"""Views: crop rules, windows, and that nothing is ever enlarged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqa import imaging, nss
from pqa.errors import ConfigurationError
from pqa.spec import CropRule, ViewSpec
from pqa.types import Face
from pqa.views import VIEWS, crop_box, make_view, normalise

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
    length = {"statistics": (len(nss.NAMES),), "face_statistics": (len(nss.NAMES),), "face_geometry": (3,)}
    view = ViewSpec(kind, kind, length.get(kind, (64, 64)), short_side=64, crop=CropRule(1.3, min_side=64))
    source = imaging.open(picture(*size))
    for main in (None, face(0, 0, min(size) * 0.8, min(size))):
        got = make_view(source, main, view)
        assert got.dtype == np.float32
        assert got.shape == (view.size if VIEWS[kind].vector else (3, *view.size))
        assert np.isfinite(got).all()


def test_a_small_picture_is_mirrored_not_enlarged():
    rgb = picture(16, 16)
    view = ViewSpec("global", "global", (32, 32), **IDENTITY)
    got = np.rint(make_view(imaging.open(rgb), None, view) * 255).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(got[8:24, 8:24], rgb)
    np.testing.assert_array_equal(got[7, 8:24], rgb[0])


def test_the_global_window_follows_the_face():
    rgb = np.zeros((64, 256, 3), np.uint8)
    rgb[:, 192:] = 255
    view = ViewSpec("global", "global", (64, 64), **IDENTITY)
    centred = make_view(imaging.open(rgb), None, view)
    followed = make_view(imaging.open(rgb), face(200, 10, 240, 50), view)
    assert centred.mean() == 0
    assert followed.mean() > 0.85


def test_unknown_view_offers_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'global'"):
        make_view(imaging.open(picture(8, 8)), None, ViewSpec("x", "globl", (8, 8)))
