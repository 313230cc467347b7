"""From the scores of one scene to its ranking: order, ties, win probabilities and the chance of being the best.

Every mean rating is taken as an independent normal variable with the picture's score as mean and its calibrated spread
as standard deviation (Thurstone 1927, Case III). `Calibration.scene_slope` k divides the spreads, so that the pairwise
probability Phi(k (s_i - s_j) / sqrt(std_i^2 + std_j^2)) and the chance of being the best follow from one model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr

from pqa.errors import DataError, ModelError, unknown_key
from pqa.spec import Calibration
from pqa.types import Best, Group, RankedScore, Score

__all__ = ["MAX_WIN_TABLE", "TIE_PROBABILITY", "best_probabilities", "rank", "relative_quality", "win_probabilities"]

Array = npt.NDArray[np.float64]
OrderBy = Literal["score", "joint"]

MAX_WIN_TABLE = 200
TIE_PROBABILITY = 0.75
TAIL_SIGMAS = 8.0  # beyond it a normal holds less than 1e-15
CELL_MASS = 1 / 1024  # largest share of the maximum's distribution in one cell of the integration grid
BISECTIONS = 60  # enough to bring a cell down to the resolution of float64


def rank(
    scores: Sequence[Score],
    *,
    attribute: str = "overall",
    calibration: Calibration,
    order_by: OrderBy = "score",
) -> Group:
    """Rank the pictures of one scene, all scored by one model for `attribute`, best first.

    Equal scores are ordered by id, so the order of `scores` never matters. `rank` is the position, 1 to n, also among
    equals. Walking down the order, a new tie group starts when the group's first beats the picture with a probability
    above 0.75. `win_probability` is None above 200 pictures. `order_by="joint"` puts `joint_score` (a model's score of
    the picture seen together with its set) in the place of `score` everywhere, with the same spread.

    Where any picture has no spread (`score_std` None) nothing is known about chance: `win_probability` and `best` are
    None and only equal scores tie.

    Raises DataError for no pictures, several scenes, repeated ids, scores of another attribute, or a joint order
    without joint scores; ModelError for a score that is not finite or a spread that is negative or not finite.
    """
    _check(scores, attribute, order_by)
    rows = sorted(scores, key=lambda row: (-_value(row, order_by), row.id))
    values = np.array([_value(row, order_by) for row in rows])
    stds = _stds(rows, calibration)
    chances = None if stds is None or len(rows) > MAX_WIN_TABLE else win_probabilities(values, stds)
    ranking = tuple(
        RankedScore(
            **{field.name: getattr(row, field.name) for field in dataclasses.fields(Score)},
            rank=position,
            tie_group=tie,
            relative_quality=quality,
        )
        for position, (row, tie, quality) in enumerate(
            zip(rows, _tie_groups(values, stds), relative_quality(values), strict=True), 1
        )
    )
    return Group(
        scene=rows[0].scene,
        best=None if stds is None else Best(rows[0].id, float(best_probabilities(values, stds)[0])),
        order=tuple(row.id for row in rows),
        ranking=ranking,
        win_probability=None if chances is None else tuple(tuple(map(float, line)) for line in chances),
    )


def relative_quality(values: Array) -> list[float | None]:
    """(q - median) / mean absolute deviation about the median, for scores (n,).

    The within-set normalisation of the subjective studies of sets (zero for the middle picture, one for a picture as
    far above as pictures are on average). None below three pictures, or where the deviation vanishes.
    """
    if len(values) < 3:
        return [None] * len(values)
    # Halved, so that the difference of two finite numbers is always finite.
    centred = values / 2 - np.median(values / 2)
    peak = float(np.abs(centred).max())
    if peak <= np.finfo(np.float64).eps * float(np.abs(values).max()):
        return [None] * len(values)
    centred /= peak
    return [float(value) for value in centred / np.abs(centred).mean()]


def win_probabilities(values: Array, stds: Array) -> Array:
    """Chance (n, n) that i's mean rating exceeds j's, for scores and spreads (n,); p_ij + p_ji is 1 to the last bit."""
    chance = ndtr(_separation(values[:, None], stds[:, None], values, stds))
    # The smaller of the two is the accurate one: beside it, 1 - p is exact enough that both add up to 1.
    return np.asarray(np.where(chance <= 0.5, chance, 1 - chance.T))


def best_probabilities(values: Array, stds: Array) -> Array:
    """Chance (n,) of each picture to have the highest mean rating, for scores and spreads (n,); sums to 1.

    With F the distribution of the maximum (the product of all Phi_j), P_i is the integral of F d log Phi_i. On each cell of
    a grid, the increment of F is shared in proportion to the increments of the log Phi_i, so that the sum is right on
    any grid; cells are halved until none holds more than `CELL_MASS` of F. Certain scores (spread zero) cut the
    integral at the highest of them, and equal ones among these share what lies below it.
    """
    sure = stds == 0
    floor = float(np.max(values, where=sure, initial=-math.inf))
    certain = sure & (values == floor)
    lower = float(np.max(values - TAIL_SIGMAS * stds))
    running = ~sure & (values + TAIL_SIGMAS * stds >= lower)
    if not running.any():
        return np.asarray(certain / certain.sum())
    # Relative to the leader, where float64 is finest.
    top = float(max(floor, values[running].max()))
    means, spreads = values[running] - top, stds[running]
    start = max(floor - top, math.nextafter(lower - top, -math.inf))
    edges = np.array([start, math.nextafter(float(np.max(means + TAIL_SIGMAS * spreads)), math.inf)])
    logs = _log_cdf(edges, means, spreads)
    for _ in range(BISECTIONS):
        mass = np.diff(np.exp(logs.sum(axis=1)))
        middle = (edges[:-1] + edges[1:]) / 2
        heavy = (mass > CELL_MASS) & (middle > edges[:-1]) & (middle < edges[1:])
        if not heavy.any():
            break
        places = np.flatnonzero(heavy) + 1
        logs = np.insert(logs, places, _log_cdf(middle[heavy], means, spreads), axis=0)
        edges = np.insert(edges, places, middle[heavy])
    totals = logs.sum(axis=1)
    increments = np.diff(totals)
    # exp(b) - exp(a) by expm1 keeps the far tail; cells without any increment carry nothing.
    mass = -np.exp(totals[1:]) * np.expm1(-increments)
    weights = np.divide(mass, increments, out=np.zeros_like(mass), where=increments > 0)
    result = np.zeros(len(values))
    result[running] = weights @ np.diff(logs, axis=0)
    if certain.any():
        result[certain] = math.exp(float(totals[0])) / certain.sum()
    return np.asarray(result / result.sum())


def _log_cdf(points: Array, means: Array, stds: Array) -> Array:
    """log Phi (points, pictures). Beyond 40 standard deviations a normal is zero, and stays finite here."""
    with np.errstate(over="ignore"):
        z = (points[:, None] - means) / stds
    return np.asarray(log_ndtr(np.clip(z, -40, 40)))


def _separation(value: Array, std: Array, others: Array, other_stds: Array) -> Array:
    """(s_i - s_j) / sqrt(std_i^2 + std_j^2); without spread, infinite with the sign of the difference, or 0 if equal."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gap = value - others
        return np.asarray(np.where(gap == 0, 0.0, gap / np.hypot(std, other_stds)))


