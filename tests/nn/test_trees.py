"""Boosted trees as tensor operations: the trees of LightGBM give the numbers of LightGBM."""

import lightgbm
import numpy as np
import pytest
import torch

from pqa.nn.trees import Leaf, Node, Trees
from training.default.examples import BOOSTING, LEAVES, grown


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (300, 9)).astype(np.float32)
    ratings = (0.5 + 0.2 * np.sin(vectors[:, 0]) + 0.1 * vectors[:, 1] * vectors[:, 2]).astype(np.float32)
    return vectors, ratings, np.ones(300, np.float32)


def test_they_are_the_trees_of_lightgbm(examples):
    vectors, ratings, importance = examples
    booster = lightgbm.train({**BOOSTING, "seed": 3}, lightgbm.Dataset(vectors, ratings, weight=importance), 40)
    trees = Trees(40, LEAVES)
    trees.fill(grown(*map(torch.from_numpy, examples), seed=3, count=40))
    asked = np.random.default_rng(1).normal(0, 1, (500, 9)).astype(np.float32)
    np.testing.assert_allclose(trees(torch.from_numpy(asked)), booster.predict(asked), atol=1e-6)
    np.testing.assert_allclose(trees(torch.from_numpy(vectors)), booster.predict(vectors), atol=1e-6)


def test_a_value_on_the_threshold_goes_left_whatever_float32_makes_of_it():
    trees = Trees(3, 2)
    trees.fill([Node(0, 0.5, Leaf(1.0), Leaf(2.0)), Node(0, 0.1, Leaf(10.0), Leaf(20.0)), Leaf(100.0)])
    near = np.float32(0.1)  # a little above 0.1
    asked = torch.tensor([[0.5], [float(near)], [float(np.nextafter(near, np.float32(0)))], [0.7]])
    assert trees(asked).tolist() == [121.0, 121.0, 111.0, 122.0]


def test_trees_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected 2 trees, got 1"):
        Trees(2, 4).fill([Leaf(1.0)])
    deep = Node(0, 0.0, Node(0, -1.0, Leaf(1.0), Leaf(2.0)), Leaf(3.0))
    with pytest.raises(ValueError, match="tree 0 has more than 2 leaves"):
        Trees(1, 2).fill([deep])
