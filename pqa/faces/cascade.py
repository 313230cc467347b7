"""MTCNN: a cascade of three small networks that propose, refine and align faces.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal
Processing Letters 23(10), 2016. Networks and rounding follow facenet-pytorch 2.5.3 (see `pqa/artifacts/mtcnn`), so that
at equal input, minimum face and thresholds the same faces come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pqa.errors import ConfigurationError
from pqa.faces.suppression import suppress
from pqa.session import open_session

__all__ = ["FOLDER", "AreaSampler", "Detections", "Mtcnn"]

FOLDER = Path(__file__).parent.parent / "artifacts" / "mtcnn"

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CELL, STRIDE = 12, 2
"""P-Net's window and step in pixels of the scaled picture."""

PYRAMID = 0.709
"""Ratio of neighbouring scales: each has half the area of the one before."""

MOST = 4096
"""Windows of one scale, and of all, that enter suppression, the most probable ones: its work grows with their square. Of
photographs none has half as many."""

BATCH = 128
"""Crops that R-Net and O-Net see at once: bounds memory."""


@dataclass(frozen=True, slots=True)
class Detections:
    """N faces in pixels of the array they were found in.

    `boxes` (N, 4): x1, y1, x2, y2. `probabilities` (N,): the last network's. `landmarks` (N, 5, 2): of an upright face
    the left eye, right eye, nose, left and right mouth corner as seen.
    """

    boxes: Floats
    probabilities: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.boxes)


class AreaSampler:
    """Means of a picture over the windows of adaptive average pooling, exact, all from one integral image.

    Cell i of m over the pixels [low, high) covers floor(i n / m) to ceil((i + 1) n / m), n = high - low. Sums are kept
    modulo 2^32: their differences are exact for windows of up to 16 million pixels.
    """

    def __init__(self, rgb: Pixels) -> None:
        self.height, self.width = rgb.shape[:2]
        # One flat integral image a channel: gathering from it is four times as fast as from an interleaved one.
        self._sums = [cv2.integral(channel, sdepth=cv2.CV_32S).view(np.uint32).ravel() for channel in cv2.split(rgb)]

    def resize(self, height: int, width: int) -> Floats:
        """The whole picture as (1, 3, height, width), grey levels in [0, 255]."""
        left, right = (edge[0] for edge in _cells(np.array([0]), np.array([self.width]), width))
        top, bottom = (edge[0] for edge in _cells(np.array([0]), np.array([self.height]), height))
        area = ((bottom - top)[:, None] * (right - left)).astype(np.float32)
        means = np.empty((1, 3, height, width), np.float32)
        for channel, sums in enumerate(self._sums):
            lines = sums.reshape(self.height + 1, self.width + 1)
            # Whole lines first: a quarter of the gathering that arbitrary windows need.
            band = lines.take(bottom, axis=0) - lines.take(top, axis=0)
            total = band.take(right, axis=1) - band.take(left, axis=1)
            np.divide(total, area, out=means[0, channel], casting="unsafe")
        return means

    def crops(self, boxes: Ints, side: int) -> Floats:
        """The (N, 4) boxes, which lie inside the picture, as (N, 3, side, side), grey levels in [0, 255]."""
        left, right = _cells(boxes[:, 0], boxes[:, 2], side)
        top, bottom = _cells(boxes[:, 1], boxes[:, 3], side)
        line = self.width + 1
        upper, lower = top[:, :, None] * line, bottom[:, :, None] * line
        before, after = left[:, None, :], right[:, None, :]
        corners = lower + after, upper + after, lower + before, upper + before
        area = ((bottom - top)[:, :, None] * (right - left)[:, None, :]).astype(np.float32)
        means = np.empty((len(boxes), 3, side, side), np.float32)
        for channel, sums in enumerate(self._sums):
            total = sums.take(corners[0])
            total -= sums.take(corners[1])
            total -= sums.take(corners[2])
            total += sums.take(corners[3])
            np.divide(total, area, out=means[:, channel], casting="unsafe")
        return means


def _cells(low: Ints, high: Ints, count: int) -> tuple[Ints, Ints]:
    """First and one-past-last pixel of the `count` cells of each of N ranges: two arrays (N, count)."""
    step, length = np.arange(count)[None], (high - low)[:, None]
    first = low[:, None] + step * length // count
    last = low[:, None] - -(step + 1) * length // count
    return first, last


def _likeliest(scores: Floats) -> Ints:
    """Indices of the `MOST` highest scores, in the order of the scores given; of equal ones the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:MOST])


def _normalise(grey: Floats) -> Floats:
    return (grey - np.float32(127.5)) * np.float32(0.0078125)


def _shift(boxes: Floats, offsets: Floats, edge: float) -> Floats:
    """Move each side of the boxes by its offset, a fraction of the box's width or height."""
    sides = boxes[:, 2:] - boxes[:, :2] + np.float32(edge)
    moved: Floats = boxes + offsets * np.concatenate([sides, sides], axis=1)
    return moved


