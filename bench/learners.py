"""What learns most from a thousand rated portraits: regressions on what a training cache holds, cross-validated.

    python -m bench.learners --cache RUN/cache

RUN is a run of `pqa train --recipe default`. Train and choose part together are divided into five folds by groups of
near-duplicates; each fold is predicted by what was fitted on the others. For each way: SRCC on untouched portraits, pooled and
by subset; the share of faulted versions (a tenth of the rating or more taken) that score below their original; the deviation of
what sound versions differ from it. Codebooks are learned from patches of the train part, without ratings. The report part is
not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr
from torch import Tensor

from pqa.nn.codebook import CodebookRegression
from pqa.nn.kernel import KernelRegression
from pqa.nn.trees import Trees
from training.default.cache import Cache
from training.default.codebooks import features, learn
from training.default.data import SOUND
from training.default.examples import LEAVES, TREES, grown, tensors
from training.default.fit import build_model
from training.default.recipe import RECIPE

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

FOLDS = 5


@dataclass(frozen=True)
class Learners:
    """Regressions fitted to rows of a cache, and asked about others; `described[place[row]]` are the codebooks' features."""

    cache: Cache
    described: Tensor
    place: Rows
    codebook: CodebookRegression

    @classmethod
    def over(cls, cache: Cache, rows: Rows) -> Learners:
        model = build_model(RECIPE, len(rows))
        views = model.views[:2]
        learn(model.codebook, cache, views, seed=0)
        place = np.zeros(len(cache.samples), np.intp)
        place[rows] = np.arange(len(rows))
        return cls(cache, torch.cat(list(features(model.codebook, cache, views, rows))), place, model.codebook)

    def kernel(self, kept: Rows, asked: Rows) -> Tensor:
        examples = tensors(self.cache, kept)
        regression = KernelRegression(*examples[0].shape)
        regression.fit(*examples)
        return torch.cat([regression(part)[0] for part in tensors(self.cache, asked)[0].split(2048)])

    def trees(self, kept: Rows, asked: Rows) -> Tensor:
        made = Trees(TREES, LEAVES)
        made.fill(grown(*tensors(self.cache, kept), seed=0))
        return torch.cat([made(part) for part in tensors(self.cache, asked)[0].split(256)])

    def codebooks(self, kept: Rows, asked: Rows) -> Tensor:
        _, ratings, importance = tensors(self.cache, kept)
        self.codebook.fit(self.described[self.place[kept]], ratings, importance)
        return self.described[self.place[asked]] @ self.codebook.weights + self.codebook.offset


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
    learners = Learners.over(cache, np.flatnonzero(used & (clean | portrait)))
    kernel, trees, codebooks = learners.kernel, learners.trees, learners.codebooks
    versions = clean | (sound & portrait)

    ways: tuple[tuple[str, tuple[Callable[[Rows, Rows], Tensor], ...], npt.NDArray[np.bool_]], ...] = (
        ("kernel regression, untouched portraits alone", (kernel,), clean & portrait),
        ("kernel regression, all untouched pictures", (kernel,), clean),
        ("kernel regression, and sound versions of portraits", (kernel,), versions),
        ("trees, all untouched pictures", (trees,), clean),
        ("trees, and sound versions of portraits", (trees,), versions),
        ("codebooks, all untouched pictures", (codebooks,), clean),
        ("codebooks, and sound versions of portraits", (codebooks,), versions),
        ("mean of kernel regression and trees, and sound versions", (kernel, trees), versions),
        ("mean of all three, and sound versions", (kernel, trees, codebooks), versions),
    )
    subsets = sorted({sample.subset for sample in samples if sample.portrait})
    names = ["all", *subsets, "faults below", "sound versions"]
    print(f"| learner and its examples | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    for name, several, examples in ways:
        score = np.full(len(samples), np.nan)
        for number in range(FOLDS):
            rows = np.flatnonzero(asked & (fold == number))
            kept = np.flatnonzero(used & examples & (fold != number))
            score[rows] = torch.stack([way(kept, rows) for way in several]).mean(dim=0).numpy()
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
