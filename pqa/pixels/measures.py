"""What can be said about a portrait in plain units, and which of it is a fault: the reasons beside a score.

Everything about sharpness is measured inside the face at a canonical size, so that a blurred background, a bigger sensor
or a wider frame changes nothing. The reasons explain; no score is computed from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pqa.pixels.blur import LEAST_WIDTH, blur_width, edge_blurs
from pqa.pixels.source import Source
from pqa.types import Face, Reason

__all__ = ["REASONS", "Measurements", "ReasonRow", "measure", "reasons", "turn_upright"]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FACE_SIDE = 256  # pixels to which the face's box is reduced (never enlarged) before anything is measured in it
# What a face's view of 224 pixels and 1.3 times the box has of the box: fewer pixels than FACE_SIDE will do where the decode
# behind that view gives no more, since at 12 megapixels another decode costs as much as finding the face.
FACE_LEAST = 172
PICTURE_SIDE = 256  # pixels to which the picture's shorter side is reduced
LYING = 60.0  # degrees of roll from which a face lies rather than leans
EYE_EDGES = 0.1  # share of an eye's pixels that count as edges
LEAST_FACE = 128  # pixels of a face's side under which an eye has too few to be judged
CALMEST = 0.12  # quantile of the cells that noise is read from
DARKEST, BRIGHTEST = 12.0, 243.0  # grey levels between which noise is not cut off
HEAD = 1.25  # the head's box over the face's box
BLOCKED = 10.0  # L* under which shadows hold no detail
CLIPPED = 252  # code value from which a channel may be cut off
BURNT = 98.0  # L*, from which luminance is within 5 % of white
SMALLEST_BURN = 0.005  # share of the face that a burnt area has at least; what is smaller is a glint


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measured values; those of the face are None where there is none, or too few pixels to tell.

    face_blur: width of the blur in the direction that is blurred most (`pqa.pixels.blur.blur_width`), % of the face's side;
        at most 2 where no wider blur is certain
    picture_blur: the same for the sharpest part of a picture without a face, % of its shorter side; None beside a face
    eye_blur: deviation of the Gaussian that would blur an ideal edge like the strong edges of the sharper eye, % of the
        face's side; None for a face of under 128 pixels unless the face is blurred
    noise: deviation of fine noise at canonical size in the face (without a face: in the picture), grey levels of 255
    face_luminance: median L* of the face's inner ellipse, 0 to 100
    face_highlight: 98th percentile of L* there; unlike the median it hardly follows skin tone
    face_clipped: share of that ellipse in connected areas as light as white with a channel clipped, %; areas under 0.5 % are
        glints
    face_blocked: share of that ellipse under L* 10, %
    contrast: distance of the 0.5th and 99.5th percentile of the picture's L*, in % of that from the brighter to black or
        from the darker to white, whichever is nearer: of a low or a high key it is high
    face_share: longer edge of the face's box, % of the picture's shorter side
    roll: angle between the face's upright axis and the picture's, degrees, 0 to 180
    turn: degrees counter-clockwise by which to turn the picture so that the face stands upright: 0, 90, 180 or 270
    cut_off: share of the head (the face's box enlarged 1.25 times) that lies outside the frame, %
    """

    noise: float
    contrast: float
    face_blur: float | None = None
    picture_blur: float | None = None
    eye_blur: float | None = None
    face_luminance: float | None = None
    face_highlight: float | None = None
    face_clipped: float | None = None
    face_blocked: float | None = None
    face_share: float | None = None
    roll: float | None = None
    turn: float | None = None
    cut_off: float | None = None


def _luma(rgb: Pixels) -> Plane:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.float32)


