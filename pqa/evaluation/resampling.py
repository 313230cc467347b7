"""Metrics of thousands of resamples at once.

A bootstrap resample of n pictures is a row of counts w (how often each picture was drawn). Every metric is a closed
expression in w, so a block of resamples is a few matrix products: tau-b's numerator is the quadratic form w' S w with
S the signs of all pairs, mean ranks are running sums of w in sorted order. The results equal the metrics of the drawn
pictures written out one by one, repeated pictures being tied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from pqa.evaluation.mappings import Fit
from pqa.evaluation.metrics import METRICS

__all__ = [
    "Columns",
    "draws_for",
    "left_out_metrics",
    "noisy_labels",
    "picture_counts",
    "resampled_metrics",
    "weighted_metrics",
]

Array = npt.NDArray[np.float64]

COUNTS = 30_000_000  # resamples x pictures drawn at a time
CELLS = 1_000_000  # of those, worked on at a time
COLUMNS = 1024  # columns of the pair table held at a time
PAIR_DRAWS = 20_000_000  # pairs x draws of label noise spent on one scene
FEWEST_DRAWS = 32


@dataclass(frozen=True, slots=True)
class Columns:
    """The pictures of one scene, (n,) each: scores as they came, scores on the rating scale, labels; PLCC's direction."""

    scores: Array
    mapped: Array
    labels: Array
    direction: int = 1

    @classmethod
    def of(cls, scores: Array, labels: Array, fit: Fit) -> Columns:
        return cls(scores, fit(scores), labels, 1 if fit.increasing else -1)


