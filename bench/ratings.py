"""`python -m bench.ratings MODEL [MODEL ...] --data BIQ2021`: model files against human ratings of portraits, report part."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import pqa
from pqa.data import biq2021, sets
from pqa.data.rated import Rated
from pqa.evaluation.metrics import srcc
from pqa.types import Score

__all__ = ["figures", "portraits"]


def portraits(folder: Path) -> list[Rated]:
    """The report part's pictures with a clear face, as the set says."""
    clear = {row.path.name for row in biq2021.read(folder) if row.portrait}
    return [row for row in sets.read(folder, "biq2021").rows if row.part == "report" and row.path.name in clear]


def figures(model: str, rows: list[Rated]) -> dict[str, tuple[int, float]]:
    """Pictures and SRCC with the mean ratings: pooled, and within each subset of at least ten."""
    found = [(row, got) for row, got in zip(rows, pqa.load(model).score([row.path for row in rows]), strict=True)]
    scored = [(row, got.score) for row, got in found if isinstance(got, Score)]
    label, score = np.array([row.labels[0] for row, _ in scored]), np.array([value for _, value in scored])
    subset = np.array([row.scene for row, _ in scored])
    parts = {"all": np.ones(len(scored), bool), **{str(name): subset == name for name in sorted(set(subset))}}
    return {name: (int(part.sum()), srcc(score[part], label[part])) for name, part in parts.items() if part.sum() >= 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name of the store or path of an .onnx file")
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    rows = portraits(args.data)
    for model in args.models:
        cells = [f"{name} {value:.3f} ({count})" for name, (count, value) in figures(model, rows).items()]
        print(f"{model}: " + ", ".join(cells))


if __name__ == "__main__":
    main()
