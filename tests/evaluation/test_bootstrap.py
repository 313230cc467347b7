"""Resampled metrics against metrics of the written-out resample, and intervals against scipy and against theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pqa.errors import ConfigurationError
from pqa.evaluation import bootstrap, metrics, resampling
from pqa.evaluation.mappings import Fit, fit
from pqa.evaluation.resampling import Columns, left_out_metrics, picture_counts, resampled_metrics, weighted_metrics


def expanded(scene: Columns, counts: np.ndarray) -> list[float]:
    """The same by writing every drawn picture out and asking scipy."""
    index = np.repeat(np.arange(counts.size), counts.astype(int))
    x, mapped, y = scene.scores[index], scene.mapped[index], scene.labels[index]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        three = [0.0, 0.0, 0.0]
    else:
        plcc = stats.pearsonr(mapped, y).statistic * scene.direction
        three = [stats.spearmanr(x, y).statistic, plcc, stats.kendalltau(x, y).statistic]
    return [*three, metrics.mae(mapped, y), metrics.rmse(mapped, y), sum(three) / 3]


@given(st.integers(2, 30), st.integers(0, 10_000), st.booleans())
@settings(deadline=None, max_examples=40)
def test_counts_give_the_metrics_of_the_written_out_resample(n: int, seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    y, x = rng.normal(size=n), rng.normal(size=n)
    if tied:
        x, y = np.round(x), np.round(y)
    scene = Columns.of(x, y, Fit("raw"))
    counts = picture_counts(rng, n, 5)
    assert counts.sum(axis=1) == pytest.approx(n)
    found = weighted_metrics(scene, counts)
    for b in range(5):
        assert found[:, b] == pytest.approx(expanded(scene, counts[b]), abs=1e-9)


def test_big_scene_goes_in_blocks_and_mappings_are_held() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=1300)
    x = -np.exp(y + 0.5 * rng.normal(size=1300))
    scene = Columns.of(x, y, fit("cubic", x, y))
    assert scene.direction == -1
    counts = picture_counts(rng, 1300, 3)
    found = weighted_metrics(scene, counts)
    assert found[:, 1] == pytest.approx(expanded(scene, counts[1]), abs=1e-9)


@pytest.mark.parametrize("n", [2, 7, 1100])
def test_jackknife_is_the_metrics_without_each_picture(n: int) -> None:
    rng = np.random.default_rng(n)
    scene = Columns.of(np.round(rng.normal(size=n), 1), np.round(rng.normal(size=n), 1), Fit("raw"))
    found = left_out_metrics(scene)
    for i in (0, n // 2, n - 1):
        counts = np.ones(n)
        counts[i] = 0
        assert found[:, i] == pytest.approx(expanded(scene, counts), abs=1e-9)


def test_drawing_in_parts_changes_no_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    scene = Columns.of(rng.normal(size=20), rng.normal(size=20), Fit("raw"))
    whole = resampled_metrics(scene, np.random.default_rng(1), 50)
    monkeypatch.setattr(resampling, "COUNTS", 20 * 7)
    assert resampled_metrics(scene, np.random.default_rng(1), 50) == pytest.approx(whole, abs=1e-12)


def test_interval_agrees_with_scipy_bca_in_one_scene() -> None:
    rng = np.random.default_rng(7)
    y = rng.normal(size=40)
    x = y + 0.7 * rng.normal(size=40)
    ours = bootstrap.bootstrap(bootstrap.replicates(x, y, ["s"] * 40, resamples=20_000), resample="pictures")["plcc"]
    theirs = stats.bootstrap(
        (x, y), lambda a, b: metrics.plcc(a, b), paired=True, vectorized=False, n_resamples=5000, method="BCa", rng=1
    )
    assert ours.method == "bca"
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)
    assert ours.std == pytest.approx(theirs.standard_error, rel=0.05)


def test_bca_moves_the_percentile_interval_as_the_formula_says() -> None:
    """z0 and a by hand: with no bias and no acceleration the percentile interval, otherwise shifted levels."""
    sample = np.linspace(0, 1, 10_001)
    plain = bootstrap.bca(0.5, sample, 0.0, 0.9)
    assert (plain.low, plain.high) == pytest.approx((0.05, 0.95), abs=1e-3)
    shifted = bootstrap.bca(0.6, sample, 0.05, 0.9)
    bias = stats.norm.ppf(0.6)
    for level, found in ((0.05, shifted.low), (0.95, shifted.high)):
        z = bias + stats.norm.ppf(level)
        assert found == pytest.approx(stats.norm.cdf(bias + z / (1 - 0.05 * z)), abs=1e-3)
    assert bootstrap.bca(2.0, sample, 0.0, 0.9).method == "percentile"


def scenes_of(effects: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scenes of n pictures whose predictor has the noise `effects`."""
    y = rng.normal(size=(effects.size, n))
    x = y + effects[:, None] * rng.normal(size=y.shape)
    return x.ravel(), y.ravel(), np.repeat(np.arange(effects.size), n)


