"""Natural-scene statistics: a fixed-length vector of quality statistics of a picture.

`statistics` measures an sRGB picture at its own and at half its scale with the families of hand-made features that
blind quality assessment has found to follow human ratings. The vector is a view of a model (`pqa.pixels.views`) and the input
of tree teachers, so names and order are part of the trained weights: `NAMES` only ever changes together with them.

Heavy-tailed quantities (energies, deviations, ratios) are returned as logarithms, so that every value is roughly
bell-shaped over photographs and a plain (x - mean) / std per value is a fair input for a network. Every value is finite
for every picture. Nothing depends on the number of threads: filters are per-pixel, sums run in double precision on
one thread, and no BLAS is called.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.special import gammaln

from pqa.errors import InputError

__all__ = ["FAMILIES", "NAMES", "Family", "statistics"]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

MIN_SIDE = 32  # smaller pictures are continued by mirroring to this side, so that every filter and band is defined
CELLS = 16  # block statistics are taken over cells of a sixteenth of the shorter side
FLOOR = 0.05  # grey levels added before a logarithm: well below the rounding noise of 8 bits (0.29)

# Rows: BT.601 luma, red-green and blue-yellow opponent channels (Hasler & Suesstrunk 2003).
_OPPONENT = np.array([[0.299, 0.587, 0.114], [1.0, -1.0, 0.0], [0.5, 0.5, -1.0]], np.float32)
_LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (down, right) neighbours of BRISQUE


@dataclass(frozen=True, slots=True)
class Layer:
    """One scale of a picture: (H, W, 3) uint8 and three (H, W) float32 planes in grey levels, 0 to 255."""

    rgb: Pixels
    grey: Plane
    red_green: Plane
    blue_yellow: Plane


def _log(value: npt.ArrayLike, floor: float = FLOOR) -> list[float]:
    return [float(item) for item in np.log(np.atleast_1d(np.asarray(value, np.float64)) + floor)]


def _plane(values: npt.ArrayLike) -> Plane:
    return np.asarray(values, np.float32)


def _mean(plane: Plane) -> float:
    return float(cv2.mean(plane)[0])


def _energy(plane: Plane) -> float:
    """Mean square."""
    return float(cv2.norm(plane, cv2.NORM_L2SQR)) / plane.size


def _extremes(rgb: Pixels) -> tuple[Pixels, Pixels]:
    """Largest and smallest channel of every pixel."""
    red, green, blue = (np.asarray(plane, np.uint8) for plane in cv2.split(rgb))
    return np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)


def _cells(plane: Plane) -> Plane:
    """Means of `plane` over cells of a sixteenth of the shorter side."""
    high, wide = plane.shape
    cell = max(1, min(high, wide) // CELLS)
    return np.asarray(cv2.resize(plane, (wide // cell, high // cell), interpolation=cv2.INTER_AREA))


def _percentiles(values: npt.NDArray[np.floating], ranks: Iterable[float]) -> npt.NDArray[np.float64]:
    return np.asarray(np.percentile(values, list(ranks)), np.float64)


# Generalised Gaussian shapes and their moment ratio E|x|^2 / E x^2 = G(2/a)^2 / (G(1/a) G(3/a)), rising in a.
_SHAPES = np.geomspace(0.1, 10.0, 2000)
_RATIOS = np.exp(2 * gammaln(2 / _SHAPES) - gammaln(1 / _SHAPES) - gammaln(3 / _SHAPES))


def _shape(ratio: float) -> float:
    return float(np.interp(ratio, _RATIOS, _SHAPES))


def _ggd(plane: Plane) -> tuple[float, float]:
    """Shape and deviation of a generalised Gaussian by moment matching (Sharifi & Leon-Garcia 1995)."""
    first, second = float(cv2.norm(plane, cv2.NORM_L1)) / plane.size, _energy(plane)
    return _shape((first**2 + 1e-9) / (second + 1e-9)), math.sqrt(second)


def _aggd(plane: Plane) -> tuple[float, float, float, float]:
    """Shape, mean, left and right deviation of an asymmetric generalised Gaussian (Lasmar et al. 2009)."""
    left_part, right_part = np.minimum(plane, 0), np.maximum(plane, 0)
    counts = max(1, cv2.countNonZero(left_part)), max(1, cv2.countNonZero(right_part))
    left, right = (
        math.sqrt(float(cv2.norm(part, cv2.NORM_L2SQR)) / count + 1e-6)
        for part, count in zip((left_part, right_part), counts, strict=True)
    )
    first, second = float(cv2.norm(plane, cv2.NORM_L1)) / plane.size, _energy(plane)
    skew = left / right
    ratio = (first**2 + 1e-9) / (second + 1e-9) * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = _shape(ratio)
    mean = (right - left) * math.exp(gammaln(2 / shape) - 0.5 * (gammaln(1 / shape) + gammaln(3 / shape)))
    return shape, mean, left, right


def _mscn(plane: Plane) -> tuple[Plane, Plane]:
    """Mean-subtracted contrast-normalised coefficients and the local deviation (Mittal et al. 2012, eq. 1-3)."""

    def window(values: Plane) -> Plane:
        return _plane(cv2.GaussianBlur(values, (7, 7), 7 / 6, borderType=cv2.BORDER_REFLECT))

    centred = plane - window(plane)
    deviation = np.sqrt(window(centred * centred))
    return _plane(centred / (deviation + 1.0)), deviation


def laplacian(layer: Layer) -> list[float]:
    """Energy of the Laplacian, over the picture and by cells (Pech-Pacheco et al. 2000); `centre` is its inner half."""
    response = _plane(cv2.filter2D(layer.grey, cv2.CV_32F, _LAPLACIAN, borderType=cv2.BORDER_REFLECT))
    cells = _cells(response * response)
    high, wide = cells.shape
    centre = cells[high // 4 : high - high // 4, wide // 4 : wide - wide // 4]
    values = [_energy(response), float(centre.mean(dtype=np.float64)), *_percentiles(cells, (5, 25, 50, 75, 95, 100))]
    return _log(values)


def gradient(layer: Layer) -> list[float]:
    """Gradient energy (Tenengrad), percentiles of the magnitude, anisotropy of the structure tensor (Bigun 1987)."""
    right, down = (
        _plane(cv2.Sobel(layer.grey, cv2.CV_32F, *order, scale=0.25, borderType=cv2.BORDER_REFLECT))
        for order in ((1, 0), (0, 1))
    )
    xx, yy, xy = right * right, down * down, right * down
    magnitude = np.sqrt(xx[::2, ::2] + yy[::2, ::2])
    cxx, cyy, cxy = _cells(xx), _cells(yy), _cells(xy)
    cells = np.sqrt((cxx - cyy) ** 2 + 4 * cxy**2) / (cxx + cyy + FLOOR)
    mxx, myy, mxy = _mean(xx), _mean(yy), _mean(xy)
    whole = math.hypot(mxx - myy, 2 * mxy) / (mxx + myy + FLOOR)
    ratio = abs(math.log((mxx + FLOOR) / (myy + FLOOR)))
    return [*_log([mxx + myy, *_percentiles(magnitude, (25, 50, 75, 90, 99))]), whole, ratio, _mean(cells)]


def noise(layer: Layer) -> list[float]:
    """Noise deviation in grey levels (Immerkaer 1996), over the picture and percentiles over cells."""
    response = np.abs(_plane(cv2.filter2D(layer.grey, cv2.CV_32F, _IMMERKAER, borderType=cv2.BORDER_REFLECT)))
    scale = math.sqrt(math.pi / 2) / 6
    return _log([scale * _mean(response), *(scale * _percentiles(_cells(response), (2, 10, 50, 90)))])


def brisque(layer: Layer) -> list[float]:
    """The 18 features that BRISQUE takes from one scale (Mittal et al. 2012, table I), and moments of the field.

    Shapes and deviations are logarithms; means of the paired products stay as they are. Added to the 18: kurtosis and
    skewness of the coefficients, and percentiles of the local deviation over cells.
    """
    field, deviation = _mscn(layer.grey)
    shape, spread = _ggd(field)
    square = field * field
    variance = spread**2 + 1e-6
    kurtosis, skewness = _energy(square) / variance**2, _mean(square * field) / variance**1.5
    values = [*_log([shape, spread], 1e-2)]
    high, wide = field.shape
    for down, right in _SHIFTS:
        first = field[: high - down, max(0, -right) : wide - max(0, right)]
        second = field[down:, max(0, right) : wide + min(0, right)]
        shape, mean, below, above = _aggd(first * second)
        values += [*_log(shape, 1e-2), mean, *_log([below, above], 1e-2)]
    cells = _percentiles(_cells(deviation), (5, 25, 50, 75, 95))
    return [*values, *_log(kurtosis, 1.0), float(np.clip(skewness, -10, 10)), *_log(cells)]


def chroma(layer: Layer) -> list[float]:
    """GGD shape and deviation of the MSCN field of both opponent channels, and their local deviation."""
    values: list[float] = []
    for plane in (layer.red_green, layer.blue_yellow):
        field, deviation = _mscn(plane)
        values += [*_log(_ggd(field), 1e-2), *_log([_mean(deviation), *_percentiles(_cells(deviation), (10,))])]
    return values


def reblur(layer: Layer) -> list[float]:
    """Loss of neighbour differences under a 9-pixel mean along rows and columns, 0 soft to 1 sharp (Crete et al. 2007).

    The paper's blur is one minus the smaller value.
    """
    kept = []
    for axis, size in ((1, (9, 1)), (0, (1, 9))):
        kernel = np.full(size[::-1], 1 / 9, np.float32)
        smooth = cv2.filter2D(layer.grey, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT)
        sharp, soft = (np.abs(np.diff(plane, axis=axis)) for plane in (layer.grey, smooth))
        kept.append(_mean(np.maximum(sharp - soft, 0)) / (_mean(sharp) + FLOOR))
    return [min(kept), max(kept)]


def blockiness(layer: Layer) -> list[float]:
    """Differences across the lines of an 8-pixel grid against the others, on the pixels as given (Wang et al. 2002).

    Per direction: logarithm of the mean absolute difference at the grid of the top left corner over the mean of all,
    the same for the strongest of the eight phases, and the share of differences under half a grey level.
    """
    values = []
    for plane in (layer.grey, np.ascontiguousarray(layer.grey.T)):
        step = np.abs(np.diff(plane, axis=1))
        lines = step.mean(axis=0, dtype=np.float64)
        phases = np.array([lines[phase::8].mean() for phase in range(8)])
        ratios = np.log((phases + FLOOR) / (lines.mean() + FLOOR))
        values += [float(ratios[7]), float(ratios.max()), cv2.countNonZero((step < 0.5).view(np.uint8)) / step.size]
    return values


_BANDS = (0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)  # cycles per pixel; the first edge is open below


@functools.lru_cache(
    maxsize=4
)  # of each shape some 4 MiB; those of one camera, upright and on its side, and of their faces
def _radial(high: int, wide: int) -> tuple[Plane, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Hann window, band of every coefficient, and its sector: 0 horizontal, 1 vertical, 2 the rest and low bands."""
    window = np.outer(np.hanning(high + 2)[1:-1], np.hanning(wide + 2)[1:-1]).astype(np.float32)
    down, right = np.abs(scipy.fft.fftfreq(high))[:, None], scipy.fft.rfftfreq(wide)[None, :]
    radius = np.hypot(down, right)
    sector = np.where(right > 2 * down, 0, np.where(down > 2 * right, 1, 2))
    band = np.searchsorted(np.array(_BANDS), radius)
    return window, band.ravel(), np.where(radius < 0.1, 2, sector).ravel()


