"""Order, ties, win probabilities and the chance of being the best."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pqa import ranking
from pqa.errors import ConfigurationError, DataError, ModelError
from pqa.spec import Calibration
from pqa.types import Estimate, Group, Score

PLAIN = Calibration()

steady = settings(derandomize=True, deadline=None)


def picture(id: str, score: float, std: float | None = 1.0, joint: float | None = None, scene: str = "s") -> Score:
    return Score(
        id=id,
        scene=scene,
        score=score,
        score_std=std,
        joint_score=joint,
        attributes={"overall": Estimate(score, std)},
        branches={},
        gate=None,
        scene_probabilities={},
        width=4,
        height=3,
        faces=(),
        reasons=(),
        flags=(),
    )


def pictures(values: list[float], stds: list[float] | None = None) -> list[Score]:
    stds = stds or [1.0] * len(values)
    return [picture(f"{i:04}.jpg", value, std) for i, (value, std) in enumerate(zip(values, stds, strict=True))]


def rank(scores: list[Score], **options: object) -> Group:
    return ranking.rank(scores, calibration=PLAIN, **options)


# Thousandths: distinct scores stay distinct under the shifts and scales below.
numbers = st.integers(-5000, 5000).map(lambda n: n / 1000)
spreads = st.one_of(st.just(0.0), st.integers(1, 3000).map(lambda n: n / 1000))
groups = st.lists(st.tuples(numbers, spreads), min_size=1, max_size=12).map(
    lambda rows: pictures([row[0] for row in rows], [row[1] for row in rows])
)


@steady
@given(groups, st.randoms(use_true_random=False))
def test_input_order_never_matters(scores: list[Score], chance: random.Random) -> None:
    shuffled = list(scores)
    chance.shuffle(shuffled)
    assert rank(shuffled) == rank(scores)


@steady
@given(groups)
def test_best_first_and_positions_are_ranks(scores: list[Score]) -> None:
    group = rank(scores)
    assert [row.rank for row in group.ranking] == list(range(1, len(scores) + 1))
    assert group.order == tuple(row.id for row in group.ranking)
    for better, worse in itertools.pairwise(group.ranking):
        assert (-better.score, better.id) < (-worse.score, worse.id)
    assert group.best is not None
    assert group.best.id == group.order[0]


@steady
@given(groups)
def test_chances_are_complementary_to_the_last_bit(scores: list[Score]) -> None:
    table = np.array(rank(scores).win_probability)
    assert (table + table.T == 1).all()
    assert (np.diag(table) == 0.5).all()
    assert (table[np.triu_indices(len(table))] >= 0.5).all()


@steady
@given(groups)
def test_tie_groups_are_contiguous_and_follow_their_first(scores: list[Score]) -> None:
    group = rank(scores)
    assert group.win_probability is not None
    ties = [row.tie_group for row in group.ranking]
    assert ties[0] == 1
    assert all(after - before in (0, 1) for before, after in itertools.pairwise(ties))
    firsts = [ties.index(tie) for tie in ties]
    for row, first in enumerate(firsts):
        assert group.win_probability[first][row] <= 0.75
        if row and first == row:
            assert group.win_probability[firsts[row - 1]][row] > 0.75


@steady
@given(groups, st.sampled_from([0.25, 0.5, 2.0, 4.0]), st.integers(-8, 8))
def test_shift_and_scale_change_nothing_relative(scores: list[Score], scale: float, shift: int) -> None:
    # Powers of two and scores in thousandths: the moved scores keep their order exactly.
    moved = pictures([row.score * scale + shift for row in scores], [(row.score_std or 0) * scale for row in scores])
    before, after = rank(scores), rank(moved)
    assert after.order == before.order
    for one, other in zip(before.ranking, after.ranking, strict=True):
        assert other.relative_quality == pytest.approx(one.relative_quality, abs=1e-9)


@steady
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_any_finite_scores_give_a_document_without_nan(values: list[float]) -> None:
    document = json.dumps(dataclasses.asdict(rank(pictures(values))), allow_nan=False)
    assert document


@steady
@given(groups)
def test_relative_quality_has_median_zero_and_unit_deviation(scores: list[Score]) -> None:
    found = [row.relative_quality for row in rank(scores).ranking]
    if len(scores) < 3 or len({row.score for row in scores}) == 1:
        assert found == [None] * len(scores)
    else:
        quality = np.array(found, float)
        assert np.median(quality) == pytest.approx(0, abs=1e-9)
        assert np.abs(quality).mean() == pytest.approx(1)


@steady
@given(groups)
def test_chances_of_being_best_sum_to_one(scores: list[Score]) -> None:
    values = np.array([row.score for row in scores])
    stds = np.array([row.score_std for row in scores], float)
    chances = ranking.best_probabilities(values, stds)
    assert (chances >= 0).all()
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    if len(scores) == 2:
        assert chances[0] == pytest.approx(ranking.win_probabilities(values, stds)[0, 1], abs=ranking.CELL_MASS)


CASES = {
    "equal": ([0.0] * 5, [1.0] * 5),
    "spread out": ([1.0, 0.5, 0.2, -0.4, -2.0], [0.3, 0.6, 0.2, 1.0, 2.0]),
    "one needle": ([0.0, 0.1, -0.3], [1.0, 1e-6, 0.5]),
    "needle below a wide leader": ([0.5, 0.0, 0.49], [2.0, 1e-4, 1e-3]),
    "certain ones": ([0.4, 0.2, 0.2, 0.3], [1.0, 0.0, 0.0, 0.5]),
    "certain leaders": ([0.5, 0.5, 0.3], [0.0, 0.0, 0.4]),
    "many": (list(np.linspace(-1, 1, 60)), [0.7] * 60),
}


@pytest.mark.parametrize("case", CASES)
def test_chance_of_being_best_agrees_with_drawing(case: str) -> None:
    values, stds = (np.array(part) for part in CASES[case])
    draws = np.random.default_rng(5).normal(values, stds, size=(100_000, len(values)))
    tops = draws == draws.max(axis=1, keepdims=True)
    expected = (tops / tops.sum(axis=1, keepdims=True)).mean(axis=0)
    # Four standard errors of the drawing at p = 1/2.
    np.testing.assert_allclose(ranking.best_probabilities(values, stds), expected, atol=0.0064)


def test_chance_of_being_best_in_closed_form() -> None:
    # Three equal variables: a third each. One of n equal: 1/n, also for thousands.
    np.testing.assert_allclose(ranking.best_probabilities(np.zeros(3), np.ones(3)), 1 / 3, atol=1e-12)
    np.testing.assert_allclose(ranking.best_probabilities(np.full(3000, 0.7), np.full(3000, 0.2)), 1 / 3000, atol=1e-9)
    # A needle at m against one wide normal: Phi(m).
    needle = ranking.best_probabilities(np.array([0.5, 0.0]), np.array([1e-9, 1.0]))[0]
    assert needle == pytest.approx(0.6914624612740131, abs=1e-3)


def test_win_probability_by_hand() -> None:
    group = ranking.rank(
        [picture("a", 1.0, 0.6), picture("b", 0.5, 0.8)], calibration=Calibration(win_slope=2.0), attribute="overall"
    )
    # Phi(2 * 0.5 / 1) = Phi(1), from tables of the normal distribution.
    assert group.win_probability is not None
    assert group.win_probability[0][1] == pytest.approx(0.8413447460685429, abs=1e-15)
    assert group.best is not None
    assert group.best.p_best == pytest.approx(0.8413447460685429, abs=1e-5)


def test_shots_of_one_scene_have_a_slope_of_their_own() -> None:
    both = [picture("a", 1.0, 0.6), picture("b", 0.5, 0.8)]
    within, plain = (
        ranking.rank(both, calibration=calibration, attribute="overall")
        for calibration in (Calibration(win_slope=0.5, within_slope=2.0), Calibration(win_slope=2.0))
    )
    assert within == plain


def test_tie_groups_by_hand() -> None:
    # Phi(0.6745) = 0.75: with spreads of 1 a picture leaves the group 0.954 below its first, not below its neighbour.
    ties = [row.tie_group for row in rank(pictures([3.0, 2.5, 2.04, 1.9, 1.5, 1.0, 0.9])).ranking]
    assert ties == [1, 1, 2, 2, 2, 3, 3]


def test_relative_quality_by_hand() -> None:
    # Median 2, deviations 1 0 1 6 (even count: median of 1, 2, 3, 8 is 2.5; deviations 1.5 0.5 0.5 5.5, mean 2).
    found = [row.relative_quality for row in rank(pictures([1.0, 2.0, 3.0, 8.0])).ranking]
    assert found == pytest.approx([2.75, 0.25, -0.25, -0.75])


def test_without_spread_only_equal_scores_tie() -> None:
    group = rank([picture("a", 1.0, None), picture("b", 1.0, 0.5), picture("c", 0.999999, 0.5)])
    assert group.best is None
    assert group.win_probability is None
    assert [row.tie_group for row in group.ranking] == [1, 1, 2]


def test_certain_scores() -> None:
    group = rank(pictures([1.0, 0.5, 0.5], [0.0, 0.0, 0.0]))
    assert group.win_probability == ((0.5, 1.0, 1.0), (0.0, 0.5, 0.5), (0.0, 0.5, 0.5))
    assert [row.tie_group for row in group.ranking] == [1, 2, 2]
    assert group.best is not None
    assert group.best.p_best == 1


def test_equal_scores_are_ordered_by_id() -> None:
    assert rank([picture("b", 0.5), picture("c", 0.5), picture("a", 0.5)]).order == ("a", "b", "c")


def test_one_picture() -> None:
    group = rank([picture("a", 0.3)])
    assert group.best is not None
    assert group.best.p_best == 1
    assert group.ranking[0].relative_quality is None
    assert group.win_probability == ((0.5,),)


def test_table_of_chances_stops_above_200() -> None:
    values = [i / 100 for i in range(201)]
    assert rank(pictures(values)).win_probability is None
    assert rank(pictures(values[:200])).win_probability is not None


def test_joint_order() -> None:
    scores = [picture("a", 1.0, 1.0, joint=0.1), picture("b", 0.0, 1.0, joint=3.0)]
    assert rank(scores).order == ("a", "b")
    group = rank(scores, order_by="joint")
    assert group.order == ("b", "a")
    assert group.win_probability is not None
    assert group.win_probability[0][1] > 0.75
    assert [row.tie_group for row in group.ranking] == [1, 2]
    with pytest.raises(DataError, match="no joint score"):
        rank([*scores, picture("c", 0.5)], order_by="joint")


@pytest.mark.parametrize(
    ("scores", "error", "says"),
    [
        ([], DataError, "at least one"),
        ([picture("a", math.nan)], ModelError, "finite score"),
        ([picture("a", math.inf)], ModelError, "finite score"),
        ([picture("a", 1.0, math.nan)], ModelError, "score_std"),
        ([picture("a", 1.0, -0.1)], ModelError, "score_std"),
        ([picture("a", 1.0), picture("a", 2.0)], DataError, "twice"),
        ([picture("a", 1.0), picture("b", 1.0, scene="t")], DataError, "one scene"),
        ([dataclasses.replace(picture("a", 1.0), score=2.0)], DataError, "another attribute"),
    ],
)
def test_what_cannot_be_ranked(scores: list[Score], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        rank(scores)


def test_bad_options() -> None:
    with pytest.raises(ConfigurationError, match="order_by"):
        rank([picture("a", 1.0)], order_by="joined")
    with pytest.raises(ModelError, match="slope of a calibration"):
        ranking.rank([picture("a", 1.0)], calibration=Calibration(win_slope=0.0))
