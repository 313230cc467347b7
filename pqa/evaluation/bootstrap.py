"""How far a score could have fallen otherwise: bootstrap intervals over scenes and over pictures.

BCa: Efron 1987, *Better bootstrap confidence intervals*; Efron & Tibshirani 1993, section 14.3, with the acceleration of
several samples from Davison & Hinkley 1997, section 5.3. It is the method for one scene and for resampled scenes. The
median over scenes of resampled pictures is too rough a statistic for it: its bias correction then chases noise and the
intervals come out too short, where percentile intervals err on the safe side (`bench/interval_coverage.py` measures both).
So `auto` takes the percentile interval there, and wherever every resample lies on one side of the estimate;
`Interval.method` says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from pqa.errors import ConfigurationError
from pqa.evaluation.metrics import METRICS, Evaluation, by_scene, checked, evaluate
from pqa.evaluation.resampling import Columns, left_out_metrics, resampled_metrics

__all__ = ["Interval", "Replicates", "bca", "bootstrap", "replicates", "resampled_medians", "scene_intervals"]

Array = npt.NDArray[np.float64]
Resample = Literal["scenes", "pictures", "both"]
Method = Literal["auto", "bca", "percentile"]


@dataclass(frozen=True, slots=True)
class Interval:
    """`value` on the data as they are, [low, high] at the asked confidence, `std` of the resamples."""

    value: float
    low: float
    high: float
    std: float
    method: Literal["bca", "percentile"]


@dataclass(frozen=True, slots=True)
class Replicates:
    """Resamples of pictures inside each scene: `table` (metrics, scenes, resamples), `left_out` a (metrics, n) each scene.

    Two predictors of the same pictures and seed share their resamples, so that differences of their tables are paired.
    """

    evaluation: Evaluation
    table: Array
    left_out: tuple[Array, ...]
    seed: int


def bca(value: float, resamples: Array, acceleration: float, confidence: float, *, plain: bool = False) -> Interval:
    """The BCa interval of (B,) resampled values (Efron & Tibshirani 1993, equation 14.9); percentile when `plain`."""
    below = (np.count_nonzero(resamples < value) + 0.5 * np.count_nonzero(resamples == value)) / resamples.size
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    method: Literal["bca", "percentile"] = "percentile"
    if 0 < below < 1 and not plain:
        bias = float(ndtri(below))
        shifted = bias + ndtri(tails)
        room = 1 - acceleration * shifted
        if np.all(room > 0):
            tails, method = ndtr(bias + shifted / room), "bca"
    low, high = np.quantile(resamples, tails)
    return Interval(float(value), float(low), float(high), float(resamples.std()), method)


def replicates(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    scenes: npt.ArrayLike,
    *,
    mapping: str = "raw",
    resamples: int = 5000,
    seed: int = 0,
) -> Replicates:
    """Resample the pictures of each scene with replacement. The mapping is fitted once and held, not once a resample."""
    if resamples < 100:
        raise ConfigurationError(f"expected at least 100 resamples for an interval, got {resamples}")
    evaluation = evaluate(scores, labels, scenes, mapping=mapping)
    x, y = checked(scores=scores, labels=labels)
    table = np.empty((len(METRICS), len(evaluation.scenes), resamples))
    left_out = []
    for k, index in enumerate(by_scene(scenes, x.size).values()):
        scene = Columns.of(x[index], y[index], evaluation.scenes[k].fit)
        table[:, k] = resampled_metrics(scene, np.random.default_rng([seed, k]), resamples)
        left_out.append(left_out_metrics(scene) if index.size > 1 else np.zeros((len(METRICS), 1)))
    return Replicates(evaluation, table, tuple(left_out), seed)


def bootstrap(
    source: Replicates, *, resample: Resample = "scenes", confidence: float = 0.95, method: Method = "auto"
) -> dict[str, Interval]:
    """Intervals for the median over scenes of each of METRICS.

    `scenes`: other scenes might have been photographed; the spread between scenes holds that between pictures. `pictures`:
    these very scenes with other pictures. `both`: scenes, then pictures inside each; conservative.
    """
    if not 0 < confidence < 1:
        raise ConfigurationError(f"expected a confidence between 0 and 1, got {confidence}")
    values = np.stack([source.evaluation.values(metric) for metric in METRICS])
    if values.shape[1] == 1 and resample != "pictures":
        raise ConfigurationError(f"one scene cannot be resampled over {resample}; use pictures")
    medians = np.median(values, axis=1)
    drawn = resampled_medians(values, source.table, resample, source.seed)
    if resample == "pictures":
        accelerations = [
            _stratified_acceleration(row, [left[m] for left in source.left_out]) for m, row in enumerate(values)
        ]
    else:
        accelerations = [_acceleration(_without_each(row)) for row in values]
    rough = resample != "scenes" and values.shape[1] > 1
    plain = method == "percentile" or (method == "auto" and rough)
    return {
        metric: bca(medians[m], drawn[m], accelerations[m], confidence, plain=plain) for m, metric in enumerate(METRICS)
    }


def scene_intervals(source: Replicates, *, confidence: float = 0.95) -> list[dict[str, Interval]]:
    """The BCa interval of every metric in every scene, over its pictures; scenes in the order of the evaluation."""
    return [
        {
            metric: bca(getattr(scene, metric), table[m], _acceleration(left[m]), confidence)
            for m, metric in enumerate(METRICS)
        }
        for scene, table, left in zip(
            source.evaluation.scenes, source.table.transpose(1, 0, 2), source.left_out, strict=True
        )
    ]


def resampled_medians(values: Array, table: Array, resample: Resample, seed: int) -> Array:
    """(metrics, B) medians over scenes. `values` (metrics, S) on the data, `table` (metrics, S, B) of picture resamples."""
    _, scenes, count = table.shape
    if resample == "pictures":
        return np.asarray(np.median(table, axis=1))
    rng = np.random.default_rng([seed, scenes, count])
    picked = rng.integers(scenes, size=(scenes, count))
    if resample == "scenes":
        return np.asarray(np.median(values[:, picked], axis=1))
    if resample == "both":
        # A scene drawn twice gets two independent picture resamples.
        return np.asarray(np.median(table[:, picked, rng.integers(count, size=(scenes, count))], axis=1))
    raise ConfigurationError(f"expected resample to be scenes, pictures or both, got {resample!r}")


def _acceleration(left_out: Array) -> float:
    """Efron & Tibshirani 1993, equation 14.15, from the (n,) leave-one-out values."""
    deviation = left_out.mean() - left_out
    power = float(np.sum(deviation**2))
    return float(np.sum(deviation**3) / (6 * power**1.5)) if power > 0 else 0.0


def _without_each(values: Array) -> Array:
    """(S,) medians of the scenes without each one in turn."""
    if values.size < 2:
        return values
    return np.array([np.median(np.delete(values, k)) for k in range(values.size)])


def _stratified_acceleration(values: Array, left_out: list[Array]) -> float:
    """Davison & Hinkley 1997, section 5.3: jackknife influence inside each scene, scaled by its number of pictures."""
    cubes = squares = 0.0
    for k, of_scene in enumerate(left_out):
        others = np.delete(values, k)
        medians = np.median(np.concatenate([np.repeat(others[:, None], of_scene.size, axis=1), of_scene[None]]), axis=0)
        influence = (of_scene.size - 1) * (medians.mean() - medians)
        cubes += float(np.sum(influence**3)) / of_scene.size**3
        squares += float(np.sum(influence**2)) / of_scene.size**2
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0
