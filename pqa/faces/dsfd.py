"""Light DSFD at serving: anchors, decoding and suppression in numpy around its ONNX graph.

Li et al., "DSFD: Dual Shot Face Detector" (CVPR 2019), light variant `DSFDv2_r18` (see `pqa.nn.models.light_dsfd`);
the levels of trust are those of SAR in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey" (2024).
Its weights state no licence and do not ship: `load` says how to make the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pqa.errors import MissingWeights
from pqa.faces.suppression import suppress
from pqa.session import open_session
from pqa.types import Face
from pqa.weights import VARIABLE

if TYPE_CHECKING:
    from pqa.pixels.source import Source

__all__ = ["CASCADE", "FILE", "Dsfd", "DsfdDetector", "anchors", "decode", "load"]

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FILE = "light_dsfd.onnx"
MEAN_BGR = np.array([104.0, 117.0, 123.0], np.float32)
STRIDES = (4, 8, 16, 32, 64, 128)
SIDES = (16, 32, 64, 128, 256, 512)
"""Side of the square of an anchor's area, by level; every anchor is 1.5 times as high as wide."""
ASPECT = 1.5
VARIANCES = (0.1, 0.2)

CASCADE = (0.8, 0.7, 0.6, 0.5, 0.4, 0.2)
"""The first of these probabilities that any face reaches decides which faces there are."""
OVERLAP = 0.4
MOST = 2000
"""Boxes that enter suppression, the most probable ones."""

SHORT_SIDE = 640
"""Pictures are reduced to it: the side of the network's training pictures."""


def anchors(height: int, width: int) -> Floats:
    """Anchors of a picture as (P, 4) centre x, centre y, width, height, fractions of the picture cut at one.

    In the order of the graph's outputs: level by level, row by row.
    """
    parts = []
    rows, columns = -(-height // 2), -(-width // 2)
    for stride, side in zip(STRIDES, SIDES, strict=True):
        rows, columns = -(-rows // 2), -(-columns // 2)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        wide, high = side / np.sqrt(ASPECT) / width, side * np.sqrt(ASPECT) / height
        grid = np.stack([(x + 0.5) * stride / width, (y + 0.5) * stride / height], axis=2).reshape(-1, 2)
        parts.append(np.column_stack([grid, np.full(len(grid), wide), np.full(len(grid), high)]))
    cut: Floats = np.minimum(np.concatenate(parts), 1.0).astype(np.float32)
    return cut


def decode(offsets: Floats, priors: Floats) -> Floats:
    """Boxes (P, 4) x1, y1, x2, y2 as fractions of the picture: centres moved by 0.1 of the anchor's edges, edges scaled
    by exp(0.2 offset)."""
    centre = priors[:, :2] + offsets[:, :2] * np.float32(VARIANCES[0]) * priors[:, 2:]
    half = priors[:, 2:] * np.exp(offsets[:, 2:] * np.float32(VARIANCES[1])) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


class Dsfd:
    """The network and its decoding. Safe to share between threads."""

    def __init__(self, data: bytes, *, threads: int = 1) -> None:
        """`data`: the ONNX file's bytes; raises ModelError for others."""
        self._session = open_session(data, threads=threads, any_shape=True)

    def detect_array(self, rgb: Pixels, threshold: float = CASCADE[-1]) -> tuple[Floats, Floats]:
        """Faces of an RGB picture (H, W, 3) uint8: boxes (N, 4) in its pixels, probabilities (N,), most probable first."""
        height, width = rgb.shape[:2]
        image = np.ascontiguousarray((rgb[..., ::-1].astype(np.float32) - MEAN_BGR).transpose(2, 0, 1))
        offsets, probability = self._session.run(["offset", "probability"], {"image": image[None]})
        likely = np.flatnonzero(probability[0] >= threshold)
        likely = likely[np.argsort(-probability[0, likely], kind="stable")][:MOST]
        boxes = decode(offsets[0, likely], anchors(height, width)[likely])
        boxes = boxes * np.array([width, height, width, height], np.float32)
        kept = likely[:0] if not len(likely) else suppress(boxes, probability[0, likely], OVERLAP)
        return boxes[kept], probability[0, likely][kept]


class DsfdDetector:
    """Light DSFD with the levels of `CASCADE`. Its faces have no landmarks."""

    def __init__(self, dsfd: Dsfd) -> None:
        self._dsfd = dsfd

    def detect(self, source: Source) -> tuple[Face, ...]:
        """Faces in displayed full-resolution pixels, largest first, none if none reaches the last level."""
        rgb = source.reduced(SHORT_SIDE)
        boxes, probabilities = self._dsfd.detect_array(rgb)
        level = next((level for level in CASCADE if (probabilities >= level).any()), 1.0)
        ratio = np.tile(np.array(source.size) / np.array([rgb.shape[1], rgb.shape[0]]), 2)
        faces = [
            Face((x1, y1, x2, y2), (), probability)
            for (x1, y1, x2, y2), probability in zip((boxes * ratio).tolist(), probabilities.tolist(), strict=True)
            if probability >= level
        ]
        return tuple(sorted(faces, key=lambda face: -(face.box[2] - face.box[0]) * (face.box[3] - face.box[1])))


def load(threads: int = 1) -> DsfdDetector:
    """The detector from `light_dsfd.onnx` in the folder of PQA_WEIGHTS_DIR. Raises MissingWeights where it is not."""
    folder = os.environ.get(VARIABLE)
    path = Path(folder or "") / FILE
    if not folder or not path.is_file():
        where = f"not in {folder}" if folder else f"{VARIABLE} is not set"
        raise MissingWeights(
            f"the detector 'light_dsfd' needs {FILE} ({where}). Get dsfdv2_r18.pth from "
            f"https://github.com/lijiannuist/lightDSFD, write its tensors as safetensors (docs/models.md), make the file "
            f"with: python -m export.light_dsfd dsfdv2_r18.safetensors FOLDER/{FILE}, and set {VARIABLE} to that folder; "
            "or use the detector 'mtcnn'"
        )
    return DsfdDetector(Dsfd(path.read_bytes(), threads=threads))
