"""Simulated light, cameras and captures: the physics that the true quality is computed from."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from pqa.simulator import capture
from pqa.simulator.capture import Facts, Shot, draw_shot, expose, sensor_noise
from pqa.simulator.devices import EDITED, PRIOR, Device, sample_devices
from pqa.simulator.lighting import CONDITIONS, LUMINANCE, Light, Scene, draw_light, light_up

SIDE = 128  # of the sensor; the picture has half of it
FACE = (48.0, 40.0, 80.0, 80.0)
DAY = Light("Outdoor", 5000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
STILL = Shot(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
PLAIN = replace(
    EDITED, exposure=0.0, red=0.0, blue=0.0, vignetting=0.0, denoise=0.1, sharpening=0.0, contrast=0.0, saturation=1.0
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def textured(light: Light = DAY) -> Scene:
    return light_up(rng(1).integers(40, 200, (SIDE, SIDE, 3)).astype(np.uint8), FACE, light)


def grey(code: int, light: Light = DAY) -> Scene:
    return light_up(np.full((SIDE, SIDE, 3), code, np.uint8), FACE, light)


def take(scene: Scene, device: Device, shot: Shot = STILL) -> tuple[np.ndarray, Facts]:
    return expose(scene, device, shot, rng(2))


def linear(rgb: np.ndarray) -> np.ndarray:
    code = rgb / 255.0
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def rough(rgb: np.ndarray) -> float:
    luma = rgb.astype(np.float64) @ LUMINANCE
    return float(np.hypot(np.diff(luma, axis=0)[:, 1:], np.diff(luma, axis=1)[1:]).mean())


def test_noise_is_poisson_gaussian_in_linear_light():
    """Over levels, the variance is a straight line: slope 1 / electrons, height (read noise / electrons)^2 at black."""
    levels = np.array([0.0, 0.1, 0.3, 0.6, 1.0])
    electrons, read = 400.0, 12.0
    flat = [np.full((400, 400), level, np.float32) for level in levels]
    variance = [sensor_noise(raw, electrons, read, rng(k)).var() for k, raw in enumerate(flat)]
    slope, height = np.polyfit(levels, variance, 1)
    assert slope == pytest.approx(1 / electrons, rel=0.02)
    assert variance[0] == pytest.approx((read / electrons) ** 2, rel=0.02)
    assert height == pytest.approx((read / electrons) ** 2, rel=0.1)


def test_the_lens_loses_no_light():
    scene = replace(grey(128), subject=np.ones((SIDE, SIDE), np.float32))
    point = np.zeros((SIDE, SIDE, 3), np.float32)
    point[SIDE // 2, SIDE // 2] = 100.0
    scene = replace(scene, intensity=point)
    device = replace(PLAIN, blur=0.5, corner_blur=2.0, glare=0.1)
    shot = replace(STILL, defocus=2.0, shake=100.0, movement=100.0, shake_angle=0.4)
    seen = capture._optics(scene, device, shot, 0.05, SIDE / 100)
    assert seen.sum() == pytest.approx(300.0, rel=1e-3)
    assert seen.max() < 5.0
    assert seen.min() >= 0.0


def test_the_mosaic_keeps_a_colour_and_balance_is_in_stops():
    light = np.broadcast_to(np.array([0.5, 0.25, 0.125], np.float32), (32, 32, 3))
    flat = capture._demosaic(capture._mosaic(light), (0.0, 0.0), 2.0)
    np.testing.assert_allclose(flat[4:-4, 4:-4], light[4:-4, 4:-4], rtol=2e-3)
    balanced = capture._demosaic(capture._mosaic(light), (-1.0, 1.0), 2.0)
    np.testing.assert_allclose(balanced[4:-4, 4:-4], 0.25, rtol=2e-3)


def test_a_sound_camera_shows_a_grey_as_it_is_and_exposure_is_in_stops():
    card = grey(100)
    shown = [linear(take(card, replace(PLAIN, exposure=stops))[0]).mean() for stops in (-1.0, 0.0, 1.0)]
    assert shown[1] == pytest.approx(linear(np.array(100)), rel=0.05)
    assert shown[1] / shown[0] == pytest.approx(2.0, rel=0.05)
    assert shown[2] / shown[1] == pytest.approx(2.0, rel=0.05)


def test_the_tone_curve_rises_to_white():
    for white, contrast in ((1.1, -0.25), (1.1, 0.55), (8.0, 0.0)):
        curve = capture._curve(np.linspace(0, white, 2001), white, contrast)
        assert (np.diff(curve) > 0).all()
        assert curve[[0, -1]] == pytest.approx([0, 1], abs=1e-9)


def test_noise_grows_as_light_falls_and_more_frames_take_it_back():
    old = replace(PLAIN, sensitivity=600.0, full_well=20000.0, frames=1.0, longest=1 / 15)
    noise = [take(grey(100, replace(DAY, lux=lux)), old)[1].face_noise for lux in (5000.0, 50.0, 5.0, 1.0)]
    assert noise == sorted(noise)
    assert noise[-1] > 5 * noise[0]
    dark = grey(100, replace(DAY, lux=5.0))
    single, merged = (take(dark, replace(old, frames=frames)) for frames in (1.0, 8.0))
    assert merged[1].face_noise < 0.5 * single[1].face_noise
    assert merged[0].std() < 0.6 * single[0].std()


def test_a_camera_at_the_end_of_its_gain_stays_dark():
    dark = grey(100, replace(DAY, lux=1.0))
    weak = replace(PLAIN, sensitivity=600.0, full_well=20000.0)
    facts = [take(dark, replace(weak, gain=gain))[1].face_stops for gain in (1.0, 1000.0, 1e6)]
    assert facts[0] == -capture.DARKEST < facts[1] <= facts[2] == 0.0


@pytest.mark.parametrize("field", ["blur", "glare"])
def test_worse_optics_smooth_the_picture(field):
    old = PRIOR[field].high
    series = [rough(take(textured(), replace(PLAIN, **{field: share * old}))[0]) for share in (0.05, 0.3, 1.0)]
    assert series == sorted(series, reverse=True)


def test_denoising_smooths_and_is_reported_as_smear():
    night = textured(replace(DAY, lux=2.0))
    phone = replace(PLAIN, sensitivity=1000.0, full_well=20000.0)
    shots = [take(night, replace(phone, denoise=denoise)) for denoise in (0.1, 0.5, 1.0)]
    assert [rough(rgb) for rgb, _ in shots] == sorted((rough(rgb) for rgb, _ in shots), reverse=True)
    assert shots[0][1].smear < shots[1][1].smear < shots[2][1].smear
    assert shots[0][1].face_noise > shots[2][1].face_noise


def test_focus_behind_the_face_leaves_the_background_sharp():
    scene = textured()
    sharp, facts = take(scene, PLAIN)
    missed, blurred = take(scene, PLAIN, replace(STILL, defocus=2.0))
    change = np.abs(sharp.astype(int) - missed).max(axis=2)
    subject = scene.subject[::2, ::2]
    assert change[subject == 0].max() <= 3  # the glare of the whole frame
    assert change[subject > 0.9].mean() > 5
    assert blurred.face_blur > facts.face_blur + 0.8
    assert blurred.frame_blur == facts.frame_blur


def test_face_faults_are_a_share_of_the_shots():
    device = replace(PLAIN, defocus=0.0)
    assert not any(draw_shot(device, rng(k)).defocus for k in range(50))
    spoilt = [draw_shot(device, rng(k), 0.5).defocus > 0 for k in range(300)]
    assert np.mean(spoilt) == pytest.approx(0.5, abs=0.1)
    assert all(draw_shot(device, rng(k), 1.0).defocus >= 0.6 for k in range(50))


def test_a_camera_that_knows_no_faces_is_misled_by_a_bright_surround():
    backlit = textured(replace(DAY, falloff=-2.0))
    blind, aware = (take(backlit, replace(PLAIN, face_metering=knows))[1].face_stops for knows in (0.0, 1.0))
    assert blind < -0.2
    assert aware == 0.0


@pytest.mark.parametrize("name", CONDITIONS)
def test_light_is_of_its_kind_and_the_face_as_asked(name):
    light = draw_light(name, rng(3))
    row = CONDITIONS[name]
    assert row.lux[0] <= light.lux <= row.lux[1]
    assert light.condition == name
    scene = textured(light)
    inside = (scene.intensity @ LUMINANCE)[52:68, 58:70]
    assert np.median(inside) == pytest.approx(scene.face, rel=0.3)
    assert 0.0 <= scene.subject.min() < scene.subject.max() <= 1.0


def test_the_shares_of_the_conditions_are_whole():
    assert sum(row.share for row in CONDITIONS.values()) == pytest.approx(1.0)


def test_every_parameter_of_a_device_has_a_prior_and_stays_in_it():
    assert set(PRIOR) == {field.name for field in fields(Device)} - {"name", "generation"}
    devices = sample_devices([f"d{k}" for k in range(200)], rng(4))
    for name, trend in PRIOR.items():
        values = np.array([getattr(device, name) for device in devices])
        assert (values >= trend.low).all(), name
        assert (values <= trend.high).all(), name
        assert values.std() > 0, name
    generation = np.array([device.generation for device in devices])
    for name, sign in (("blur", -1), ("sensitivity", 1), ("headroom", 1), ("jpeg", 1)):
        values = np.array([getattr(device, name) for device in devices])
        assert sign * np.corrcoef(generation, values)[0, 1] > 0.5, name


def test_generations_are_spread_evenly_over_the_range():
    generation = np.sort([device.generation for device in sample_devices(list("abcdefgh"), rng(5), 0.8, 1.0)])
    edges = np.linspace(0.8, 1.0, 9)
    assert ((generation >= edges[:-1]) & (generation <= edges[1:])).all()
