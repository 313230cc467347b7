"""Boxes that show the same face: how much two overlap, and which of many stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "overlap", "suppress"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

Box = tuple[float, float, float, float]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(wide, 0.0) * max(high, 0.0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def suppress(boxes: Floats, scores: Floats, limit: float, *, inclusive: bool = False) -> Ints:
    """Indices that survive greedy non-maximum suppression, best first.

    A box goes when its overlap with a better one exceeds `limit`. The cascade's two kinds: intersection over union of
    lengths, of equal scores the first is better; or, if `inclusive`, intersection over the smaller box with both edges
    counted as pixels, of equal scores the last is better. Equal scores are common: windows that truncate to the same
    pixels.
    """
    edge = np.float32(inclusive)
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + edge) * (y2 - y1 + edge)
    order = np.argsort(scores, kind="stable")[::-1] if inclusive else np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        wide = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + edge
        high = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + edge
        common = np.maximum(wide, 0) * np.maximum(high, 0)
        whole = np.minimum(areas[best], areas[rest]) if inclusive else areas[best] + areas[rest] - common
        order = rest[common <= np.float32(limit) * whole]
    return np.array(kept, dtype=np.int64)
