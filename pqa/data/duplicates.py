"""Near-duplicate groups: pictures of one burst or one original, which must stay on one side of every division."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pqa.pixels.source import Source

__all__ = ["SIDE", "duplicate_groups", "thumbnail"]

SIDE = 16
THRESHOLD = 0.91
"""Correlation of two thumbnails from which they count as one content; see `duplicate_groups`."""


def thumbnail(source: Source) -> npt.NDArray[np.float32]:
    """(SIDE * SIDE * 3,) float32: block means of the picture squeezed to a square, zero mean and unit norm.

    Without its mean and norm a thumbnail keeps the content and forgets exposure and contrast. A picture of one colour gives
    zeros, which resemble nothing.
    """
    rgb = source.reduced(4 * SIDE).astype(np.float32)
    rows = np.linspace(0, rgb.shape[0], SIDE + 1).astype(int)[:-1]
    columns = np.linspace(0, rgb.shape[1], SIDE + 1).astype(int)[:-1]
    counts = np.diff([*rows, rgb.shape[0]])[:, None, None] * np.diff([*columns, rgb.shape[1]])[None, :, None]
    # An empty block takes the one pixel it begins at, as `reduceat` does.
    counts = np.maximum(counts, 1)
    blocks = np.add.reduceat(np.add.reduceat(rgb, rows, axis=0), columns, axis=1) / counts
    flat = blocks.ravel() - blocks.mean()
    norm = float(np.linalg.norm(flat))
    return (flat / norm).astype(np.float32) if norm > 1e-3 else np.zeros_like(flat, dtype=np.float32)


def duplicate_groups(thumbnails: Sequence[npt.NDArray[np.float32]], threshold: float = THRESHOLD) -> list[int]:
    """A group number for every picture: connected components of pairs correlated at `threshold` or more.

    Groups are numbered by their first member. Memory is (N, N) float32 in rows of 1,024.
    """
    table = np.stack(thumbnails)
    firsts, seconds = [], []
    for start in range(0, len(table), 1024):
        near = np.argwhere(table[start : start + 1024] @ table.T >= threshold)
        firsts.append(near[:, 0] + start)
        seconds.append(near[:, 1])
    i, j = np.concatenate(firsts), np.concatenate(seconds)
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(table), len(table)))
    labels = connected_components(graph, directed=False)[1]
    order: dict[int, int] = {}
    return [order.setdefault(int(label), len(order)) for label in labels]
