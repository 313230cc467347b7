"""Mappings from a predictor's scale to the rating scale, fitted before PLCC, MAE and RMSE.

`logistic4` is the four-parameter logistic of VQEG's FR-TV Phase I report (2000), section 3.2, as DN-PIQA applies it:
y = b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)). `cubic` is the third-order polynomial of ITU-T P.1401 (01/2020),
section 7.3.2, which must be monotonic over the data's range. `raw` changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.special import expit

from pqa.errors import unknown_key

__all__ = ["MAPPINGS", "Fit", "fit"]

Array = npt.NDArray[np.float64]

STEEPEST, FLATTEST = -9.0, 2.5  # bounds on log(b4 / s.d. of x): a step at one end, a straight line at the other
START_WIDTHS = (-6.0, -4.0, -2.0, -1.0, 0.0, 1.5)  # log(b4 / s.d. of x) where the search may begin
START_PLACES = 19  # quantiles of x where it may put the middle


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted mapping, callable on scores of the same predictor.

    `name` is what was applied: `raw` where too few pictures (or constant predictions) allow no fit. Parameters belong to
    u = (x - centre) / scale: the four b of the logistic, or the polynomial's coefficients from the constant up.
    `constrained`: the least-squares cubic turned back inside the data's range, and the best monotonic one took its place.
    """

    name: str
    parameters: tuple[float, ...] = ()
    centre: float = 0.0
    scale: float = 1.0
    increasing: bool = True
    constrained: bool = False

    def __call__(self, x: npt.ArrayLike) -> Array:
        """(N,) scores to (N,) values on the rating scale."""
        values = np.asarray(x, dtype=np.float64)
        if self.name == "raw":
            return values
        u = (values - self.centre) / self.scale
        if self.name == "cubic":
            return np.asarray(np.polynomial.polynomial.polyval(u, self.parameters), dtype=np.float64)
        top, bottom, middle, width = self.parameters
        return np.asarray(bottom + (top - bottom) * expit((u - middle) / width), dtype=np.float64)

    @property
    def free(self) -> int:
        """Degrees of freedom that the mapping takes, d of P.1401 section 7.5.1 (1 for no mapping)."""
        return len(self.parameters) or 1


def fit(name: str, scores: npt.ArrayLike, labels: npt.ArrayLike) -> Fit:
    """Least-squares fit of (N,) labels by a function of (N,) scores. Raises ConfigurationError for an unknown name."""
    if name not in MAPPINGS:
        raise unknown_key(name, MAPPINGS, "mapping")
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    # As many parameters as pictures would fit anything perfectly.
    if name == "raw" or x.size < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Fit("raw")
    return MAPPINGS[name](x, y)


def _raw(x: Array, y: Array) -> Fit:
    return Fit("raw")


def _solve(
    residual: Callable[[Array], Array], starts: list[list[float]], slope: Callable[[Array], Array] | Literal["2-point"]
) -> Array:
    """The best of several local searches; the optimum of both curves depends little on the start."""
    found: list[Any] = [least_squares(residual, start, jac=slope, method="lm", max_nfev=500) for start in starts]
    return np.asarray(min(found, key=lambda each: float(each.cost)).x, dtype=np.float64)


def _logistic(x: Array, y: Array) -> Fit:
    centre, scale = float(x.mean()), float(x.std())
    u, level, spread = (x - centre) / scale, float(y.mean()), float(y.std())
    v = (y - level) / spread

    def rise(p: Array) -> Array:
        return np.asarray(expit((u - p[2]) / np.exp(np.clip(p[3], STEEPEST, FLATTEST))))

    def residual(p: Array) -> Array:
        return np.asarray(p[1] + (p[0] - p[1]) * rise(p) - v)

    def slope(p: Array) -> Array:
        share = rise(p)
        bend = (p[0] - p[1]) * share * (1 - share)
        width = np.exp(np.clip(p[3], STEEPEST, FLATTEST))
        inside = STEEPEST < p[3] < FLATTEST
        return np.stack([share, 1 - share, -bend / width, -bend * (u - p[2]) / width * inside], axis=1)

    starts = _logistic_starts(u, v)
    top, bottom, middle, width = _solve(residual, starts, slope)
    width = float(np.exp(np.clip(width, STEEPEST, FLATTEST)))
    parameters = (float(level + spread * top), float(level + spread * bottom), float(middle), width)
    return Fit("logistic4", parameters, centre, scale, increasing=bool(top >= bottom))


