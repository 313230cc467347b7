"""BIQ2021: a large-scale blind image quality assessment database (Ahmed & Asif, 2021), training split.

Layout read here: `train.csv` with the columns image, mos (0 to 1, mean of 30 observers), subset (ss01 archive shots, ss02
captured with deliberate faults, ss03 a stock-photo site), portrait (1: a clear face); pictures in `images/`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from pqa.errors import DataError

__all__ = ["Row", "read"]

COLUMNS = ("image", "mos", "subset", "portrait")


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
    table = folder / "train.csv"
    if not table.is_file():
        raise DataError(f"{folder}: expected train.csv and images/ (BIQ2021's training split), found no train.csv")
    with table.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
        if missing:
            raise DataError(f"{table}: missing columns {missing}; expected {list(COLUMNS)}, got {reader.fieldnames}")
        rows = [_row(folder, line, reader.line_num) for line in reader]
    names = [row.path.name for row in rows]
    if len(set(names)) != len(names):
        raise DataError(f"{table}: {len(names) - len(set(names))} pictures are named more than once")
    lost = [row.path.name for row in rows if not row.path.is_file()]
    if lost:
        raise DataError(f"{folder / 'images'}: {len(lost)} of {len(rows)} pictures are missing, first {lost[:3]}")
    return rows


def _row(folder: Path, line: dict[str, str], number: int) -> Row:
    try:
        mos = float(line["mos"])
    except ValueError as error:
        raise DataError(f"{folder / 'train.csv'}, line {number}: mos is no number: {line['mos']!r}") from error
    if not 0.0 <= mos <= 1.0:
        raise DataError(f"{folder / 'train.csv'}, line {number}: expected a mos from 0 to 1, got {mos}")
    return Row(folder / "images" / line["image"], mos, line["subset"], line["portrait"] == "1")
