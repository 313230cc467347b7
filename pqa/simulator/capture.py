"""One press of a simulated shutter: light through lens, sensor and processing to 8-bit pixels.

The order is a camera's own: exposure, point spread, focus and motion, glare, colour of the light, Bayer mosaic with
Poisson-Gaussian noise, clipping, white balance, demosaicing, reduction to the picture, tone curve, denoising, saturation,
sharpening; JPEG comes with the file. The sensor has twice the picture's pixels in each direction. `Facts` keeps what
happened in physical units: the true quality (`pqa.simulator.psychometrics`) is computed from them, never from the pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pqa.simulator.camera import convolve, disc, streak
from pqa.simulator.devices import Device
from pqa.simulator.lighting import LUMINANCE, Scene

__all__ = ["Facts", "Shot", "draw_shot", "expose", "sensor_noise"]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Rng = np.random.Generator

GREY = 0.18
"""Linear luminance to which a camera that knows no faces exposes the frame."""
DARKEST = 2.0
"""Stops by which a camera short of light stays below what it aims at, at most."""
KNEE = 0.75
"""Linear intensity from which a tone curve bends towards white."""
WIPED = 0.65
"""Share of the noise that a denoiser of strength 1 or more takes away, as measured on grey cards."""
CAST_TAKEN_OFF = 0.8
"""Share of a light's colour that people want balanced away: lamplight should stay a little warm."""
HIGHLIGHT, BLACK = 5.0, 0.004
"""Linear intensity above which a scene may burn out, and below which a picture shows black."""
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
class Exposure:
    """Seconds of one frame, electrons a cell at white over all merged frames, stops against what the scene asks for."""

    seconds: float
    electrons: float
    stops: float


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
    exposure = _meter(scene, device, shot)
    light, white = scene.light, 2.0**device.headroom
    balance = (
        -device.cast_removed * light.red + device.red + shot.red,
        -device.cast_removed * light.blue + device.blue + shot.blue,
    )
    side = min(scene.intensity.shape[:2])
    seen = _optics(scene, device, shot, exposure.seconds, side / 100.0)
    seen *= np.asarray(np.exp2(exposure.stops - device.vignetting * scene.radius), np.float32)[..., None]
    seen *= np.exp2(np.array([light.red, 0.0, light.blue], np.float32))
    cell = 1000.0 / side  # cells to the side of a sensor pixel
    raw = sensor_noise(_mosaic(seen), exposure.electrons * cell**2, device.read_noise * cell, rng)
    linear = _demosaic(np.minimum(raw, white), balance, white)
    code = _tone(_scaled(linear, 0.5), white, device.contrast)
    noise = _code_noise(scene.face * 2.0**exposure.stops, exposure, device) / (2.0 * cell)
    return _develop(code, noise, device), _facts(scene, device, shot, exposure, balance)


def _facts(scene: Scene, device: Device, shot: Shot, exposure: Exposure, balance: tuple[float, float]) -> Facts:
    gain = 2.0**exposure.stops
    shake, movement = shot.shake * exposure.seconds, shot.movement * exposure.seconds
    lens_on_face = device.blur * (1.0 + (device.corner_blur - 1.0) * scene.face_radius)
    lens_over_frame = device.blur * 0.5 * (1.0 + device.corner_blur)
    # Deviations of a disc and of a streak, as far as these are to be compared with a Gaussian's.
    subject = shot.defocus**2 / 4.0 + movement**2 / 12.0
    noise = [255.0 / 2.0 * _code_noise(level * gain, exposure, device) for level in (scene.face, 0.5 * GREY)]
    left = 1.0 - WIPED * min(device.denoise, 1.0)
    asked = scene.intensity[::4, ::4] @ LUMINANCE
    shown = asked * np.float32(gain)
    return Facts(
        face_blur=math.sqrt(lens_on_face**2 + shake**2 / 12.0 + subject),
        frame_blur=math.sqrt(lens_over_frame**2 + shake**2 / 12.0),
        face_noise=noise[0] * left,
        frame_noise=noise[1] * left,
        smear=0.5 * (noise[0] + noise[1]) * device.denoise,
        face_stops=exposure.stops - device.vignetting * scene.face_radius,
        clipped=float(np.mean((shown > 2.0**device.headroom) & (asked < HIGHLIGHT))),
        blocked=float(np.mean((shown < BLACK) & (asked > 2.0 * BLACK))),
        cast=math.hypot(balance[0] + CAST_TAKEN_OFF * scene.light.red, balance[1] + CAST_TAKEN_OFF * scene.light.blue),
        glare=device.glare,
        sharpening=device.sharpening,
        contrast=device.contrast,
        saturation=device.saturation,
        jpeg=device.jpeg,
        seconds=exposure.seconds,
    )


