"""What each part of a `scene_gate` file knows by itself: its figures on the portraits of the choose part.

    python -m bench.opinions --model RUN/scene_gate.onnx --cache RUN/cache

RUN is a run of `pqa train --recipe default`. A row for what is fitted to examples alone (`pqa.nn.kernel`, `pqa.nn.trees`,
`pqa.nn.codebook`), for the branches alone, for the mean of both, and for what the file answers: that mean, less what its fault
trees take off.
Columns as the trainer prints them after each epoch: SRCC of untouched portraits with their ratings, in all and by subset; how
often a faulted version scores below its original, and the stronger of two neighbouring strengths below the weaker; how far
sound versions move, on average and as a deviation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader

import pqa
from pqa.runtime.predictor import Predictor
from training.default.cache import Cache
from training.default.data import PlainDataset
from training.default.fit import choose_figures

BATCH = 32
NAMES = ("score", "branches", "gate")


def answers(predictor: Predictor, cache: Cache, rows: list[int]) -> list[npt.NDArray[np.float32]]:
    """The outputs NAMES of the graph, (len(rows), ...) each, over rows of a cache."""
    views, found = predictor.spec.views, []
    for batch, _ in DataLoader(PlainDataset(cache, views, rows), batch_size=BATCH):
        feed = {view.name: made.numpy() for view, made in zip(views, batch, strict=True)}
        found.append(predictor.model.session.run(list(NAMES), feed))
    return [np.concatenate(several) for several in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default", help="name of the store or path of an .onnx file")
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    predictor, cache = pqa.load(args.model).predictor, Cache.open(args.cache)
    rows = [row for row, sample in enumerate(cache.samples) if sample.part == "choose" and sample.portrait]
    score, branches, gate = answers(predictor, cache, rows)
    whole, face, fitted = (
        branches[:, predictor.spec.branches.index(name)] for name in ("global", "face", "statistics")
    )
    fused = whole + gate * (face - whole)
    opinions = {
        "what is fitted, alone": fitted,
        "the branches, alone": fused,
        "their mean": (fitted + fused) / 2.0,
        "its score": score[:, 0],
    }
    figures = {name: choose_figures(cache, rows, said) for name, said in opinions.items()}
    columns = figures["its score"]
    print(f"| {args.model} | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, values in figures.items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values.values())} |")


if __name__ == "__main__":
    main()
