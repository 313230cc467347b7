"""Curves of a run from the log that its trainer wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from pqa.report.html import Curve

__all__ = ["read_curves"]

LOG = Path("log") / "metrics.csv"
AXES = ("epoch", "step")


def read_curves(out: Path) -> list[Curve]:
    """Every logged figure of the run in `out` with its epochs; none where nothing was logged."""
    if not (out / LOG).is_file():
        return []
    with (out / LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name not in AXES]
    curves = []
    for name in names:
        points = [(float(row["epoch"]), float(row[name])) for row in rows if row[name] and row["epoch"]]
        if points:
            x, y = np.array(points).T
            curves.append((name, x, y))
    return curves
