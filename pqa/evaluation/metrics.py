"""The evaluation protocol: agreement of scores with ratings inside each scene, and its median over scenes.

PIQ23 (*An Image Quality Assessment Dataset for Portraits*, CVPR 2023) and the NTIRE 2024 survey report the median over
scenes of SRCC, PLCC, KRCC and MAE. The challenge score is the median over scenes of (SRCC + PLCC + KRCC) / 3, which is
not the mean of the three medians. Ratings of different scenes are not comparable, so nothing is pooled over scenes.
An undefined correlation (constant predictions, fewer than two pictures) counts as 0 and is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from pqa.errors import DataError
from pqa.evaluation.mappings import Fit, fit
from pqa.types import Warn

__all__ = [
    "METRICS",
    "Evaluation",
    "MainScore",
    "Metric",
    "SceneResult",
    "by_scene",
    "checked",
    "evaluate",
    "krcc",
    "mae",
    "main_score",
    "plcc",
    "ranks",
    "rmse",
    "srcc",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

BLOCK = 1024  # rows of the pair table held at a time


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of `Evaluation`: every value lies in [`low`, `high`], and a perfect prediction has the better end."""

    low: float
    high: float
    higher_is_better: bool

    @property
    def best(self) -> float:
        return self.high if self.higher_is_better else self.low


METRICS: dict[str, Metric] = {
    "srcc": Metric(-1.0, 1.0, higher_is_better=True),
    "plcc": Metric(-1.0, 1.0, higher_is_better=True),
    "krcc": Metric(-1.0, 1.0, higher_is_better=True),
    "mae": Metric(0.0, inf, higher_is_better=False),
    "rmse": Metric(0.0, inf, higher_is_better=False),
    "score": Metric(-1.0, 1.0, higher_is_better=True),
}


def ranks(values: npt.ArrayLike) -> Array:
    """(N,) values to (N,) ranks from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def plcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Pearson's linear correlation of two (N,) arrays, in [-1, 1]; NaN where it is undefined."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def srcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's of the mean ranks; NaN where it is undefined."""
    return plcc(ranks(x), ranks(y))


