"""One press of a simulated shutter: light through lens, sensor and processing to 8-bit pixels.

The order is a camera's own: exposure, point spread, focus and motion, glare, colour of the light, Bayer mosaic with
Poisson-Gaussian noise, clipping, white balance, demosaicing, reduction to the picture, tone curve, denoising, saturation,
sharpening; JPEG comes with the file. The sensor has twice the picture's pixels in each direction. `Facts` keeps what
happened in physical units: the true quality (`pqa.data.psychometrics`) is computed from them, never from the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pqa.data.devices import Device
from pqa.data.lighting import LUMINANCE, Scene

__all__ = ["Facts", "Shot", "develop", "draw_shot", "expose", "sensor_noise"]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Rng = np.random.Generator

GREY = 0.18
"""Linear luminance to which a camera that knows no faces exposes the frame."""
DARKEST = 2.0
"""Stops by which a camera short of light stays below what it aims at, at most."""
KNEE = 0.75
"""Linear intensity from which a tone curve bends towards white."""
GLARE_REACH = 10.0
"""Deviation of the light scattered in the lens, % of the picture's shorter side."""
SUBJECT_SPEED = 2.5
"""Mean speed of a sitter in % of the picture's shorter side a second."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What differs from press to press. Stops for `exposure`, `red`, `blue`; % of the shorter side for the rest:
    `defocus` radius on the subject, streaks of the hand (`shake`) and of the sitter (`movement`) a second of exposure."""

    exposure: float
    red: float
    blue: float
    defocus: float
    shake: float
    shake_angle: float
    movement: float
    movement_angle: float


