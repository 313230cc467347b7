"""Beyond correlation: are the pairs decided right, are win probabilities honest, is the picture on top a good one?

Two kinds of pairs are kept apart: `within` one scene (shots of one content, which users choose between) and `across`
scenes (other content, only where the labels share one scale).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr, ndtr, ndtri

from pqa.errors import DataError, unknown_key
from pqa.evaluation.metrics import by_scene, checked

__all__ = [
    "Calibration",
    "PairAccuracy",
    "Pairs",
    "Regret",
    "calibration",
    "chance_ece",
    "fit_spread",
    "pair_accuracy",
    "pairs",
    "top_regret",
    "win_probability",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Kind = Literal["within", "across"]

MOST_PAIRS = 500_000  # more are sampled


@dataclass(frozen=True, slots=True)
class Pairs:
    """Indices of the two pictures of each pair, (P,) each, and how many pairs there are when only a sample is held."""

    first: Index
    second: Index
    total: int


@dataclass(frozen=True, slots=True)
class PairAccuracy:
    """Share of decided pairs that the scores put in the right order; equal scores count half.

    Of `pairs` in all, `judged` were looked at (a sample when there are many) and `decided` of those have labels that differ
    significantly; `accuracy` is NaN when none is decided.
    """

    accuracy: float
    decided: int
    judged: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Reliability of win probabilities, each pair seen from its predicted winner, so probabilities run from 0.5 to 1.

    Bins: edges (K + 1,), mean `predicted` and `observed` win rate and `counts` (K,), NaN in empty bins. `ece` is the count-
    weighted mean gap of the bins (Guo et al. 2017, equation 3), `brier` the mean square error (Brier 1950, halved as is
    usual for two outcomes), `log_loss` in nats. `pairs` were used, tied labels left out (`ties`).
    """

    kind: Kind
    edges: tuple[float, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    counts: tuple[int, ...]
    ece: float
    brier: float
    log_loss: float
    pairs: int
    ties: int


@dataclass(frozen=True, slots=True)
class Regret:
    """What choosing the top-scored picture costs against the best-labelled one, in label units (JOD).

    Per scene in the order of `scenes`; tied tops are averaged. `hits`: share of scenes whose regret is 0.
    """

    mean: float
    median: float
    hits: float
    scenes: tuple[str, ...]
    per_scene: tuple[float, ...]


def pairs(scenes: npt.ArrayLike, kind: Kind = "within", *, seed: int = 0) -> Pairs:
    """Every unordered pair of (N,) pictures inside scenes, or across them; a random half million when there are more."""
    names = np.asarray(scenes, dtype=str).reshape(-1)
    groups = list(by_scene(names, names.size).values())
    inside = sum(len(group) * (len(group) - 1) // 2 for group in groups)
    if kind == "within":
        made = [tuple(group[side] for side in np.triu_indices(len(group), k=1)) for group in groups]
        first, second = (np.concatenate([sides[k] for sides in made]) for k in (0, 1))
        if inside > MOST_PAIRS:
            kept = np.random.default_rng(seed).choice(inside, MOST_PAIRS, replace=False)
            first, second = first[kept], second[kept]
        return Pairs(first, second, inside)
    if kind != "across":
        raise unknown_key(kind, ("within", "across"), "kind of pairs")
    total = names.size * (names.size - 1) // 2 - inside
    if total <= MOST_PAIRS:
        first, second = np.triu_indices(names.size, k=1)
    else:
        rng = np.random.default_rng(seed)
        first, second = rng.integers(names.size, size=(2, 2 * MOST_PAIRS))
    apart = names[first] != names[second]
    return Pairs(first[apart][:MOST_PAIRS], second[apart][:MOST_PAIRS], total)


def pair_accuracy(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    stds: npt.ArrayLike | None,
    chosen: Pairs,
    *,
    confidence: float = 0.95,
) -> PairAccuracy:
    """Order of the significantly different pairs: |difference| > z * sqrt(s_i^2 + s_j^2). No stds: every untied pair."""
    x, y = checked(scores=scores, labels=labels)
    i, j = chosen.first, chosen.second
    gap = y[i] - y[j]
    limit = np.zeros(gap.size)
    if stds is not None:
        limit = float(ndtri((1 + confidence) / 2)) * np.hypot(*(checked(stds=stds)[0][side] for side in (i, j)))
    decided = np.abs(gap) > limit
    right = (1 + np.sign(gap[decided]) * np.sign(x[i] - x[j])[decided]) / 2
    return PairAccuracy(float(right.mean()) if right.size else float("nan"), int(right.size), int(i.size), chosen.total)


def win_probability(scores: npt.ArrayLike, stds: npt.ArrayLike | float, chosen: Pairs) -> Array:
    """(P,) chance that the first of each pair has the higher mean rating: Phi((q_i - q_j) / sqrt(s_i^2 + s_j^2)).

    `stds` are the predictor's own (N,), or one number for all (`fit_spread`). Thurstone 1927, Case III and Case V.
    """
    (x,) = checked(scores=scores)
    spread = np.broadcast_to(np.asarray(stds, dtype=np.float64), x.shape)
    if np.any(~np.isfinite(spread)) or np.any(spread < 0):
        raise DataError("standard deviations of scores must be finite and not negative")
    gap, width = x[chosen.first] - x[chosen.second], np.hypot(spread[chosen.first], spread[chosen.second])
    # Without any spread the higher score wins for certain, and equal scores are a coin toss.
    return np.where(width > 0, ndtr(gap / np.where(width > 0, width, 1.0)), (1 + np.sign(gap)) / 2)


def fit_spread(scores: npt.ArrayLike, labels: npt.ArrayLike, chosen: Pairs) -> float:
    """The one standard deviation of scores under which the observed orders are most likely (a probit slope, no offset).

    For predictors without their own; fitted on the pairs it is then judged on, so calibration flatters it slightly.
    """
    x, y = checked(scores=scores, labels=labels)
    gap = (x[chosen.first] - x[chosen.second]) * np.sign(y[chosen.first] - y[chosen.second])
    gap = gap[gap != 0]
    if not gap.size:
        raise DataError("no pair has both different scores and different labels; a spread cannot be fitted")
    unit = float(np.sqrt(np.mean(gap**2)))
    found = minimize_scalar(
        lambda log_slope: -float(np.mean(log_ndtr(gap / unit * np.exp(log_slope)))), bounds=(-12, 12), method="bounded"
    )
    return unit / float(np.exp(found.x)) / float(np.sqrt(2))


def calibration(
    probability: npt.ArrayLike, labels: npt.ArrayLike, chosen: Pairs, *, kind: Kind = "within", bins: int = 10
) -> Calibration:
    """Compare (P,) win probabilities of the first of each pair with the order of the (N,) labels."""
    (p,) = checked(probability=probability)
    (y,) = checked(labels=labels)
    gap = y[chosen.first] - y[chosen.second]
    untied = gap != 0
    p, won = p[untied], gap[untied] > 0
    if not p.size:
        raise DataError("no pair of pictures has different labels; win probabilities cannot be judged")
    sure, right = np.where(p >= 0.5, p, 1 - p), np.where(p >= 0.5, won, ~won).astype(np.float64)
    right[sure == 0.5] = 0.5
    edges, place = _binned(sure, bins)
    counts = np.bincount(place, minlength=bins)
    shares = np.where(counts > 0, counts, 1)
    predicted = np.bincount(place, weights=sure, minlength=bins) / shares
    observed = np.bincount(place, weights=right, minlength=bins) / shares
    empty = np.where(counts > 0, 0.0, np.nan)
    chance = np.clip(np.where(won, p, 1 - p), 1e-15, 1.0)
    return Calibration(
        kind,
        tuple(map(float, edges)),
        tuple(map(float, predicted + empty)),
        tuple(map(float, observed + empty)),
        tuple(map(int, counts)),
        ece=float(np.sum(counts * np.abs(predicted - observed)) / p.size),
        brier=float(np.mean((p - won) ** 2)),
        log_loss=float(-np.mean(np.log(chance))),
        pairs=int(p.size),
        ties=int(np.count_nonzero(~untied)),
    )


def _binned(sure: Array, bins: int) -> tuple[Array, Index]:
    """Edges (bins + 1,) and the bin (P,) of each probability of the predicted winner."""
    edges = np.linspace(0.5, 1.0, bins + 1)
    return edges, np.clip(np.digitize(sure, edges) - 1, 0, bins - 1)


def chance_ece(probability: npt.ArrayLike, *, bins: int = 10, draws: int = 500, seed: int = 0) -> float:
    """The mean calibration error that chance alone gives an honest predictor of these (P,) win probabilities.

    Pairs are drawn as independent. Pairs that share pictures are not, so that the truth is somewhat above.
    """
    (p,) = checked(probability=probability)
    sure = np.maximum(p, 1 - p)
    _, place = _binned(sure, bins)
    rng = np.random.default_rng(seed)
    gaps = [np.bincount(place, (rng.random(sure.size) < sure) - sure, bins) for _ in range(draws)]
    return float(np.abs(gaps).sum(axis=1).mean() / sure.size)


def top_regret(scores: npt.ArrayLike, labels: npt.ArrayLike, scenes: npt.ArrayLike) -> Regret:
    """Best label of each scene less the label of its top-scored picture."""
    x, y = checked(scores=scores, labels=labels)
    groups = by_scene(scenes, x.size)
    lost = [float(y[index].max() - y[index][x[index] == x[index].max()].mean()) for index in groups.values()]
    return Regret(
        float(np.mean(lost)), float(np.median(lost)), float(np.mean(np.array(lost) == 0)), tuple(groups), tuple(lost)
    )
