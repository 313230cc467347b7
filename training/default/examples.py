"""What `scene_gate` is fitted to examples with at once: a kernel regression that keeps them, boosted trees, codebooks, and
trees that tell faults."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pqa.nn.codebook import CodebookRegression
from pqa.nn.kernel import KernelRegression
from pqa.nn.trees import Leaf, Node, Trees
from pqa.spec import ViewSpec
from training.default.cache import Cache, Sample
from training.default.codebooks import features
from training.default.data import SOUND

__all__ = ["FAULT_TREES", "LEAVES", "TREES", "examples", "fault_trees", "grown", "priors", "tensors"]

FOLDS = 5
PORTRAIT, OTHER, VERSION = 2.0, 1.0, 0.3
"""Importance of an untouched portrait, of another picture, and the factor of a sound version of either."""

FAULT_TREES, FAULT_RATE = 1000, 0.04
OFTEN = {"missed_focus": 6.0}
"""Importance of faults to the trees that tell them, beside that of the picture: the others come to 1.

A face out of focus before a sharp background is one fault of thirty to the simulator, and not to people.
"""

TREES, LEAVES = 500, 15
BOOSTING = {
    "objective": "regression",
    "learning_rate": 0.03,
    "num_leaves": LEAVES,
    "min_data_in_leaf": 10,
    "feature_fraction": 0.2,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "num_threads": 1,
    "deterministic": True,
    "verbose": -1,
}
"""LightGBM (Ke et al., NeurIPS 2017); chosen by five-fold cross-validation over groups of near-duplicates."""


def examples(cache: Cache) -> npt.NDArray[np.intp]:
    """Rows of the train part that are kept: untouched pictures, and sound versions of portraits.

    Without the versions whatever reduces a picture or refiles it would move its score: statistics see it.
    """
    return np.array(
        [
            row
            for row, sample in enumerate(cache.samples)
            if sample.part == "train" and (row == sample.base or (sample.portrait and sample.version in SOUND))
        ]
    )


def _importance(sample: Sample) -> float:
    return PORTRAIT if sample.portrait else OTHER


def _vectors(cache: Cache, rows: npt.NDArray[np.intp]) -> Tensor:
    names = ("statistics", "face_statistics", "face_geometry")
    return torch.from_numpy(np.concatenate([np.asarray(cache.views[name])[rows] for name in names], axis=1))


def tensors(cache: Cache, rows: npt.NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor]:
    """What `SceneGate.remember` takes: vectors (M, D), ratings (M,) and importance (M,) of rows of the cache."""
    samples = [cache.samples[row] for row in rows]
    importance = [
        _importance(sample) * (1.0 if row == sample.base else VERSION)
        for row, sample in zip(rows, samples, strict=True)
    ]
    return _vectors(cache, rows), torch.tensor([sample.mos for sample in samples]), torch.tensor(importance)


def priors(
    cache: Cache, kept: npt.NDArray[np.intp], codebook: CodebookRegression, views: tuple[ViewSpec, ...], seed: int
) -> npt.NDArray[np.float32]:
    """What kernel regression, trees and codebooks say together (N,) of every row of the cache.

    Rows of the train part are predicted by what was fitted without their group of near-duplicates: its own answer on what it
    was fitted to says nothing of how well it does elsewhere. `codebook`, already filled, is left fitted to all of `kept`;
    `views` are the pictures that it looks at.
    """
    group = np.array([sample.group for sample in cache.samples])
    train = np.array([sample.part == "train" for sample in cache.samples])
    fold = np.random.default_rng(seed).integers(FOLDS, size=group.max() + 1)[group]
    said = np.where(train, fold, FOLDS)  # what each row is predicted by; last comes what is fitted to all
    measured = np.empty(len(group), np.float32)
    described = torch.cat(list(features(codebook, cache, views, kept)))
    readings = []
    for number in range(FOLDS + 1):
        without = fold[kept] != number
        vectors, ratings, importance = tensors(cache, kept[without])
        regression, trees = KernelRegression(*vectors.shape), Trees(TREES, LEAVES)
        regression.fit(vectors, ratings, importance)
        trees.fill(grown(vectors, ratings, importance, seed))
        asked = np.flatnonzero(said == number)
        for part in np.array_split(asked, max(1, len(asked) // 512)):
            vectors = _vectors(cache, part)
            measured[part] = ((regression(vectors)[0] + trees(vectors)) / 2.0).numpy()
        codebook.fit(described[torch.from_numpy(without)], ratings, importance)
        readings.append((codebook.weights.clone(), codebook.offset.clone()))
    del described
    weights, offsets = (torch.stack(each, dim=-1) for each in zip(*readings, strict=True))
    seen = [batch @ weights + offsets for batch in features(codebook, cache, views, np.arange(len(group)))]
    looked = torch.cat(seen).numpy()[np.arange(len(group)), said]
    return ((2.0 * measured + looked) / 3.0).astype(np.float32)


def fault_trees(cache: Cache, seed: int) -> list[Node | Leaf]:
    """Trees whose sum is the share of the overall rating that faults took, grown on every version in the train part."""
    rows = np.array([row for row, sample in enumerate(cache.samples) if sample.part == "train"])
    samples = [cache.samples[row] for row in rows]
    taken = torch.tensor([1.0 - sample.keep[0] for sample in samples])
    importance = [_importance(sample) * OFTEN.get(sample.version, 1.0) for sample in samples]
    return grown(_vectors(cache, rows), taken, torch.tensor(importance), seed, FAULT_TREES, learning_rate=FAULT_RATE)


def grown(
    vectors: Tensor, wanted: Tensor, importance: Tensor, seed: int, count: int = TREES, **boosting: float
) -> list[Node | Leaf]:
    """`count` trees whose sum predicts what is `wanted` (M,) of vectors (M, D). `boosting` changes values of BOOSTING."""
    data = lightgbm.Dataset(vectors.numpy(), wanted.numpy(), weight=importance.numpy())
    booster = lightgbm.train({**BOOSTING, **boosting, "seed": seed}, data, count)
    return [_tree(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]


def _tree(about: dict[str, Any]) -> Node | Leaf:
    if "leaf_value" in about:
        return Leaf(float(about["leaf_value"]))
    return Node(
        int(about["split_feature"]),
        float(about["threshold"]),
        _tree(about["left_child"]),
        _tree(about["right_child"]),
    )
