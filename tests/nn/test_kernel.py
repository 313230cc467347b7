"""Kernel ridge regression: against the textbook formula, what it keeps, what it says far from everything."""

import numpy as np
import pytest
import torch

from pqa import nn
from pqa.errors import ConfigurationError
from pqa.nn.kernel import KernelRegression


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    vectors = rng.normal(2.0, 3.0, (40, 6)).astype(np.float32)
    return vectors, rng.uniform(0, 1, 40).astype(np.float32), rng.uniform(0.3, 2.0, 40).astype(np.float32)


def fitted(examples, **options):
    regression = KernelRegression(40, 6, **options)
    regression.fit(*map(torch.from_numpy, examples), ridge=0.2)
    return regression


def test_it_is_the_textbook_s_formula(examples):
    vectors, ratings, importance = (each.astype(np.float64) for each in examples)
    asked = np.random.default_rng(1).normal(2.0, 3.0, (5, 6))
    mean, scale = vectors.mean(0), vectors.std(0)
    a, b = ((each - mean) / scale for each in (vectors, asked))
    kernel = np.array([[np.exp(-0.4 * np.mean((x - y) ** 2)) for y in a] for x in a])
    offset = np.average(ratings, weights=importance)
    dual = np.linalg.solve(kernel + np.diag(0.2 / importance), ratings - offset)
    wanted = np.array([[np.exp(-0.4 * np.mean((x - y) ** 2)) for y in a] for x in b]) @ dual + offset
    got, distance = fitted(examples, clip=100.0)(torch.from_numpy(asked.astype(np.float32)))
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    nearest = [min(np.sqrt(np.mean((x - y) ** 2)) for y in a) for x in b]
    np.testing.assert_allclose(distance, nearest, rtol=1e-4)


def test_an_example_is_at_no_distance_and_nothing_runs_away_from_them(examples):
    vectors, ratings, importance = examples
    regression = fitted(examples)
    assert regression(torch.from_numpy(vectors))[1].max() < 2e-3
    far, distance = regression(torch.full((1, 6), 1e6))
    assert distance > 1
    assert abs(float(far) - float(np.average(ratings, weights=importance))) < 1.0


def test_an_important_example_is_fitted_more_closely(examples):
    vectors, ratings, importance = examples
    error = {}
    for weight in (0.1, 100.0):
        importance[7] = weight
        got, _ = fitted((vectors, ratings, importance))(torch.from_numpy(vectors[7:8]))
        error[weight] = abs(float(got) - ratings[7])
    assert error[100.0] < 0.01 < error[0.1]


def test_another_number_of_examples_is_refused(examples):
    with pytest.raises(ValueError, match=r"expected vectors \(41, 6\), got \(40, 6\)"):
        KernelRegression(41, 6).fit(*map(torch.from_numpy, examples))


def test_in_scene_gate_it_has_half_of_the_word_once_it_is_fitted():
    torch.manual_seed(0)
    model = nn.build("scene_gate", "tiny", statistics=5, anchors=8).eval()
    views = [torch.randn(3, *shape) for shape in ((3, 56, 56), (3, 64, 64), (3,), (5,), (5,), (3, 56, 56))]
    names = model.outputs
    before = dict(zip(names, model(*views), strict=True))
    kept = torch.randn(8, 13)
    model.remember(kept, torch.linspace(0, 1, 8), torch.ones(8))
    after = dict(zip(names, model(*views), strict=True))
    likeness, distance = model.kernel(torch.cat([views[3], views[4], views[2]], dim=1))
    torch.testing.assert_close(after["score"], (before["score"] + likeness[:, None]) / 2.0)
    torch.testing.assert_close(after["score_by_scene"], (before["score_by_scene"] + likeness[:, None, None]) / 2.0)
    torch.testing.assert_close(after["branches"][:, 2], likeness)
    torch.testing.assert_close(after["distance"], distance)
    mixed = torch.einsum("ns,nsa->na", after["scene_probabilities"], after["score_by_scene"])
    torch.testing.assert_close(mixed, after["score"])


def test_a_model_without_room_for_examples_says_so():
    with pytest.raises(ConfigurationError, match="anchors"):
        nn.build("scene_gate", "tiny").remember(torch.zeros(1, 3), torch.zeros(1), torch.zeros(1))
