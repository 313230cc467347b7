"""Plain CSV tables by column: with or without a byte-order mark, columns found by name whatever their case.

File names need not be text: bytes that are not UTF-8 come back as they are (surrogates), as `pqa score` writes them. A text
that a spreadsheet would take for a formula is written `guarded`, with an apostrophe in front, and read without it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pqa.errors import DataError

__all__ = ["Table", "clean_id", "guarded", "read_table", "some", "unguarded"]

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a cell begins that a spreadsheet would run, with the apostrophes that a name may have of its own."""


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a CSV file as text, stripped; keys are the header's names in lower case."""

    path: Path
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def find(self, names: Sequence[str]) -> str | None:
        """The first of `names` that is a column."""
        return next((name for name in names if name in self.columns), None)

    def need(self, names: Sequence[str], what: str) -> str:
        """Like `find`. Raises DataError that lists what was expected and what the file has."""
        found = self.find(names)
        if found is None:
            raise DataError(
                f"{self.path}: no column for {what}; expected one of {', '.join(names)}, got {', '.join(self.columns)}"
            )
        return found

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """(N,) float64; an empty cell is NaN. Raises DataError for text that is no number, naming the line."""
        found = np.empty(len(self))
        for k, text in enumerate(self.columns[name]):
            try:
                found[k] = float(text) if text else np.nan
            except ValueError as error:
                raise DataError(f"{self.path}, line {k + 2}: {name} is no number: {text!r}") from error
        return found


def read_table(path: Path) -> Table:
    """Read a CSV file with a header. Raises DataError for a missing or empty file, or a row of another length."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV table: {error}") from error
    if len(rows) < 2:
        raise DataError(f"{path}: expected a header and at least one row, got {len(rows)} lines")
    header = [name.strip().lower() for name in rows[0]]
    if len(set(header)) != len(header):
        raise DataError(f"{path}: a column is named twice: {', '.join(header)}")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: expected {len(header)} cells, got {len(row)}")
    return Table(path, {name: [unguarded(row[k].strip()) for row in rows[1:]] for k, name in enumerate(header)})


def guarded(text: str) -> str:
    """`text` for a cell of a CSV file, so that no spreadsheet runs it (OWASP, "CSV Injection"); `unguarded` undoes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def clean_id(name: str) -> str:
    """A picture's name with forward slashes and without a leading ./"""
    return name.replace("\\", "/").removeprefix("./")


def some(names: Sequence[str], count: int = 5) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
