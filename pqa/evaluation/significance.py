"""Is one model better than another? Paired permutation and bootstrap over scenes, and a win/tie/loss matrix.

The unit is the scene, as for a claim about new scenes; models share their scenes, pictures and resamples. Tests of single
scenes and pooled errors are those of ITU-T P.1401, in `pqa.evaluation.p1401`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pqa.errors import ConfigurationError, DataError, unknown_key
from pqa.evaluation.bootstrap import Interval, Replicates, Resample, bca, resampled_medians
from pqa.evaluation.metrics import METRICS
from pqa.evaluation.p1401 import Test, correlation_difference

__all__ = ["Comparison", "Verdict", "adjust", "compare", "paired_bootstrap", "paired_permutation", "wins"]

Array = npt.NDArray[np.float64]
Verdict = Literal["win", "tie", "loss"]

SCENES_EXACT = 15  # up to 2^15 swaps are all tried
SWAPS = 20_000


def adjust(p: Sequence[float], method: Literal["holm", "bonferroni", "none"] = "holm") -> list[float]:
    """p-values corrected for their number, in the order given.

    `bonferroni` is P.1401 section 7.6.5; `holm` (1979) holds the same error rate with more power.
    """
    m = len(p)
    if method == "none":
        return [float(each) for each in p]
    if method == "bonferroni":
        return [min(1.0, each * m) for each in p]
    if method != "holm":
        raise unknown_key(method, ("holm", "bonferroni", "none"), "correction")
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.asarray(p, dtype=np.float64)[order] * (m - np.arange(m)))
    out = np.empty(m)
    out[order] = np.minimum(stepped, 1.0)
    return [float(each) for each in out]


def paired_permutation(first: npt.ArrayLike, second: npt.ArrayLike, *, seed: int = 0) -> Test:
    """Two models' (S,) scores per scene: would swapping the models scene by scene differ as much in the median?

    All 2^S swaps up to 15 scenes; above, 20,000 random ones and p = (b + 1) / (m + 1) (Phipson & Smyth 2010).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.size == 0:
        raise DataError(f"expected scores of the same scenes, got {a.shape} and {b.shape}")
    if a.size <= SCENES_EXACT:
        swap = np.array(list(itertools.product((False, True), repeat=a.size)))
    else:
        swap = np.random.default_rng(seed).random((SWAPS, a.size)) < 0.5
    found = np.median(a) - np.median(b)
    drawn = np.median(np.where(swap, b, a), axis=1) - np.median(np.where(swap, a, b), axis=1)
    as_far = int(np.count_nonzero(np.abs(drawn) >= abs(found) - 1e-12))
    p = as_far / len(drawn) if a.size <= SCENES_EXACT else (as_far + 1) / (len(drawn) + 1)
    return Test(float(found), p)


def paired_bootstrap(
    first: Replicates, second: Replicates, *, metric: str = "score", confidence: float = 0.95
) -> tuple[Interval, float]:
    """Interval of the difference (first - second) of a metric's median, and the two-sided p that it is 0.

    The same resampled scenes are given to both models, or the same resampled pictures where there is one scene. The p-value
    is twice the smaller share of resamples on either side of 0 (Efron & Tibshirani 1993, section 15.4), never below 2 / B.
    """
    if metric not in METRICS:
        raise unknown_key(metric, METRICS, "metric")
    m = list(METRICS).index(metric)
    a, b = first.evaluation.values(metric), second.evaluation.values(metric)
    if first.table.shape != second.table.shape or first.seed != second.seed:
        raise ConfigurationError("paired models need the same pictures, number of resamples and seed")
    over: Resample = "scenes" if a.size > 1 else "pictures"
    drawn = [
        resampled_medians(values[None], source.table[m : m + 1], over, source.seed)[0]
        for values, source in ((a, first), (b, second))
    ]
    difference = drawn[0] - drawn[1]
    smaller = min(int(np.count_nonzero(difference <= 0)), int(np.count_nonzero(difference >= 0)))
    p = min(1.0, 2 * max(1, smaller) / difference.size)
    # The jackknife of a difference of medians takes a handful of values, too few for an acceleration.
    return bca(float(np.median(a) - np.median(b)), difference, 0.0, confidence), p


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same pictures. `difference` is first - second of the metric's median over scenes.

    `p` is the paired permutation's over scenes, or the paired bootstrap's over pictures where there is one scene (`over`);
    `adjusted` is corrected over all pairs of models. The verdict is the first model's.
    `scenes_won` and `scenes_lost` count the scenes whose PLCC differs by Fisher's z, corrected over the scenes.
    """

    first: str
    second: str
    metric: str
    difference: Interval
    over: Literal["scenes", "pictures"]
    p: float
    adjusted: float
    verdict: Verdict
    scenes_won: int
    scenes_lost: int


def compare(
    models: dict[str, Replicates],
    *,
    metric: str = "score",
    alpha: float = 0.05,
    correction: Literal["holm", "bonferroni", "none"] = "holm",
) -> tuple[Comparison, ...]:
    """Every pair of models, in the order given. A win needs an adjusted p below alpha and the better median."""
    pairs = list(itertools.combinations(models, 2))
    tests = [_paired(models[a], models[b], metric, 1 - alpha) for a, b in pairs]
    sign = 1 if METRICS[metric].higher_is_better else -1
    found = []
    for pair, (difference, over, p), adjusted in zip(
        pairs, tests, adjust([t[2] for t in tests], correction), strict=True
    ):
        won, lost = _scene_wins(models[pair[0]], models[pair[1]], alpha, correction)
        verdict: Verdict = "tie"
        if adjusted < alpha and difference.value != 0:
            verdict = "win" if sign * difference.value > 0 else "loss"
        found.append(Comparison(*pair, metric, difference, over, p, adjusted, verdict, won, lost))
    return tuple(found)


def _paired(
    first: Replicates, second: Replicates, metric: str, confidence: float
) -> tuple[Interval, Literal["scenes", "pictures"], float]:
    interval, p = paired_bootstrap(first, second, metric=metric, confidence=confidence)
    a, b = first.evaluation.values(metric), second.evaluation.values(metric)
    if a.size == 1:
        return interval, "pictures", p
    return interval, "scenes", paired_permutation(a, b, seed=first.seed).p


def _scene_wins(
    first: Replicates, second: Replicates, alpha: float, correction: Literal["holm", "bonferroni", "none"]
) -> tuple[int, int]:
    tests = [
        correlation_difference(a.plcc, b.plcc, a.n, b.n)
        for a, b in zip(first.evaluation.scenes, second.evaluation.scenes, strict=True)
    ]
    clear = [t.statistic for t, p in zip(tests, adjust([t.p for t in tests], correction), strict=True) if p < alpha]
    return sum(s > 0 for s in clear), sum(s < 0 for s in clear)


def wins(comparisons: Sequence[Comparison], names: Sequence[str]) -> list[list[Verdict | None]]:
    """The win/tie/loss matrix: row model against column model, None on the diagonal."""
    turned: dict[Verdict, Verdict] = {"win": "loss", "loss": "win", "tie": "tie"}
    table: dict[tuple[str, str], Verdict] = {}
    for each in comparisons:
        table[each.first, each.second] = each.verdict
        table[each.second, each.first] = turned[each.verdict]
    return [[None if row == column else table[row, column] for column in names] for row in names]
