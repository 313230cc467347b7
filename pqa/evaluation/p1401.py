"""Tests of ITU-T P.1401 (01/2020), *Methods, metrics and procedures for statistical evaluation, qualification and comparison
of objective quality prediction models*, one comparison at a time.

They take the two models as measured on independent samples. Where both saw the same pictures errors go together, so these
tests are cautious there; `pqa.evaluation.significance` has the paired ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from pqa.errors import DataError

__all__ = [
    "Test",
    "correlation_difference",
    "epsilon_rmse",
    "outlier_difference",
    "outlier_ratio",
    "residual_error",
    "rmse_difference",
]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Test:
    """A test statistic, positive when the first model is better, and its two-sided p-value."""

    __test__ = False  # not a test case, whatever collects by name

    statistic: float
    p: float


def correlation_difference(first: float, second: float, n_first: int, n_second: int) -> Test:
    """Two correlations on n pictures each, by Fisher's z: P.1401 section 7.6.1. Correlations of 1 count as 1 - 1e-12."""
    if min(n_first, n_second) < 4:
        return Test(0.0, 1.0)
    z = np.arctanh(np.clip([first, second], -1 + 1e-12, 1 - 1e-12))
    statistic = float((z[0] - z[1]) / np.sqrt(1 / (n_first - 3) + 1 / (n_second - 3)))
    return Test(statistic, float(2 * stats.norm.sf(abs(statistic))))


def residual_error(predicted: npt.ArrayLike, labels: npt.ArrayLike, free: int = 1) -> float:
    """RMSE with N - d in place of N, d the degrees of freedom of the mapping (`Fit.free`): P.1401 section 7.5.1."""
    return _root(np.asarray(predicted, dtype=np.float64) - np.asarray(labels, dtype=np.float64), free)


def epsilon_rmse(predicted: npt.ArrayLike, labels: npt.ArrayLike, ci: npt.ArrayLike, free: int = 1) -> float:
    """RMSE*: only what an error exceeds (N,) `ci`, the half-width of each label's 95 % interval, counts. Section 7.7."""
    error = np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(labels, dtype=np.float64))
    return _root(np.maximum(error - np.asarray(ci, dtype=np.float64), 0.0), free)


def _root(error: Array, free: int) -> float:
    if error.size <= free:
        raise DataError(f"expected more pictures than the mapping's {free} degrees of freedom, got {error.size}")
    return float(np.sqrt(np.sum(error**2) / (error.size - free)))


def rmse_difference(first: float, second: float, free_first: int, free_second: int) -> Test:
    """Two RMSE (or RMSE*) with N - d degrees of freedom each, by the F test: P.1401 sections 7.6.4 and 7.7.

    The statistic is log(second^2 / first^2), so that it is positive when the first model errs less.
    """
    if first == second:
        return Test(0.0, 1.0)
    better, worse, free_better, free_worse = first, second, free_first, free_second
    if second < first:
        better, worse, free_better, free_worse = second, first, free_second, free_first
    ratio = np.inf if better == 0 else (worse / better) ** 2
    p = min(1.0, 2 * float(stats.f.sf(ratio, free_worse, free_better)))
    size = float(np.log(ratio))
    return Test(size if first < second else -size, p)


def outlier_ratio(predicted: npt.ArrayLike, labels: npt.ArrayLike, ci: npt.ArrayLike) -> float:
    """Share of pictures whose error exceeds the half-width of the label's 95 % interval: P.1401 section 7.5.2.2."""
    error = np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(labels, dtype=np.float64))
    return float(np.mean(error > np.asarray(ci, dtype=np.float64)))


def outlier_difference(first: float, second: float, n_first: int, n_second: int) -> Test:
    """Two outlier ratios, as two proportions with pooled variance: P.1401 section 7.6.2."""
    pooled = (n_first * first + n_second * second) / (n_first + n_second)
    variance = pooled * (1 - pooled) * (1 / n_first + 1 / n_second)
    if variance == 0:
        return Test(0.0, 1.0)
    statistic = float((second - first) / np.sqrt(variance))
    return Test(statistic, float(2 * stats.norm.sf(abs(statistic))))