def sensor_noise(raw: Plane, electrons: float, read_noise: float, rng: Rng) -> Plane:
    """`raw` (H, W), 1 = white, with shot noise of variance raw / electrons and read noise of (read_noise / electrons)^2.

    `electrons` of a pixel at white, `read_noise` in electrons. The Poisson law is taken in its normal limit.
    """
    variance = np.maximum(raw, 0.0) / np.float32(electrons) + np.float32((read_noise / electrons) ** 2)
    return np.asarray(raw + np.sqrt(variance) * rng.standard_normal(raw.shape, np.float32), np.float32)


def _meter(scene: Scene, device: Device, shot: Shot) -> Exposure:
    rate = device.sensitivity * scene.light.lux
    seconds = min(device.full_well / rate, device.longest)
    shortage = device.full_well / (rate * seconds)
    electrons = rate * seconds * min(device.frames, shortage)
    average = math.log2(GREY * 2.0**scene.light.level / (scene.face * scene.middle))
    metered = (1.0 - device.face_metering) * min(max(average, -1.5), 1.5)
    dark = min(max(math.log2(device.full_well / electrons / device.gain), 0.0), DARKEST)
    return Exposure(seconds, electrons, metered + device.exposure + shot.exposure - dark)


def _optics(scene: Scene, device: Device, shot: Shot, seconds: float, percent: float) -> Plane:
    """Light on the sensor; `percent` of the shorter side in pixels."""
    shake, movement = shot.shake * seconds * percent, shot.movement * seconds * percent
    sigma = device.blur * percent
    seen = _gauss(scene.intensity, sigma)
    if device.corner_blur > 1.0:
        corners = _gauss(scene.intensity, sigma * device.corner_blur)
        seen += scene.radius[..., None] * (corners - seen)
    if shake > 0.5:
        seen = convolve(seen, streak(shake, shot.shake_angle))
    kernels = [disc(shot.defocus * percent)] if shot.defocus > 0.0 else []
    if movement > 0.5:
        kernels.append(streak(movement, shot.movement_angle))
    if kernels:
        subject = seen
        for kernel in kernels:
            subject = convolve(subject, kernel)
        seen += scene.subject[..., None] * (subject - seen)
    small = _gauss(_scaled(seen, 1 / 16), GLARE_REACH * percent / 16)
    wide = np.asarray(cv2.resize(small, seen.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(seen + np.float32(device.glare) * (wide - seen), np.float32)


def _scaled(light: Plane, factor: float) -> Plane:
    return np.asarray(cv2.resize(light, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32)


def _gauss(light: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(light, (0, 0), max(sigma, 0.2), borderType=cv2.BORDER_REFLECT), np.float32)


def _mosaic(light: Plane) -> Plane:
    """(H, W, 3) to the Bayer pattern (H, W), red first."""
    raw = light[..., 1].copy()
    raw[0::2, 0::2] = light[0::2, 0::2, 0]
    raw[1::2, 1::2] = light[1::2, 1::2, 2]
    return raw


def _demosaic(raw: Plane, balance: tuple[float, float], white: float) -> Plane:
    """(H, W) Bayer, overwritten, to (H, W, 3), red and blue raised by `balance` stops.

    Highlights stay neutral because all channels clip at `white`.
    """
    raw[0::2, 0::2] *= np.float32(2.0 ** balance[0])
    raw[1::2, 1::2] *= np.float32(2.0 ** balance[1])
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


def _code_noise(level: float, exposure: Exposure, device: Device) -> float:
    """Deviation in code values (0 to 1) of one cell's noise at a linear luminance."""
    level = max(level, 0.0031308)  # the curve is straight below, and as steep
    slope = 1.055 / 2.4 * math.pow(level, 1 / 2.4 - 1.0)
    return slope * math.sqrt(level / exposure.electrons + (device.read_noise / exposure.electrons) ** 2)


def _develop(code: Plane, noise: float, device: Device) -> Pixels:
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
