"""A predictor's scores from CSV, as `pqa score --out` writes them, and their join with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from pqa.data.labels import Labels
from pqa.data.tables import Table, clean_id, read_table, some
from pqa.errors import DataError
from pqa.types import Warn

__all__ = ["Predictions", "common", "read_predictions"]

Array = npt.NDArray[np.float64]

IMAGE = ("image", "id", "image path", "filename", "file")
SCORE = ("score", "prediction", "predicted")
STD = ("score_std", "std", "score std", "uncertainty")


@dataclass(frozen=True, slots=True)
class Predictions:
    """Scores of M pictures, higher is better; `std` the predictor's own standard deviation, (M,) or None."""

    name: str
    source: Path
    image: tuple[str, ...]
    score: Array
    std: Array | None
    columns: Mapping[str, tuple[str, ...]]
    warnings: tuple[Warn, ...] = ()

    def take(self, index: npt.NDArray[np.intp]) -> Predictions:
        """The pictures of (K,) indices, in that order."""
        return Predictions(
            self.name,
            self.source,
            tuple(self.image[k] for k in index),
            self.score[index],
            None if self.std is None else self.std[index],
            {name: tuple(column[k] for k in index) for name, column in self.columns.items()},
            self.warnings,
        )


def read_predictions(path: Path, *, name: str | None = None, column: str | None = None) -> Predictions:
    """Read scores; `column` takes another column than `score` (an attribute, say).

    Rows without a finite score (pictures that could not be scored) and exact repeats are left out, counted and named in
    `warnings`. Raises DataError for missing columns, a picture with two different scores, or no usable row.
    """
    table = read_table(path)
    image = table.need(IMAGE, "the picture")
    value = table.need((column.lower(),) if column else SCORE, "the score")
    # The std of `score` says nothing about another column.
    std = table.find((f"{column.lower()}_std",) if column and column.lower() != "score" else STD)
    names, scores = list(map(clean_id, table.columns[image])), table.numbers(value)
    finite = np.isfinite(scores)
    kept, warnings = _once(path, names, scores, finite)
    lost = [each for each, fine in zip(names, finite, strict=True) if not fine]
    if lost:
        warnings.append(
            Warn("no_score", f"{path.name}: {len(lost)} of {len(names)} rows have no usable score: {some(lost)}")
        )
    if not kept.size:
        raise DataError(f"{path}: none of {len(names)} rows has a usable score")
    spread = _spread(table, std, kept, warnings)
    used = {image, value, std}
    columns = {key: tuple(cells) for key, cells in table.columns.items() if key not in used}
    made = Predictions(name or path.stem, path, tuple(names), scores, None, columns, tuple(warnings)).take(kept)
    return Predictions(made.name, path, made.image, made.score, spread, made.columns, made.warnings)


def _once(
    path: Path, names: list[str], scores: Array, finite: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], list[Warn]]:
    first: dict[str, int] = {}
    again: list[str] = []
    for k in np.flatnonzero(finite):
        if names[k] not in first:
            first[names[k]] = int(k)
        elif scores[first[names[k]]] == scores[k]:
            again.append(names[k])
        else:
            raise DataError(f"{path}: {names[k]} has two scores, {scores[first[names[k]]]} and {scores[k]}; keep one")
    warnings = []
    if again:
        warnings.append(
            Warn("repeated", f"{path.name}: {len(again)} rows repeat a picture with the same score: {some(again)}")
        )
    return np.array(list(first.values()), dtype=np.intp), warnings


def _spread(table: Table, std: str | None, kept: npt.NDArray[np.intp], warnings: list[Warn]) -> Array | None:
    """The kept rows' standard deviations; None when the column is absent, empty or partly unusable (then named)."""
    if std is None or not any(table.columns[std]):
        return None
    found = table.numbers(std)[kept]
    bad = int(np.count_nonzero(~(np.isfinite(found) & (found >= 0))))
    if bad:
        warnings.append(
            Warn("bad_std", f"{table.path.name}: {bad} of {kept.size} values of {std} are unusable; column ignored")
        )
        return None
    return found


def common(labels: Labels, predictions: Sequence[Predictions]) -> tuple[Labels, list[Predictions], list[Warn]]:
    """The labelled pictures that every predictor scored, all in the labels' order, and who misses what.

    Pictures are joined on their whole name, or on the file name alone where that is unique on both sides. Raises DataError
    when nothing is shared.
    """
    where = [_places(labels, each) for each in predictions]
    shared = [k for k in range(len(labels)) if all(k in place for place in where)]
    warnings = []
    for each, place in zip(predictions, where, strict=True):
        missing = [name for k, name in enumerate(labels.image) if k not in place]
        taken = set(place.values())
        spare = [name for k, name in enumerate(each.image) if k not in taken]
        if missing:
            text = f"{each.name}: {len(missing)} of {len(labels)} labelled pictures have no score: {some(missing)}"
            warnings.append(Warn("missing_predictions", text))
        if spare:
            text = f"{each.name}: {len(spare)} of {len(each.image)} scored pictures have no label here: {some(spare)}"
            warnings.append(Warn("missing_labels", text))
    if not shared:
        names = f"labels like {some(labels.image, 2)}; scores like {some(predictions[0].image, 2)}"
        raise DataError(f"no picture has both a label and a score of every predictor ({names})")
    if len(predictions) > 1 and len(shared) < max(len(place) for place in where):
        text = f"models are compared on the {len(shared)} pictures that all of them scored"
        warnings.append(Warn("common_pictures", text))
    index = np.array(shared, dtype=np.intp)
    taken_rows = [np.array([place[k] for k in shared], dtype=np.intp) for place in where]
    aligned = [each.take(rows) for each, rows in zip(predictions, taken_rows, strict=True)]
    return labels.take(index), aligned, warnings


def _places(labels: Labels, predictions: Predictions) -> dict[int, int]:
    """Index of a label to the index of its score."""
    whole = {name: k for k, name in enumerate(predictions.image)}
    found = {k: whole[name] for k, name in enumerate(labels.image) if name in whole}
    if len(found) == len(labels):
        return found
    ours, theirs = _by_file(labels.image), _by_file(predictions.image)
    taken = set(found.values())
    for name, k in ours.items():
        if k not in found and name in theirs and theirs[name] not in taken:
            found[k] = theirs[name]
    return found


def _by_file(names: Sequence[str]) -> dict[str, int]:
    """File names that occur once."""
    files = [PurePosixPath(name).name for name in names]
    count: dict[str, int] = {}
    for name in files:
        count[name] = count.get(name, 0) + 1
    return {name: k for k, name in enumerate(files) if count[name] == 1}
