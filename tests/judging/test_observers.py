"""pqa.judging.observers and pqa.judging.sampling on observers and studies of known behaviour."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from pqa.errors import ConfigurationError, DataError
from pqa.judging.links import LINKS
from pqa.judging.observers import exclude, screen
from pqa.judging.sampling import information_gain, next_pairs
from pqa.judging.scaling import Judgements, scale
from tests.judging.test_scaling import simulate


def add_observer(judgements, name, first, second, chose_first):
    """One more observer, who saw `first` on the left."""
    k = len(judgements.observers)
    chose_first = np.broadcast_to(chose_first, len(first))
    return Judgements(
        judgements.conditions,
        np.concatenate([judgements.winner, np.where(chose_first, first, second)]),
        np.concatenate([judgements.loser, np.where(chose_first, second, first)]),
        np.concatenate([judgements.left, chose_first]),
        np.concatenate([judgements.observer, np.full(len(first), k)]),
        (*judgements.observers, name),
    )


def test_an_observer_of_opposite_taste_is_the_most_distant():
    q, judgements = simulate(n=8, observers=20, judged=24, spread=2, seed=0)
    i, j = np.triu_indices(8, 1)
    swap = np.arange(len(i)) % 2 == 0  # sides balanced, so that only the taste is odd
    left, right = np.where(swap, i, j), np.where(swap, j, i)
    reports = screen({"s": add_observer(judgements, "contrary", left, right, q[left] < q[right])})
    assert reports[0].observer == "contrary"
    assert reports[0].distance > 1.5
    assert reports[0].flags == ("unlike_others",)
    assert reports[0].log_likelihood < math.log(0.5)
    assert sum(report.distance > 0 for report in reports) <= len(reports) / 4 + 1


def test_an_observer_is_measured_against_the_others_alone():
    """Forty times the whole table: with his own answers in it, the scale would be his."""
    q, judgements = simulate(n=8, observers=20, judged=24, spread=2, seed=0)
    i, j = (np.tile(side, 40) for side in np.triu_indices(8, 1))
    reports = screen({"s": add_observer(judgements, "contrary", i, j, q[i] < q[j])})
    assert next(report for report in reports if report.observer == "contrary").log_likelihood < math.log(0.5)


def test_observers_who_choose_one_side_are_flagged():
    _, judgements = simulate(observers=20, seed=1)
    i, j = np.triu_indices(8, 1)
    judgements = add_observer(judgements, "lefty", i, j, chose_first=True)
    judgements = add_observer(judgements, "righty", i, j, chose_first=False)
    flags = {report.observer: report for report in screen({"s": judgements})}
    assert "always_left" in flags["lefty"].flags
    assert flags["lefty"].left_share == 1
    assert "always_right" in flags["righty"].flags
    assert not any("always" in flag for name in judgements.observers[:20] for flag in flags[name].flags)


def test_scenes_add_up_and_exclusion_removes_only_the_named():
    _, one = simulate(seed=2)
    _, two = simulate(seed=3)
    reports = screen({"one": one, "two": two})
    assert len(reports) == 12
    assert {report.judgements for report in reports} == {40}
    kept = exclude({"one": one, "two": two}, {"o3"})
    assert len(kept["one"].winner) == len(one.winner) - 20
    assert "o3" not in {report.observer for report in screen(kept)}
    with pytest.raises(DataError, match="cannot exclude nobody"):
        exclude({"one": one}, {"nobody"})
    with pytest.raises(DataError, match="column of observers"):
        screen({"s": Judgements(one.conditions, one.winner, one.loser, one.left)})


@pytest.mark.parametrize("model", LINKS)
def test_information_gain_equals_its_integral(model):
    link = LINKS[model]
    jod = np.array([0.0, 1.2, -0.7])
    root = np.array([[1.0, 0, 0], [0.4, 0.8, 0], [-0.2, 0.1, 0.5]])
    covariance = root @ root.T
    gain = information_gain(jod, covariance, model)
    assert np.array_equal(gain, gain.T)
    assert np.diag(gain) == pytest.approx(0)

    def entropy(p):
        return special.entr(p) + special.entr(1 - p)

    for i, j in ((0, 1), (0, 2), (1, 2)):
        spread = math.sqrt(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])

        def under(function, i=i, j=j, spread=spread):
            def integrand(d):
                p = np.exp(link.log_probability(np.array([d / link.unit])))[0]
                return function(p) * stats.norm.pdf(d, jod[i] - jod[j], spread)

            return integrate.quad(integrand, -12, 12, epsabs=1e-10)[0]

        assert gain[i, j] == pytest.approx(entropy(under(lambda p: p)) - under(entropy), abs=1e-5)


def test_close_uncertain_pairs_teach_most():
    jod = np.array([0.0, 0.1, 6.0])
    gain = information_gain(jod, np.eye(3))
    assert gain[0, 1] > gain[1, 2] > gain[0, 2] > 0
    assert (information_gain(jod, np.eye(3) * 0.01) < gain + np.eye(3)).all()
    assert gain.max() < math.log(2)


def test_a_batch_is_a_spanning_tree_without_repeats():
    _, judgements = simulate(n=9, observers=3, judged=12, seed=4)
    pairs = next_pairs(judgements, 8)
    assert len({frozenset(pair) for pair in pairs}) == 8
    assert {name for pair in pairs for name in pair} == set(judgements.conditions)
    assert next_pairs(judgements, 3) == pairs[:3]
    assert len(next_pairs(judgements, 20)) == 20


def test_the_most_informative_pair_comes_first():
    _, judgements = simulate(n=9, observers=3, judged=12, seed=4)
    fitted = scale(judgements, prior="scores", bootstrap=0)
    gain = information_gain(fitted.jod, fitted.covariance)
    index = {name: k for k, name in enumerate(judgements.conditions)}
    found = [gain[index[a], index[b]] for a, b in next_pairs(judgements, 8)]
    assert found == pytest.approx(sorted(found, reverse=True), abs=1e-9)
    assert found[0] > 1.1 * found[-1]


def test_active_pairs_reach_a_smaller_error_than_random_ones():
    # Sixteen draws of two make fifteen pairs on average. On a wide scale most random pairs are foregone conclusions;
    # bench/scaling.py gives the ratios.
    errors = {"active": [], "random": []}
    for seed in range(12):
        q = np.random.default_rng(seed).normal(0, 4, 16)
        q -= q.mean()
        for kind, found in errors.items():
            rng = np.random.default_rng(seed)
            winner, loser = np.zeros(0, int), np.zeros(0, int)
            for _ in range(10):
                so_far = Judgements(tuple(map(str, range(16))), winner, loser, np.ones(len(winner), bool))
                picked = next_pairs(so_far, 15, seed=seed) if kind == "active" else rng.choice(16, (16, 2))
                i, j = np.array([(int(a), int(b)) for a, b in picked if a != b]).T
                win = rng.random(len(i)) < special.ndtr((q[i] - q[j]) / LINKS["thurstone"].unit)
                winner = np.concatenate([winner, np.where(win, i, j)])
                loser = np.concatenate([loser, np.where(win, j, i)])
            jod = scale(Judgements(so_far.conditions, winner, loser, winner > 0), prior="scores", bootstrap=0).jod
            found.append(np.mean((jod - q) ** 2))
    assert math.sqrt(np.mean(errors["active"])) < 0.8 * math.sqrt(np.mean(errors["random"]))


def test_a_study_can_start_from_nothing():
    nothing = Judgements(("a", "b", "c", "d"), *(np.zeros(0, int),) * 2, np.zeros(0, bool))
    pairs = next_pairs(nothing, 3, seed=1)
    assert {name for pair in pairs for name in pair} == {"a", "b", "c", "d"}
    assert any(next_pairs(nothing, 3, seed=1) != next_pairs(nothing, 3, seed=seed) for seed in range(2, 8))
    with pytest.raises(ConfigurationError, match="at least 1"):
        next_pairs(nothing, 0)
