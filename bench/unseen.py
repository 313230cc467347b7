"""Kinds of fault that no training ever uses: whether a model learned faults widely shows on them alone.

Nothing below `training/` may import this module, and none of these kinds may enter `pqa.simulator.camera.FAULTS`: a kind that a
model was taught says nothing about kinds that it was not. Kinds that are taught, or are close to one that is, do not belong
here. As in `pqa.simulator.camera`, strength 0 gives the picture itself, severity rises with strength, lengths are shares of the
picture's shorter side, and randomness (a place, an angle, a sign) does not depend on the strength.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.fft import dctn, idctn

from pqa.simulator.camera import LUMA, Fault, Pixels, Plane, Rng, convolve, disc, to_bytes, to_code, to_light

__all__ = ["UNSEEN"]


def _distance(rgb: Pixels, x: float, y: float) -> Plane:
    """(H, W) distance in shorter sides from a point given in shares of width and height."""
    height, width = rgb.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.asarray(np.hypot(columns - x * width, rows - y * height) / min(height, width), np.float32)


def _zoom_blur(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """The lens zooms by up to 12 % during the exposure, about a point near the middle; in linear light."""
    height, width = rgb.shape[:2]
    x, y = rng.uniform(0.35, 0.65, 2) * (width, height)
    light, steps = to_light(rgb), 24
    total = np.zeros_like(light)
    for zoom in np.linspace(1.0, 1.0 + 0.12 * strength, steps):
        move = np.array([[zoom, 0.0, x * (1.0 - zoom)], [0.0, zoom, y * (1.0 - zoom)]])
        total += cv2.warpAffine(light, move, (width, height), borderMode=cv2.BORDER_REFLECT)
    return to_code(total / np.float32(steps))


def _row_noise(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Every sensor row, 0.2 % of the shorter side high, is off by some code values of its own: deviation up to 22."""
    height = rgb.shape[0]
    rows = -(-height // max(1, round(0.002 * min(rgb.shape[:2]))))
    offsets = rng.standard_normal(rows, np.float32)[np.arange(height) * rows // height]
    return to_bytes(rgb + np.float32(22.0 * strength) * offsets[:, None, None])


def _size(rgb: Pixels, factor: float) -> tuple[int, int]:
    height, width = rgb.shape[:2]
    return max(1, round(width / factor)), max(1, round(height / factor))


def _blended(rgb: Pixels, small: npt.NDArray[Any], interpolation: int, strength: float) -> Pixels:
    """`small` enlarged again, below strength 0.1 mixed with the picture, which it could not start from otherwise."""
    large = cv2.resize(small, rgb.shape[1::-1], interpolation=interpolation)
    share = np.float32(min(1.0, 10.0 * strength))
    return to_bytes((1.0 - share) * rgb.astype(np.float32) + share * large.astype(np.float32))


def _pixelation(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Blocks of one colour, up to 2.6 % of the shorter side wide; blended in below strength 0.1."""
    block = 1.0 + strength * max(0.026 * min(rgb.shape[:2]) - 1.0, 1.0)
    small = cv2.resize(rgb, _size(rgb, block), interpolation=cv2.INTER_AREA)
    return _blended(rgb, small, cv2.INTER_NEAREST, strength)


def _aliasing(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Every n-th pixel taken without a filter before, up to every sixth, then enlarged; blended in below strength 0.1."""
    small = cv2.resize(rgb, _size(rgb, 1.0 + 5.0 * strength), interpolation=cv2.INTER_NEAREST)
    return _blended(rgb, small, cv2.INTER_LINEAR, strength)


def _lens_smudge(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A fingerprint on the lens: within a soft patch the picture is blurred and veiled, in linear light."""
    light = to_light(rgb)
    away = _distance(rgb, *rng.uniform((0.3, 0.25), (0.7, 0.6)))
    patch = np.exp(-((away / 0.32) ** 4))[..., None] * np.float32(min(1.0, 2.0 * strength))
    smeared = convolve(light, disc(0.03 * strength * min(rgb.shape[:2])))
    glow = np.float32(0.3 * strength) * (1.0 - smeared)
    return to_code(light + patch * (smeared + glow - light))


def _gamma(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A tone curve bent by an exponent of up to 2.8: washed out or crushed."""
    bend = 2.0 ** (float(rng.choice([-1.5, 1.5])) * strength)
    return to_bytes(255.0 * (np.arange(256) / 255.0) ** bend)[rgb]


def _median_smear(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """A median filter up to 4 % of the shorter side wide, between odd widths the mixture of both: flat strokes as painted."""
    width = 1.0 + 0.04 * strength * min(rgb.shape[:2])
    odd = int((width - 1.0) // 2) * 2 + 1
    narrow, wide = (rgb if side == 1 else cv2.medianBlur(rgb, side) for side in (odd, odd + 2))
    share = np.float32((width - odd) / 2)
    return to_bytes((1.0 - share) * narrow.astype(np.float32) + share * wide.astype(np.float32))


def _ringing(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """An ideal low pass, down to 24 periods in the shorter side: waves along every edge.

    By the cosine transform, which goes on mirrored beyond the edges.
    """
    height, width = rgb.shape[:2]
    short = min(height, width)
    periods = np.hypot(*np.meshgrid(np.arange(width) * short / (2 * width), np.arange(height) * short / (2 * height)))
    most = float(periods.max())
    limit = most * (min(24.0, most / 2) / most) ** strength if most > 0 else 0.0
    waves = dctn(rgb.astype(np.float32), axes=(0, 1), norm="ortho")
    return to_bytes(np.asarray(idctn(waves * (periods <= limit)[..., None], axes=(0, 1), norm="ortho"), np.float32))


def _comb(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Two interlaced half pictures, the camera panned by up to 2 % of the shorter side between them."""
    height, width = rgb.shape[:2]
    shift = float(rng.choice([-1.0, 1.0])) * 0.02 * strength * min(height, width)
    line = max(1, round(0.002 * min(height, width)))
    moved = cv2.warpAffine(
        rgb, np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0]]), (width, height), borderMode=cv2.BORDER_REFLECT
    )
    odd = (np.arange(height) // line) % 2 == 1
    return np.asarray(np.where(odd[:, None, None], moved, rgb), np.uint8)


def _dust(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Up to 100 dark soft spots, 0.8 to 3 % of the shorter side in radius; a stronger fault keeps those of a weaker one."""
    height, width = rgb.shape[:2]
    spots = rng.uniform((0.0, 0.0, 0.008, 0.4), (width, height, 0.03, 0.9), (100, 4))
    kept = np.ones((height, width), np.float32)
    count = 100 * strength
    for number, (x, y, radius, depth) in enumerate(spots[: int(np.ceil(count))]):
        radius = max(0.7, radius * min(height, width))
        top, left = (max(0, int(middle - 2 * radius)) for middle in (y, x))
        near = kept[top : int(y + 2 * radius) + 1, left : int(x + 2 * radius) + 1]
        rows, columns = np.mgrid[0 : near.shape[0], 0 : near.shape[1]]
        away = np.hypot(columns + left - x, rows + top - y) / radius
        near *= (1.0 - depth * min(1.0, count - number) * np.exp(-(away**4))).astype(np.float32)
    return to_code(to_light(rgb) * kept[..., None])


def _shadow(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Half of the frame, along a line near its middle, in a hard shadow of up to 3.5 stops."""
    height, width = rgb.shape[:2]
    angle, x, y = rng.uniform(0.0, 2 * np.pi), *rng.uniform(0.4, 0.6, 2)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    depth = np.cos(angle) * (columns - x * width) + np.sin(angle) * (rows - y * height)
    shade = np.clip(0.5 + depth / max(1.0, 0.01 * min(height, width)), 0.0, 1.0)[..., None].astype(np.float32)
    return to_code(to_light(rgb) * (1.0 + shade * np.float32(2.0 ** (-3.5 * strength) - 1.0)))


def _tint(rgb: Pixels, strength: float, rng: Rng) -> Pixels:
    """Split toning: shadows up to 80 code values towards one hue, highlights towards its opposite; luma stays."""
    angle = rng.uniform(0.0, 2 * np.pi)
    hue = np.array([np.cos(angle), np.cos(angle - 2 * np.pi / 3), np.cos(angle + 2 * np.pi / 3)], np.float32)
    hue -= hue @ LUMA
    tone = (rgb @ LUMA / np.float32(127.5) - 1.0)[..., None]
    return to_bytes(rgb + np.float32(80.0 * strength) * tone * (hue / np.abs(hue).max()))


UNSEEN: dict[str, Fault] = {
    "zoom_blur": Fault("detail", _zoom_blur),
    "row_noise": Fault("detail", _row_noise),
    "pixelation": Fault("detail", _pixelation),
    "aliasing": Fault("detail", _aliasing),
    "lens_smudge": Fault("both", _lens_smudge),
    "gamma": Fault("exposure", _gamma),
    "median_smear": Fault("detail", _median_smear),
    "ringing": Fault("detail", _ringing),
    "comb": Fault("detail", _comb),
    "dust": Fault("detail", _dust),
    "shadow": Fault("exposure", _shadow),
    "tint": Fault("exposure", _tint),
}