def _logistic_starts(u: Array, v: Array, count: int = 4) -> list[list[float]]:
    """The best of a grid of middles and widths, with the top and bottom that fit best there.

    The error has a valley for every step between two pictures, so a start in the middle alone may miss the deepest.
    """
    middles = np.unique(np.quantile(u, np.linspace(0, 1, START_PLACES + 2)[1:-1]))
    places, widths = (part.ravel() for part in np.meshgrid(middles, START_WIDTHS))
    shares = expit((u - places[:, None]) / np.exp(widths)[:, None])
    centred = shares - shares.mean(axis=1, keepdims=True)
    power = np.sum(centred**2, axis=1)
    rise = np.where(power > 1e-9, centred @ v / np.maximum(power, 1e-9), 0.0)
    bottom = v.mean() - rise * shares.mean(axis=1)
    best = np.argsort(-(rise**2) * power, kind="stable")[:count]
    return [[float(bottom[k] + rise[k]), float(bottom[k]), float(places[k]), float(widths[k])] for k in best]


def _cubic(x: Array, y: Array) -> Fit:
    low, high = float(x.min()), float(x.max())
    centre, scale = (low + high) / 2, (high - low) / 2
    u = (x - centre) / scale
    design = np.vander(u, 4, increasing=True)
    free = np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], dtype=np.float64)
    rise = float(np.polynomial.polynomial.polyval(1.0, free) - np.polynomial.polynomial.polyval(-1.0, free))
    if _monotonic(free):
        return Fit("cubic", tuple(map(float, free)), centre, scale, increasing=rise >= 0)
    sides = [(sign, _monotonic_cubic(design, y, sign)) for sign in (1.0, -1.0)]
    sign, best = min(sides, key=lambda side: float(np.sum((design @ side[1] - y) ** 2)))
    return Fit("cubic", tuple(map(float, best)), centre, scale, increasing=sign > 0, constrained=True)


def _monotonic(coefficients: Array) -> bool:
    """Whether the derivative keeps its sign on [-1, 1]: look at both ends and at its own extremum."""
    _, b, c, d = coefficients
    points = [-1.0, 1.0]
    if d != 0 and abs(c / (3 * d)) < 1:
        points.append(float(-c / (3 * d)))
    slopes = [b + 2 * c * u + 3 * d * u * u for u in points]
    return all(slope >= 0 for slope in slopes) or all(slope <= 0 for slope in slopes)


def _monotonic_cubic(design: Array, y: Array, sign: float) -> Array:
    """Coefficients of the best cubic whose derivative has `sign` on [-1, 1].

    Such a derivative is sign * ((p + q u)^2 + r^2 (1 - u^2)), and every one is (Markov and Lukacs); so an unconstrained
    search over p, q, r walks through monotonic cubics only.
    """

    def coefficients(p: Array) -> Array:
        a, q, r = p[1], p[2], p[3]
        return np.array([p[0], sign * (a * a + r * r), sign * a * q, sign * (q * q - r * r) / 3])

    size = float(np.sqrt(np.ptp(y) / 2))
    starts = [
        [float(y.mean()), size * a, size * q, size * r]
        for a, q, r in ((0.7, 0.1, 0.7), (0.7, 0.7, 0.1), (0.7, -0.7, 0.1))
    ]
    return coefficients(_solve(lambda p: design @ coefficients(p) - y, starts, "2-point"))


MAPPINGS: dict[str, Callable[[Array, Array], Fit]] = {"raw": _raw, "logistic4": _logistic, "cubic": _cubic}
