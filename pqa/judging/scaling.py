"""Pairwise judgements to a quality scale in just-objectionable differences (JOD).

Model: the probability that condition i is preferred to j is F((q_i - q_j) / unit), with F the normal distribution
function (Thurstone's Case V) or the logistic function (Bradley-Terry), and the unit such that a difference of 1 JOD
is preferred by 75 % of observers. The scale is the maximum of the likelihood times a prior (`pqa.judging.priors`): one
on the distances of compared pairs, or N(0, prior_std) on every q. The likelihood knows differences only, so the prior
alone fixes the mean, exactly at zero. Unless given, prior_std is estimated from the same judgements (empirical Bayes):
too wide a prior lets few judgements stretch the scale, too narrow a one flattens it.

Intervals: bootstrap over observers (judgements of one observer depend on each other), or over judgements where the
table names no observers. Replicates keep the prior of all judgements, that on distances by its pull and curvature at
their scale. Two things no replicate shows are mended: how far the prior draws every condition to the
middle (the expected square of that pull is added to their variance), and pairs that everybody happened to answer alike
(the variance is never less than the model's own). The bounds are symmetric, with Student's quantile for the replicates
(as many degrees of freedom as resampled units, less one) and the normal one for what the model adds. Plain percentiles
cover less (docs/scaling.md).

Sources: Thurstone 1927; Bradley and Terry 1952; Perez-Ortiz and Mantiuk 2017 (arXiv 1712.03686) for JOD units, the
prior on distances and the bootstrap over observers; Hesterberg 2015 (The American Statistician 69(4)) for "t with bootstrap
standard error" and the correction by sqrt(n / (n - 1)); Nychka 1988 (JASA 83) for intervals of estimates that a
prior pulls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse, special, stats
from scipy.sparse import csgraph

from pqa.errors import ConfigurationError, DataError, unknown_key
from pqa.judging.links import LINKS, Link
from pqa.judging.priors import OPEN, PRIORS, Normal, distances

__all__ = ["Fit", "Judgements", "Scaling", "components", "fit", "scale", "solve", "tally"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# What is known before the data: a JOD spread of 1.5 (as of PIQ23), with the weight of one condition.
_PRIOR_GUESS = 1.5
_PRIOR_WEIGHT = 1
_CHUNK = 1_000_000  # pairs times replicates solved at once: a few arrays of 8 MB


@dataclass(frozen=True, slots=True)
class Judgements:
    """The judgements of one scene, one entry a judgement.

    `winner` and `loser` index `conditions`; `observer` indexes `observers` (None: the table names none); `left` says
    whether the condition shown first (on the left) was chosen.
    """

    conditions: tuple[str, ...]
    winner: Ints
    loser: Ints
    left: npt.NDArray[np.bool_]
    observer: Ints | None = None
    observers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.winner) == len(self.loser) == len(self.left):
            raise DataError(
                f"winner, loser and left need one entry a judgement, got {len(self.winner)}, {len(self.loser)} and "
                f"{len(self.left)}"
            )
        if np.any(self.winner == self.loser):
            raise DataError(f"{np.sum(self.winner == self.loser)} judgements compare a condition with itself")

    def select(self, keep: npt.NDArray[np.bool_]) -> Judgements:
        """Those judgements where `keep`; conditions and observers keep their indices."""
        observer = None if self.observer is None else self.observer[keep]
        return Judgements(
            self.conditions, self.winner[keep], self.loser[keep], self.left[keep], observer, self.observers
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """Wins a pair: `i` < `j` (P,), and for each group (row) the wins of i over j and of j over i, sparse (G, P)."""

    size: int
    i: Ints
    j: Ints
    first: sparse.csr_array
    second: sparse.csr_array

    def total(self) -> tuple[Floats, Floats]:
        """Wins of i and of j over all groups, each (1, P)."""
        first, second = (np.asarray(part.sum(axis=0), np.float64)[None, :] for part in (self.first, self.second))
        return first, second

    def incidence(self) -> sparse.csr_array:
        """(P, n): a pair's row is 1 at i and -1 at j."""
        rows = np.arange(len(self.i))
        places = (np.tile(rows, 2), np.concatenate([self.i, self.j]))
        return sparse.csr_array((np.repeat([1.0, -1.0], len(rows)), places), shape=(len(rows), self.size))