def test_both_is_wider_than_either_alone() -> None:
    rng = np.random.default_rng(8)
    made = bootstrap.replicates(*scenes_of(np.linspace(0.2, 2, 15), 25, rng), resamples=4000)
    std = {kind: bootstrap.bootstrap(made, resample=kind)["score"].std for kind in ("scenes", "pictures", "both")}
    assert std["both"] > max(std["scenes"], std["pictures"])


def test_intervals_over_scenes_cover_the_median_of_new_scenes() -> None:
    """80 experiments: a 90 % interval misses about 8 times; 17 is the 99.9 % quantile of Binomial(80, 0.1)."""
    rng = np.random.default_rng(9)
    many = metrics.evaluate(*scenes_of(rng.uniform(0.5, 1.5, 1500), 40, rng))
    missed = 0
    for seed in range(80):
        made = bootstrap.replicates(*scenes_of(rng.uniform(0.5, 1.5, 15), 40, rng), resamples=300, seed=seed)
        interval = bootstrap.bootstrap(made, confidence=0.9)["krcc"]
        missed += not interval.low <= many.krcc <= interval.high
    assert 1 <= missed <= 17


def test_scene_intervals_are_those_of_the_scene_alone() -> None:
    rng = np.random.default_rng(11)
    x, y, scenes = scenes_of(np.array([0.5, 1.0]), 30, rng)
    of_first = bootstrap.scene_intervals(bootstrap.replicates(x, y, scenes, resamples=500))[0]
    alone = bootstrap.bootstrap(bootstrap.replicates(x[:30], y[:30], scenes[:30], resamples=500), resample="pictures")
    assert of_first["srcc"] == alone["srcc"]
    assert of_first["srcc"].method == "bca"
    assert bootstrap.bootstrap(bootstrap.replicates(x, y, scenes, resamples=500), resample="both")["srcc"].method == (
        "percentile"
    )


def test_perfect_and_constant_predictions_have_intervals_too() -> None:
    y, scenes = np.arange(12.0), ["a"] * 6 + ["b"] * 6
    perfect = bootstrap.bootstrap(bootstrap.replicates(y, y, scenes, resamples=200))["srcc"]
    assert (perfect.value, perfect.low, perfect.high) == pytest.approx((1, 1, 1))
    constant = bootstrap.bootstrap(bootstrap.replicates(np.ones(12), y, scenes, resamples=200))["score"]
    assert (constant.value, constant.low, constant.high) == (0, 0, 0)


def test_same_seed_same_interval_and_wrong_settings_are_refused() -> None:
    rng = np.random.default_rng(10)
    x, y, scenes = scenes_of(np.ones(4), 10, rng)
    first, second = (bootstrap.bootstrap(bootstrap.replicates(x, y, scenes, resamples=200, seed=3)) for _ in range(2))
    assert first == second
    made = bootstrap.replicates(x, y, scenes, resamples=200)
    with pytest.raises(ConfigurationError, match="resample"):
        bootstrap.bootstrap(made, resample="images")
    with pytest.raises(ConfigurationError, match="one scene"):
        bootstrap.bootstrap(bootstrap.replicates(x[:10], y[:10], scenes[:10], resamples=200))
    with pytest.raises(ConfigurationError, match="confidence"):
        bootstrap.bootstrap(made, confidence=95)
    with pytest.raises(ConfigurationError, match="100 resamples"):
        bootstrap.replicates(x, y, scenes, resamples=10)
