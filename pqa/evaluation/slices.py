"""The protocol on parts of the data, and on devices, which is what labs decide on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pqa.errors import DataError
from pqa.evaluation.metrics import by_scene, checked, evaluate, krcc, plcc, srcc

__all__ = ["DeviceLevel", "DeviceRow", "Slice", "devices", "slices"]

Array = npt.NDArray[np.float64]

FEWEST = 5  # pictures of a scene in a slice, below which its correlations say nothing
MOST_VALUES = 12  # a column of whole numbers with more different values is cut into quarters
MOST_FRACTIONS = 4  # as for whole numbers, where some are not: measured values, hardly ever equal


@dataclass(frozen=True, slots=True)
class Slice:
    """The pictures whose column has one value, or lies in one quarter. Medians are over scenes with at least 5 of them.

    `bias` is the mean of (score - label) after scores were brought to the mean and s.d. of their scene's labels: how much
    the predictor favours this slice, in label units. Metrics are NaN when no scene has enough pictures; `small` counts the
    scenes left out of them.
    """

    column: str
    value: str
    n: int
    scenes: int
    small: int
    srcc: float
    plcc: float
    krcc: float
    mae: float
    score: float
    bias: float


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """Mean score and label of a device, each less its scene's mean, and the standard error of the mean label."""

    device: str
    n: int
    scenes: int
    score: float
    label: float
    label_error: float


@dataclass(frozen=True, slots=True)
class DeviceLevel:
    """Agreement of mean score with mean label over devices; correlations are NaN with fewer than three devices.

    `left_out` devices have fewer pictures than asked for, `unnamed` pictures no device.
    """

    srcc: float
    plcc: float
    krcc: float
    rows: tuple[DeviceRow, ...]
    left_out: tuple[str, ...]
    unnamed: int


def slices(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    scenes: npt.ArrayLike,
    values: Sequence[str],
    *,
    column: str,
    mapping: str = "raw",
) -> tuple[Slice, ...]:
    """The protocol for each value of a column of N strings: condition, device, split, face size, luminance, ...

    Numeric columns with more than 12 different values, 4 where some are fractions, are cut at their quartiles. An empty
    value is a slice of its own, `(none)`. The mapping is fitted in each scene inside the slice.
    """
    x, y = checked(scores=scores, labels=labels)
    names = np.asarray(scenes, dtype=str).reshape(-1)
    if len(values) != x.size:
        raise DataError(f"column {column}: expected {x.size} values, got {len(values)}")
    error = np.empty(x.size)
    for index in by_scene(names, x.size).values():
        unit = y[index].std() / (x[index].std() or 1.0)
        error[index] = (x[index] - x[index].mean()) * unit - (y[index] - y[index].mean())
    keys = np.array(_labels(values), dtype=str)
    order = sorted(set(map(str, keys)), key=_place)
    return tuple(_slice(column, key, np.flatnonzero(keys == key), x, y, names, error, mapping) for key in order)


def _slice(
    column: str,
    key: str,
    index: npt.NDArray[np.intp],
    x: Array,
    y: Array,
    names: npt.NDArray[np.str_],
    error: Array,
    mapping: str,
) -> Slice:
    groups = by_scene(names[index], index.size)
    enough = [index[part] for part in groups.values() if part.size >= FEWEST]
    found = dict.fromkeys(("srcc", "plcc", "krcc", "mae", "score"), float("nan"))
    if enough:
        kept = np.concatenate(enough)
        result = evaluate(x[kept], y[kept], names[kept], mapping=mapping)
        found = {metric: getattr(result, metric) for metric in found}
    bias = float(error[index].mean())
    return Slice(column, key, index.size, len(groups), len(groups) - len(enough), bias=bias, **found)


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if np.isfinite(found) else None


def _labels(values: Sequence[str]) -> list[str]:
    """The slice of each value: the value itself, or its quarter."""
    text = [value.strip() for value in values]
    numbers = [_number(value) for value in text if value]
    most = MOST_VALUES if all(number is None or number.is_integer() for number in numbers) else MOST_FRACTIONS
    if None in numbers or len(set(numbers)) <= most:
        return [value or "(none)" for value in text]
    edges = np.quantile(np.array(numbers, dtype=np.float64), [0, 0.25, 0.5, 0.75, 1])
    found = []
    for value in text:
        quarter = int(np.clip(np.searchsorted(edges[1:-1], float(value), side="left"), 0, 3)) if value else -1
        found.append("(none)" if quarter < 0 else f"Q{quarter + 1}: {edges[quarter]:.4g} to {edges[quarter + 1]:.4g}")
    return found


def _place(key: str) -> tuple[bool, float, str]:
    """Numbers by size, then names, `(none)` last."""
    number = _number(key)
    return key == "(none)", np.inf if number is None else number, key


def devices(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    scenes: npt.ArrayLike,
    names: Sequence[str],
    *,
    fewest: int = 3,
) -> DeviceLevel:
    """Mean score against mean label of every device with at least `fewest` pictures.

    Both are taken less their scene's mean first: a device that photographed only hard scenes is not a bad one, and neither
    JOD nor scores compare across scenes.
    """
    x, y = (column.copy() for column in checked(scores=scores, labels=labels))
    if len(names) != x.size:
        raise DataError(f"expected a device for each of {x.size} pictures, got {len(names)}")
    place = np.asarray(scenes, dtype=str).reshape(-1)
    for index in by_scene(place, x.size).values():
        x[index] -= x[index].mean()
        y[index] -= y[index].mean()
    rows, few = [], []
    of_device = np.array([name.strip() for name in names], dtype=str)
    for name, index in by_scene(of_device, x.size).items():
        if not name:
            continue
        if index.size < fewest:
            few.append(name)
            continue
        error = float(y[index].std(ddof=1) / np.sqrt(index.size)) if index.size > 1 else float("nan")
        rows.append(
            DeviceRow(name, index.size, len(set(place[index])), float(x[index].mean()), float(y[index].mean()), error)
        )
    rows.sort(key=lambda row: -row.label)
    means = np.array([(row.score, row.label) for row in rows]).reshape(-1, 2).T
    rho, r, tau = (f(*means) if len(rows) >= 3 else float("nan") for f in (srcc, plcc, krcc))
    return DeviceLevel(rho, r, tau, tuple(rows), tuple(sorted(few)), int(np.count_nonzero(of_device == "")))
