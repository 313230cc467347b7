"""Camera faults: identity at zero, rising severity, physics, determinism."""

from importlib.resources import files

import cv2
import numpy as np
import pytest
from PIL import Image

from pqa.errors import ConfigurationError
from pqa.simulator import camera

STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    with Image.open(str(files("pqa.data") / "assets" / "astronaut.png")) as image:
        return np.asarray(image.convert("RGB").resize((256, 256), Image.Resampling.BOX))


def fault(rgb: np.ndarray, name: str, strength: float, seed: int = 7) -> np.ndarray:
    return camera.apply(rgb, name, strength, np.random.default_rng(seed))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


def linear(rgb: np.ndarray) -> np.ndarray:
    code = rgb / 255.0
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("name", camera.FAULTS)
def test_strength_zero_is_the_picture_itself_and_a_copy(portrait, name):
    same = fault(portrait, name, 0.0)
    np.testing.assert_array_equal(same, portrait)
    assert not np.shares_memory(same, portrait)


@pytest.mark.parametrize("name", camera.FAULTS)
def test_severity_rises_with_strength(portrait, name):
    series = [distance(fault(portrait, name, strength), portrait) for strength in STRENGTHS]
    assert series == sorted(series), [round(value, 2) for value in series]
    assert series[-1] > 5


@pytest.mark.parametrize("name", camera.FAULTS)
def test_same_seed_same_bits_and_the_input_is_left_alone(portrait, name):
    kept = portrait.copy()
    first, second = (fault(portrait, name, 0.6) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(portrait, kept)
    assert first.shape == portrait.shape
    assert first.dtype == np.uint8


@pytest.mark.parametrize("name", camera.FAULTS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 5)])
def test_the_smallest_pictures_pass(name, shape):
    for strength in (0.01, 1.0):
        assert fault(np.full((*shape, 3), 90, np.uint8), name, strength).shape == (*shape, 3)


@pytest.mark.parametrize("name", ["motion", "white_balance", "flare", "sensor_noise"])
def test_another_seed_gives_another_picture(portrait, name):
    assert distance(fault(portrait, name, 0.6, 1), fault(portrait, name, 0.6, 2)) > 1


@pytest.mark.parametrize("name", ["defocus", "motion", "lens_blur"])
def test_blur_keeps_light_and_a_point_becomes_the_kernel(name):
    """Energy is kept in linear light, as a lens keeps it; in code values it would not be."""
    rgb = np.zeros((201, 201, 3), np.uint8)
    rgb[80:121, 80:121] = 255
    blurred = fault(rgb, name, 0.5)
    assert linear(blurred).sum() == pytest.approx(linear(rgb).sum(), rel=0.02)
    assert abs(blurred.astype(float).sum() - rgb.astype(float).sum()) > 0.05 * rgb.astype(float).sum()


def test_defocus_has_the_stated_radius():
    rgb = np.zeros((1000, 1000, 3), np.uint8)
    rgb[500, 500] = 255
    spot = camera.convolve(rgb[..., 0].astype(np.float32), np.ones((3, 3), np.float32))
    assert (spot > 0).sum() == 9
    light = np.zeros((1000, 1000, 3), np.uint8)
    light[:, 500:] = 255
    row = linear(fault(light, "defocus", 1.0))[500, :, 0]
    touched = np.flatnonzero((row > 1e-3) & (row < 1 - 1e-3))
    assert np.ptp(touched) / 2 == pytest.approx(22, abs=1.5)


@pytest.mark.parametrize("name", ["defocus", "motion", "lens_blur", "haze", "over_exposure", "white_balance", "flare"])
def test_a_large_and_a_small_picture_look_alike_at_one_strength(portrait, name):
    large = cv2.resize(portrait, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(fault(large, name, 0.5), (256, 256), interpolation=cv2.INTER_AREA)
    assert distance(small, fault(portrait, name, 0.5)) < 0.35 * distance(fault(portrait, name, 0.5), portrait)


def test_exposure_is_in_stops():
    grey = np.full((64, 64, 3), 120, np.uint8)
    assert linear(fault(grey, "over_exposure", 1 / 3)).mean() / linear(grey).mean() == pytest.approx(2.0, rel=0.02)
    assert linear(fault(grey, "under_exposure", 0.25)).mean() / linear(grey).mean() == pytest.approx(0.5, rel=0.02)


def test_sensor_noise_is_shot_noise():
    """The variance in linear light grows with the light."""
    spread = [linear(fault(np.full((200, 200, 3), level, np.uint8), "sensor_noise", 0.5)).var() for level in (120, 200)]
    ratio = linear(np.array(200)) / linear(np.array(120))
    assert spread[1] / spread[0] == pytest.approx(ratio, rel=0.05)


def test_colour_noise_leaves_luma():
    grey = np.full((128, 128, 3), 128, np.uint8)
    noisy = fault(grey, "colour_noise", 1.0).astype(np.float64)
    assert (noisy @ [0.299, 0.587, 0.114]).std() < 1
    assert noisy.std(axis=(0, 1)).min() > 5


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan")])
def test_strength_out_of_range_is_refused(portrait, strength):
    with pytest.raises(ConfigurationError, match="expected 0 to 1"):
        fault(portrait, "defocus", strength)


def test_unknown_fault_offers_the_nearest(portrait):
    with pytest.raises(ConfigurationError, match="did you mean 'defocus'"):
        fault(portrait, "defocuss", 0.5)


def test_every_attribute_has_faults():
    assert {row.kind for row in camera.FAULTS.values()} == {"detail", "exposure", "both"}


def test_variants_are_a_dozen_named_shots_the_untouched_first(portrait):
    shots = camera.variants(portrait, seed=3)
    names = [name for name, _ in shots]
    assert len(names) == len(set(names)) == 12
    assert names[0] == "sharp"
    np.testing.assert_array_equal(shots[0][1], portrait)
    for (name, first), (_, second) in zip(shots, camera.variants(portrait, seed=3), strict=True):
        np.testing.assert_array_equal(first, second)
        assert name == "sharp" or distance(first, portrait) > 2, name
