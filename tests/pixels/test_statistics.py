"""Natural-scene statistics: definition, invariances, and direction under faults."""

import tracemalloc
from importlib.resources import files

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from pqa.errors import InputError
from pqa.pixels import statistics


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    with Image.open(str(files("pqa.data") / "assets" / "astronaut.png")) as image:
        return np.asarray(image.convert("RGB"))[:384, 64:448]


def value(rgb: np.ndarray, name: str) -> float:
    return float(statistics.statistics(rgb)[statistics.NAMES.index(name)])


def test_names_are_unique_and_match_what_every_family_returns(portrait):
    assert len(set(statistics.NAMES)) == len(statistics.NAMES) == 160
    layer = statistics._layer(portrait)
    for family in statistics.FAMILIES:
        assert len(family.measure(layer)) == len(family.values), family.name


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3))))
def test_every_picture_has_finite_values(rgb):
    values = statistics.statistics(rgb)
    assert values.shape == (len(statistics.NAMES),)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (33, 31), (64, 64), (640, 16)])
def test_flat_pictures_are_finite_and_moderate(shape, level):
    values = statistics.statistics(np.full((*shape, 3), level, np.uint8))
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 60


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
    ids=["grey", "alpha", "empty", "float"],
)
def test_other_arrays_are_refused(rgb):
    with pytest.raises(InputError, match="expected"):
        statistics.statistics(rgb)


def test_result_does_not_depend_on_threads_memory_layout_or_earlier_calls(portrait):
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results.append(statistics.statistics(portrait))
            results.append(statistics.statistics(np.asfortranarray(portrait)))
    finally:
        cv2.setNumThreads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_no_family_writes_to_the_picture(portrait):
    kept = portrait.copy()
    statistics.statistics(portrait)
    np.testing.assert_array_equal(portrait, kept)


def test_noise_sigma_is_the_true_one():
    noisy = 128 + np.random.default_rng(0).normal(0, 6.0, (256, 256, 1))
    rgb = np.repeat(np.rint(noisy).clip(0, 255).astype(np.uint8), 3, axis=2)
    assert np.exp(value(rgb, "noise.1.sigma")) - statistics.FLOOR == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize(("exponent", "shape"), [(2.0, "normal"), (1.0, "laplace")])
def test_ggd_recovers_the_shape_of_known_distributions(exponent, shape):
    sample = getattr(np.random.default_rng(1), shape)(0.0, 0.7, (400, 400)).astype(np.float32)
    fitted, deviation = statistics._ggd(sample)
    assert fitted == pytest.approx(exponent, rel=0.05)
    assert deviation == pytest.approx(sample.std(), rel=0.01)


def test_aggd_tells_the_two_sides_apart():
    rng = np.random.default_rng(2)
    sample = np.abs(rng.normal(0, 1, (300, 300))).astype(np.float32)
    sign = rng.random((300, 300)) < 0.5
    _, mean, left, right = statistics._aggd(np.where(sign, -0.5 * sample, 2.0 * sample).astype(np.float32))
    assert left == pytest.approx(0.5, rel=0.05)
    assert right == pytest.approx(2.0, rel=0.05)
    assert mean > 0
    mirrored = statistics._aggd(np.where(sign, 0.5 * sample, -2.0 * sample).astype(np.float32))
    assert mirrored[1] == pytest.approx(-mean, rel=1e-3)


def test_brisque_shapes_of_white_noise_are_gaussian():
    rgb = np.random.default_rng(3).normal(128, 20, (256, 256, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    assert np.exp(value(rgb, "brisque.1.shape")) > 1.8


def test_an_8_pixel_grid_is_seen_at_its_phase():
    tiles = np.random.default_rng(4).integers(60, 200, (32, 32, 1)).astype(np.uint8)
    blocks = np.repeat(np.repeat(tiles, 8, 0), 8, 1).repeat(3, axis=2)
    assert value(blocks, "blockiness.1.x_grid") == pytest.approx(np.log(8), abs=0.15)
    moved = blocks[:, 3:]
    assert value(moved, "blockiness.1.x_grid") < -2
    assert value(moved, "blockiness.1.x_phase") == pytest.approx(np.log(8), abs=0.15)
    assert value(blocks, "blockiness.1.x_flat") > 0.8


def test_clipping_is_the_share_of_clipped_pixels():
    rgb = np.full((100, 100, 3), 128, np.uint8)
    rgb[:10] = 0
    rgb[90:95] = 255
    assert np.exp(value(rgb, "histogram.1.clipped_dark")) - 1e-3 == pytest.approx(0.10, abs=1e-6)
    assert np.exp(value(rgb, "histogram.1.clipped_bright")) - 1e-3 == pytest.approx(0.05, abs=1e-6)
    assert value(rgb, "histogram.1.p50") == pytest.approx(128 / 255)


def test_grey_has_no_colour(portrait):
    grey = cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert value(grey, "colour.2.saturation") == 0
    assert value(grey, "colour.2.colourfulness") == pytest.approx(0, abs=1e-3)
    assert value(portrait, "colour.2.colourfulness") > 2


BLUR = ("laplacian.1.energy", "gradient.1.p99", "reblur.1.low", "reblur.1.high", "spectrum.1.band5", "brisque.1.spread")


@pytest.mark.parametrize("name", BLUR)
def test_sharpness_falls_with_blur(portrait, name):
    series = [value(portrait, name)] + [value(cv2.GaussianBlur(portrait, (0, 0), s), name) for s in (1.0, 2.0, 4.0)]
    assert series == sorted(series, reverse=True)
    assert series[0] - series[-1] > 0.1


def test_motion_is_seen_as_imbalance_of_directions(portrait):
    streak = cv2.filter2D(portrait, -1, np.full((1, 15), 1 / 15, np.float32))
    for name in ("spectrum.1.balance", "gradient.1.balance"):
        assert value(streak, name) > value(portrait, name) + 0.5


def test_turning_by_a_right_angle_swaps_directions_only(portrait):
    """Values without a direction in their definition stay; the grid's two directions change places."""
    turned = statistics.statistics(np.ascontiguousarray(portrait.transpose(1, 0, 2)))
    upright = dict(zip(statistics.NAMES, statistics.statistics(portrait), strict=True))
    for name, other in zip(statistics.NAMES, turned, strict=True):
        swapped = name
        if name.startswith("blockiness"):
            swapped = name.replace(".x_", ".?_").replace(".y_", ".x_").replace(".?_", ".y_")
        if name.startswith("brisque"):
            swapped = name.replace(".right_", ".?_").replace(".down_", ".right_").replace(".?_", ".down_")
        # The half plane that a real transform keeps counts the two axes' own coefficients unequally.
        tolerance = 0.05 if name.startswith("spectrum") else 2e-3
        assert other == pytest.approx(upright[swapped], abs=tolerance), name


def test_pictures_of_ever_new_shapes_leave_little_memory_behind():
    def left_behind(shapes: int) -> int:
        tracemalloc.start()
        for number in range(shapes):
            statistics.statistics(np.full((200, 200 + number, 3), 100, np.uint8))
        left = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return left

    assert left_behind(30) < 8 * 2**20
