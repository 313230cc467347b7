"""How wide the blur of a face or a picture is, from what is left of its fine detail.

Sharp faces have the same mean power spectrum whatever their size, when frequencies count cycles per side of the face. Blur
lowers it above a frequency that its width sets: out of focus in every direction, in motion along its way. Edges tell less:
motion leaves those along its way sharp, a long shake leaves doubles of every edge, and blocks of JPEG pass for edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_WIDTH", "blur_width", "directional_spectrum", "edge_blurs"]

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]

SIZE = 256  # pixels of the transform, and the most that a plane may have
DIRECTIONS = 12  # wedges of 15 degrees, each pooled with half of its neighbours
LOWEST, PER_OCTAVE, BANDS = 4.0, 2, 9  # bands of frequency from 4 to 90 cycles per side
HIGHEST = 0.4  # cycles per pixel; beyond, the grid of pixels and its filters shape the spectrum
FEWEST_BANDS = 4
FLATTEST = 1.0  # grey levels of deviation under which there is nothing to be blurred
CORNER = 0.47  # cycles per pixel from which only white noise is left
REFERENCE_SIDE = 128.0  # pixels

SHARP = np.array([3.24, 2.07, 0.95, -0.08, -1.31, -2.54, -3.60, -4.82, -5.98])
"""Log power of sharp faces in each band, over their variance: the median that `python -m bench.reasons --profile` prints."""

OFFSET, INDEPENDENT, DRIFT = 0.4, 0.4, 0.2
"""How one sharp face differs from another, in log power: all bands alike, each band by itself, and from band to band."""

DEEPEST = 4.0
"""Log power that blur takes at most before side lobes, rounding and compression fill the spectrum again."""

LEAST_WIDTH = 2.0
"""Narrower blurs, in % of the side, are measured but never certain."""

EVIDENCE = 6.5
"""A blur is taken for certain when the spectrum is so many nepers likelier under it than under none."""

NARROW, WIDE = 0.7, 1.5  # deviations in pixels of the two Gaussians that probe an edge
LARGEST_BLUR = 16.0  # pixels; more cannot be told from flatness by these probes
WEAKEST_EDGE = 0.5  # grey levels per pixel
FEWEST_PIXELS = 16

WIDTHS = LEAST_WIDTH * 2.0 ** (np.arange(-18, 40) / 8)


def _grid() -> tuple[Array, npt.NDArray[np.int64]]:
    """Frequency in cycles per pixel and wedge of every coefficient of a real transform of SIZE."""
    down, right = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :]
    wedge = np.floor(np.degrees(np.arctan2(down, right)) % 180.0 / (180.0 / DIRECTIONS) + 0.5) % DIRECTIONS
    return np.hypot(down, right), wedge.astype(np.int64)


FREQUENCY, WEDGE = _grid()
BAND = np.log2(np.maximum(FREQUENCY, 1e-9)) * PER_OCTAVE
MIDDLE = LOWEST * 2.0 ** ((np.arange(BANDS) + 0.5) / PER_OCTAVE)
_STEPS = np.arange(BANDS)
COVARIANCE = OFFSET**2 + INDEPENDENT**2 * np.eye(BANDS) + DRIFT**2 * np.minimum.outer(_STEPS, _STEPS)


def directional_spectrum(grey: Plane, side: float) -> tuple[Array, float] | None:
    """Log power by direction and band (12, bands), and the power of white noise, both over the variance of the plane.

    `grey`: (H, W) float32 of at most 256 x 256, seen through a smooth ellipse that fits it; `side`: pixels that widths are
    a share of. Means of logarithms, which neither the lines of an 8 x 8 grid nor a few sharp threads lift. As many of the 9
    bands as the pixels carry; None where they are fewer than 4, or the plane is flat.
    """
    bands = min(BANDS, int(np.sum(side * HIGHEST > MIDDLE)))
    height, width = grey.shape
    down, right = (np.linspace(-1.0, 1.0, 2 * n + 1)[1::2] for n in (height, width))
    radius = np.minimum(np.hypot(down[:, None], right[None, :]), 1.0)
    window = np.cos(math.pi / 2 * radius) ** 2
    energy = float((window**2).sum())
    if bands < FEWEST_BANDS or min(grey.shape) < FEWEST_BANDS:
        return None
    seen = (grey - (grey * window).sum() / window.sum()) * window
    variance = float((seen**2).sum()) / energy
    if variance < FLATTEST**2:
        return None
    power = np.abs(np.fft.rfft2(seen, (SIZE, SIZE))) ** 2 / (energy * variance)
    band = np.floor(BAND + PER_OCTAVE * math.log2(side / LOWEST)).astype(np.int64)
    inside = (band >= 0) & (band < bands)
    cell = WEDGE[inside] * bands + band[inside]
    # Power per coefficient of a band falls with the number of pixels over which the same picture is spread.
    shift = 2.0 * math.log(REFERENCE_SIDE / side)
    logs = np.log(power[inside] + 1e-3 / variance)
    counts, sums = (
        _pooled(np.asarray(np.bincount(cell, weights, DIRECTIONS * bands), np.float64).reshape(DIRECTIONS, bands))
        for weights in (np.ones_like(logs), logs)
    )
    noise = float(np.median(power[FREQUENCY > CORNER])) / math.log(2.0)  # the median of an exponential to its mean
    return sums / np.maximum(counts, 1e-9) + shift, noise * math.exp(shift)


def _pooled(wedges: Array) -> Array:
    return wedges + 0.5 * (np.roll(wedges, 1, axis=0) + np.roll(wedges, -1, axis=0))


def blur_width(grey: Plane, side: float) -> float | None:
    """Width of the blur in the direction that is blurred most, % of `side`: of a box, a Gaussian of 0.29 of it.

    At most LEAST_WIDTH where no wider blur is certain. Widths beyond about 15 % are told from narrower ones but not from each
    other. Arguments and None as in `directional_spectrum`.
    """
    found = directional_spectrum(grey, side)
    if found is None:
        return None
    spectrum, noise = found
    bands = spectrum.shape[1]
    sharp = SHARP[:bands]
    lost = np.minimum((math.pi * WIDTHS[:, None] / 100.0 * MIDDLE[:bands]) ** 2 / 3.0, DEEPEST)
    expected = sharp - np.log(np.exp(sharp - lost) + noise)
    weighed = np.linalg.solve(COVARIANCE[:bands, :bands], expected.T)
    evidence = (sharp - spectrum) @ weighed - 0.5 * np.sum(expected.T * weighed, axis=0)
    best = evidence.max(axis=0)
    certain = (WIDTHS > LEAST_WIDTH) & (best >= EVIDENCE)
    if certain.any():
        return float(WIDTHS[np.argmax(np.where(certain, best, -np.inf))])
    return float(min(WIDTHS[np.argmax(best)], LEAST_WIDTH))


def edge_blurs(grey: Plane, masks: Sequence[Mask], share: float) -> list[float | None]:
    """Median blur in pixels over the strongest `share` of the edges inside each mask; None without an edge.

    An edge blurred by s and probed by Gaussians a < b has slopes whose ratio r obeys r^2 = (s^2 + b^2) / (s^2 + a^2)
    (after Zhuo & Sim, Defocus map estimation from a single image, 2011, section 3), whatever its contrast.
    """
    narrow, wide = _slope(grey, NARROW), _slope(grey, WIDE)
    return [_edge_blur(narrow, wide, mask, share) for mask in masks]


def _slope(grey: Plane, sigma: float) -> Plane:
    """Length of the gradient after a Gaussian of deviation `sigma`, grey levels per pixel."""
    smooth = cv2.GaussianBlur(grey, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    right, down = (cv2.Sobel(smooth, cv2.CV_32F, *order, scale=0.125) for order in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(right, down), np.float32)


def _edge_blur(narrow: Plane, wide: Plane, inside: Mask, share: float) -> float | None:
    values = wide[inside]
    if values.size < FEWEST_PIXELS:
        return None
    strong = inside & (wide >= max(float(np.quantile(values, 1.0 - share)), WEAKEST_EDGE))
    if not strong.any():
        return None
    ratio = float(np.median(narrow[strong] / wide[strong])) ** 2
    square = (WIDE**2 - ratio * NARROW**2) / max(ratio - 1.0, 1e-6)
    return min(math.sqrt(max(square, 0.0)), LARGEST_BLUR)