def spectrum(layer: Layer) -> list[float]:
    """Logarithm of the power in radial bands over the low band, slope of the fall, and balance of directions.

    Photographs fall with a power of the frequency (Field 1987); blur steepens and noise flattens the fall, and motion
    takes power from one direction.
    """
    high, wide = layer.grey.shape
    window, band, sector = _radial(high, wide)
    plane = (layer.grey - np.float32(_mean(layer.grey))) * window
    transform = scipy.fft.rfft2(plane, workers=1)
    power = (transform.real**2 + transform.imag**2).ravel() / plane.size
    count = len(_BANDS) + 1
    mean = np.bincount(band, power, count) / np.maximum(np.bincount(band, minlength=count), 1)
    level = np.log(mean[:-1] + FLOOR)
    slope = np.polyfit(np.log(np.array(_BANDS)), level, 1)[0]
    horizontal, vertical, _ = np.bincount(sector, power, 3) / np.maximum(np.bincount(sector, minlength=3), 1)
    balance = abs(math.log((horizontal + FLOOR) / (vertical + FLOOR)))
    return [*(float(item) for item in level[1:] - level[0]), float(slope), balance]


def histogram(layer: Layer) -> list[float]:
    """Percentiles of luma (0 to 1), moments, entropy in bits, clipping of any channel, and gaps left by stretching."""
    luma = np.rint(layer.grey).astype(np.uint8)
    counts = np.bincount(luma.ravel(), minlength=256)
    share = counts / luma.size
    below = np.cumsum(share)
    ranks = [int(np.searchsorted(below, rank - 1e-9)) for rank in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)]
    level = np.arange(256)
    mean = float((share * level).sum())
    deviation = math.sqrt(float((share * (level - mean) ** 2).sum()))
    skewness = float((share * (level - mean) ** 3).sum()) / (deviation + 1.0) ** 3
    entropy = -float((share[share > 0] * np.log2(share[share > 0])).sum())
    used = counts[ranks[0] : ranks[-1] + 1]
    gaps = 1 - np.count_nonzero(used) / used.size
    top, low = _extremes(layer.rgb)
    dark, bright, any_bright = top <= 4, low >= 251, top >= 254
    clipped = [cv2.countNonZero(mask.view(np.uint8)) / luma.size for mask in (dark, bright, any_bright)]
    return [*(rank / 255 for rank in ranks), *_log(deviation, 1.0), skewness, entropy, gaps, *_log(clipped, 1e-3)]


