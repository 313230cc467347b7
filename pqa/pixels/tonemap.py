"""Other codings of colour than sRGB to 8-bit sRGB, as a viewer shows them on an ordinary screen.

A file names its primaries and its transfer function by the numbers of ITU-T H.273. PQ and HLG (ITU-R BT.2100) code more
light than such a screen gives: their reference white of 203 cd/m2 (ITU-R BT.2408) becomes its white, and what is brighter
is brought below it by the curve of ITU-R BT.2390 (5.4.1), which leaves pictures without anything brighter as they are.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Coding", "Mapping", "coding"]

Array = npt.NDArray[np.float32]

LINEAR, PQ, HLG = 8, 16, 18
"""Transfer characteristics that are not taken for sRGB's."""

WHITE = 203.0
"""Luminance of reference white in cd/m2 (BT.2408, table 1)."""

HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
"""The screen for which HLG is rendered (BT.2100, table 5)."""

D65 = (0.3127, 0.3290)
BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
PRIMARIES = {
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
"""Chromaticities of red, green and blue, all with D65 white (H.273, table 2); all others are taken for BT.709's."""

BRIGHTEST = 99.9
"""Percentile of pixels that is a picture's peak: single ones are noise of its coding."""

SAMPLED = 250_000
"""Pixels, about, on which the peak is measured."""

CURVE = 4096
STEPS = 65535


@dataclass(frozen=True, slots=True)
class Coding:
    """Primaries and transfer characteristics of pixels, by H.273."""

    primaries: int
    transfer: int

    @property
    def deep(self) -> bool:
        """Eight bits are few for it."""
        return self.transfer in (LINEAR, PQ, HLG)


def coding(primaries: int, transfer: int) -> Coding | None:
    """What there is to convert; None for what is shown as sRGB is."""
    if primaries not in PRIMARIES and transfer not in (LINEAR, PQ, HLG):
        return None
    return Coding(primaries, transfer)


class Mapping:
    """Pixels of one picture to sRGB: (H, W) or (H, W, 3) of uint8 or uint16 to (H, W, 3) uint8.

    `values`: all pixels of it, on which its peak is measured; a part is then mapped as it would be within the whole.
    """

    def __init__(self, of: Coding, values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
        self._of = of
        self._light = _light_of_codes(of.transfer, np.iinfo(values.dtype).max)
        source = _to_xyz(PRIMARIES.get(of.primaries, BT709))
        self._luminance = source[1].astype(np.float32)
        self._matrix = np.linalg.solve(_to_xyz(BT709), source).astype(np.float32)
        self._shoulder: tuple[Array, Array] | None = None
        if of.transfer in (PQ, HLG):
            step = max(1, round((values.shape[0] * values.shape[1] / SAMPLED) ** 0.5))
            brightest = self._linear(values[::step, ::step]).max(axis=2)
            self._shoulder = _shoulder(float(np.percentile(brightest, BRIGHTEST)))

    def __call__(self, values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        light = self._linear(values)
        if self._shoulder is not None:
            brightest = np.maximum(light.max(axis=2), 1e-6)
            # One factor for all channels keeps the hue.
            light *= (np.interp(brightest, *self._shoulder).astype(np.float32) / brightest)[..., None]
        mapped: npt.NDArray[np.uint8] = _srgb_of_light()[np.rint(np.clip(light, 0, 1) * STEPS).astype(np.uint16)]
        return mapped

    def _linear(self, values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Array:
        """Light in BT.709's primaries, white 1."""
        light = self._light[values]
        if light.ndim == 2:
            light = np.repeat(light[..., None], 3, axis=2)
        if self._of.transfer == HLG:
            # The screen's part of the rendering: BT.2100, table 5, reference OOTF.
            luminance = _mixed(light, self._luminance)
            light *= (luminance ** (HLG_GAMMA - 1))[..., None] * np.float32(HLG_PEAK / WHITE)
        return np.stack([_mixed(light, row) for row in self._matrix], axis=2)


def _mixed(light: Array, weights: Array) -> Array:
    """(H, W) weighted sum of channels, by one order of operations whatever H and W, which a product of matrices has not."""
    mixed: Array = light[..., 0] * weights[0] + light[..., 1] * weights[1] + light[..., 2] * weights[2]
    return mixed


def _light_of_codes(transfer: int, top: int) -> Array:
    """Light by code, 0 to `top`: white 1, but of HLG that of the scene, 0 to 1."""
    code = np.arange(top + 1) / top
    if transfer == PQ:
        light = pq_luminance(code) / WHITE
    elif transfer == HLG:
        # BT.2100, table 5: inverse of the reference OETF.
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    elif transfer == LINEAR:
        light = code
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_luminance(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """cd/m2 of PQ codes in [0, 1] (SMPTE ST 2084, equation 4.1; BT.2100, table 4)."""
    power = code ** (1 / _M2)
    light: npt.NDArray[np.float64] = 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)
    return light


def pq_code(luminance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of `pq_luminance`."""
    power = (luminance / 10_000) ** _M1
    code: npt.NDArray[np.float64] = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2
    return code


def _shoulder(peak: float) -> tuple[Array, Array] | None:
    """Light before and after the curve of BT.2390 (5.4.1) from `peak` to white; None where nothing is brighter than white."""
    if peak <= 1:
        return None
    light = np.linspace(0, 1, CURVE) ** 3 * peak
    top = pq_code(np.array(peak * WHITE))
    code, white = pq_code(light * WHITE) / top, pq_code(np.array(WHITE)) / top
    knee = 1.5 * white - 0.5
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    curve = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    after = np.where(code < knee, light, pq_luminance(curve * top) / WHITE)
    return light.astype(np.float32), after.astype(np.float32)


@functools.cache
def _srgb_of_light() -> npt.NDArray[np.uint8]:
    """8-bit sRGB (IEC 61966-2-1) by light in steps of 1 / STEPS."""
    light = np.arange(STEPS + 1) / STEPS
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: npt.NDArray[np.uint8] = np.rint(code * 255).astype(np.uint8)
    return rounded


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    """(3, 3) from linear RGB of these primaries and D65 white to XYZ, the luminance of white 1."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (*primaries, D65)]).T
    matrix: npt.NDArray[np.float64] = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    return matrix