def _tie_groups(values: Array, stds: Array | None) -> list[int]:
    groups, first = [1], 0
    spreads = np.zeros(len(values)) if stds is None else stds
    for row in range(1, len(values)):
        beats = ndtr(_separation(values[first], spreads[first], values[row], spreads[row]))
        if beats > TIE_PROBABILITY:
            first = row
        groups.append(groups[-1] + (first == row))
    return groups


def _value(row: Score, order_by: OrderBy) -> float:
    value = row.score if order_by == "score" or row.joint_score is None else row.joint_score
    return float(value)


def _stds(rows: Sequence[Score], calibration: Calibration) -> Array | None:
    slope = calibration.scene_slope
    if not (math.isfinite(slope) and slope > 0):
        raise ModelError(f"the slope of a calibration must be positive and finite, got {slope}")
    found = [row.score_std for row in rows]
    known = [std for std in found if std is not None]
    for row, std in zip(rows, found, strict=True):
        if std is not None and not (math.isfinite(std) and std >= 0):
            raise ModelError(f"{row.id}: score_std must be finite and at least 0, got {std}")
    return np.array(known) / slope if len(known) == len(found) else None


def _check(scores: Sequence[Score], attribute: str, order_by: OrderBy) -> None:
    if not scores:
        raise DataError("expected at least one scored picture to rank, got none")
    if order_by not in ("score", "joint"):
        raise unknown_key(order_by, ("score", "joint"), "order_by")
    scenes = sorted({row.scene for row in scores})
    if len(scenes) > 1:
        raise DataError(f"expected pictures of one scene, got {len(scenes)}: {', '.join(scenes[:5])}; rank each alone")
    ids: set[str] = set()
    for row in scores:
        if row.id in ids:
            raise DataError(f"expected every id once, got {row.id!r} twice; rename one of them")
        ids.add(row.id)
        if order_by == "joint" and row.joint_score is None:
            raise DataError(f"{row.id} has no joint score: this model scores pictures one by one; order by score")
        if not math.isfinite(_value(row, order_by)):
            raise ModelError(f"{row.id}: expected a finite score, got {_value(row, order_by)}")
        estimate = row.attributes.get(attribute)
        if estimate is not None and estimate.score != row.score and math.isfinite(row.score):
            raise DataError(
                f"{row.id} was scored for another attribute than {attribute!r}; score it for that one first"
            )