def picture_counts(rng: np.random.Generator, n: int, resamples: int) -> Array:
    """(resamples, n) float64: how often each of n pictures was drawn when n are drawn with replacement."""
    drawn = rng.integers(n, size=(resamples, n)) + np.arange(resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


def resampled_metrics(scene: Columns, rng: np.random.Generator, resamples: int) -> Array:
    """(len(METRICS), resamples) values over pictures drawn with replacement; the same `rng` draws the same pictures."""
    n = scene.scores.size
    step = max(1, COUNTS // n)
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([weighted_metrics(scene, picture_counts(rng, n, size)) for size in sizes], axis=1)


def left_out_metrics(scene: Columns) -> Array:
    """(len(METRICS), n) values without each picture in turn: the jackknife."""
    n = scene.scores.size
    # Without picture i, w' S w loses row i and column i of a symmetric S with a zero diagonal.
    shares = np.concatenate([_signs(scene, part).sum(axis=0, dtype=np.float64) for part in _parts(n)])
    step = max(1, CELLS // n)
    blocks = []
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        counts = np.ones((rows.size, n))
        counts[np.arange(rows.size), rows] = 0
        blocks.append(_block(scene, counts, shares.sum() - 2 * shares[rows]))
    return np.concatenate(blocks, axis=1)


def weighted_metrics(scene: Columns, counts: Array) -> Array:
    """(len(METRICS), B) values for (B, n) whole-number counts of the n pictures of a scene; undefined counts as 0."""
    agreement = _agreement(scene, counts)
    step = max(1, CELLS // max(1, scene.scores.size))
    starts = range(0, len(counts), step)
    return np.concatenate([_block(scene, counts[i : i + step], agreement[i : i + step]) for i in starts], axis=1)


def _block(scene: Columns, w: Array, agreement: Array) -> Array:
    x, mapped, y = scene.scores, scene.mapped, scene.labels
    total = w.sum(axis=1)
    rank_x, tied_x = _centred_ranks(x, w)
    rank_y, tied_y = _centred_ranks(y, w)
    free_x, free_y = total**2 - tied_x, total**2 - tied_y
    defined = (free_x > 0) & (free_y > 0)
    srcc = _ratio(np.einsum("bi,bi,bi->b", w, rank_x, rank_y), _power(w, rank_x), _power(w, rank_y), defined)
    krcc = _ratio(agreement, free_x, free_y, defined)
    plcc = _pearson(mapped - mapped.mean(), y - y.mean(), w, total, defined) * scene.direction
    error = np.abs(mapped - y)
    return np.stack([srcc, plcc, krcc, w @ error / total, np.sqrt(w @ error**2 / total), (srcc + plcc + krcc) / 3])


def _centred_ranks(values: Array, w: Array) -> tuple[Array, Array]:
    """(B, n) mean ranks less their mean, and (B,) the number of ordered pairs (self-pairs too) that are tied."""
    _, inverse = np.unique(values, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    groups = np.add.reduceat(w[:, order], starts, axis=1)
    ranks = np.cumsum(groups, axis=1) - groups / 2 - w.sum(axis=1, keepdims=True) / 2
    return ranks[:, inverse], np.einsum("bg,bg->b", groups, groups)


def _power(w: Array, ranks: Array) -> Array:
    return np.asarray(np.einsum("bi,bi,bi->b", w, ranks, ranks), dtype=np.float64)


def _ratio(product: Array, power_x: Array, power_y: Array, defined: npt.NDArray[np.bool_]) -> Array:
    """product / sqrt(power_x power_y) within [-1, 1], 0 where undefined."""
    scale = np.sqrt(np.where(defined, power_x, 1.0)) * np.sqrt(np.where(defined, power_y, 1.0))
    return np.asarray(np.clip(np.where(defined, product / np.where(scale > 0, scale, 1.0), 0.0), -1.0, 1.0))


def _parts(n: int) -> list[slice]:
    return [slice(start, start + COLUMNS) for start in range(0, n, COLUMNS)]


def _signs(scene: Columns, part: slice) -> npt.NDArray[np.float32]:
    """(n, columns of `part`): +1 where a pair has the same order in scores and labels, -1 where the other, 0 where tied."""
    x, y = scene.scores, scene.labels
    signs = np.sign(x[:, None] - x[None, part]) * np.sign(y[:, None] - y[None, part])
    return signs.astype(np.float32)


def _agreement(scene: Columns, w: Array) -> Array:
    """(B,) concordant minus discordant ordered pairs. Products in float32 are exact: they are whole numbers below 2^24."""
    small = w.astype(np.float32)
    found = np.zeros(len(w))
    for part in _parts(scene.scores.size):
        found += np.einsum("bi,bi->b", small @ _signs(scene, part), w[:, part])
    return found


def _pearson(x: Array, y: Array, w: Array, total: Array, defined: npt.NDArray[np.bool_]) -> Array:
    sums = w @ np.stack([x, y, x * x, y * y, x * y], axis=1)
    mean_x, mean_y = sums[:, 0] / total, sums[:, 1] / total
    power_x, power_y = sums[:, 2] - total * mean_x**2, sums[:, 3] - total * mean_y**2
    # Powers at the level of rounding mean a constant column, whatever their sign.
    fine = defined & (power_x > 1e-13 * sums[:, 2]) & (power_y > 1e-13 * sums[:, 3])
    return _ratio(sums[:, 4] - total * mean_x * mean_y, power_x, power_y, fine)


def draws_for(n: int, draws: int) -> int:
    """Draws of label noise spent on a scene of n pictures: fewer in big scenes, where each draw says more."""
    return int(min(draws, max(FEWEST_DRAWS, PAIR_DRAWS // max(1, n * (n - 1) // 2))))


def noisy_labels(scene: Columns, std: Array, rng: np.random.Generator, draws: int) -> Array:
    """(len(METRICS), draws) metrics of a scene when its labels move by independent Gaussian noise of (n,) `std`."""
    scores, mapped, labels = scene.scores, scene.mapped, scene.labels
    first, second = np.triu_indices(scores.size, k=1)
    signs = np.sign(scores[first] - scores[second])
    ranked = rankdata(scores)
    out = np.empty((len(METRICS), draws))
    step = max(1, CELLS // max(1, first.size))
    for start in range(0, draws, step):
        part = slice(start, min(start + step, draws))
        moved = labels + std * rng.standard_normal((part.stop - start, labels.size))
        error = np.abs(mapped - moved)
        out[:5, part] = (
            _row_correlation(ranked, rankdata(moved, axis=1)),
            _row_correlation(mapped, moved) * scene.direction,
            _row_kendall(signs, moved[:, first] - moved[:, second]),
            error.mean(axis=1),
            np.sqrt((error**2).mean(axis=1)),
        )
    out[5] = out[:3].mean(axis=0)
    return out


def _row_kendall(signs: Array, differences: Array) -> Array:
    """(D,) tau-b of the (P,) signs of all pairs with the (D, P) differences of the moved labels."""
    free = np.sqrt(np.count_nonzero(signs)) * np.sqrt(np.count_nonzero(differences, axis=1))
    return np.asarray(np.sign(differences) @ signs / np.where(free > 0, free, 1.0), dtype=np.float64)


def _row_correlation(x: Array, rows: Array) -> Array:
    a, b = x - x.mean(), rows - rows.mean(axis=1, keepdims=True)
    scale = np.sqrt(a @ a) * np.sqrt(np.einsum("bi,bi->b", b, b))
    return np.asarray(b @ a / np.where(scale > 0, scale, 1.0), dtype=np.float64)
