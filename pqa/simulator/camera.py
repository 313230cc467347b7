"""Camera faults on portraits: what goes wrong between light and file, each at a strength from 0 to 1.

Light is handled in linear intensities where physics happens there (defocus, motion, sensor noise, exposure), code values
where processing happens (sharpening, smearing, JPEG). Lengths are shares of the picture's shorter side, so that a small
and a large picture look alike at one strength. Strength 0 gives back the picture itself, and severity rises with it.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa.errors import ConfigurationError, unknown_key

__all__ = [
    "FAULTS",
    "LUMA",
    "Fault",
    "apply",
    "convolve",
    "disc",
    "streak",
    "to_bytes",
    "to_code",
    "to_light",
    "variants",
]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Kind = Literal["detail", "exposure", "both"]
Rng = np.random.Generator

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of code values in BT.601 luma."""


@functools.cache
def _to_linear() -> Plane:
    """sRGB code values 0 to 255 to linear intensity 0 to 1 (IEC 61966-2-1)."""
    code = np.arange(256) / 255.0
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_light(rgb: Pixels) -> Plane:
    """(...) uint8 sRGB to linear intensity, (...) float32 from 0 to 1."""
    return _to_linear()[rgb]


def to_code(light: Plane) -> Pixels:
    """The inverse of `to_light`: linear intensity, clipped to 0 to 1, to uint8 sRGB."""
    light = np.clip(light, 0.0, 1.0)
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4, dtype=np.float32) - 0.055)
    return np.rint(code * 255.0).astype(np.uint8)


def to_bytes(values: npt.NDArray[np.floating]) -> Pixels:
    """Code values, rounded and clipped to 0 to 255, to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def disc(radius: float) -> Plane:
    """The spot of a lens out of focus: a disc of a radius in pixels, its rim in shares of a pixel, of sum 1."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    spot: Plane = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0).astype(np.float32)
    return np.asarray(spot / spot.sum(), np.float32)


