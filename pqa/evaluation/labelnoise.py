"""Chance in the labels themselves: how much a score owes to it, and how high any predictor could reach.

Ratings of finitely many observers carry a standard deviation (PIQ23: the column JOD STD). Classical test theory (Lord &
Novick 1968, chapter 3) splits the labels' variance in a scene into that of the true ratings and that of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pqa.errors import DataError
from pqa.evaluation.mappings import Fit
from pqa.evaluation.metrics import METRICS, Evaluation, by_scene, checked
from pqa.evaluation.resampling import Columns, draws_for, noisy_labels

__all__ = ["Ceiling", "Noise", "label_noise", "noise_ceiling"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Noise:
    """Median over scenes when the labels move by their own standard deviation: mean and s.d. over the draws."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a predictor that knows the true ratings would reach on the noisy ones of this scene, on average.

    `reliability` is the share of the labels' variance that is not noise; PLCC's ceiling is close to its root.
    """

    scene: str
    n: int
    reliability: float
    srcc: float
    plcc: float
    krcc: float
    mae: float
    rmse: float
    score: float
    draws: int


def label_noise(
    evaluation: Evaluation,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    stds: npt.ArrayLike,
    scenes: npt.ArrayLike,
    *,
    draws: int = 500,
    seed: int = 0,
) -> dict[str, Noise]:
    """How much each median over scenes owes to chance in the labels: same pictures, labels moved by N(0, `stds`).

    Read the s.d.; the mean lies below the measured value, because noise is added to labels that are noisy already.
    """
    x, y, std = _with_stds(scores, labels, stds)
    table = []
    for k, index in enumerate(by_scene(scenes, x.size).values()):
        scene = Columns.of(x[index], y[index], evaluation.scenes[k].fit)
        rng = np.random.default_rng([seed, k])
        made = noisy_labels(scene, std[index], rng, draws_for(index.size, draws))
        table.append(made[:, rng.integers(made.shape[1], size=draws)] if made.shape[1] < draws else made)
    medians = np.median(np.stack(table, axis=1), axis=1)
    return {m: Noise(float(medians[i].mean()), float(medians[i].std())) for i, m in enumerate(METRICS)}


def noise_ceiling(
    labels: npt.ArrayLike, stds: npt.ArrayLike, scenes: npt.ArrayLike, *, draws: int = 500, seed: int = 0
) -> tuple[Ceiling, ...]:
    """The noise ceiling of every scene, from (N,) labels and their standard deviations.

    True ratings are unknown, but labels shrunk towards their scene's mean by the root of the reliability have the
    variance of the true ones. Those stand in, set against themselves plus fresh noise, which is taken as Gaussian and
    independent between pictures. A scene whose labels vary less than their noise has reliability 0.
    """
    _, y, std = _with_stds(labels, labels, stds)
    found = []
    for k, (name, index) in enumerate(by_scene(scenes, y.size).items()):
        centre, variance = y[index].mean(), float(y[index].var(ddof=1)) if index.size > 1 else 0.0
        reliability = max(0.0, 1 - float(np.mean(std[index] ** 2)) / variance) if variance > 0 else 0.0
        true = centre + np.sqrt(reliability) * (y[index] - centre)
        count = draws_for(index.size, draws)
        made = noisy_labels(Columns.of(true, true, Fit("raw")), std[index], np.random.default_rng([seed, k]), count)
        means = dict(zip(METRICS, map(float, made.mean(axis=1)), strict=True))
        found.append(Ceiling(name, index.size, reliability, draws=count, **means))
    return tuple(found)


def _with_stds(scores: npt.ArrayLike, labels: npt.ArrayLike, stds: npt.ArrayLike) -> list[Array]:
    columns = checked(scores=scores, labels=labels, stds=stds)
    if np.any(columns[2] < 0):
        raise DataError(f"{int(np.sum(columns[2] < 0))} label standard deviations are negative")
    return columns
