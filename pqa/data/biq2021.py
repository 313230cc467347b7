"""BIQ2021: a large-scale blind image quality assessment database (Ahmed & Asif, 2021), training split.

Layout read here: `train.csv` with the columns image, mos (0 to 1, mean of 30 observers), subset (`SUBSETS`),
portrait (1: a clear face); pictures in `images/`. Bursts are kept on one side of the division (`pqa.data.duplicates`).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pqa.data.duplicates import SIDE, duplicate_groups, thumbnail
from pqa.data.labels import Split
from pqa.data.parts import parts
from pqa.data.rated import Rated, RatedSet
from pqa.data.tables import read_table, some
from pqa.errors import DataError, InputError
from pqa.pixels.source import open_picture

__all__ = ["FILE", "SUBSETS", "Row", "is_released", "mentions", "rated_set", "read"]

FILE = "train.csv"
COLUMNS = ("image", "mos", "subset", "portrait")
SUBSETS = {"ss01": "archive", "ss02": "deliberate faults", "ss03": "stock photographs"}
LICENCE = "published for research; credit it in the card of any weight trained on it"


@dataclass(frozen=True, slots=True)
class Row:
    """One rated picture; `mos` in [0, 1]."""

    path: Path
    mos: float
    subset: str
    portrait: bool


def read(folder: Path) -> list[Row]:
    """Every row of `folder/train.csv`, in order.

    Raises DataError for a missing file or column, a rating that is no number, a picture named twice, or pictures that are
    not there (counted, the first three named).
    """
    rows = _rows(folder)
    lost = [row.path.name for row in rows if not row.path.is_file()]
    if lost:
        raise DataError(f"{folder / 'images'}: {len(lost)} of {len(rows)} pictures are missing, first {some(lost, 3)}")
    return rows


def is_released(rows: Sequence[Row]) -> bool:
    """Whether rows are BIQ2021's by their subsets: its layout may hold anybody's ratings."""
    return {row.subset for row in rows} <= SUBSETS.keys()


def rated_set(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every rated picture, one scale from 0 to 1, without standard deviations; subsets are its scenes.

    Reads every picture, to keep near-duplicates in one part (about 20 s for 4,424 pictures on two cores). Raises
    DataError as `read` does, but not for pictures that are not there.
    """
    rows = _rows(folder)
    names = [row.path.name for row in rows]
    division = parts(names, _bursts([row.path for row in rows]))
    found = tuple(
        Rated(
            f"images/{name}",
            row.path,
            row.subset,
            (row.mos,),
            (math.nan,),
            condition="portrait" if row.portrait else "",
            part=part,
        )
        for name, row, part in zip(names, rows, division, strict=True)
    )
    return RatedSet("biq2021", wanted, found, False, (0.0, 1.0), LICENCE, (folder / FILE,))


def mentions(folder: Path) -> bool:
    """Whether the folder's `train.csv` is this set's."""
    try:
        with (folder / FILE).open(newline="", encoding="utf-8-sig", errors="replace") as file:
            header = next(csv.reader(file), [])
    except OSError:
        return False
    return all(name in header for name in COLUMNS)


def _bursts(paths: Sequence[Path]) -> list[int]:
    with ThreadPoolExecutor() as pool:
        return duplicate_groups(list(pool.map(_look, paths)))


def _look(path: Path) -> npt.NDArray[np.float32]:
    """A thumbnail; of a picture that cannot be decoded one that resembles nothing."""
    try:
        return thumbnail(open_picture(path))
    except InputError:
        return np.zeros(3 * SIDE**2, np.float32)


def _rows(folder: Path) -> list[Row]:
    if not (folder / FILE).is_file():
        raise DataError(f"{folder}: expected train.csv and images/ (BIQ2021's training split), found no train.csv")
    table = read_table(folder / FILE)
    images, subsets, portraits = (table.columns[table.need((name,), name)] for name in ("image", "subset", "portrait"))
    values = table.numbers(table.need(("mos",), "the mean rating"))
    outside = [image for image, mos in zip(images, values, strict=True) if not 0.0 <= mos <= 1.0]
    if outside:
        raise DataError(
            f"{table.path}: expected a mos from 0 to 1, {len(outside)} are outside or empty: {some(outside)}"
        )
    if len(set(images)) != len(images):
        raise DataError(f"{table.path}: {len(images) - len(set(images))} pictures are named more than once")
    return [
        Row(folder / "images" / image, float(mos), subset, portrait == "1")
        for image, mos, subset, portrait in zip(images, values, subsets, portraits, strict=True)
    ]
