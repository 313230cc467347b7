"""Curves of a run from the log that its trainer wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from pqa.report.html import Curve

__all__ = ["read_curves"]

LOG = "log"
AXES = ("epoch", "step")


def read_curves(out: Path) -> list[Curve]:
    """Every logged figure of the run in `out` with its epochs; none where nothing was logged.

    A run that was continued has one log for each piece, in `log/0`, `log/1`, ...; what a later one repeats counts.
    """
    found: dict[str, dict[float, float]] = {}
    for log in sorted((out / LOG).glob("*/metrics.csv"), key=lambda path: int(path.parent.name)):
        with log.open(newline="") as file:
            for row in csv.DictReader(file):
                for name in row.keys() - set(AXES):
                    if row[name]:
                        found.setdefault(name, {})[float(row["epoch"])] = float(row[name])
    curves = []
    for name in sorted(found):
        x, y = np.array(sorted(found[name].items())).T
        curves.append((name, x, y))
    return curves
