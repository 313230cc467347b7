"""Observers who answer unlike the others, or without looking.

Distance: for each observer the scale of all the others is fitted and the observer's mean log-likelihood a judgement
under it taken; the distance is how far this lies below the lower quartile of all observers, in interquartile ranges,
and zero above the quartile. Above 1.5 an observer deserves a look; nobody is left out unless the caller says so.

Source: Perez-Ortiz and Mantiuk 2017 (arXiv 1712.03686), section 9; mantiuk/pwcmp, `pw_outlier_analysis.m`. Differences:
theirs is the likelihood of an observer's counts of each compared pair (binomial, with its coefficient), added up over the
pairs or averaged over them, by release; here that of each judgement is averaged over the judgements. The two are equal where
nobody judges a pair twice; elsewhere a pair counts here as often as it was judged. The others are scaled with the prior on
scores, which keeps every fit finite and near the truth where they are few (docs/scaling.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pqa.errors import DataError
from pqa.judging.links import LINKS
from pqa.judging.scaling import Judgements, fit, solve, tally

__all__ = ["DISTANCE_LIMIT", "ObserverReport", "exclude", "screen"]

DISTANCE_LIMIT = 1.5
_SIDE_SHARE = 0.9
_SIDE_LEVEL = 1e-3


@dataclass(frozen=True, slots=True)
class ObserverReport:
    """One observer over all scenes.

    `log_likelihood` is the mean a judgement (natural logarithm, at best 0; guessing gives about -0.69), `left_share`
    the part of judgements that chose the condition shown on the left. `flags`: `unlike_others` (distance above 1.5),
    `always_left`, `always_right` (at least 90 % on one side, binomial p below 0.001).
    """

    observer: str
    judgements: int
    log_likelihood: float
    distance: float
    left_share: float
    flags: tuple[str, ...]


def screen(scenes: Mapping[str, Judgements], model: str = "thurstone") -> list[ObserverReport]:
    """A report an observer, most distant first. Raises DataError when a scene names no observers."""
    link = LINKS[model]
    total: dict[str, float] = {}
    count: dict[str, int] = {}
    left: dict[str, int] = {}
    for scene, judgements in scenes.items():
        if judgements.observer is None:
            raise DataError(f"scene {scene!r}: screening needs a column of observers, this table has none")
        groups = tally(judgements, by_observer=True)
        first, second = groups.total()
        whole = fit(groups, first, second, link, "scores")
        for k, name in enumerate(judgements.observers):
            mine = judgements.observer == k
            if not mine.any():
                continue
            own_first, own_second = groups.first[[k]].toarray(), groups.second[[k]].toarray()
            others, _ = solve(groups, first - own_first, second - own_second, link, whole.prior, whole.jod, 0.01)
            x = (others[:, groups.i] - others[:, groups.j]) / link.unit
            likelihood = own_first * link.log_probability(x) + own_second * link.log_probability(-x)
            total[name] = total.get(name, 0.0) + float(likelihood.sum())
            count[name] = count.get(name, 0) + int(mine.sum())
            left[name] = left.get(name, 0) + int(judgements.left[mine].sum())
    if not total:
        return []
    mean = np.array([total[name] / count[name] for name in total])
    lower, upper = np.quantile(mean, [0.25, 0.75])
    # Observers who agree to the last digit have no range: a floor far below any real one keeps the ratio defined.
    distance = np.maximum(lower - mean, 0) / max(upper - lower, 1e-9)
    reports = [
        ObserverReport(
            observer=name,
            judgements=count[name],
            log_likelihood=float(mean[k]),
            distance=float(distance[k]),
            left_share=left[name] / count[name],
            flags=_flags(float(distance[k]), left[name], count[name]),
        )
        for k, name in enumerate(total)
    ]
    return sorted(reports, key=lambda report: report.distance, reverse=True)


def _flags(distance: float, left: int, count: int) -> tuple[str, ...]:
    flags = ["unlike_others"] if distance > DISTANCE_LIMIT else []
    if stats.binomtest(left, count).pvalue < _SIDE_LEVEL:
        if left >= _SIDE_SHARE * count:
            flags.append("always_left")
        if count - left >= _SIDE_SHARE * count:
            flags.append("always_right")
    return tuple(flags)


def exclude(scenes: Mapping[str, Judgements], observers: set[str]) -> dict[str, Judgements]:
    """The judgements without those of `observers`. Raises DataError for a name that no scene knows."""
    known = {name for judgements in scenes.values() for name in judgements.observers}
    unknown = sorted(observers - known)
    if unknown:
        raise DataError(f"cannot exclude {', '.join(unknown)}: no such observer; known: {', '.join(sorted(known))}")
    kept = {}
    for scene, judgements in scenes.items():
        out = [k for k, name in enumerate(judgements.observers) if name in observers]
        keep = (
            np.ones(len(judgements.winner), np.bool_)
            if judgements.observer is None
            else ~np.isin(judgements.observer, out)
        )
        kept[scene] = judgements.select(keep)
    return kept
