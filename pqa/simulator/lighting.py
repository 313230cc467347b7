"""Light of a simulated scene: a portrait's pixels turned into what would fall on a sensor there.

The photograph is taken for the scene: its code values become linear intensities, its highlights are stretched beyond
white again, the light falls off about the face as the kind of scene has it, and takes the light's colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pqa.simulator.camera import to_light

__all__ = ["CONDITIONS", "LUMINANCE", "Condition", "Light", "Scene", "draw_light", "light_up"]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
Rng = np.random.Generator

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Of linear sRGB."""

DARKEST_FACE, BRIGHTEST_FACE = 0.09, 0.42
"""Linear luminance of white = 1; a face outside is not how a sound picture would show it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A kind of scene, each quantity drawn from its (low, high).

    `share` of the scenes (of PIQ23's fifty: .28, .16, .22, .34; night is a little more frequent here); `lux` on the face,
    drawn in its logarithm; `red`, `blue` colour of the light in stops against green; `level` stops by which a good picture
    shows it darker than by day; `falloff` stops that the light loses away from the face (below 0: the surround is brighter);
    `tilt` stops from one side of the frame to the other; `stretch` of the highlights: white becomes 1 + stretch.
    """

    share: float
    lux: tuple[float, float]
    red: tuple[float, float]
    blue: tuple[float, float]
    level: tuple[float, float]
    falloff: tuple[float, float]
    tilt: tuple[float, float]
    stretch: tuple[float, float]


CONDITIONS: dict[str, Condition] = {
    "Indoor": Condition(0.28, (80, 600), (0.1, 0.5), (-0.7, -0.1), (-0.2, 0.0), (-0.7, 0.6), (0.0, 0.8), (0.3, 1.5)),
    "Lowlight": Condition(0.16, (6, 40), (0.3, 0.8), (-1.1, -0.4), (-0.5, -0.1), (0.4, 1.8), (0.0, 1.2), (0.3, 1.0)),
    "Night": Condition(0.26, (0.8, 8), (-0.1, 0.7), (-0.9, 0.2), (-0.8, -0.3), (1.2, 3.2), (0.0, 1.5), (0.3, 1.5)),
    "Outdoor": Condition(
        0.30, (1500, 60000), (-0.1, 0.1), (-0.1, 0.2), (0.0, 0.0), (-1.2, 0.4), (0.0, 0.4), (1.0, 5.0)
    ),
}


@dataclass(frozen=True, slots=True)
class Light:
    """The light of one scene; the fields of `Condition`, drawn. `angle`: direction of the tilt, radians."""

    condition: str
    lux: float
    red: float
    blue: float
    level: float
    falloff: float
    tilt: float
    angle: float
    stretch: float


def draw_light(condition: str, rng: Rng) -> Light:
    row = CONDITIONS[condition]
    return Light(
        condition,
        float(np.exp(rng.uniform(np.log(row.lux[0]), np.log(row.lux[1])))),
        rng.uniform(*row.red),
        rng.uniform(*row.blue),
        rng.uniform(*row.level),
        rng.uniform(*row.falloff),
        rng.uniform(*row.tilt),
        rng.uniform(0.0, 2.0 * np.pi),
        rng.uniform(*row.stretch),
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """What every camera of a scene sees, at the sensor's resolution of twice the picture's.

    `intensity` (2H, 2W, 3) float32, linear, of neutral light, 1 = white of a well exposed picture; `subject` (2H, 2W)
    float32 from 0 to 1, how far a pixel belongs to head and shoulders; `radius` (2H, 2W) float32 squared distance from the
    centre, 1 in the corners. `face`: luminance of the face as a good picture shows it; `middle`: mean luminance of the frame
    over the face's; `face_radius`: the face's squared distance from the centre.
    """

    light: Light
    intensity: Plane
    subject: Plane
    radius: Plane
    face: float
    middle: float
    face_radius: float


def light_up(rgb: Pixels, face: Box, light: Light) -> Scene:
    """The scene of a portrait (2H, 2W, 3) uint8 with its face's box in the same pixels."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    wide, high = face[2] - face[0], face[3] - face[1]
    intensity = to_light(rgb)
    # Tone curves press highlights together; a stretch undoes some of it and gives cameras something to clip.
    intensity *= 1.0 + np.float32(light.stretch) * (intensity @ LUMINANCE)[..., None] ** 3
    reach = ((x - cx) / (2.0 * wide)) ** 2 + ((y - cy - high) / (3.0 * high)) ** 2
    across = ((x - cx) * np.cos(light.angle) + (y - cy) * np.sin(light.angle)) / max(height, width)
    stops = -light.falloff * (1.0 - np.exp(-reach)) - light.tilt * across
    intensity *= np.exp2(stops).astype(np.float32)[..., None]
    luminance = intensity @ LUMINANCE
    here = _ellipse(x, y, (cx, cy), (0.4 * wide, 0.45 * high)) < 1.0
    seen = float(np.median(luminance[here])) if here.any() else float(np.median(luminance))
    # A face stays as dark or fair as its owner, within what a sound picture shows.
    shown = min(float(np.clip(seen, DARKEST_FACE, BRIGHTEST_FACE)), 2.0 * seen) * 2.0**light.level
    intensity *= np.float32(shown / max(seen, 1e-3))
    middle = float(np.mean(np.minimum(luminance / max(seen, 1e-3), 1.0 / shown)))
    radius = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / np.float32((width / 2) ** 2 + (height / 2) ** 2)
    head = _ellipse(x, y, (cx, cy - 0.05 * high), (0.85 * wide, 0.85 * high))
    shoulders = _ellipse(x, y, (cx, cy + 2.6 * high), (1.9 * wide, 2.0 * high))
    inside = np.clip(2.0 - 1.6 * np.minimum(head, shoulders), 0.0, 1.0).astype(np.float32)
    subject = np.asarray(cv2.GaussianBlur(inside, (0, 0), max(0.06 * wide, 1.0)), np.float32)
    at = (min(max(int(cy), 0), height - 1), min(max(int(cx), 0), width - 1))
    return Scene(light, intensity, subject, radius.astype(np.float32), shown, middle, float(radius[at]))


def _ellipse(x: Plane, y: Plane, centre: tuple[float, float], axes: tuple[float, float]) -> Plane:
    """Squared distance in units of the semi-axes: 1 on the ellipse."""
    return np.asarray(((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2, np.float32)