def colour(layer: Layer) -> list[float]:
    """Saturation, colourfulness (Hasler & Suesstrunk 2003), CIE Lab moments, chroma, dark channel (He et al. 2009)."""
    top, low = _extremes(layer.rgb)
    saturation = (top - low) / (top + np.float32(1))
    opponent = cv2.meanStdDev(cv2.merge([layer.red_green, layer.blue_yellow]))
    offset, spread = (math.hypot(float(item[0, 0]), float(item[1, 0])) for item in opponent)
    colourfulness = spread + 0.3 * offset
    lab = cv2.cvtColor(layer.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    centre, deviation = cv2.meanStdDev(lab)
    strength = _plane(cv2.magnitude(np.ascontiguousarray(lab[..., 1]), np.ascontiguousarray(lab[..., 2])))
    side = max(3, min(low.shape) // 20)
    dark = cv2.erode(low, np.ones((side, side), np.uint8))[::2, ::2] / 255
    return [
        *(float(item[0, 0]) for item in cv2.meanStdDev(saturation)),
        float(_percentiles(saturation[::2, ::2], (90,))[0]),
        *_log(colourfulness, 1.0),
        float(centre[0, 0]) / 100,
        *(float(item) / 20 for item in centre[1:, 0]),
        *_log(deviation[:, 0], 1.0),
        *_log(_mean(strength), 1.0),
        float(dark.mean()),
        *(float(item) for item in _percentiles(dark, (50, 90))),
    ]


@dataclass(frozen=True, slots=True)
class Family:
    """A row: the function, the scales it looks at (1: as given, 2: half the side) and the name of each value."""

    measure: Callable[[Layer], Sequence[float]]
    scales: tuple[int, ...]
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.measure.__name__


_PAIRS = tuple(
    f"{pair}_{value}"
    for pair in ("right", "down", "diagonal", "antidiagonal")
    for value in ("shape", "mean", "left", "right")
)

FAMILIES: tuple[Family, ...] = (
    Family(laplacian, (1, 2), ("energy", "centre", "p5", "p25", "p50", "p75", "p95", "p100")),
    Family(gradient, (1, 2), ("energy", "p25", "p50", "p75", "p90", "p99", "anisotropy", "balance", "cell_anisotropy")),
    Family(noise, (1, 2), ("sigma", "p2", "p10", "p50", "p90")),
    Family(
        brisque,
        (1, 2),
        ("shape", "spread", *_PAIRS, "kurtosis", "skewness", *(f"deviation_p{rank}" for rank in (5, 25, 50, 75, 95))),
    ),
    Family(
        chroma,
        (1, 2),
        tuple(
            f"{plane}_{value}" for plane in ("rg", "by") for value in ("shape", "spread", "deviation", "deviation_p10")
        ),
    ),
    Family(reblur, (1, 2), ("low", "high")),
    Family(blockiness, (1,), tuple(f"{way}_{value}" for way in ("x", "y") for value in ("grid", "phase", "flat"))),
    Family(spectrum, (1,), (*(f"band{band}" for band in range(1, len(_BANDS))), "slope", "balance")),
    Family(
        histogram,
        (1,),
        (
            *(f"p{rank}" for rank in (1, 5, 25, 50, 75, 95, 99)),
            *("deviation", "skewness", "entropy", "gaps", "clipped_dark", "clipped_bright", "clipped_any"),
        ),
    ),
    Family(
        colour,
        (2,),
        (
            *("saturation", "saturation_deviation", "saturation_p90", "colourfulness", "l", "a", "b"),
            *("l_deviation", "a_deviation", "b_deviation", "chroma", "dark", "dark_p50", "dark_p90"),
        ),
    ),
)

NAMES: tuple[str, ...] = tuple(
    f"{family.name}.{scale}.{value}" for family in FAMILIES for scale in family.scales for value in family.values
)


def _layer(rgb: Pixels) -> Layer:
    planes = cv2.split(cv2.transform(rgb.astype(np.float32), _OPPONENT))
    return Layer(rgb, *(_plane(plane) for plane in planes))


def _half(layer: Layer) -> Layer:
    """Half the side by exact 2 x 2 means; an odd last row or column is left out."""
    high, wide = (side // 2 * 2 for side in layer.grey.shape)

    def reduce(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(cv2.resize(values[:high, :wide], (wide // 2, high // 2), interpolation=cv2.INTER_AREA))

    return Layer(reduce(layer.rgb), reduce(layer.grey), reduce(layer.red_green), reduce(layer.blue_yellow))


def statistics(rgb: Pixels) -> npt.NDArray[np.float32]:
    """The statistics of an sRGB picture, (H, W, 3) uint8, as a (len(NAMES),) float32 vector in the order of `NAMES`.

    A side under 32 pixels is mirrored outwards to 32 first. Raises InputError for other shapes, types or no pixels.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise InputError(f"expected (H, W, 3) uint8 with H, W >= 1, got {rgb.shape} {rgb.dtype}; convert to 8-bit sRGB")
    missing = [max(0, MIN_SIDE - side) for side in rgb.shape[:2]]
    if any(missing):
        rgb = np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    full = _layer(np.ascontiguousarray(rgb))
    layers = {1: full, 2: _half(full)}
    values = [value for family in FAMILIES for scale in family.scales for value in family.measure(layers[scale])]
    return np.asarray(values, np.float32)