def _lightness(rgb: Pixels) -> Plane:
    """CIE L* (D65), 0 to 100."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)[..., 0]


def _noise(grey: Plane) -> float:
    """Deviation of fine noise: Immerkaer's mask (1996) on the calmest cells, where neither hair nor pattern counts.

    Cells that are clipped hold no noise, and are left out where others are at hand.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(np.asarray(cv2.filter2D(grey, cv2.CV_32F, mask, borderType=cv2.BORDER_REFLECT), np.float32))
    cell = max(1, min(grey.shape) // 16)
    cells, levels = (
        np.asarray(cv2.resize(plane, (grey.shape[1] // cell, grey.shape[0] // cell), interpolation=cv2.INTER_AREA))
        for plane in (response, grey)
    )
    toned = (levels > DARKEST) & (levels < BRIGHTEST)
    return float(math.sqrt(math.pi / 2) / 6 * np.quantile(cells[toned] if toned.any() else cells, CALMEST))


def _ellipse(shape: tuple[int, ...], centre: tuple[float, float], radii: tuple[float, float]) -> Mask:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    across, along = (max(radius, 1e-6) for radius in radii)
    return np.asarray(((x - centre[0]) / across) ** 2 + ((y - centre[1]) / along) ** 2 <= 1.0)


def _roll(face: Face) -> float | None:
    """Degrees counter-clockwise, -180 to 180, from the picture's vertical to the line from the mouth's to the eyes' centre."""
    if len(face.landmarks) < 5:
        return None
    points = np.asarray(face.landmarks, np.float64)
    across = (points[1] - points[0]) + (points[4] - points[3])
    along = points[3] + points[4] - points[0] - points[1]
    # Eyes and mouth each tell the same turn, and in profile only the upright line is long enough to be trusted.
    axis = along + np.array([-across[1], across[0]])
    return math.degrees(math.atan2(axis[0], axis[1]))


def turn_upright(face: Face) -> int | None:
    """Degrees counter-clockwise by which to turn the picture so that the face stands upright: 0, 90, 180 or 270.

    None without landmarks.
    """
    roll = _roll(face)
    if roll is None:
        return None
    return 90 * (round(-roll / 90) % 4) if abs(roll) >= LYING else 0


def _cut_off(face: Face, size: tuple[int, int]) -> float:
    x1, y1, x2, y2 = face.box
    centre, half = ((x1 + x2) / 2, (y1 + y2) / 2), (HEAD * (x2 - x1) / 2, HEAD * (y2 - y1) / 2)
    inside = 1.0
    for middle, reach, edge in zip(centre, half, size, strict=True):
        inside *= max(0.0, min(middle + reach, edge) - max(middle - reach, 0.0)) / max(2 * reach, 1e-9)
    return 100.0 * (1.0 - inside)


def _contrast(lightness: Plane) -> float:
    """Range of L* in % of the widest that a picture as dark or as bright may have: a low or a high key is not flat."""
    low, high = (float(value) for value in np.percentile(lightness, (0.5, 99.5)))
    return 100.0 * (high - low) / max(min(high, 100.0 - low), 1.0)


def _picture_blur(grey: Plane) -> float | None:
    """Blur of the sharpest of six squares of half the shorter side, % of the shorter side; None where all are flat."""
    side = min(grey.shape) // 2
    if side < 1:
        return None
    along = 2 if grey.shape[0] <= grey.shape[1] else 3
    rows, columns = (
        np.linspace(0, length - side, count).astype(int)
        for length, count in zip(grey.shape, (along, 5 - along), strict=True)
    )
    found = [blur_width(grey[y : y + side, x : x + side], float(side)) for y in rows for x in columns]
    return min((0.5 * width for width in found if width is not None), default=None)


def measure(source: Source, face: Face | None) -> Measurements:
    """Measure a picture and one face of it (box and landmarks in displayed pixels). Raises InputError on damage."""
    picture = source.reduced(PICTURE_SIDE)
    contrast = _contrast(_lightness(picture))
    if face is None:
        grey = _luma(picture)
        return Measurements(noise=_noise(grey), contrast=contrast, picture_blur=_picture_blur(grey))
    crop = source.region(face.box, FACE_SIDE, FACE_LEAST)
    x1, y1, x2, y2 = face.box
    width, height = source.size
    left, top = min(max(math.floor(x1), 0), width - 1), min(max(math.floor(y1), 0), height - 1)
    scale = crop.shape[1] / max(1, min(math.ceil(x2), width) - left)
    side = max(face.side * scale, 1.0)
    middle = ((x1 + x2) / 2 - left) * scale, ((y1 + y2) / 2 - top) * scale
    skin = _ellipse(crop.shape, middle, (0.4 * (x2 - x1) * scale, 0.45 * (y2 - y1) * scale))
    eyes = [
        _ellipse(crop.shape, ((x - left) * scale, (y - top) * scale), (0.13 * side, 0.09 * side))
        for x, y in face.landmarks[:2]
    ]
    grey = _luma(crop)
    face_blur = blur_width(grey, side)
    # In few pixels even sharp eyes look soft; those of a face that is blurred for certain are worth a measurement.
    judged = side >= LEAST_FACE or (face_blur or 0.0) > LEAST_WIDTH
    eye_blurs = edge_blurs(grey, eyes, EYE_EDGES) if judged else []
    eye_blur = min((blur for blur in eye_blurs if blur is not None), default=None)
    roll = _roll(face)
    return Measurements(
        noise=_noise(grey),
        contrast=contrast,
        face_blur=face_blur,
        eye_blur=None if eye_blur is None else 100.0 * eye_blur / side,
        face_share=100.0 * face.side / min(source.size),
        roll=None if roll is None else abs(roll),
        turn=None if (turn := turn_upright(face)) is None else float(turn),
        cut_off=_cut_off(face, source.size),
        **_tones(crop, skin),
    )


def _tones(crop: Pixels, skin: Mask) -> dict[str, float]:
    """The four measurements of the face's exposure; none where no pixel of the face is in the picture."""
    if not skin.any():
        return {}
    everywhere = _lightness(crop)
    lightness = everywhere[skin]
    return {
        "face_luminance": float(np.median(lightness)),
        "face_highlight": float(np.percentile(lightness, 98)),
        "face_clipped": 100.0 * _burnt(crop, everywhere, skin),
        "face_blocked": 100.0 * float((lightness < BLOCKED).mean()),
    }


def _burnt(crop: Pixels, lightness: Plane, skin: Mask) -> float:
    """Share of the face in connected areas without detail: light as white there, not one clipped channel of fair skin."""
    white = (lightness >= BURNT) & (crop >= CLIPPED).any(axis=2) & skin
    _, _, stats, _ = cv2.connectedComponentsWithStats(white.astype(np.uint8), connectivity=4)
    areas, whole = stats[1:, cv2.CC_STAT_AREA], float(skin.sum())
    return float(areas[areas >= SMALLEST_BURN * whole].sum()) / whole


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """`code` is given when `measurement` lies beyond `threshold`, on the side of `severe`.

    `severe` is a value that nobody overlooks; (value - threshold) / (severe - threshold) orders the reasons of a picture.
    """

    code: str
    measurement: str
    threshold: float
    severe: float
    unit: str
    words: str


# `python -m bench.reasons` prints how many of these are wrong on well-liked portraits, and how many made faults they name.
REASONS: tuple[ReasonRow, ...] = (
    ReasonRow("face_blur", "face_blur", LEAST_WIDTH, 10.0, "% of the face", "The face is blurred."),
    ReasonRow(
        "blur", "picture_blur", 0.5 * LEAST_WIDTH, 5.0, "% of the short side", "Nothing in the picture is sharp."
    ),
    ReasonRow("eyes_soft", "eye_blur", 1.7, 5.0, "% of the face", "The eyes are not sharp."),
    ReasonRow("noise", "noise", 1.8, 7.0, "grey levels", "The picture is noisy."),
    ReasonRow(
        "face_under_exposed", "face_highlight", 52.0, 20.0, "L*", "Even the brightest parts of the face are dark."
    ),
    ReasonRow("face_over_exposed", "face_clipped", 1.5, 50.0, "% of the face", "Highlights of the face are burnt out."),
    ReasonRow(
        "low_contrast",
        "contrast",
        83.0,
        30.0,
        "% of its key",
        "The picture is flat: dark and bright lie close together.",
    ),
    ReasonRow("small_face", "face_share", 12.0, 3.0, "% of the short side", "The face is small in the frame."),
    ReasonRow("tilted_face", "roll", 38.0, 90.0, "degrees", "The head is tilted."),
    ReasonRow(
        "sideways",
        "turn",
        45.0,
        90.0,
        "deg",
        "The face lies: turn the picture counter-clockwise by the angle measured.",
    ),
    ReasonRow("cut_off_face", "cut_off", 20.0, 60.0, "% of the head", "The head is cut off by the frame."),
)


def reasons(measurements: Measurements) -> tuple[Reason, ...]:
    """The faults that the measurements show, the most severe first (equal severity: in the order of `REASONS`)."""
    found: list[tuple[float, Reason]] = []
    for row in REASONS:
        value: float | None = getattr(measurements, row.measurement)
        if value is None or (row.measurement == "roll" and measurements.turn):  # what `sideways` says already
            continue
        severity = (value - row.threshold) / (row.severe - row.threshold)
        if severity > 0:
            found.append((severity, Reason(row.code, value, row.threshold, row.unit)))
    return tuple(reason for _, reason in sorted(found, key=lambda item: -item[0]))
