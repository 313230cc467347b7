"""Ways to look at one picture: finer, without colour, with equalised contrast, turned. Each maps its faces back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from pqa.faces.cascade import Mtcnn
from pqa.pixels.source import LONG
from pqa.types import Face

if TYPE_CHECKING:
    from pqa.pixels.source import Source

__all__ = ["TONES", "Attempt", "is_long", "look", "turned"]

Pixels = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]


SMALLEST = 20
"""Faces with fewer pixels than this on their side are not looked for at all."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One look. The picture is reduced to `short_side`, its tones changed by a row of `TONES`, and turned by `angle`
    degrees counter-clockwise; faces below `min_face` pixels of it are not looked for. A picture that is smaller already
    keeps its size, and the shortest face its share of it, down to `SMALLEST` pixels."""

    name: str
    short_side: int = 480
    min_face: int = 40
    angle: int = 0
    tone: str = "colour"


def _grey(rgb: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _equalised(rgb: Pixels) -> Pixels:
    """Luminance with local contrast equalised (Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", 1994)."""
    luminance = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    lifted = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8)).apply(luminance)
    return np.asarray(cv2.cvtColor(lifted, cv2.COLOR_GRAY2RGB), np.uint8)


def _sharpened(rgb: Pixels) -> Pixels:
    """What a Gaussian of 3 pixels takes away, added twice: of a face out of focus, edges that a detector knows."""
    blurred = cv2.GaussianBlur(rgb, (0, 0), 3.0)
    return np.asarray(cv2.addWeighted(rgb, 3.0, blurred, -2.0, 0.0), np.uint8)


TONES: dict[str, Callable[[Pixels], Pixels]] = {
    "colour": lambda rgb: rgb,
    "grey": _grey,
    "equalised": _equalised,
    "sharpened": _sharpened,
}


def turned(rgb: Pixels, angle: int) -> tuple[Pixels, Matrix]:
    """The picture turned counter-clockwise on a canvas that holds all of it, and the (2, 3) matrix that leads back."""
    height, width = rgb.shape[:2]
    radians = np.deg2rad(angle)
    cos, sin = np.cos(radians), np.sin(radians)
    wide = round(abs(cos) * width + abs(sin) * height)
    high = round(abs(sin) * width + abs(cos) * height)
    here, there = np.array([width - 1, height - 1]) / 2, np.array([wide - 1, high - 1]) / 2
    rotation = np.array([[cos, sin], [-sin, cos]])
    forward = np.column_stack([rotation, there - rotation @ here])
    back = np.column_stack([rotation.T, here - rotation.T @ there])
    canvas = cv2.warpAffine(rgb, forward, (wide, high), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(canvas, np.uint8), back


def is_long(source: Source) -> bool:
    """Whether the aspect is above `LONG`, from which on a reduction is bounded by its area."""
    return max(source.size) > LONG * min(source.size)


def look(mtcnn: Mtcnn, source: Source, attempt: Attempt, thresholds: tuple[float, float, float]) -> list[Face]:
    """Faces of one attempt in displayed full-resolution coordinates, most probable first.

    A turned attempt's box keeps its size (edges swapped for a sideways one) about the mapped centre. Boxes may reach
    out of the picture where a face is cut off. Pictures too thin to hold the smallest face are not looked at.
    """
    rgb = source.reduced(attempt.short_side)
    if min(rgb.shape[:2]) < SMALLEST:
        return []
    ratio = np.array(source.size) / np.array([rgb.shape[1], rgb.shape[0]])
    # Of a long picture not its short side's share, at which the pyramid would begin finer than for others of its area.
    side = math.sqrt(rgb.shape[0] * rgb.shape[1] / LONG) if is_long(source) else min(rgb.shape[:2])
    min_face = max(SMALLEST, attempt.min_face * side / attempt.short_side)
    rgb = TONES[attempt.tone](rgb)
    back = np.eye(2, 3)
    if attempt.angle:
        rgb, back = turned(rgb, attempt.angle)
    found = mtcnn.detect_array(rgb, min_face, thresholds)
    boxes = found.boxes.astype(np.float64).reshape(-1, 2, 2)
    centres = boxes.mean(axis=1) @ back[:, :2].T + back[:, 2]
    halves = (boxes[:, 1] - boxes[:, 0]) / 2
    if round(attempt.angle / 90) % 2:
        halves = halves[:, ::-1]
    points = (found.landmarks.astype(np.float64) @ back[:, :2].T + back[:, 2]) * ratio
    corners = np.concatenate([(centres - halves) * ratio, (centres + halves) * ratio], axis=1)
    return [
        Face((x1, y1, x2, y2), tuple((x, y) for x, y in marks), confidence)
        for (x1, y1, x2, y2), marks, confidence in zip(
            corners.tolist(), points.tolist(), found.probabilities.tolist(), strict=True
        )
    ]