@dataclass(frozen=True, slots=True)
class Fit:
    """A scale (n,) in JOD, its curvature (n, n) in JOD^-2, the prior at it, and its width on every score (None: of
    distances)."""

    jod: Floats
    curvature: Floats
    prior: Normal
    prior_std: float | None


@dataclass(frozen=True, slots=True)
class Scaling:
    """The scale of one scene; arrays follow `conditions`. JOD have mean zero.

    `std` is the standard deviation of the error; it, `low` and `high` come from `bootstrap` replicates over `resampled`
    ("observers", "judgements" or "nothing", then they are NaN). `covariance` (n, n) is the inverse of the curvature at
    the solution, prior included. `prior_std` in JOD is None for the prior on distances.
    """

    conditions: tuple[str, ...]
    jod: Floats
    std: Floats
    low: Floats
    high: Floats
    comparisons: Ints
    covariance: Floats
    model: str
    prior: str
    prior_std: float | None
    log_likelihood: float
    judgements: int
    observers: int
    resampled: str
    bootstrap: int
    confidence: float


def tally(judgements: Judgements, by_observer: bool) -> Tally:
    """Count wins a pair, a row an observer if `by_observer`, else in one row."""
    n = len(judgements.conditions)
    low = np.minimum(judgements.winner, judgements.loser)
    high = np.maximum(judgements.winner, judgements.loser)
    pairs, place = np.unique(low * n + high, return_inverse=True)
    rows, groups = np.zeros(len(low), np.int64), 1
    if by_observer and judgements.observer is not None:
        rows, groups = judgements.observer, len(judgements.observers)
    won = judgements.winner == low

    def counts(mask: npt.NDArray[np.bool_]) -> sparse.csr_array:
        ones = np.ones(int(mask.sum()))
        return sparse.csr_array((ones, (rows[mask], place[mask])), shape=(groups, len(pairs)))

    return Tally(n, pairs // n, pairs % n, counts(won), counts(~won))


def components(judgements: Judgements) -> list[list[str]]:
    """The sets of conditions that comparisons connect, largest first."""
    n = len(judgements.conditions)
    edges = sparse.coo_array((np.ones(len(judgements.winner)), (judgements.winner, judgements.loser)), shape=(n, n))
    count, label = csgraph.connected_components(edges, directed=False)
    groups = [[judgements.conditions[k] for k in np.flatnonzero(label == c)] for c in range(count)]
    return sorted(groups, key=len, reverse=True)


def solve(
    pairs: Tally, first: Floats, second: Floats, link: Link, prior: Normal, start: Floats, tolerance: float = 1e-7
) -> tuple[Floats, Floats]:
    """Scales and curvatures of a batch of win counts `first`, `second` (B, P): (B, n) in JOD and (B, n, n) in JOD^-2.

    Newton's method on a strictly concave function. A full step is halved while the slope along it has turned by more
    than 0.9 of its size at the start: along a line a concave function's slope only falls, so this both bounds the
    step and needs no function values. Stops after a step below `tolerance` JOD; the step's own error is of the order
    of its square. The curvatures are those before that last step.
    """
    size, n = len(first), pairs.size
    incidence = pairs.incidence()

    def derivatives(q: Floats) -> tuple[Floats, Floats]:
        x = (q[:, pairs.i] - q[:, pairs.j]) / link.unit
        up, down = link.slope(x), link.slope(-x)
        gradient = (first * up - second * down) @ incidence / link.unit + prior.pull - q @ prior.precision
        return gradient, (first * link.curvature(x, up) + second * link.curvature(-x, down)) / link.unit**2

    def hessian(weight: Floats) -> Floats:
        matrix = np.repeat(prior.precision[None], size, axis=0)
        matrix[:, pairs.i, pairs.j] -= weight
        matrix[:, pairs.j, pairs.i] -= weight
        matrix[:, np.arange(n), np.arange(n)] += weight @ abs(incidence)
        return matrix

    q = start[None, :] - start.mean()  # one row for all until the first step: the costly slopes are computed once
    gradient, weight = derivatives(q)
    for _ in range(100):
        matrix = hessian(weight)
        step = np.linalg.solve(matrix, gradient[:, :, None])[:, :, 0]
        step -= step.mean(axis=1, keepdims=True)  # exact already, but for rounding where the prior is wide
        slope = np.sum(step * gradient, axis=1)
        if np.abs(step).max(initial=0.0) < tolerance:
            return q + step, matrix
        length = np.ones((size, 1))
        while True:
            trial = q + length * step
            gradient, weight = derivatives(trial)
            turned = np.sum(step * gradient, axis=1) < -0.9 * slope - 1e-12
            if not turned.any():
                break
            length[turned] /= 2
        q = trial
    raise DataError("scaling did not converge in 100 Newton steps: are the counts finite?")


def fit(
    pairs: Tally, first: Floats, second: Floats, link: Link, prior: str = PRIORS[0], prior_std: float | None = None
) -> Fit:
    """The scale of win counts (1, P); the width of the prior on scores is estimated where `prior_std` is None."""
    if prior == "distances":
        return _fit_distances(pairs, first, second, link)
    return _fit_scores(pairs, first, second, link, prior_std)


def _fit_scores(pairs: Tally, first: Floats, second: Floats, link: Link, prior_std: float | None) -> Fit:
    """The estimate maximises the marginal likelihood by expectation-maximisation, with Laplace's approximation for the
    posterior: the mean square of the scale plus the trace of its covariance.
    """
    std, q = prior_std or _PRIOR_GUESS, np.zeros(pairs.size)
    for _ in range(100 if prior_std is None else 0):
        prior = Normal.of_scores(pairs.size, std)
        scales, curvature = solve(pairs, first, second, link, prior, q, tolerance=1e-4)
        q = scales[0]
        square = float(q @ q + np.trace(np.linalg.inv(curvature[0])))
        updated = math.sqrt((square + _PRIOR_WEIGHT * _PRIOR_GUESS**2) / (pairs.size + _PRIOR_WEIGHT))
        std, change = updated, abs(updated / std - 1)
        if change < 1e-2:
            break
    prior = Normal.of_scores(pairs.size, std)
    scales, curvature = solve(pairs, first, second, link, prior, q)
    return Fit(scales[0], curvature[0], prior, std)


def _fit_distances(pairs: Tally, first: Floats, second: Floats, link: Link) -> Fit:
    """Likelihood times prior has several maxima: this is the one uphill of all conditions equal, where the published code
    starts too. Its prior is kept as the normal one with the same pull and curvature there.
    """
    incidence, base = pairs.incidence() / link.unit, Normal.of_scores(pairs.size, OPEN)
    first_wins, second_wins = first[0], second[0]

    def loss(q: Floats) -> tuple[float, Floats]:
        x = incidence @ q
        value, slope, _ = distances(x, first_wins, second_wins, link)
        value += float(first_wins @ link.log_probability(x) + second_wins @ link.log_probability(-x))
        slope = slope + first_wins * link.slope(x) - second_wins * link.slope(-x)
        pull = base.precision @ q
        return float(q @ pull) / 2 - value, pull - slope @ incidence

    def local(q: Floats) -> Normal:
        _, slope, curvature = distances(incidence @ q, first_wins, second_wins, link)
        bend = (incidence.T * curvature) @ incidence
        return Normal(slope @ incidence + bend @ q, bend.toarray() + base.precision)

    equal = np.zeros(pairs.size)
    _, curvature = solve(pairs, first, second, link, local(equal), equal)
    inverse = np.linalg.inv(curvature[0])
    options = {"gtol": 1e-5, "hess_inv0": (inverse + inverse.T) / 2}
    q = optimize.minimize(loss, equal, jac=True, method="BFGS", options=options).x
    prior = local(q)
    scales, curvature = solve(pairs, first, second, link, prior, q)
    return Fit(scales[0], curvature[0], prior, None)


def scale(
    judgements: Judgements,
    model: str = "thurstone",
    *,
    prior: str = PRIORS[0],
    prior_std: float | None = None,
    bootstrap: int = 300,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scaling:
    """Scale one scene. `prior` is a word of `pqa.judging.priors.PRIORS`; `prior_std` belongs to `scores` alone.

    Raises ConfigurationError for an unknown model or prior or values out of range, DataError for no judgements or a comparison
    graph that is not connected (its components are named).
    """
    if model not in LINKS:
        raise unknown_key(model, LINKS, "model")
    if prior not in PRIORS:
        raise unknown_key(prior, PRIORS, "prior")
    if prior_std is not None and prior != "scores":
        raise ConfigurationError(f"prior_std is the width of the prior on scores, got it with the prior {prior!r}")
    if not ((prior_std is None or prior_std > 0) and 0 < confidence < 1 and (bootstrap == 0 or bootstrap >= 50)):
        raise ConfigurationError(
            f"expected prior_std > 0, confidence in (0, 1) and bootstrap 0 or at least 50, got {prior_std}, "
            f"{confidence} and {bootstrap}"
        )
    _refuse_disconnected(judgements)
    link, n = LINKS[model], len(judgements.conditions)
    groups = tally(judgements, by_observer=judgements.observer is not None)
    first, second = groups.total()
    fitted = fit(groups, first, second, link, prior, prior_std)
    q, curvature = fitted.jod, fitted.curvature
    seen = 0 if judgements.observer is None else len(np.unique(judgements.observer))
    resampled = "nothing" if bootstrap == 0 else "observers" if seen > 1 else "judgements"
    std = low = high = np.full(n, np.nan)
    if bootstrap:
        rng = np.random.default_rng(seed)
        replicates = _replicates(groups, resampled, link, fitted, bootstrap, rng)
        units = seen if resampled == "observers" else len(judgements.winner)
        variance = replicates.var(axis=0, ddof=1) * units / max(units - 1, 1)
        pull, posterior = _model_variance(curvature, fitted.prior)
        std = np.sqrt(np.maximum(variance + pull, posterior))
        normal = -special.ndtri((1 - confidence) / 2)
        student = stats.t.isf((1 - confidence) / 2, max(units - 1, 1))
        reach = np.sqrt(np.maximum(student**2 * variance + normal**2 * pull, normal**2 * posterior))
        low, high = q - reach, q + reach
    x = (q[groups.i] - q[groups.j]) / link.unit
    log_likelihood = float(np.sum(first * link.log_probability(x) + second * link.log_probability(-x)))
    return Scaling(
        conditions=judgements.conditions,
        jod=q,
        std=std,
        low=low,
        high=high,
        comparisons=np.bincount(np.concatenate([judgements.winner, judgements.loser]), minlength=n),
        covariance=np.asarray(np.linalg.inv(curvature), np.float64),
        model=model,
        prior=prior,
        prior_std=fitted.prior_std,
        log_likelihood=log_likelihood,
        judgements=len(judgements.winner),
        observers=seen,
        resampled=resampled,
        bootstrap=bootstrap,
        confidence=confidence,
    )


def _refuse_disconnected(judgements: Judgements) -> None:
    if not len(judgements.winner):
        raise DataError("no judgements: a scale needs at least one comparison of two conditions")
    parts = components(judgements)
    if len(parts) > 1:
        named = "; ".join(f"({len(part)}) {_shorten(part)}" for part in parts[:10])
        raise DataError(
            f"the comparisons form {len(parts)} separate components, whose scales cannot be related: {named}"
            f"{'; ...' if len(parts) > 10 else ''}. Compare at least one pair across components, or scale them apart"
        )


def _shorten(names: Sequence[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _model_variance(curvature: Floats, prior: Normal) -> tuple[Floats, Floats]:
    """If the true scale was drawn from the prior: expected squared bias and variance of the error, (n,) each, JOD^2.

    To first order the prior makes the solution miss the truth q by C P q, with C the inverse curvature, P the precision of
    the prior and P^-1 the covariance of q; the error as a whole has covariance C. The mean of the scale is fixed, so it
    takes no part.
    """
    inverse = np.linalg.inv(curvature)
    centred = inverse - inverse.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    pull = np.einsum("ij,jk,ki->i", centred, prior.precision, centred, optimize=True)
    return np.asarray(pull, np.float64), np.asarray(np.diag(centred), np.float64)


def _replicates(groups: Tally, resampled: str, link: Link, fitted: Fit, count: int, rng: np.random.Generator) -> Floats:
    """Scales (count, n) of resampled judgements, each started at the solution of all."""
    first, second = groups.total()
    cells = np.concatenate([first[0], second[0]])
    rows = np.unique(np.concatenate([groups.first.nonzero()[0], groups.second.nonzero()[0]]))
    step = max(1, _CHUNK // len(groups.i))
    parts = []
    for begin in range(0, count, step):
        size = min(step, count - begin)
        if resampled == "observers":
            draws = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size).astype(np.float64)
            one, two = draws @ groups.first[rows], draws @ groups.second[rows]
        else:
            drawn = rng.multinomial(int(cells.sum()), cells / cells.sum(), size).astype(np.float64)
            one, two = drawn[:, : len(groups.i)], drawn[:, len(groups.i) :]
        parts.append(solve(groups, one, two, link, fitted.prior, fitted.jod, tolerance=0.02)[0])
    return np.concatenate(parts)
