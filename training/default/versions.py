"""Versions of a rated picture whose rating is known to be the same, or to fall, and by how much of it.

A sound version keeps the rating: reduced by good resampling, filed as a good JPEG, its background out of focus. A fault of
strength s leaves of the rating `floor + (rating - floor) * (1 - FALLS[fault] * s)`, for the overall rating and for the
attribute of its kind; faults one after another multiply what they leave.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa.pixels.source import open_picture
from pqa.simulator import camera, subject
from pqa.types import Face

__all__ = ["FALLS", "Plan", "Version", "versions"]

Pixels = npt.NDArray[np.uint8]
Rng = np.random.Generator
Keep = tuple[float, float, float]

USUAL_FALL = 0.75
FALLS: dict[str, float] = dict.fromkeys([*camera.FAULTS, *subject.KINDS], USUAL_FALL) | {
    "banding": 0.55,
    "chromatic_aberration": 0.5,
    "colour_noise": 0.6,
    "fading": 0.45,
    "saturation": 0.5,
    "sharpening": 0.55,
    "smear": 0.6,
    "vignetting": 0.4,
    "white_balance": 0.55,
}
"""Share of the rating that goes at full strength; set by eye, as nobody rated the faults."""

REDUCED = (0.25, 0.95)
JPEG = (80, 98)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many versions a picture gets. A ladder is one fault at `rungs` strengths on one start."""

    sound: int = 0
    ladders: int = 0
    rungs: int = 0
    mixed: int = 0

    @property
    def count(self) -> int:
        return self.sound + self.ladders * self.rungs + self.mixed


@dataclass(frozen=True, slots=True)
class Version:
    """`name`: "sound", "bokeh" or faults joined by "+"; `ladder`: its number within the picture, -1 outside of ladders;
    `keep`: what is left of overall, detail and exposure; `faces`: in the pixels of this version."""

    name: str
    ladder: int
    strength: float
    keep: Keep
    pixels: Pixels
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class _Start:
    pixels: Pixels
    faces: tuple[Face, ...]


def versions(rgb: Pixels, faces: Sequence[Face], plan: Plan, rng: Rng) -> Iterator[Version]:
    """`plan.count` versions of (H, W, 3) uint8 sRGB with `faces`, drawn by `rng`.

    Half of all start from a reduced picture and half end as a JPEG. Otherwise whether a picture still carries the traces
    of the JPEG it came in would tell faulted from sound, and every camera picture that was reduced would look faulted.
    """
    whole = _Start(rgb, tuple(faces))
    for index in range(plan.sound):
        start = _reduced(whole, rng)
        if index % 2 and faces:
            made = subject.bokeh(start.pixels, start.faces, float(rng.uniform(0.2, 1.0)))
            yield Version("bokeh", -1, 0.0, (1.0, 1.0, 1.0), _filed(made, rng), start.faces)
        else:
            yield Version("sound", -1, 0.0, (1.0, 1.0, 1.0), _filed(start.pixels, rng), start.faces)
    names = [name for name in FALLS if faces or name not in subject.KINDS]
    for ladder in range(plan.ladders):
        name, start, seed = str(rng.choice(names)), _sometimes(whole, rng), int(rng.integers(2**32))
        lossless, quality = rng.random() < 0.5, int(rng.integers(*JPEG))
        for rung in range(plan.rungs):
            strength = float((rung + rng.random()) / plan.rungs)
            made = _faulted(start, name, strength, np.random.default_rng(seed))
            made = made if lossless else _jpeg(made, quality)
            yield Version(name, ladder, strength, _keep(name, strength), made, start.faces)
    for _ in range(plan.mixed):
        start = _sometimes(whole, rng)
        chosen = [str(name) for name in rng.permutation(names)[: int(rng.integers(2, 4))]]
        made, keep, strengths = start.pixels, np.ones(3), rng.uniform(0.05, 0.6, len(chosen))
        for name, strength in zip(chosen, strengths, strict=True):
            made = _faulted(replace(start, pixels=made), name, float(strength), rng)
            keep = keep * _keep(name, float(strength))
        left = (float(keep[0]), float(keep[1]), float(keep[2]))
        yield Version("+".join(chosen), -1, float(strengths.max()), left, _filed(made, rng), start.faces)


def _keep(name: str, strength: float) -> Keep:
    kind = subject.KINDS[name] if name in subject.KINDS else camera.FAULTS[name].kind
    left = 1.0 - FALLS[name] * strength
    return left, 1.0 if kind == "exposure" else left, 1.0 if kind == "detail" else left


def _faulted(start: _Start, name: str, strength: float, rng: Rng) -> Pixels:
    if name == "missed_focus":
        return subject.missed_focus(start.pixels, start.faces, strength)
    if name == "back_light":
        return subject.back_light(start.pixels, start.faces, strength)
    return camera.apply(start.pixels, name, strength, rng)


def _sometimes(start: _Start, rng: Rng) -> _Start:
    return _reduced(start, rng) if rng.random() < 0.5 else start


def _reduced(start: _Start, rng: Rng) -> _Start:
    short = min(start.pixels.shape[:2])
    pixels = open_picture(start.pixels).reduced(max(1, round(short * rng.uniform(*REDUCED))))
    factor = pixels.shape[1] / start.pixels.shape[1]
    return _Start(pixels, tuple(_scaled(face, factor) for face in start.faces))


def _scaled(face: Face, factor: float) -> Face:
    x1, y1, x2, y2 = (factor * edge for edge in face.box)
    return replace(face, box=(x1, y1, x2, y2), landmarks=tuple((factor * x, factor * y) for x, y in face.landmarks))


def _filed(rgb: Pixels, rng: Rng) -> Pixels:
    """Half of them as a file of good quality would keep them."""
    return _jpeg(rgb, int(rng.integers(*JPEG))) if rng.random() < 0.5 else rgb


def _jpeg(rgb: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return open_picture(buffer.getvalue()).whole()
