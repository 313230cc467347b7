"""Results that others have published, as data: one CSV a table, each row with its source and where in it.

Columns: benchmark, part (split or test set), attribute, method; srcc, plcc, krcc, mae; score (median over scenes of the
mean of the three correlations); main (SRCC + PLCC of the NTIRE challenges); params_m (millions of parameters); source,
table. An empty cell means that the source gives no such figure, or that it could not be checked there.

Nothing here is measured by this project.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files

from pqa.errors import DataError, unknown_key

__all__ = ["FIGURES", "TABLES", "Row", "markdown", "read"]

TABLES = {
    "portrait_challenge": "NTIRE 2024 portrait challenge: PIQ23 scene split and hidden test",
    "piq23_benchmark": "PIQ23 benchmark, median over scenes",
    "pipal": "PIPAL in the NTIRE challenges, main score = SRCC + PLCC",
    "full_reference": "full-reference measures on LIVE, CSIQ and TID2013",
}
FIGURES = ("srcc", "plcc", "krcc", "mae", "score", "main", "params_m")
_TITLES = {"mae": "MAE", "score": "score", "main": "main", "params_m": "parameters (M)"}


@dataclass(frozen=True, slots=True)
class Row:
    """One published result. Figures are kept as printed, so that their rounding is known."""

    benchmark: str
    part: str
    attribute: str
    method: str
    srcc: str
    plcc: str
    krcc: str
    mae: str
    score: str
    main: str
    params_m: str
    source: str
    table: str

    def figure(self, name: str) -> float | None:
        """The figure `name` (one of FIGURES) as a number, None where the source gives none."""
        if name not in FIGURES:
            raise unknown_key(name, FIGURES, "figure")
        text = str(getattr(self, name))
        return float(text) if text else None


def read(name: str) -> list[Row]:
    """The rows of one of TABLES. Raises ConfigurationError for an unknown name, DataError for a damaged file."""
    if name not in TABLES:
        raise unknown_key(name, TABLES, "table")
    text = files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    expected = [field.name for field in fields(Row)]
    reader = csv.reader(text.splitlines())
    header = next(reader, [])
    if header != expected:
        raise DataError(f"{name}.csv: expected the columns {', '.join(expected)}, got {', '.join(header)}")
    rows = list(reader)
    wrong = next((k for k, cells in enumerate(rows, 2) if len(cells) != len(expected)), None)
    if wrong is not None:
        raise DataError(f"{name}.csv, line {wrong}: expected {len(expected)} cells, got {len(rows[wrong - 2])}")
    return [Row(*cells) for cells in rows]


def markdown(rows: Sequence[Row], extra: Iterable[tuple[str, dict[str, float]]] = ()) -> str:
    """A Markdown table of rows of one benchmark: only the columns that any row fills, sources below.

    `extra` appends our own measured rows, (method, figures), set in bold.
    """
    if not rows:
        raise DataError("no rows to print")
    ours = list(extra)
    context = [name for name in ("benchmark", "part", "attribute") if len({getattr(row, name) for row in rows}) > 1]
    shown = [
        name
        for name in FIGURES
        if any(getattr(row, name) for row in rows) or any(name in figures for _, figures in ours)
    ]
    titles = [*context, "method", *(_TITLES.get(name, name.upper()) for name in shown)]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in rows:
        cells = [getattr(row, name) for name in (*context, "method", *shown)]
        lines.append(f"| {' | '.join(cell or '-' for cell in cells)} |")
    for method, figures in ours:
        cells = [f"**{figures[name]:.3f}**" if name in figures else "-" for name in shown]
        lines.append(f"| {' | '.join(['-'] * len(context) + [f'**{method}**', *cells])} |")
    sources = dict.fromkeys(f"{row.source}: {row.table}" for row in rows)
    return "\n".join([*lines, "", *(f"Source: {source}." for source in sources)]) + "\n"