def krcc(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Kendall's tau-b (Kendall 1945): concordant minus discordant pairs over the pairs untied in each; NaN if undefined."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    agree = free_a = free_b = 0
    for start in range(0, a.size, BLOCK):
        sign_a = np.sign(a[start : start + BLOCK, None] - a[None, :])
        sign_b = np.sign(b[start : start + BLOCK, None] - b[None, :])
        agree += int(np.sum(sign_a * sign_b))
        free_a += int(np.count_nonzero(sign_a))
        free_b += int(np.count_nonzero(sign_b))
    if free_a == 0 or free_b == 0:
        return float("nan")
    return float(np.clip(agree / np.sqrt(free_a) / np.sqrt(free_b), -1.0, 1.0))


def mae(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Mean absolute error, in the units of the ratings."""
    return float(np.mean(np.abs(np.asarray(x, dtype=np.float64) - np.asarray(y, dtype=np.float64))))


def rmse(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Root mean square error, in the units of the ratings (divided by N; `pqa.evaluation.significance` has P.1401's N - d)."""
    return float(np.sqrt(np.mean((np.asarray(x, dtype=np.float64) - np.asarray(y, dtype=np.float64)) ** 2)))


@dataclass(frozen=True, slots=True)
class SceneResult:
    """One scene. `undefined` names the correlations that count as 0; `score` is the mean of the three."""

    scene: str
    n: int
    srcc: float
    plcc: float
    krcc: float
    mae: float
    rmse: float
    score: float
    undefined: tuple[str, ...]
    fit: Fit


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Medians over scenes, the scenes behind them, and the mapping that PLCC, MAE and RMSE were taken after."""

    mapping: str
    n: int
    srcc: float
    plcc: float
    krcc: float
    mae: float
    rmse: float
    score: float
    scenes: tuple[SceneResult, ...]
    warnings: tuple[Warn, ...]

    def values(self, metric: str) -> Array:
        """(S,) values of one of METRICS, in the order of `scenes`."""
        return np.array([getattr(scene, metric) for scene in self.scenes], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class MainScore:
    """SRCC + PLCC over a whole set, PLCC after the mapping of `fit`."""

    main: float
    srcc: float
    plcc: float
    n: int
    fit: Fit


def checked(**columns: npt.ArrayLike) -> list[Array]:
    """The columns as float64 (N,) arrays. Raises DataError for different lengths, no rows, or values that are not finite."""
    arrays = [np.asarray(column, dtype=np.float64).reshape(-1) for column in columns.values()]
    sizes = {name: array.size for name, array in zip(columns, arrays, strict=True)}
    if len(set(sizes.values())) != 1 or not arrays[0].size:
        raise DataError(f"expected columns of one length with at least one picture, got {sizes}")
    for name, array in zip(columns, arrays, strict=True):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise DataError(f"{bad} of {array.size} values of {name} are not finite; leave those pictures out by name")
    return arrays


def by_scene(scenes: npt.ArrayLike, n: int) -> dict[str, Index]:
    """Scene to the indices of its pictures, in order of first appearance."""
    names = np.asarray(scenes, dtype=str).reshape(-1)
    if names.size != n:
        raise DataError(f"expected a scene for each of {n} pictures, got {names.size}")
    unique, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    return {str(unique[k]): np.flatnonzero(inverse == k) for k in np.argsort(first)}


def evaluate(
    scores: npt.ArrayLike, labels: npt.ArrayLike, scenes: npt.ArrayLike, *, mapping: str = "raw"
) -> Evaluation:
    """Per-scene agreement of (N,) scores with (N,) labels, (N,) scene names beside them.

    The mapping (`raw`, `logistic4`, `cubic`) is fitted in each scene; SRCC and KRCC never see it. A decreasing mapping
    leaves PLCC its minus sign, so that no fit turns a wrong-way predictor into a good one. Raises DataError (`checked`).
    """
    x, y = checked(scores=scores, labels=labels)
    groups = by_scene(scenes, x.size)
    results = tuple(_scene(name, x[index], y[index], mapping) for name, index in groups.items())
    medians = {m: float(np.median([getattr(scene, m) for scene in results])) for m in METRICS}
    return Evaluation(mapping=mapping, n=x.size, scenes=results, warnings=_warnings(results, mapping), **medians)


def main_score(scores: npt.ArrayLike, labels: npt.ArrayLike, *, mapping: str = "cubic") -> MainScore:
    """Main score of NTIRE 2021 (*Challenge on Perceptual Image Quality Assessment*): SRCC + PLCC, cubic fit first.

    Over all pictures at once: for reference-based sets such as PIPAL, whose ratings share one scale.
    """
    result = evaluate(scores, labels, np.zeros(np.size(np.asarray(scores)), dtype=int), mapping=mapping).scenes[0]
    return MainScore(result.srcc + result.plcc, result.srcc, result.plcc, result.n, result.fit)


def _scene(name: str, x: Array, y: Array, mapping: str) -> SceneResult:
    fitted = fit(mapping, x, y)
    mapped = fitted(x)
    found = {"srcc": srcc(x, y), "plcc": plcc(mapped, y) * (1 if fitted.increasing else -1), "krcc": krcc(x, y)}
    undefined = tuple(metric for metric, value in found.items() if np.isnan(value))
    counted = {metric: 0.0 if metric in undefined else value for metric, value in found.items()}
    return SceneResult(
        name,
        x.size,
        mae=mae(mapped, y),
        rmse=rmse(mapped, y),
        score=sum(counted.values()) / 3,
        undefined=undefined,
        fit=fitted,
        **counted,
    )


def _warnings(scenes: tuple[SceneResult, ...], mapping: str) -> tuple[Warn, ...]:
    """One warning a kind, with the number of scenes and the first names."""
    kinds = {
        "undefined_correlation": ("a correlation is undefined and counts as 0", [s for s in scenes if s.undefined]),
        "small_scene": ("fewer than three pictures, correlations say little", [s for s in scenes if s.n < 3]),
        "mapping_skipped": (
            f"{mapping} cannot be fitted, raw scores used",
            [s for s in scenes if s.fit.name != mapping],
        ),
        "mapping_constrained": ("the cubic had to be held monotonic", [s for s in scenes if s.fit.constrained]),
        "mapping_decreasing": ("the fitted mapping falls", [s for s in scenes if not s.fit.increasing]),
    }
    warnings = []
    for code, (text, found) in kinds.items():
        if found:
            names = ", ".join(scene.scene for scene in found[:5]) + (", ..." if len(found) > 5 else "")
            warnings.append(Warn(code, f"{len(found)} of {len(scenes)} scenes: {text} ({names})"))
    return tuple(warnings)
