"""P.1401's tests against their formulas worked out apart and against simulation; the paired tests against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pqa.errors import ConfigurationError, DataError
from pqa.evaluation import p1401, significance
from pqa.evaluation.bootstrap import replicates


def test_fisher_z_by_hand() -> None:
    """r = 0.9 and 0.8 on 100 pictures: z = 1.4722 and 1.0986, s.d. of the difference sqrt(2 / 97)."""
    test = p1401.correlation_difference(0.9, 0.8, 100, 100)
    assert test.statistic == pytest.approx((1.4722195 - 1.0986123) / math.sqrt(2 / 97), abs=1e-5)
    assert test.p == pytest.approx(2 * (1 - stats.norm.cdf(test.statistic)))
    assert p1401.correlation_difference(0.8, 0.9, 100, 100).statistic == -test.statistic
    assert p1401.correlation_difference(1.0, -1.0, 3, 3).p == 1.0


def test_errors_by_hand() -> None:
    predicted, labels, ci = [1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 1.0, 4.1], [0.2, 0.2, 0.5, 0.2]
    assert p1401.residual_error(predicted, labels) == pytest.approx(math.sqrt((0.25 + 4 + 0.01) / 3))
    assert p1401.epsilon_rmse(predicted, labels, ci) == pytest.approx(math.sqrt((0.09 + 2.25) / 3))
    assert p1401.outlier_ratio(predicted, labels, ci) == 0.5
    with pytest.raises(DataError, match="4 degrees of freedom"):
        p1401.residual_error(predicted, labels, free=4)


def test_f_test_by_hand_and_in_its_direction() -> None:
    test = p1401.rmse_difference(0.5, 0.7, 99, 96)
    assert test.p == pytest.approx(2 * stats.f.sf(0.49 / 0.25, 96, 99))
    assert test.statistic > 0
    turned = p1401.rmse_difference(0.7, 0.5, 96, 99)
    assert (turned.statistic, turned.p) == pytest.approx((-test.statistic, test.p))
    assert p1401.rmse_difference(0.5, 0.5, 9, 9) == p1401.Test(0.0, 1.0)
    assert p1401.rmse_difference(0.0, 0.5, 9, 9).p == 0.0


def test_proportions_by_hand() -> None:
    test = p1401.outlier_difference(0.1, 0.2, 200, 200)
    assert test.statistic == pytest.approx(0.1 / math.sqrt(0.15 * 0.85 * 2 / 200))
    assert p1401.outlier_difference(0.0, 0.0, 20, 20).p == 1.0


@pytest.mark.parametrize("kind", ["correlation", "rmse"])
def test_false_alarms_stay_at_their_rate(kind: str) -> None:
    """400 pairs of equally good models on independent samples: 5 % alarms, 20 on average; 35 is the 99.9 % quantile."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        y, noise = rng.normal(size=(2, 2, 60))
        x = y + noise
        if kind == "correlation":
            first, second = (np.corrcoef(x[k], y[k])[0, 1] for k in (0, 1))
            alarms += p1401.correlation_difference(first, second, 60, 60).p < 0.05
        else:
            first, second = (p1401.residual_error(x[k], y[k], free=0) for k in (0, 1))
            alarms += p1401.rmse_difference(first, second, 60, 60).p < 0.05
    assert 5 <= alarms <= 35


def test_corrections_by_hand() -> None:
    p = [0.04, 0.01, 0.03]
    assert significance.adjust(p, "bonferroni") == pytest.approx([0.12, 0.03, 0.09])
    assert significance.adjust(p, "holm") == pytest.approx([0.06, 0.03, 0.06])
    assert significance.adjust(p, "none") == p
    assert significance.adjust([], "holm") == []
    with pytest.raises(ConfigurationError, match="holm"):
        significance.adjust(p, "hommel")


def test_permutation_enumerates_every_swap() -> None:
    """Three scenes all won: only 'no swap' and 'all swapped' are as far, 2 of 8."""
    test = significance.paired_permutation([0.9, 0.8, 0.7], [0.6, 0.5, 0.4])
    assert (test.statistic, test.p) == pytest.approx((0.3, 0.25))
    assert significance.paired_permutation([0.5], [0.5]).p == 1.0
    many = significance.paired_permutation(np.linspace(0.8, 0.9, 40), np.linspace(0.5, 0.6, 40))
    assert many.p < 0.001
    with pytest.raises(DataError, match="same scenes"):
        significance.paired_permutation([1.0], [1.0, 2.0])


def models(noise: dict[str, float], seed: int = 0) -> dict[str, significance.Replicates]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=600)
    scenes = np.repeat(np.arange(15), 40)
    return {name: replicates(y + s * rng.normal(size=600), y, scenes, resamples=500) for name, s in noise.items()}


def test_better_model_wins_and_equal_models_tie() -> None:
    compared = significance.compare(models({"good": 0.3, "bad": 1.5, "also bad": 1.5}))
    verdicts = {(c.first, c.second): c.verdict for c in compared}
    assert verdicts == {("good", "bad"): "win", ("good", "also bad"): "win", ("bad", "also bad"): "tie"}
    first = compared[0]
    assert first.difference.low > 0
    assert first.difference.value == pytest.approx((first.difference.low + first.difference.high) / 2, abs=0.1)
    assert first.adjusted >= first.p
    assert first.scenes_won > 10
    assert first.scenes_lost == 0
    table = significance.wins(compared, ["good", "bad", "also bad"])
    assert table == [[None, "win", "win"], ["loss", None, "tie"], ["loss", "tie", None]]


def test_one_scene_is_compared_over_its_pictures() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=200)
    one = {
        n: replicates(y + s * rng.normal(size=200), y, ["s"] * 200, resamples=500)
        for n, s in (("a", 0.5), ("b", 1.0), ("c", 1.0))
    }
    found = {(c.first, c.second): c for c in significance.compare(one)}
    assert {c.over for c in found.values()} == {"pictures"}
    assert found["a", "b"].verdict == "win"
    assert found["a", "b"].p == pytest.approx(2 / 500)
    assert found["b", "c"].verdict == "tie"


def test_lower_error_is_a_win() -> None:
    compared = significance.compare(models({"good": 0.3, "bad": 1.5}), metric="mae")[0]
    assert compared.difference.value < 0
    assert compared.verdict == "win"


def test_a_model_against_itself_differs_by_nothing() -> None:
    made = models({"a": 1.0})["a"]
    interval, p = significance.paired_bootstrap(made, made)
    assert (interval.value, interval.low, interval.high, p) == (0, 0, 0, 1)
    with pytest.raises(ConfigurationError, match="metric"):
        significance.paired_bootstrap(made, made, metric="srocc")
    other = replicates(np.arange(9.0), np.arange(9.0), ["s"] * 9, resamples=500)
    with pytest.raises(ConfigurationError, match="same pictures"):
        significance.paired_bootstrap(made, other)
