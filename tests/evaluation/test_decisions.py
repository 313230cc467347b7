"""Pairs, win probabilities and regret on cases counted by hand and on predictors whose honesty is known."""

from __future__ import annotations

import numpy as np
import pytest

from pqa.errors import ConfigurationError, DataError
from pqa.evaluation import decisions as cal


def test_pairs_stay_inside_or_go_across() -> None:
    scenes = ["a", "b", "a", "b", "a"]
    inside, across = cal.pairs(scenes, "within"), cal.pairs(scenes, "across")
    assert (inside.total, across.total) == (3 + 1, 6)
    assert {frozenset(p) for p in zip(inside.first, inside.second, strict=True)} == {
        frozenset(p) for p in [(0, 2), (0, 4), (2, 4), (1, 3)]
    }
    assert all(scenes[i] != scenes[j] for i, j in zip(across.first, across.second, strict=True))
    assert len(across.first) == 6
    with pytest.raises(ConfigurationError, match="within"):
        cal.pairs(scenes, "inside")


def test_many_pairs_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cal, "MOST_PAIRS", 100)
    scenes = np.repeat(["a", "b", "c"], 30)
    for kind, total in (("within", 3 * 435), ("across", 2700)):
        chosen = cal.pairs(scenes, kind)
        assert (len(chosen.first), chosen.total) == (100, total)
        assert np.all((scenes[chosen.first] == scenes[chosen.second]) == (kind == "within"))
        assert np.all(chosen.first != chosen.second)


def test_pair_accuracy_by_hand() -> None:
    """Labels 0, 1, 3 with s.d. 0.5: 0-1 is within 1.96 * 0.707 = 1.39 and undecided; 0-3 is right, 1-3 a tie of scores."""
    chosen = cal.pairs(["s"] * 3)
    found = cal.pair_accuracy([5, 7, 7], [0, 1, 3], [0.5] * 3, chosen)
    assert (found.accuracy, found.decided, found.judged, found.pairs) == (0.75, 2, 3, 3)
    assert cal.pair_accuracy([5, 7, 7], [0, 1, 3], None, chosen).accuracy == pytest.approx(2.5 / 3)
    assert np.isnan(cal.pair_accuracy([1, 2], [1, 1], None, cal.pairs(["s"] * 2)).accuracy)


def test_chance_alone_explains_the_error_of_few_honest_pairs() -> None:
    rng = np.random.default_rng(1)
    for count, low, high in ((100, 0.06, 0.16), (100_000, 0.0, 0.005)):
        p = rng.uniform(0, 1, count)
        labels = np.zeros(2 * count)
        labels[0::2] = np.where(rng.random(count) < p, 1.0, -1.0)
        chosen = cal.Pairs(np.arange(0, 2 * count, 2), np.arange(1, 2 * count, 2), count)
        expected = cal.chance_ece(p, draws=100)
        assert low < expected < high
        assert cal.calibration(p, labels, chosen).ece == pytest.approx(expected, abs=max(0.05, expected))
    certain = np.ones(50)
    assert cal.chance_ece(certain) == 0.0


def honest(n: int = 1500, seed: int = 0) -> tuple[np.ndarray, np.ndarray, cal.Pairs]:
    """Labels scattered around scores by 0.8: then 0.8 is the right spread of the scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    return scores, scores + 0.8 * rng.normal(size=n), cal.pairs(np.repeat(np.arange(n // 30), 30))


def test_honest_probabilities_are_calibrated_and_bold_ones_are_not() -> None:
    scores, labels, chosen = honest()
    good = cal.calibration(cal.win_probability(scores, 0.8, chosen), labels, chosen)
    bold = cal.calibration(cal.win_probability(scores, 0.2, chosen), labels, chosen)
    assert good.ece < 0.02 < 0.1 < bold.ece
    assert good.brier < bold.brier
    assert good.log_loss < bold.log_loss
    assert sum(good.counts) == good.pairs == len(chosen.first)
    assert good.edges[0] == 0.5
    assert good.predicted[-1] == pytest.approx(good.observed[-1], abs=0.02)


def test_spread_is_found_again_in_any_unit() -> None:
    scores, labels, chosen = honest()
    assert cal.fit_spread(scores, labels, chosen) == pytest.approx(0.8, rel=0.06)
    assert cal.fit_spread(1000 * scores, labels, chosen) == pytest.approx(800, rel=0.06)


def test_win_probability_by_hand() -> None:
    chosen = cal.pairs(["s"] * 3)
    p = cal.win_probability([0.0, 1.0, 1.0], [0.6, 0.8, 0.8], chosen)
    assert p == pytest.approx([0.158655, 0.158655, 0.5], abs=1e-6)
    assert cal.win_probability([0.0, 1.0, 1.0], 0.0, chosen) == pytest.approx([0, 0, 0.5])


def test_calibration_by_hand() -> None:
    """Three pairs at 0.9, two of them right: |0.9 - 2/3|, Brier (2 * 0.01 + 0.81) / 3; one pair is tied."""
    chosen = cal.Pairs(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 3]), 4)
    found = cal.calibration([0.9, 0.1, 0.1, 0.9], [3, 1, 2, 2], chosen)
    assert (found.pairs, found.ties) == (3, 1)
    assert found.ece == pytest.approx(0.9 - 2 / 3)
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.01) / 3)


def test_undecided_pairs_are_right_half_the_time() -> None:
    found = cal.calibration([0.5, 0.5, 0.5], [1, 2, 3], cal.pairs(["s"] * 3))
    assert (found.observed[0], found.ece) == (0.5, 0)


def test_nothing_to_judge_is_an_error() -> None:
    chosen = cal.pairs(["s"] * 2)
    with pytest.raises(DataError, match="different labels"):
        cal.calibration([0.5], [1, 1], chosen)
    with pytest.raises(DataError, match="spread cannot be fitted"):
        cal.fit_spread([1, 1], [1, 2], chosen)
    with pytest.raises(DataError, match="not negative"):
        cal.win_probability([1, 2], [-1, 1], chosen)


def test_regret_by_hand() -> None:
    """Scene a: the best is chosen. Scene b: two tied tops, one the best (3) and one at 1, so half of 2 is lost."""
    found = cal.top_regret([1, 9, 5, 5, 0], [0, 2, 3, 1, 2], ["a", "a", "b", "b", "b"])
    assert found.per_scene == (0.0, 1.0)
    assert (found.mean, found.median, found.hits) == (0.5, 0.5, 0.5)
