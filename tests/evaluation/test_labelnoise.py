"""Label noise and its ceiling against simulations in which the true ratings are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pqa.errors import DataError
from pqa.evaluation import labelnoise, metrics
from pqa.evaluation.mappings import Fit
from pqa.evaluation.resampling import Columns, noisy_labels


def test_each_draw_has_the_metrics_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = np.round(rng.normal(size=25), 1), rng.normal(size=25)
    std = np.full(25, 0.3)
    found = noisy_labels(Columns.of(x, y, Fit("raw")), std, np.random.default_rng(1), 4)
    moved = y + std * np.random.default_rng(1).standard_normal((4, 25))
    for d in range(4):
        expected = [
            stats.spearmanr(x, moved[d]).statistic,
            stats.pearsonr(x, moved[d]).statistic,
            stats.kendalltau(x, moved[d]).statistic,
            metrics.mae(x, moved[d]),
            metrics.rmse(x, moved[d]),
        ]
        assert found[:5, d] == pytest.approx(expected, abs=1e-12)
        assert found[5, d] == pytest.approx(np.mean(expected[:3]))


def test_ceiling_is_what_the_true_ratings_reach() -> None:
    """Noise as large as the ratings: without shrinking the ceiling would be near 0.82 instead of 0.71."""
    rng = np.random.default_rng(2)
    scenes, n = 12, 100
    true = rng.normal(size=(scenes, n))
    std = rng.uniform(0.8, 1.2, size=true.shape)
    labels = true + std * rng.normal(size=true.shape)
    names = np.repeat(np.arange(scenes), n)
    ceilings = labelnoise.noise_ceiling(labels.ravel(), std.ravel(), names)
    reached = metrics.evaluate(true.ravel(), labels.ravel(), names)
    for metric in ("srcc", "plcc", "krcc", "mae", "rmse"):
        expected = float(np.mean(reached.values(metric)))
        assert np.mean([getattr(c, metric) for c in ceilings]) == pytest.approx(expected, abs=0.03), metric
    assert np.mean([c.reliability for c in ceilings]) == pytest.approx(1 / (1 + np.mean(std**2)), abs=0.03)


def test_ceiling_without_noise_is_perfect_and_with_only_noise_is_zero() -> None:
    y = np.arange(10.0)
    clean, drowned = (labelnoise.noise_ceiling(y, np.full(10, s), ["a"] * 10, draws=50)[0] for s in (0.0, 1e6))
    assert (clean.srcc, clean.plcc, clean.krcc, clean.mae) == pytest.approx((1, 1, 1, 0))
    assert (drowned.reliability, drowned.srcc, drowned.plcc, drowned.krcc) == (0, 0, 0, 0)


def test_label_noise_is_the_spread_over_repeated_labelling() -> None:
    rng = np.random.default_rng(3)
    true = rng.normal(size=(9, 40))
    scores = true + 0.5 * rng.normal(size=true.shape)
    std, names = np.full(true.size, 0.3), np.repeat(np.arange(9), 40)
    spread = np.std(
        [
            metrics.evaluate(scores.ravel(), true.ravel() + std * rng.normal(size=true.size), names).score
            for _ in range(150)
        ]
    )
    labels = true.ravel() + std * rng.normal(size=true.size)
    found = labelnoise.label_noise(metrics.evaluate(scores.ravel(), labels, names), scores.ravel(), labels, std, names)
    assert found["score"].std == pytest.approx(spread, rel=0.35)
    still = labelnoise.label_noise(metrics.evaluate(labels, labels, names), labels, labels, 0 * std, names, draws=40)
    assert still["krcc"] == labelnoise.Noise(pytest.approx(1), pytest.approx(0, abs=1e-12))


def test_negative_deviations_are_refused() -> None:
    with pytest.raises(DataError, match="1 label standard deviations are negative"):
        labelnoise.noise_ceiling([1, 2], [0.1, -0.1], ["a", "a"])