def draw_shot(device: Device, rng: Rng, face_faults: float = 0.0) -> Shot:
    """`face_faults`: share of the shots whose focus lies well behind the face, on top of the device's own chance."""
    exposure = device.exposure_jitter * rng.standard_normal()
    red, blue = device.balance_jitter * rng.standard_normal(2)
    missed, radius = rng.uniform() < device.defocus, rng.uniform(0.3, 1.2)
    spoilt, worse = rng.uniform() < face_faults, rng.uniform(0.6, 2.4)
    shake, movement = device.shake * rng.rayleigh(0.8), rng.exponential(SUBJECT_SPEED)
    angles = rng.uniform(0.0, np.pi, 2)
    defocus = max(radius if missed else 0.0, worse if spoilt else 0.0)
    return Shot(exposure, red, blue, defocus, shake, float(angles[0]), movement, float(angles[1]))


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened to a picture.

    `face_blur`, `frame_blur`: deviation of all blur on the face and over the frame, % of the shorter side. `face_noise`,
    `frame_noise`: deviation of the noise left in a cell of 0.2 %, code values of 255; `smear`: the noise that was wiped away,
    likewise. `face_stops`: error of the face's exposure. `clipped`: share of the frame burnt out beyond what the scene asks
    for; `blocked`: share lost in black, likewise. `cast`: colour error of white in stops. The others are the device's.
    """

    face_blur: float
    frame_blur: float
    face_noise: float
    frame_noise: float
    smear: float
    face_stops: float
    clipped: float
    blocked: float
    cast: float
    glare: float
    sharpening: float
    contrast: float
    saturation: float
    jpeg: float
    seconds: float


def expose(scene: Scene, device: Device, shot: Shot, rng: Rng) -> tuple[Pixels, Facts]:
    """One picture (H, W, 3) uint8 sRGB before JPEG, and what happened to it."""
    side = min(scene.intensity.shape[:2])
    percent = side / 100.0
    seconds, electrons = _light_budget(scene, device)
    stops = _stops(scene, device, shot, electrons)
    streaks = shot.shake * seconds, shot.movement * seconds
    seen = _optics(scene, device, shot, streaks, percent)
    seen *= np.asarray(np.exp2(stops - device.vignetting * scene.radius), np.float32)[..., None]
    cast = np.exp2(np.array([scene.light.red, 0.0, scene.light.blue], np.float32))
    red = -device.cast_removed * scene.light.red + device.red + shot.red
    blue = -device.cast_removed * scene.light.blue + device.blue + shot.blue
    white = 2.0**device.headroom
    cell = 1000.0 / side  # of a sensor pixel's side, in cells
    raw = _mosaic(seen * cast)
    raw = sensor_noise(raw, electrons * cell**2, device.read_noise * cell, rng)
    np.minimum(raw, white, out=raw)
    linear = _demosaic(raw, np.exp2([red, 0.0, blue]), white)
    code = _tone(_scaled(linear, 0.5), white, device.contrast)
    pixel = 2.0 * cell
    noise = _code_noise(scene.face * 2.0**stops, electrons, device) / pixel
    pixels = develop(code, noise, device)
    face_noise, frame_noise = (
        2.0**-1 * 255.0 * _code_noise(level * 2.0**stops, electrons, device) for level in (scene.face, 0.5 * GREY)
    )
    left = 1.0 - 0.85 * min(device.denoise, 1.2) / 1.2
    luminance = (scene.intensity[::4, ::4] @ LUMINANCE) * np.float32(2.0**stops)
    asked = luminance * np.float32(2.0**-stops)
    lens = device.blur, device.blur * (1.0 + (device.corner_blur - 1.0) * scene.face_radius)
    streak = streaks[0] ** 2 / 12.0
    on_face = shot.defocus**2 / 4.0 + streaks[1] ** 2 / 12.0
    mean_lens = 0.5 * lens[0] * (1.0 + device.corner_blur)
    return pixels, Facts(
        face_blur=float(np.sqrt(lens[1] ** 2 + streak + on_face)),
        frame_blur=float(np.sqrt(mean_lens**2 + streak)),
        face_noise=face_noise * left,
        frame_noise=frame_noise * left,
        smear=0.5 * (face_noise + frame_noise) * min(device.denoise, 2.0),
        face_stops=float(stops - device.vignetting * scene.face_radius),
        clipped=float(np.mean((luminance > white) & (asked < 2.0**2.5))),
        blocked=float(np.mean((luminance < 0.004) & (asked > 0.008))),
        cast=float(np.hypot(red + 0.8 * scene.light.red, blue + 0.8 * scene.light.blue)),
        glare=device.glare,
        sharpening=device.sharpening,
        contrast=device.contrast,
        saturation=device.saturation,
        jpeg=device.jpeg,
        seconds=seconds,
    )


def sensor_noise(raw: Plane, electrons: float, read_noise: float, rng: Rng) -> Plane:
    """`raw` (H, W), 1 = white, with shot noise of variance raw / electrons and read noise of (read_noise / electrons)^2.

    `electrons` of a pixel at white, `read_noise` in electrons. The Poisson law is taken in its normal limit.
    """
    variance = np.maximum(raw, 0.0) / np.float32(electrons) + np.float32((read_noise / electrons) ** 2)
    return np.asarray(raw + np.sqrt(variance) * rng.standard_normal(raw.shape, np.float32), np.float32)


def _light_budget(scene: Scene, device: Device) -> tuple[float, float]:
    """Seconds of one frame, and electrons a cell at white over all merged frames."""
    rate = device.sensitivity * scene.light.lux
    seconds = min(device.full_well / rate, device.longest)
    shortage = device.full_well / (rate * seconds)
    return seconds, rate * seconds * min(device.frames, shortage)


def _stops(scene: Scene, device: Device, shot: Shot, electrons: float) -> float:
    """Exposure against what the scene asks for."""
    average = np.clip(np.log2(GREY * 2.0**scene.light.level / (scene.face * scene.middle)), -1.5, 1.5)
    metered = (1.0 - device.face_metering) * float(average)
    short = float(np.log2(device.full_well / electrons / device.gain))
    return metered + device.exposure + shot.exposure - min(max(short, 0.0), DARKEST)


def _optics(scene: Scene, device: Device, shot: Shot, streaks: tuple[float, float], percent: float) -> Plane:
    sigma = device.blur * percent
    seen = _gauss(scene.intensity, sigma)
    if device.corner_blur > 1.0:
        corners = _gauss(scene.intensity, sigma * device.corner_blur)
        seen += scene.radius[..., None] * (corners - seen)
    if streaks[0] * percent > 0.5:
        seen = _convolve(seen, _streak(streaks[0] * percent, shot.shake_angle))
    kernels = [_disc(shot.defocus * percent)] if shot.defocus > 0.0 else []
    if streaks[1] * percent > 0.5:
        kernels.append(_streak(streaks[1] * percent, shot.movement_angle))
    if kernels:
        subject = seen
        for kernel in kernels:
            subject = _convolve(subject, kernel)
        seen += scene.subject[..., None] * (subject - seen)
    small = _gauss(_scaled(seen, 1 / 16), GLARE_REACH * percent / 16)
    wide = np.asarray(cv2.resize(small, seen.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(seen + np.float32(device.glare) * (wide - seen), np.float32)


def _scaled(light: Plane, factor: float) -> Plane:
    return np.asarray(cv2.resize(light, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32)


def _gauss(light: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(light, (0, 0), max(sigma, 0.2), borderType=cv2.BORDER_REFLECT), np.float32)


def _convolve(light: Plane, kernel: Plane) -> Plane:
    return np.asarray(cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def _disc(radius: float) -> Plane:
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    return np.asarray(disc / disc.sum(), np.float32)


def _streak(length: float, angle: float) -> Plane:
    reach = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    streak = np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1.0 - across, 0, 1)
    return np.asarray(streak / streak.sum(), np.float32)


def _mosaic(light: Plane) -> Plane:
    """(H, W, 3) to the Bayer pattern (H, W), red first."""
    raw = light[..., 1].copy()
    raw[0::2, 0::2] = light[0::2, 0::2, 0]
    raw[1::2, 1::2] = light[1::2, 1::2, 2]
    return raw


def _demosaic(raw: Plane, balance: npt.NDArray[np.float64], white: float) -> Plane:
    """(H, W) Bayer to (H, W, 3), white balanced; highlights stay neutral because all channels clip at `white`."""
    raw = raw.copy()
    raw[0::2, 0::2] *= np.float32(balance[0])
    raw[1::2, 1::2] *= np.float32(balance[2])
    pedestal, scale = 2048.0, 60000.0 / white
    wire = np.clip(np.minimum(raw, white) * np.float32(scale) + pedestal, 0, 65535).astype(np.uint16)
    rgb = cv2.demosaicing(wire, cv2.COLOR_BayerRGGB2RGB_EA)
    linear: Plane = (rgb.astype(np.float32) - np.float32(pedestal)) / np.float32(scale)
    return linear


def _curve(light: npt.NDArray[np.float64], white: float, contrast: float) -> npt.NDArray[np.float64]:
    """Linear intensity to code value 0 to 1: straight to the knee, bent to reach 1 at `white`, sRGB, S-curve."""
    u = np.clip((light - KNEE) / (white - KNEE), 0.0, 1.0)
    s = (white - KNEE) / (1.0 - KNEE)
    bent = np.where(light < KNEE, light, KNEE + (1.0 - KNEE) * s * u / (1.0 + (s - 1.0) * u))
    code = np.where(bent <= 0.0031308, 12.92 * bent, 1.055 * np.maximum(bent, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.asarray(code - contrast * np.sin(2.0 * np.pi * code) / (2.0 * np.pi))


def _tone(linear: Plane, white: float, contrast: float) -> Plane:
    table = _curve(np.linspace(0.0, white, 65536), white, contrast).astype(np.float32)
    coded: Plane = table[np.clip(linear * np.float32(65535.0 / white), 0, 65535).astype(np.uint16)]
    return coded


def _code_noise(level: float, electrons: float, device: Device) -> float:
    """Deviation in code values (0 to 1) of one cell's noise at a linear luminance."""
    level = max(level, 1e-3)
    slope = 0.4396 * max(level, 0.0031308) ** (1 / 2.4 - 1.0)
    return float(slope * np.sqrt(level / electrons + (device.read_noise / electrons) ** 2))


def develop(code: Plane, noise: float, device: Device) -> Pixels:
    """Denoise, saturate and sharpen code values (H, W, 3) float32; `noise`: their deviation, 0 to 1."""
    side = min(code.shape[:2])
    ycc = np.asarray(cv2.cvtColor(code, cv2.COLOR_RGB2YCrCb), np.float32)
    luma, chroma = ycc[..., 0], ycc[..., 1:] - np.float32(0.5)
    strength = device.denoise * noise
    if strength > 0.002:
        reach = int(np.clip(0.006 * side, 1, 4))
        luma = np.asarray(cv2.bilateralFilter(luma, 2 * reach + 1, 2.5 * strength, 0.5 * reach + 0.5), np.float32)
        chroma = _gauss(chroma, min(60.0 * strength, 3.0) * side / 256.0)
    fine = luma - _gauss(luma, max(0.0022 * side, 0.8))
    luma = luma + np.float32(device.sharpening) * fine
    merged = np.dstack([luma, np.float32(device.saturation) * chroma + np.float32(0.5)])
    rgb = np.asarray(cv2.cvtColor(merged, cv2.COLOR_YCrCb2RGB), np.float32)
    return np.asarray(np.clip(np.rint(rgb * 255.0), 0, 255), np.uint8)
