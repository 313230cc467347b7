"""What a lens or a light does to the person apart from what lies behind: focus on the wrong plane, light from behind, bokeh.

The person is guessed from the boxes of the faces: a head and shoulders in proportion to each, with soft edges. All three work
in linear light; lengths are shares of the picture's shorter side, and strength 0 gives back the picture itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pqa.simulator.camera import Kind, Pixels, Plane, convolve, disc, to_code, to_light
from pqa.types import Face

__all__ = ["KINDS", "back_light", "bokeh", "missed_focus", "person"]

KINDS: dict[str, Kind] = {"missed_focus": "detail", "back_light": "exposure"}
"""The faults among them, and the attribute that suffers."""


def person(faces: Sequence[Face], height: int, width: int) -> Plane:
    """(H, W) float32, 1 on heads and shoulders and 0 on the background, soft over a sixth of a face."""
    mask = np.zeros((height, width), np.float32)
    for face in faces:
        x1, y1, x2, y2 = face.box
        middle, wide, high = (x1 + x2) / 2, x2 - x1, y2 - y1
        one = np.zeros((height, width), np.float32)
        for centre, axes in (
            ((middle, (y1 + y2) / 2 - 0.1 * high), (0.8 * wide, 0.95 * high)),
            ((middle, y2 + 1.3 * high), (1.6 * wide, 1.3 * high)),
        ):
            whole = [(round(a), round(b)) for a, b in (centre, axes)]
            cv2.ellipse(one, whole[0], whole[1], 0.0, 0.0, 360.0, 1.0, -1)
        soft = cv2.GaussianBlur(one, (0, 0), max(0.5, face.side / 6.0))
        mask = np.maximum(mask, np.asarray(soft, np.float32))
    return mask


def _radius(rgb: Pixels, strength: float) -> float:
    return 0.022 * strength * float(min(rgb.shape[:2]))


def missed_focus(rgb: Pixels, faces: Sequence[Face], strength: float) -> Pixels:
    """The background sharp, the person behind a disc of a radius up to 2.2 % of the shorter side."""
    light, mask = to_light(rgb), person(faces, *rgb.shape[:2])[..., None]
    blurred = convolve(light, disc(_radius(rgb, strength)))
    return to_code(light + mask * (blurred - light))


def bokeh(rgb: Pixels, faces: Sequence[Face], strength: float) -> Pixels:
    """The person sharp, the background behind a disc of a radius up to 4.4 % of the shorter side; no fault.

    Only background spreads: nothing of the person bleeds into it.
    """
    light, mask = to_light(rgb), person(faces, *rgb.shape[:2])[..., None]
    spot = disc(2.0 * _radius(rgb, strength))
    behind = (1.0 - mask).astype(np.float32)
    weight = convolve(np.ascontiguousarray(behind[..., 0]), spot)[..., None]
    blurred = convolve(light * behind, spot) / np.maximum(weight, 1e-3)
    return to_code(np.asarray(light + behind * (blurred - light), np.float32))


def back_light(rgb: Pixels, faces: Sequence[Face], strength: float) -> Pixels:
    """The person up to 3 stops darker, the background up to 1 stop brighter."""
    mask = person(faces, *rgb.shape[:2])[..., None]
    stops: npt.NDArray[np.float32] = strength * (1.0 - 4.0 * mask)
    return to_code(to_light(rgb) * np.exp2(stops))
