"""Simulated cameras: what one device does to every picture it takes, drawn from a stated prior.

A device has a generation from 0 (a phone of about 2012) to 1 (of about 2024). Each parameter follows a trend from its value
at 0 to its value at 1, with a spread of its own about the trend, so that newer devices are better on the whole and each has
its weaknesses. The ends of the trends are read off data sheets in the round (sensor heights of 3.6 to 7.4 mm, apertures of
f/2.4 to f/1.7, bursts of one to eight frames) and, where no sheet says, set by eye on contact sheets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["EDITED", "PRIOR", "Device", "Trend", "sample_devices"]

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Device:
    """One consistent camera. `%` is of the picture's shorter side; a cell is a square of 0.1 %.

    Optics: `blur` deviation of the point spread in the centre (%); `corner_blur` factor in the corners; `vignetting` stops
    lost there; `glare` share of the light scattered over the frame; `defocus` chance that the focus lies behind the face.
    Sensor: `sensitivity` electrons a cell, lux and second at white; `full_well` electrons a cell; `read_noise` electrons a
    cell; `longest` exposure in seconds; `frames` merged where light is short; `gain` largest amplification; `headroom`
    stops above white before it clips; `shake` of the hand after stabilisation (% a second).
    Judgement: `exposure` bias in stops, `exposure_jitter` its deviation from shot to shot, `face_metering` 0 to 1; `red`,
    `blue` white balance bias in stops, `cast_removed` share of a light's colour that is balanced away, `balance_jitter`.
    Processing: `denoise` strength in noise deviations; `sharpening` amount; `contrast` of the S-curve; `saturation` factor;
    `jpeg` quality.
    """

    name: str
    generation: float
    blur: float
    corner_blur: float
    vignetting: float
    glare: float
    defocus: float
    sensitivity: float
    full_well: float
    read_noise: float
    longest: float
    frames: float
    gain: float
    headroom: float
    shake: float
    exposure: float
    exposure_jitter: float
    face_metering: float
    red: float
    blue: float
    cast_removed: float
    balance_jitter: float
    denoise: float
    sharpening: float
    contrast: float
    saturation: float
    jpeg: float


@dataclass(frozen=True, slots=True)
class Trend:
    """Centre and deviation about it, each as (at generation 0, at generation 1).

    Positive quantities (`log`) move and scatter in their logarithm. Draws are cut to [low, high].
    """

    centre: tuple[float, float]
    spread: tuple[float, float]
    low: float
    high: float
    log: bool = False

    def draw(self, generation: float, rng: Rng) -> float:
        old, new = np.log(self.centre) if self.log else self.centre
        deviation = self.spread[0] + (self.spread[1] - self.spread[0]) * generation
        value = old + (new - old) * generation + deviation * rng.standard_normal()
        return float(np.clip(np.exp(value) if self.log else value, self.low, self.high))


PRIOR: dict[str, Trend] = {
    "blur": Trend((0.26, 0.05), (0.25, 0.25), 0.03, 0.5, log=True),
    "corner_blur": Trend((2.2, 1.4), (0.3, 0.3), 1.0, 3.5),
    "vignetting": Trend((0.8, 0.3), (0.2, 0.2), 0.0, 1.5),
    "glare": Trend((0.05, 0.012), (0.4, 0.4), 0.002, 0.15, log=True),
    "defocus": Trend((0.15, 0.04), (0.03, 0.03), 0.01, 0.25),
    "sensitivity": Trend((600.0, 6000.0), (0.3, 0.3), 250.0, 15000.0, log=True),
    "full_well": Trend((20000.0, 80000.0), (0.2, 0.2), 8000.0, 200000.0, log=True),
    "read_noise": Trend((9.0, 4.0), (0.2, 0.2), 2.0, 20.0, log=True),
    "longest": Trend((1 / 12, 1 / 15), (0.3, 0.3), 1 / 40, 1 / 5, log=True),
    "frames": Trend((1.0, 8.0), (0.4, 0.4), 1.0, 16.0, log=True),
    "gain": Trend((50.0, 400.0), (0.4, 0.4), 16.0, 1600.0, log=True),
    "headroom": Trend((0.3, 2.2), (0.35, 0.35), 0.1, 3.0),
    "shake": Trend((2.2, 0.5), (0.3, 0.3), 0.1, 5.0, log=True),
    "exposure": Trend((0.0, 0.05), (0.35, 0.18), -0.9, 0.9),
    "exposure_jitter": Trend((0.22, 0.08), (0.3, 0.3), 0.02, 0.5, log=True),
    "face_metering": Trend((0.1, 0.9), (0.15, 0.15), 0.0, 1.0),
    "red": Trend((0.0, 0.0), (0.13, 0.06), -0.4, 0.4),
    "blue": Trend((0.0, 0.0), (0.15, 0.07), -0.4, 0.4),
    "cast_removed": Trend((0.6, 0.85), (0.1, 0.1), 0.2, 1.0),
    "balance_jitter": Trend((0.09, 0.03), (0.3, 0.3), 0.01, 0.2, log=True),
    "denoise": Trend((1.0, 0.9), (0.35, 0.35), 0.1, 2.0),
    "sharpening": Trend((0.8, 0.6), (0.35, 0.35), 0.0, 2.2),
    "contrast": Trend((0.12, 0.10), (0.16, 0.1), -0.25, 0.55),
    "saturation": Trend((1.02, 1.06), (0.13, 0.08), 0.7, 1.45),
    "jpeg": Trend((78.0, 93.0), (5, 5), 55.0, 98.0),
}
"""A trend for every field of `Device` but its name and generation."""

EDITED = Device(
    name="edited_reference",
    generation=1.0,
    blur=0.035,
    corner_blur=1.2,
    vignetting=0.25,
    glare=0.004,
    defocus=0.01,
    sensitivity=40_000.0,
    full_well=400_000.0,
    read_noise=4.0,
    longest=1 / 60,
    frames=1.0,
    gain=1000.0,
    headroom=2.8,
    shake=0.4,
    exposure=0.03,
    exposure_jitter=0.03,
    face_metering=1.0,
    red=0.03,
    blue=-0.03,
    cast_removed=0.85,
    balance_jitter=0.01,
    denoise=0.8,
    sharpening=0.45,
    contrast=0.18,
    saturation=1.08,
    jpeg=96.0,
)
"""A full-frame camera whose picture was edited with restraint: exposure and colour set by hand, a little warmer, contrast
and saturation up a little, a light vignette left in."""


def sample_devices(names: Sequence[str], rng: Rng, oldest: float = 0.0, newest: float = 1.0) -> list[Device]:
    """One device a name, generations spread evenly over [oldest, newest] in random order, the rest from `PRIOR`."""
    count = len(names)
    places = (rng.permutation(count) + rng.uniform(0.0, 1.0, count)) / max(count, 1)
    devices = []
    for name, place in zip(names, places, strict=True):
        generation = float(oldest + (newest - oldest) * place)
        devices.append(_draw(name, generation, rng))
    return devices


def _draw(name: str, generation: float, rng: Rng) -> Device:
    drawn = {field: trend.draw(generation, rng) for field, trend in PRIOR.items()}
    return Device(name=name, generation=generation, **drawn)
