"""Errors of all scenes together, after the mapping of each scene, and P.1401's tests between models on them.

JOD of different scenes do not compare, but errors in JOD do: each is the distance of a picture from its own label.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pqa.evaluation import p1401
from pqa.evaluation.metrics import Evaluation, by_scene
from pqa.evaluation.significance import Verdict, adjust

__all__ = ["Pooled", "PooledTest", "mapped_scores", "pooled", "pooled_tests"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pooled:
    """P.1401's figures over all pictures: RMSE with N - d, RMSE* and outlier ratio (None without label intervals)."""

    n: int
    free: int
    rmse: float
    epsilon_rmse: float | None
    outlier_ratio: float | None


@dataclass(frozen=True, slots=True)
class PooledTest:
    """One of P.1401's tests between two models; the verdict is the first model's, after correction."""

    first: str
    second: str
    test: Literal["rmse", "epsilon_rmse", "outlier_ratio"]
    statistic: float
    p: float
    adjusted: float
    verdict: Verdict


def mapped_scores(evaluation: Evaluation, scores: Array, scenes: Sequence[str]) -> Array:
    """(N,) scores on the labels' scale, each by its scene's mapping."""
    out = np.empty(scores.size)
    for scene, index in zip(evaluation.scenes, by_scene(scenes, scores.size).values(), strict=True):
        out[index] = scene.fit(scores[index])
    return out


def pooled(
    evaluation: Evaluation, scores: Array, labels: Array, ci: Array | None, scenes: Sequence[str]
) -> Pooled | None:
    """None when the mappings take as many degrees of freedom as there are pictures."""
    free = sum(scene.fit.free for scene in evaluation.scenes)
    if scores.size <= free:
        return None
    predicted = mapped_scores(evaluation, scores, scenes)
    known = ci is not None and bool(np.all(np.isfinite(ci)))
    return Pooled(
        scores.size,
        free,
        p1401.residual_error(predicted, labels, free),
        p1401.epsilon_rmse(predicted, labels, ci, free) if known and ci is not None else None,
        p1401.outlier_ratio(predicted, labels, ci) if known and ci is not None else None,
    )


def pooled_tests(
    models: dict[str, Pooled], alpha: float, correction: Literal["holm", "bonferroni", "none"]
) -> tuple[PooledTest, ...]:
    """Every test on every pair of models; p-values are corrected over the pairs, each test apart."""
    pairs = list(itertools.combinations(models, 2))
    found = []
    for name in ("rmse", "epsilon_rmse", "outlier_ratio"):
        tests = [_test(name, models[a], models[b]) for a, b in pairs]
        made = [(pair, test) for pair, test in zip(pairs, tests, strict=True) if test is not None]
        corrected = adjust([test.p for _, test in made], correction)
        for (pair, test), adjusted in zip(made, corrected, strict=True):
            verdict: Verdict = "tie"
            if adjusted < alpha and test.statistic != 0:
                verdict = "win" if test.statistic > 0 else "loss"
            found.append(PooledTest(*pair, name, test.statistic, test.p, adjusted, verdict))
    return tuple(found)


def _test(name: Literal["rmse", "epsilon_rmse", "outlier_ratio"], a: Pooled, b: Pooled) -> p1401.Test | None:
    first, second = getattr(a, name), getattr(b, name)
    if first is None or second is None:
        return None
    if name == "outlier_ratio":
        return p1401.outlier_difference(first, second, a.n, b.n)
    return p1401.rmse_difference(first, second, a.n - a.free, b.n - b.free)