def streak(length: float, angle: float) -> Plane:
    """The trace of a point in motion: a straight line of a length in pixels at an angle in radians, of sum 1."""
    reach = int(np.ceil(length / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    trace: Plane = (np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1.0 - across, 0, 1)).astype(np.float32)
    return np.asarray(trace / trace.sum(), np.float32)


def convolve(light: Plane, kernel: Plane) -> Plane:
    """(H, W) or (H, W, 3) float32 with a kernel; beyond its edges the picture goes on mirrored."""
    return np.asarray(cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def _defocus(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Disc of a radius up to 2.2 % of the shorter side, in linear light."""
    return to_code(convolve(to_light(rgb), disc(0.022 * strength * min(rgb.shape[:2]))))


def _lens_blur(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Gaussian of a standard deviation up to 1.2 % of the shorter side, in linear light."""
    sigma = 0.012 * strength * min(rgb.shape[:2])
    return to_code(np.asarray(cv2.GaussianBlur(to_light(rgb), (0, 0), max(sigma, 0.05), borderType=cv2.BORDER_REFLECT)))


def _motion(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A straight streak of a length up to 6 % of the shorter side at a random angle, in linear light."""
    kernel = streak(0.06 * strength * min(rgb.shape[:2]), rng.uniform(0.0, np.pi))
    return to_code(convolve(to_light(rgb), kernel))


def _sensor_noise(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Poisson-Gaussian noise: 1 / gain photons at white, read noise of 3 % of its root; gain up to 1/120 at full strength."""
    gain = strength**2 / 120.0
    light = to_light(rgb)
    noise = rng.standard_normal(light.shape, np.float32)
    return to_code(light + noise * np.sqrt(gain * light + (0.03**2) * gain))


def _colour_noise(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Blotches of colour, 0.8 % of the shorter side wide, up to 26 code values deep; luminance stays."""
    sigma = 0.008 * min(rgb.shape[:2])
    noise = cv2.GaussianBlur(rng.standard_normal(rgb.shape, np.float32), (0, 0), max(sigma, 0.5))
    blotches: Plane = np.asarray(noise, np.float32)
    blotches /= np.float32(blotches.std() + 1e-6)
    blotches -= (blotches @ LUMA)[..., None]
    return to_bytes(rgb + 26.0 * strength * blotches)


def _smear(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Noise reduction set too high: noise, then a bilateral filter that wipes fine texture."""
    noisy = _sensor_noise(rgb, 0.5 * strength, rng)
    diameter = max(3, round(0.025 * strength * min(rgb.shape[:2])) | 1)
    wiped = cv2.bilateralFilter(noisy, diameter, 25.0 + 90.0 * strength, float(diameter))
    share = min(1.0, 2.0 * strength)
    return to_bytes((1.0 - share) * rgb + share * np.asarray(wiped, np.float32))


def _sharpening(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Unsharp mask of radius 0.4 % of the shorter side, amount up to 4: halos and crisp noise."""
    values = rgb.astype(np.float32)
    sigma = max(0.8, 0.004 * min(rgb.shape[:2]))
    return to_bytes(values + 4.0 * strength * (values - cv2.GaussianBlur(values, (0, 0), sigma)))


def _filed(rgb: Pixels, strength: float, kind: str, **options: int) -> Pixels:
    """What a lossy file gives back, below strength 0.1 mixed with the picture itself."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, kind, **options)
    lossy = np.asarray(Image.open(buffer).convert("RGB"), np.float32)
    share = min(1.0, 10.0 * strength)
    return to_bytes((1.0 - share) * rgb + share * lossy)


def _jpeg(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """JPEG of quality 70 down to 4, blended in below strength 0.1 so that it starts from the picture itself."""
    return _filed(rgb, strength, "JPEG", quality=round(70.0 * (4.0 / 70.0) ** strength))


def _low_resolution(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Reduced by up to 6 and enlarged again: digital zoom."""
    height, width = rgb.shape[:2]
    factor = 1.0 + 5.0 * strength
    small = cv2.resize(
        rgb, (max(1, round(width / factor)), max(1, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _under_exposure(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Up to 4 stops less light, with the noise that lifting it would show."""
    light = to_light(rgb) * np.float32(2.0 ** (-4.0 * strength))
    return to_code(light + rng.standard_normal(light.shape, np.float32) * np.float32(0.002 * strength))


def _over_exposure(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Up to 3 stops more light: highlights clip."""
    return to_code(to_light(rgb) * np.float32(2.0 ** (3.0 * strength)))


def _haze(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Veiling glare: up to 75 % of the contrast goes, towards light grey."""
    return to_bytes(rgb + 0.75 * strength * (165.0 - rgb.astype(np.float32)))


def _hard_contrast(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A tone curve up to 3.2 times steeper about mid-grey: shadows block, highlights burn."""
    return to_bytes(127.5 + (1.0 + 2.2 * strength) * (rgb.astype(np.float32) - 127.5))


def _white_balance(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Gains of red and blue wrong by up to 1.2 stops, towards a random hue."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    stops = 1.2 * strength * np.array([np.cos(angle), 0.35 * np.sin(2 * angle), np.sin(angle)])
    return to_code(to_light(rgb) * np.exp2(stops).astype(np.float32))


def _banding(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Tones cut to 33 down to 5 levels, blended in below strength 0.1 so that it starts from the picture itself."""
    levels = 4.0 + 28.0 * (1.0 - strength) ** 2
    share = min(1.0, 10.0 * strength)
    return to_bytes((1.0 - share) * rgb + share * np.rint(rgb * (levels / 255.0)) * (255.0 / levels))


def _flare(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A bright veil that spreads from a random point of the frame, in linear light."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height)) / max(height, width)
    veil = np.exp(-((distance / 0.55) ** 2))[..., None] * np.array([1.0, 0.93, 0.82])
    return to_code(to_light(rgb) + np.float32(0.7 * strength) * veil.astype(np.float32))


def _vignetting(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Light falls off towards the corners by up to 3.2 stops, with the fourth power of the cosine."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    square = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / max(1.0, (height**2 + width**2) / 4.0)
    fall = 1.0 / (1.0 + 2.0 * strength * square) ** 2
    return to_code(to_light(rgb) * fall[..., None].astype(np.float32))


def _chromatic_aberration(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Red is drawn larger and blue smaller, by up to 1.5 % each: coloured edges away from the middle."""
    height, width = rgb.shape[:2]
    made = rgb.copy()
    for channel, sign in ((0, 1.0), (2, -1.0)):
        scale = 1.0 + sign * 0.015 * strength
        matrix = np.array([[scale, 0.0, (1 - scale) * width / 2], [0.0, scale, (1 - scale) * height / 2]])
        plane = np.ascontiguousarray(rgb[..., channel])
        made[..., channel] = cv2.warpAffine(plane, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return made


def _saturation(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Colours pushed away from grey, up to three times as far."""
    values = rgb.astype(np.float32)
    grey = (values @ LUMA)[..., None]
    return to_bytes(grey + (1.0 + 2.0 * strength) * (values - grey))


def _fading(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A washed-out print: up to 70 % of the colour and 40 % of the contrast go."""
    values = rgb.astype(np.float32)
    grey = (values @ LUMA)[..., None]
    pale = grey + (1.0 - 0.7 * strength) * (values - grey)
    return to_bytes(pale + 0.4 * strength * (130.0 - pale))


def _webp(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """WebP of quality 40 down to 0, blended in below strength 0.1 so that it starts from the picture itself."""
    return _filed(rgb, strength, "WEBP", quality=round(40.0 * (1.0 - strength)), method=2)


def _impulse_noise(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Up to 6 % of the pixels are stuck at black or white; a weak fault's pixels are among a strong one's."""
    draw = rng.random(rgb.shape[:2])
    made = rgb.copy()
    made[draw < 0.03 * strength] = 0
    made[draw > 1.0 - 0.03 * strength] = 255
    return made


def _ghosting(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Frames merged out of line: a second picture, shifted by 3 % of the shorter side, shines through by up to a half."""
    height, width = rgb.shape[:2]
    angle, reach = rng.uniform(0.0, 2.0 * np.pi), 0.03 * min(height, width)
    matrix = np.array([[1.0, 0.0, reach * np.cos(angle)], [0.0, 1.0, reach * np.sin(angle)]])
    light = to_light(rgb)
    shifted = cv2.warpAffine(light, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return to_code(light + np.float32(0.5 * strength) * (np.asarray(shifted, np.float32) - light))


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: the attribute that suffers. `apply(rgb, strength, rng)`: strength in (0, 1]."""

    kind: Kind
    apply: Callable[[Pixels, float, Rng], Pixels]


FAULTS: dict[str, Fault] = {
    "defocus": Fault("detail", _defocus),
    "lens_blur": Fault("detail", _lens_blur),
    "motion": Fault("detail", _motion),
    "sensor_noise": Fault("detail", _sensor_noise),
    "colour_noise": Fault("detail", _colour_noise),
    "smear": Fault("detail", _smear),
    "sharpening": Fault("detail", _sharpening),
    "jpeg": Fault("detail", _jpeg),
    "low_resolution": Fault("detail", _low_resolution),
    "under_exposure": Fault("exposure", _under_exposure),
    "over_exposure": Fault("exposure", _over_exposure),
    "haze": Fault("exposure", _haze),
    "hard_contrast": Fault("exposure", _hard_contrast),
    "white_balance": Fault("exposure", _white_balance),
    "banding": Fault("both", _banding),
    "flare": Fault("exposure", _flare),
    "vignetting": Fault("exposure", _vignetting),
    "chromatic_aberration": Fault("detail", _chromatic_aberration),
    "saturation": Fault("exposure", _saturation),
    "fading": Fault("exposure", _fading),
    "webp": Fault("detail", _webp),
    "impulse_noise": Fault("detail", _impulse_noise),
    "ghosting": Fault("detail", _ghosting),
}


def apply(rgb: Pixels, name: str, strength: float, rng: Rng, faults: Mapping[str, Fault] = FAULTS) -> Pixels:
    """One of `faults` on (H, W, 3) uint8 sRGB. Strength 0 gives an equal copy.

    Raises ConfigurationError for an unknown fault or a strength outside [0, 1].
    """
    if name not in faults:
        raise unknown_key(name, faults, "fault")
    if not 0.0 <= strength <= 1.0:
        raise ConfigurationError(f"strength of {name!r}: expected 0 to 1, got {strength}")
    return rgb.copy() if strength == 0.0 else faults[name].apply(rgb, strength, rng)


# Shots of one portrait as a careless afternoon would leave them: name, then (fault, strength) in order of the camera's chain.
_SHOTS: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = (
    ("sharp", ()),
    ("slightly-soft", (("defocus", 0.12),)),
    ("out-of-focus", (("defocus", 0.45),)),
    ("shaken", (("motion", 0.5),)),
    ("high-iso", (("sensor_noise", 0.6),)),
    ("night-mode-smear", (("under_exposure", 0.15), ("smear", 0.8))),
    ("too-dark", (("under_exposure", 0.55),)),
    ("too-bright", (("over_exposure", 0.5),)),
    ("hazy-lens", (("haze", 0.6),)),
    ("wrong-white-balance", (("white_balance", 0.8),)),
    ("messenger-copy", (("low_resolution", 0.3), ("jpeg", 0.75))),
    ("over-sharpened", (("sharpening", 0.7),)),
)


def variants(rgb: Pixels, seed: int = 0) -> list[tuple[str, Pixels]]:
    """A dozen camera-like shots of one portrait, the untouched one first: (name, picture)."""
    shots = []
    for number, (name, chain) in enumerate(_SHOTS):
        shot = rgb
        for fault, strength in chain:
            shot = apply(shot, fault, strength, np.random.default_rng((seed, number)))
        shots.append((name, shot))
    return shots