def _square(boxes: Floats) -> Floats:
    """Squares about the same centres, with the longer edge as side."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longer * np.float32(0.5)
    return np.concatenate([corner, corner + longer], axis=1)


class Mtcnn:
    """The three networks and the cascade. Safe to share between threads."""

    def __init__(self, folder: Path = FOLDER, *, threads: int = 1) -> None:
        """Opens `pnet.onnx`, `rnet.onnx` and `onet.onnx` of `folder`; raises ModelError for a damaged file."""
        self._pnet, self._rnet, self._onet = (
            open_session((folder / f"{name}.onnx").read_bytes(), threads=threads, any_shape=True)
            for name in ("pnet", "rnet", "onet")
        )

    def detect_array(
        self, rgb: Pixels, min_face: float, thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    ) -> Detections:
        """Faces of an RGB picture (H, W, 3) uint8, most probable first.

        `min_face`: shortest face side looked for, in pixels, at least 12. `thresholds`: probability that a window must
        reach after each of the three networks. Raises ConfigurationError for a smaller `min_face`.
        """
        if not min_face >= CELL:
            raise ConfigurationError(f"min_face must be at least {CELL} pixels, got {min_face}: enlarge the picture")
        sampler = AreaSampler(rgb)
        boxes = self._propose(sampler, min_face, thresholds[0])
        boxes = self._refine(sampler, boxes, thresholds[1])
        return self._align(sampler, boxes, thresholds[2])

    def turns(self, rgb: Pixels) -> Floats:
        """How probable a face fills an RGB picture (H, W, 3) uint8, turned counter-clockwise by 0, 90, 180 and 270
        degrees: (4,), the last network's. Tells how a face lies, where other looks say that there is one."""
        crop = AreaSampler(rgb).resize(48, 48)
        turned = np.concatenate([np.rot90(crop, quarter, axes=(2, 3)) for quarter in range(4)])
        probability: Floats = self._onet.run(None, {"image": _normalise(turned)})[2][:, 1]
        return probability

    def _propose(self, sampler: AreaSampler, min_face: float, threshold: float) -> Floats:
        """Squares that P-Net, run over a pyramid of scales, takes for faces: (N, 4)."""
        found = [np.zeros((0, 9), np.float32)]
        scale = CELL / min_face
        shortest = min(sampler.height, sampler.width) * scale
        while shortest >= CELL:
            reduced = sampler.resize(int(sampler.height * scale + 1), int(sampler.width * scale + 1))
            offsets, probability = self._pnet.run(None, {"image": _normalise(reduced)})
            rows, columns = np.nonzero(probability[0, 1] >= np.float32(threshold))
            likely = _likeliest(probability[0, 1, rows, columns])
            rows, columns = rows[likely], columns[likely]
            corner = np.stack([columns, rows], axis=1).astype(np.float32) * STRIDE
            first = np.floor((corner + 1) / np.float32(scale))
            last = np.floor((corner + CELL) / np.float32(scale))
            scores = probability[0, 1, rows, columns]
            here = np.concatenate([first, last, scores[:, None], offsets[0, :, rows, columns]], axis=1)
            found.append(here[suppress(here[:, :4], scores, 0.5)])
            scale, shortest = scale * PYRAMID, shortest * PYRAMID
        windows = np.concatenate(found)
        windows = windows[_likeliest(windows[:, 4])]
        windows = windows[suppress(windows[:, :4], windows[:, 4], 0.7)]
        return _square(_shift(windows[:, :4], windows[:, 5:], 0))

    def _refine(self, sampler: AreaSampler, boxes: Floats, threshold: float) -> Floats:
        """Squares that R-Net confirms: (N, 4)."""
        boxes, (offsets, probability) = _look(self._rnet, sampler, boxes, 24)
        passed = probability[:, 1] > np.float32(threshold)
        boxes, scores, offsets = boxes[passed], probability[passed, 1], offsets[passed]
        kept = suppress(boxes, scores, 0.7)
        return _square(_shift(boxes[kept], offsets[kept], 1))

    def _align(self, sampler: AreaSampler, boxes: Floats, threshold: float) -> Detections:
        """Faces that O-Net confirms, with their landmarks."""
        boxes, (offsets, points, probability) = _look(self._onet, sampler, boxes, 48)
        passed = probability[:, 1] > np.float32(threshold)
        boxes, scores, offsets = boxes[passed], probability[passed, 1], offsets[passed]
        places = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1)
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        landmarks = sides[:, None] * places + boxes[:, None, :2] - 1
        boxes = _shift(boxes, offsets, 1)
        kept = suppress(boxes, scores, 0.7, inclusive=True)
        return Detections(boxes[kept], scores[kept], landmarks[kept])


def _look(session: Any, sampler: AreaSampler, boxes: Floats, side: int) -> tuple[Floats, list[Floats]]:
    """Run a network on the boxes as far as they lie inside the picture.

    Returns the boxes that have pixels there and the network's outputs for them. Windows start one pixel before the
    truncated coordinate, as in the original, whose coordinates count from one.
    """
    whole = boxes.astype(np.int64)
    corner = np.maximum(whole[:, :2], 1) - 1
    end = np.minimum(whole[:, 2:], [sampler.width, sampler.height])
    seen = (end > corner).all(axis=1)
    boxes, windows = boxes[seen], np.concatenate([corner, end], axis=1)[seen]
    if not len(boxes):
        return boxes, [np.zeros((0, *node.shape[1:]), np.float32) for node in session.get_outputs()]
    parts = []
    for start in range(0, len(windows), BATCH):
        crops = sampler.crops(windows[start : start + BATCH], side)
        parts.append(session.run(None, {"image": _normalise(crops)}))
    return boxes, [np.concatenate(part) for part in zip(*parts, strict=True)]
