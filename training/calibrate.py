"""Make spreads and win probabilities honest on pictures that the model was not trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

from pqa.errors import DataError
from pqa.spec import Calibration

__all__ = ["calibrate", "within"]

Vector = npt.NDArray[np.floating]


def calibrate(score: Vector, std: Vector, mos: Vector, groups: npt.NDArray[np.integer] | None = None) -> Calibration:
    """Fit both constants on held-out pictures: (N,) predictions, predicted spreads and mean ratings.

    `std_scale` makes the standardised errors have unit mean square; `win_slope` maximises the likelihood of the order of the
    ratings over all pairs with different ratings. With `groups` (N,), numbers of the scenes, ratings compare within a scene
    only: pairs are those of one scene, and errors are what is left when every scene's mean and one common gain, which a loss
    without a scale leaves open, are taken off. Raises DataError where no pair is left.
    """
    if groups is None:
        errors, apart, kind = mos - score, np.zeros((len(mos), len(mos)), bool), "cross-picture"
    else:
        predicted, rated = _centred(score, groups), _centred(mos, groups)
        gain = float(predicted @ rated / max(predicted @ predicted, 1e-12))
        errors = rated / gain - predicted if gain > 0 else rated - predicted
        apart, kind = groups[:, None] != groups[None, :], "same-scene"
    std_scale = float(np.sqrt(np.mean((errors / std) ** 2)))
    slope, pairs = _slope(score, std_scale * std, mos, apart)
    return Calibration(std_scale, slope, f"{len(score)} held-out portraits, {pairs} {kind} pairs")


def within(found: Calibration, score: Vector, std: Vector, mos: Vector, groups: npt.NDArray[np.integer]) -> Calibration:
    """`found` with a slope of its own for shots of one scene, by held-out pictures (N,) of which `groups` (N,) tells the scene.

    Ratings must compare across scenes. Raises DataError where no pair is left.
    """
    slope, pairs = _slope(score, found.std_scale * std, mos, groups[:, None] != groups[None, :])
    return replace(found, within_slope=slope, source=f"{found.source}, {pairs} same-scene pairs")


def _slope(score: Vector, std: Vector, mos: Vector, apart: npt.NDArray[np.bool_]) -> tuple[float, int]:
    """The most likely slope, and of how many pairs: all but those that are `apart` (N, N) and those of equal ratings."""
    i, j = np.triu_indices(len(score), k=1)
    sign = np.sign(mos[i] - mos[j])
    used = (sign != 0) & ~apart[i, j]
    if not used.any():
        raise DataError("no two held-out pictures of one scene differ in their rating: nothing to calibrate on")
    margin = (sign * (score[i] - score[j]) / np.hypot(std[i], std[j]))[used]
    fit = minimize_scalar(lambda slope: -float(log_ndtr(slope * margin).mean()), bounds=(0.05, 20.0), method="bounded")
    return float(fit.x), len(margin)


def _centred(values: Vector, groups: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """(N,) values less the mean of their group."""
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(place, values) / counts
    return np.asarray(values - means[place], np.float64)
