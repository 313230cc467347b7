"""The protocol against scipy and against cases worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pqa.errors import ConfigurationError, DataError
from pqa.evaluation import metrics

SETS = st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), min_size=2, max_size=40)


@given(SETS)
@settings(deadline=None, max_examples=60)
def test_agrees_with_scipy_on_tied_data(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    found = (metrics.srcc(x, y), metrics.plcc(x, y), metrics.krcc(x, y))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert all(math.isnan(value) for value in found)
        return
    expected = (stats.spearmanr(x, y).statistic, stats.pearsonr(x, y).statistic, stats.kendalltau(x, y).statistic)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [3, 100, 1500])
def test_agrees_with_scipy_on_continuous_data(n: int) -> None:
    rng = np.random.default_rng(n)
    y = rng.normal(size=n)
    x = 1e6 + y + rng.normal(size=n)
    assert metrics.srcc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert metrics.plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert metrics.krcc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_values_worked_out_by_hand() -> None:
    x, y = [1, 2, 3, 4], [1, 3, 2, 4]
    assert metrics.srcc(x, y) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert metrics.krcc(x, y) == pytest.approx(4 / 6)  # 5 pairs agree, 1 does not
    assert metrics.krcc([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))
    assert metrics.mae([0, 2], [1, -1]) == 2.0
    assert metrics.rmse([0, 2], [1, -1]) == pytest.approx(math.sqrt(5))
    assert metrics.ranks([5, 1, 5, 0]) == pytest.approx([3.5, 2, 3.5, 1])


def test_challenge_score_is_the_median_of_means() -> None:
    """Three scenes whose order differs by metric, so that the mean of the medians is another number."""
    scenes = ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    labels = [1, 2, 3, 4, 5] * 3
    scores = [1, 2, 3, 4, 60, 5, 1, 2, 3, 4, 1, 3, 2, 5, 4]
    result = metrics.evaluate(scores, labels, scenes)
    of_scenes = [(s.srcc + s.plcc + s.krcc) / 3 for s in result.scenes]
    assert result.score == pytest.approx(np.median(of_scenes))
    assert abs(result.score - (result.srcc + result.plcc + result.krcc) / 3) > 1e-3


def test_labels_fed_back_are_perfect_under_every_mapping() -> None:
    rng = np.random.default_rng(1)
    labels, scenes = rng.normal(size=60), np.repeat(["x", "y", "z"], 20)
    for mapping in ("raw", "cubic", "logistic4"):
        result = metrics.evaluate(labels, labels, scenes, mapping=mapping)
        assert result.mapping == mapping
        assert [result.srcc, result.plcc, result.krcc] == pytest.approx([1, 1, 1], abs=1e-4)
        assert result.mae < 0.01


@given(st.floats(0.01, 100), st.floats(-100, 100))
@settings(deadline=None, max_examples=20)
def test_correlations_ignore_scale_and_shift_and_errors_do_not(scale: float, shift: float) -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=30)
    x = y + rng.normal(size=30)
    plain, moved = (metrics.evaluate(v, y, ["s"] * 30) for v in (x, scale * x + shift))
    assert moved.score == pytest.approx(plain.score, abs=1e-9)
    assert moved.mae == pytest.approx(float(np.mean(np.abs(scale * x + shift - y))))


def test_undefined_counts_as_zero_and_is_named() -> None:
    result = metrics.evaluate([1, 1, 1, 1, 2, 3, 7], [1, 2, 3, 1, 2, 3, 0], ["flat"] * 3 + ["good"] * 3 + ["alone"])
    flat, good, alone = result.scenes
    assert (flat.srcc, flat.plcc, flat.krcc, flat.score) == (0, 0, 0, 0)
    assert flat.undefined == alone.undefined == ("srcc", "plcc", "krcc")
    assert good.undefined == ()
    assert good.score == pytest.approx(1)
    assert result.score == 0.0
    codes = {warning.code: warning.message for warning in result.warnings}
    assert codes["undefined_correlation"].startswith("2 of 3 scenes")
    assert "flat" in codes["undefined_correlation"]
    assert codes["small_scene"].startswith("1 of 3")


@pytest.mark.parametrize(
    ("scores", "labels", "scenes"),
    [([1.0, float("nan")], [1, 2], ["a", "a"]), ([1, 2], [1, 2, 3], ["a", "a"]), ([1, 2], [1, 2], ["a"]), ([], [], [])],
)
def test_bad_columns_are_refused(scores: list[float], labels: list[float], scenes: list[str]) -> None:
    with pytest.raises(DataError):
        metrics.evaluate(scores, labels, scenes)


def test_unknown_mapping_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="logistic4"):
        metrics.evaluate([1, 2], [1, 2], ["a", "a"], mapping="logistic")


def test_main_score_is_taken_over_the_whole_set() -> None:
    rng = np.random.default_rng(5)
    y = rng.normal(size=200)
    x = np.exp(y) + 0.1 * rng.normal(size=200)
    main = metrics.main_score(x, y)
    assert main.main == pytest.approx(main.srcc + main.plcc)
    assert main.srcc == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert main.plcc > metrics.plcc(x, y)
    assert main.fit.name == "cubic"


def test_a_fit_never_turns_a_wrong_way_predictor_into_a_good_one() -> None:
    y = np.linspace(-2, 2, 30)
    result = metrics.evaluate(-y, y, ["s"] * 30, mapping="cubic")
    assert result.plcc == pytest.approx(-1)
    assert [w.code for w in result.warnings] == ["mapping_decreasing"]


@given(st.integers(2, 30), st.integers(0, 1000), st.sampled_from(["raw", "cubic", "logistic4"]))
@settings(deadline=None, max_examples=40)
def test_every_metric_keeps_its_range_and_a_perfect_prediction_reaches_its_better_end(
    n: int, seed: int, mapping: str
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.linspace(-1, 1, n) + 0.01 * rng.random(n)
    perfect = metrics.evaluate(labels, labels, ["s"] * n)
    other = metrics.evaluate(rng.normal(size=n), labels, ["s"] * n, mapping=mapping)
    for name, row in metrics.METRICS.items():
        assert row.low <= getattr(other, name) <= row.high
        assert getattr(perfect, name) == pytest.approx(row.best, abs=1e-12)


def test_worse_predictions_lie_further_from_the_better_end() -> None:
    """Labels themselves, labels with noise, labels in another order, labels turned about."""
    rng = np.random.default_rng(2)
    labels = rng.normal(size=80)
    worse = (labels, labels + rng.normal(size=80), rng.permutation(labels), -labels)
    found = [metrics.evaluate(scores, labels, ["s"] * 80) for scores in worse]
    for name, row in metrics.METRICS.items():
        away = [abs(getattr(each, name) - row.best) for each in found]
        assert away == sorted(set(away)), name


def test_the_table_names_the_figures_of_a_scene_in_their_order() -> None:
    names = [field.name for field in dataclasses.fields(metrics.SceneResult) if field.type == "float"]
    assert list(metrics.METRICS) == names
