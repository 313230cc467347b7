"""Several windows of one picture: test-time positions, RQ-Net's fragments, dense and strided patches. Functions of pixels.

Fragments: Wu et al., "FAST-VQA: Efficient End-to-end Video Quality Assessment with Fragment Sampling" (2022), as RQ-Net
uses them in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey" (2024). Every position here is fixed, so that
equal pixels give equal tensors, unless training hands over a generator to draw from, as those papers do; only `enlarged`
enlarges (elsewhere see `mirrored`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa.errors import ConfigurationError
from pqa.pixels.source import FILTER, bounded

__all__ = [
    "GRID",
    "POSITIONS",
    "cut",
    "dense",
    "enlarged",
    "fragments",
    "mirrored",
    "positions",
    "squashed",
    "strided",
    "windows",
]

Pixels = npt.NDArray[np.uint8]
Lines = npt.NDArray[np.int64]
Position = tuple[float, float]
Rng = np.random.Generator

STRIDE = 32
"""Pixels between neighbouring windows of `strided`, as LIQE cuts them."""

GRID = 7
"""Fragments are cut from GRID x GRID cells."""

POSITIONS: dict[int, tuple[Position, ...]] = {
    1: ((0.5, 0.5),),
    5: ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5)),
    9: tuple((y, x) for y in (0.0, 0.5, 1.0) for x in (0.0, 0.5, 1.0)),
}
"""Where a window lies in the room it has, (down, right) as fractions, by how many windows are taken: the centre; the
corners, then the centre; or the corners, edges and centre row by row. Every kind of view takes them in this order: crop k
of one view lies as crop k of another."""


def positions(count: int) -> tuple[Position, ...]:
    """The row of `POSITIONS` for `count` windows. Raises ConfigurationError where there is none."""
    if count not in POSITIONS:
        raise ConfigurationError(f"crops of a view must be one of {sorted(POSITIONS)}, got {count}")
    return POSITIONS[count]


def mirrored(length: int, side: int) -> Lines:
    """Numbers of `length` lines, continued on both ends by mirroring to at least `side` of them.

    Lines and not pixels, because a picture of one line and 65,535 columns would fill memory with its mirror images.
    """
    missing = max(0, side - length)
    return np.pad(np.arange(length), (missing // 2, missing - missing // 2), mode="symmetric")


def cut(rgb: Pixels, size: tuple[int, ...], corners: Iterable[tuple[int, int]]) -> Pixels:
    """Windows of `size` (height, width) of `rgb`, mirrored to at least that: (len(corners), height, width, 3).

    `corners`: (top, left) of each in the mirrored picture.
    """
    rows, columns = mirrored(rgb.shape[0], size[0]), mirrored(rgb.shape[1], size[1])
    return np.stack([rgb[np.ix_(rows[y : y + size[0]], columns[x : x + size[1]])] for y, x in corners])


def _room(rgb: Pixels, size: tuple[int, ...]) -> tuple[int, int]:
    """How far down and how far right a window of `size` can lie in `rgb`, mirrored to at least that."""
    return max(0, rgb.shape[0] - size[0]), max(0, rgb.shape[1] - size[1])


def enlarged(rgb: Pixels, side: int) -> Pixels:
    """`rgb` with its shorter edge raised to `side` in its own shape; unchanged where it has that many pixels.

    Less where it is long, see `pqa.pixels.source.bounded`.
    """
    short, raised = min(rgb.shape[:2]), bounded(side, rgb.shape[:2])
    if short >= raised:
        return rgb
    wide, high = (round(edge * raised / short) for edge in rgb.shape[1::-1])
    return np.array(Image.fromarray(rgb).resize((wide, high), FILTER))


def squashed(rgb: Pixels, side: int) -> Pixels:
    """`rgb` with both edges reduced to `side`, whatever its shape was; an edge shorter than that stays."""
    high, wide = min(side, rgb.shape[0]), min(side, rgb.shape[1])
    return np.array(Image.fromarray(rgb).resize((wide, high), FILTER))


def windows(rgb: Pixels, size: tuple[int, ...], count: int, draw: Rng | None = None) -> Pixels:
    """`count` windows of `size` (height, width) at their `positions`, or drawn: (count, height, width, 3)."""
    down, right = _room(rgb, size)
    places = positions(count) if draw is None else draw.random((count, 2))
    return cut(rgb, size, [(round(y * down), round(x * right)) for y, x in places])


def _lines(length: int, side: int, position: float | npt.NDArray[np.float64]) -> Lines:
    """The rows (or columns) that fragments take from `length` of them: `side` in all, GRID equal runs, one a cell.

    Cell k begins at floor(k length / GRID), so that the cells fill the picture. FAST-VQA's and RQ-Net's code has it at
    k floor(length / GRID), and leaves out the last length mod GRID: a run lies up to GRID - 1 = 6 pixels further here.

    `position` is that of every run in the room of its cell, or of each, (GRID,).
    """
    patch = side // GRID
    edges = np.arange(GRID + 1) * length // GRID
    first = edges[:-1] + np.rint(position * (np.diff(edges) - patch)).astype(np.int64)
    return (first[:, None] + np.arange(patch)).ravel()


def fragments(rgb: Pixels, size: tuple[int, ...], count: int, draw: Rng | None = None) -> Pixels:
    """`count` mosaics of `size` (height, width): one native patch from each cell of the GRID x GRID grid, joined.

    Mosaic k takes each patch at `positions(count)[k]` of its cell; drawn, each row and each column of cells has its own
    position, as in RQ-Net's code. Returns (count, height, width, 3). Raises ConfigurationError for a size that GRID does not
    divide.
    """
    if size[0] % GRID or size[1] % GRID:
        raise ConfigurationError(f"the size of a fragments view must be a multiple of {GRID}, got {size}")
    rows, columns = mirrored(rgb.shape[0], size[0]), mirrored(rgb.shape[1], size[1])
    places = positions(count) if draw is None else draw.random((count, 2, GRID))
    lines = [(_lines(len(rows), size[0], y), _lines(len(columns), size[1], x)) for y, x in places]
    return np.stack([rgb[np.ix_(rows[down], columns[right])] for down, right in lines])


def lattice(count: int, high: int, wide: int) -> tuple[int, int]:
    """Rows and columns, `count` in all, whose ratio is nearest to that of a picture of `high` x `wide` pixels."""
    pairs = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    return min(pairs, key=lambda pair: abs(math.log(pair[1] / pair[0] * high / wide)))


def dense(rgb: Pixels, size: tuple[int, ...], count: int, draw: Rng | None = None) -> Pixels:
    """`count` windows of `size` on an even lattice that reaches all edges, row by row: (count, height, width, 3).

    Drawn, they lie anywhere.
    """
    if draw is not None:
        return windows(rgb, size, count, draw)
    down, right = _room(rgb, size)
    rows, columns = lattice(count, size[0] + down, size[1] + right)
    return cut(rgb, size, itertools.product(_starts(down, rows), _starts(right, columns)))


def strided(rgb: Pixels, size: tuple[int, ...], count: int) -> Pixels:
    """`count` windows of `size`, every n-th of all those at multiples of STRIDE, row by row: (count, height, width, 3).

    n is the largest that leaves `count` of them; windows are repeated where there are fewer. After Zhang et al., "Blind
    Image Quality Assessment via Vision-Language Correspondence" (CVPR 2023), as their code evaluates pictures.
    """
    down, right = _room(rgb, size)
    columns = right // STRIDE + 1
    total = (down // STRIDE + 1) * columns
    chosen = [k * (total // count) if total >= count else k * total // count for k in range(count)]
    return cut(rgb, size, [(STRIDE * (index // columns), STRIDE * (index % columns)) for index in chosen])


def _starts(room: int, count: int) -> list[int]:
    """`count` starts spread evenly over 0 to `room`; the middle for one."""
    return [round(room / 2)] if count == 1 else [round(room * k / (count - 1)) for k in range(count)]
