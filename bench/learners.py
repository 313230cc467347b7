"""What learns most from a thousand rated portraits: regressions on the statistics of a training cache, cross-validated.

    python -m bench.learners --cache RUN/cache

RUN is a run of `pqa train --recipe default`. Train and choose part together are divided into five folds by groups of
near-duplicates; each fold is predicted by what was fitted on the others. For each way: SRCC on untouched portraits, pooled and
by subset; the share of faulted versions (a tenth of the rating or more taken) that score below their original; the deviation of
what sound versions differ from it. The report part is not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from torch import Tensor

from pqa.nn.kernel import KernelRegression
from pqa.nn.trees import Trees
from training.default.cache import Cache
from training.default.data import SOUND
from training.default.examples import LEAVES, TREES, grown, tensors

Array = npt.NDArray[np.float64]
Examples = tuple[Tensor, Tensor, Tensor]

FOLDS = 5


def kernel(examples: Examples, asked: Tensor) -> Tensor:
    regression = KernelRegression(*examples[0].shape)
    regression.fit(*examples)
    return torch.cat([regression(part)[0] for part in asked.split(2048)])


def trees(examples: Examples, asked: Tensor) -> Tensor:
    made = Trees(TREES, LEAVES)
    made.fill(grown(*examples, seed=0))
    return torch.cat([made(part) for part in asked.split(256)])


def both(examples: Examples, asked: Tensor) -> Tensor:
    return (kernel(examples, asked) + trees(examples, asked)) / 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    cache = Cache.open(parser.parse_args().cache)
    samples = cache.samples
    base = np.array([sample.base for sample in samples])
    clean = base == np.arange(len(base))
    portrait = np.array([sample.portrait for sample in samples])
    sound = np.array([sample.version in SOUND for sample in samples])
    used = np.array([sample.part != "report" for sample in samples])
    group = np.array([sample.group for sample in samples])
    fold = np.random.default_rng(0).integers(FOLDS, size=group.max() + 1)[group]
    asked = used & portrait

    ways: tuple[tuple[str, Callable[[Examples, Tensor], Tensor], npt.NDArray[np.bool_]], ...] = (
        ("kernel regression, untouched portraits alone", kernel, clean & portrait),
        ("kernel regression, all untouched pictures", kernel, clean),
        ("kernel regression, and sound versions of portraits", kernel, clean | (sound & portrait)),
        ("trees, all untouched pictures", trees, clean),
        ("trees, and sound versions of portraits", trees, clean | (sound & portrait)),
        ("mean of both, and sound versions of portraits", both, clean | (sound & portrait)),
    )
    subsets = sorted({sample.subset for sample in samples if sample.portrait})
    names = ["all", *subsets, "faults below", "sound versions"]
    print(f"| learner and its examples | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for name, way, examples in ways:
        score = np.full(len(samples), np.nan)
        for number in range(FOLDS):
            rows = np.flatnonzero(asked & (fold == number))
            kept = np.flatnonzero(used & examples & (fold != number))
            score[rows] = way(tensors(cache, kept), tensors(cache, rows)[0]).numpy()
        figures = _figures(cache, score, asked, subsets)
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in figures)} |", flush=True)


def _figures(cache: Cache, score: Array, asked: npt.NDArray[np.bool_], subsets: list[str]) -> list[float]:
    samples = cache.samples
    rows = np.flatnonzero(asked)
    untouched = np.array([row for row in rows if samples[row].base == row])
    mos = np.array([samples[row].mos for row in untouched])
    subset = np.array([samples[row].subset for row in untouched])
    masks = [np.ones(len(untouched), bool), *(subset == name for name in subsets)]
    found = [float(spearmanr(score[untouched[mask]], mos[mask])[0]) for mask in masks]
    below = [score[row] < score[samples[row].base] for row in rows if min(samples[row].keep) < 0.9]
    moved = [score[row] - score[samples[row].base] for row in rows if samples[row].version in SOUND]
    return [*found, float(np.mean(below)), float(np.std(moved))]


if __name__ == "__main__":
    main()
