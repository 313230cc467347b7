"""pqa.judging.scaling against closed forms, a generic optimiser, choix, and its own simulations."""

from __future__ import annotations

import math

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from pqa.errors import ConfigurationError, DataError
from pqa.judging.links import LINKS
from pqa.judging.priors import OPEN, PRIORS, Normal, distances
from pqa.judging.scaling import Judgements, components, fit, scale, solve, tally


def simulate(n=8, observers=12, judged=20, spread=1.4, seed=0, model="thurstone"):
    rng = np.random.default_rng(seed)
    q = rng.normal(0, spread, n)
    q -= q.mean()
    i, j = np.triu_indices(n, 1)
    pick = np.concatenate([rng.choice(len(i), judged, replace=False) for _ in range(observers)])
    win = rng.random(len(pick)) < np.exp(LINKS[model].log_probability((q[i] - q[j])[pick] / LINKS[model].unit))
    return q, Judgements(
        conditions=tuple(f"c{k}" for k in range(n)),
        winner=np.where(win, i[pick], j[pick]),
        loser=np.where(win, j[pick], i[pick]),
        left=rng.random(len(pick)) < 0.5,
        observer=np.repeat(np.arange(observers), judged),
        observers=tuple(f"o{k}" for k in range(observers)),
    )


def table(counts, names="abcdefgh"):
    winner, loser = np.nonzero(counts)
    times = np.asarray(counts)[winner, loser]
    winner, loser = np.repeat(winner, times), np.repeat(loser, times)
    return Judgements(tuple(names[: len(counts)]), winner, loser, np.ones(len(winner), bool))


def objective(q, judgements, model, prior_std):
    x = (q[judgements.winner] - q[judgements.loser]) / LINKS[model].unit
    log = special.log_ndtr(x) if model == "thurstone" else special.log_expit(x)
    return -log.sum() + 0.5 * np.sum(q**2) / prior_std**2


@pytest.mark.parametrize("model", LINKS)
def test_one_jod_is_75_percent(model):
    link = LINKS[model]
    assert math.exp(link.log_probability(np.array([1 / link.unit]))[0]) == pytest.approx(0.75, abs=1e-12)
    result = scale(table([[0, 75], [25, 0]]), model, prior="scores", prior_std=1e4, bootstrap=0)
    assert result.jod[0] - result.jod[1] == pytest.approx(1, abs=1e-6)


def test_chain_of_75_percent_is_two_jod_long():
    # The incomplete design of pwcmp's documentation: three conditions, neighbours judged 100 times, 75 to 25.
    result = scale(table([[0, 25, 0], [75, 0, 25], [0, 75, 0]]), prior="scores", prior_std=1e4, bootstrap=0)
    assert result.jod == pytest.approx([-1, 0, 1], abs=1e-6)


@pytest.mark.parametrize("model", LINKS)
@pytest.mark.parametrize("prior_std", [0.5, 3.0])
def test_agrees_with_a_generic_optimiser(model, prior_std):
    _, judgements = simulate(seed=3)
    mine = scale(judgements, model, prior="scores", prior_std=prior_std, bootstrap=0)
    other = optimize.minimize(objective, np.zeros(8), (judgements, model, prior_std), tol=1e-12)
    assert mine.jod == pytest.approx(other.x, abs=1e-5)
    at_solution = objective(mine.jod, judgements, model, prior_std)
    assert at_solution <= other.fun + 1e-9
    assert -mine.log_likelihood + 0.5 * np.sum(mine.jod**2) / prior_std**2 == pytest.approx(at_solution, abs=1e-9)


@pytest.mark.parametrize("solver", ["opt", "mm", "ilsr"])
def test_bradley_terry_agrees_with_choix(solver):
    _, judgements = simulate(observers=40, seed=1)
    data = list(zip(judgements.winner.tolist(), judgements.loser.tolist(), strict=True))
    solvers = {
        "opt": lambda: choix.opt_pairwise(8, data, alpha=0, tol=1e-10),
        "mm": lambda: choix.mm_pairwise(8, data, tol=1e-10),
        "ilsr": lambda: choix.ilsr_pairwise(8, data, tol=1e-10),
    }
    theirs = solvers[solver]() * LINKS["bradley-terry"].unit
    mine = scale(judgements, "bradley-terry", prior="scores", prior_std=1e6, bootstrap=0).jod
    assert mine == pytest.approx(theirs - theirs.mean(), abs=1e-6)


def test_bradley_terry_with_prior_agrees_with_choix():
    _, judgements = simulate(seed=2)
    data = list(zip(judgements.winner.tolist(), judgements.loser.tolist(), strict=True))
    unit = LINKS["bradley-terry"].unit
    # choix penalises alpha * |theta|^2 in units of the logistic; ours is |q|^2 / (2 prior_std^2) in JOD.
    theirs = choix.opt_pairwise(8, data, alpha=unit**2 / (2 * 1.5**2), tol=1e-10) * unit
    assert scale(judgements, "bradley-terry", prior="scores", prior_std=1.5, bootstrap=0).jod == pytest.approx(
        theirs, abs=1e-6
    )


@pytest.mark.parametrize(("model", "theirs"), [("thurstone", "probit"), ("bradley-terry", "logit")])
def test_posterior_agrees_with_choix_expectation_propagation(model, theirs):
    # Mode and curvature here, mean and moments there: two approximations of one posterior, which meet as judgements
    # grow. The probit moments of expectation propagation are exact, the logistic ones are themselves approximate.
    _, judgements = simulate(n=5, observers=80, judged=10, seed=4)
    data = list(zip(judgements.winner.tolist(), judgements.loser.tolist(), strict=True))
    unit = LINKS[model].unit
    mean, covariance = choix.ep_pairwise(5, data, alpha=(unit / 2.0) ** 2, model=theirs)
    mine = scale(judgements, model, prior="scores", prior_std=2.0, bootstrap=0)
    assert mine.jod == pytest.approx(mean * unit, rel=0.01, abs=0.02)
    assert mine.covariance == pytest.approx(covariance * unit**2, rel=0.03, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(LINKS)), st.sampled_from(PRIORS))
def test_order_of_rows_and_names_does_not_matter_and_mirrored_answers_mirror(seed, model, prior):
    _, judgements = simulate(n=6, observers=5, judged=10, seed=seed)
    result = scale(judgements, model, prior=prior, bootstrap=0) if len(components(judgements)) == 1 else None
    if result is None:
        return
    rng = np.random.default_rng(seed)
    rename, order = rng.permutation(6), rng.permutation(len(judgements.winner))
    shuffled = Judgements(
        tuple(judgements.conditions[k] for k in np.argsort(rename)),
        rename[judgements.winner][order],
        rename[judgements.loser][order],
        judgements.left[order],
    )
    assert scale(shuffled, model, prior=prior, bootstrap=0).jod[rename] == pytest.approx(result.jod, abs=1e-5)
    mirrored = Judgements(judgements.conditions, judgements.loser, judgements.winner, ~judgements.left)
    assert scale(mirrored, model, prior=prior, bootstrap=0).jod == pytest.approx(-result.jod, abs=1e-5)
    assert result.jod.sum() == pytest.approx(0, abs=1e-8)


def test_unanimous_answers_stay_finite_and_a_start_far_away_converges():
    counts = np.triu(np.full((6, 6), 30), 1)
    for prior in PRIORS:
        result = scale(table(counts), prior=prior, bootstrap=50)
        assert np.isfinite([result.jod, result.low, result.high]).all()
        assert (np.diff(result.jod) < 0).all()
    pairs = tally(table(counts), by_observer=False)
    first, second = pairs.total()
    prior = Normal.of_scores(6, 2.0)
    near = solve(pairs, first, second, LINKS["thurstone"], prior, np.zeros(6))[0]
    far = solve(pairs, first, second, LINKS["thurstone"], prior, np.array([-30.0, 25, -9, 60, 0, 3]))[0]
    assert far == pytest.approx(near, abs=1e-7)


def published(counts):
    """The scale of mantiuk/pwcmp, `pw_scale.m` with the prior `gaussian`, written out pair by pair as that code goes, and
    the normal prior of 10 JOD that is ours (its likelihood and prior count each pair twice, so ours does here)."""
    counts = np.asarray(counts)
    n = counts + counts.T
    pairs = [(a, b) for a in range(len(counts)) for b in range(len(counts)) if n[a, b]]

    def loss(q):
        p = {(a, b): special.ndtr((q[a] - q[b]) * special.ndtri(0.75)) for a, b in pairs}
        prior = dict.fromkeys(pairs, 0.0)
        for c in pairs:
            k = counts[c]
            if k == 0:
                k = 1
            elif k == n[c]:
                k = n[c] - 1
            powers = {r: p[r] ** k * (1 - p[r]) ** (n[c] - k) for r in pairs}
            for r in pairs:
                prior[r] += powers[r] / sum(powers.values())
        likelihood = sum(counts[r] * np.log(p[r]) + counts[r[::-1]] * np.log(1 - p[r]) for r in pairs)
        return -likelihood - sum(np.log(prior[r] + 0.1) for r in pairs) + 2 * np.sum(q**2) / (2 * OPEN**2)

    return optimize.minimize(loss, np.zeros(len(counts)), options={"gtol": 1e-6}).x


def test_prior_on_distances_is_the_published_one():
    for seed in range(4):
        _, judgements = simulate(n=5, observers=3 + seed, judged=7, seed=seed)  # some pairs unanimous, some judged once
        counts = np.zeros((5, 5), int)
        np.add.at(counts, (judgements.winner, judgements.loser), 1)
        assert scale(judgements, bootstrap=0).jod == pytest.approx(published(counts), abs=2e-5)
    # What the loops above gave on 2026-12-01: three conditions, 9 to 3, 8 to 4 and, for the outer two, 12 to 0.
    counts = [[0, 9, 12], [3, 0, 8], [0, 4, 0]]
    assert scale(table(counts), bootstrap=0).jod == pytest.approx([1.15467, -0.12525, -1.02942], abs=1e-4)


def test_one_pair_or_one_judgement_a_pair_leaves_the_prior_on_distances_silent():
    link = LINKS["thurstone"]
    for won, lost in ((20, 0), (15, 5)):
        x = np.array([0.3])
        assert distances(x, np.array([won]), np.array([lost]), link)[1] == pytest.approx(0, abs=1e-12)
        result = scale(table([[0, won], [lost, 0]]), bootstrap=0)

        def slope(d, won=won, lost=lost):
            up, down = (link.slope(np.array([sign * d / link.unit]))[0] for sign in (1, -1))
            return (won * up - lost * down) / link.unit - d / (2 * OPEN**2)

        assert result.jod[0] - result.jod[1] == pytest.approx(optimize.brentq(slope, 0, 30), abs=1e-5)
        assert result.jod[0] - result.jod[1] == pytest.approx(4.87 if lost == 0 else 1.0, abs=0.01)
    x = np.random.default_rng(0).normal(size=9)
    won = np.arange(9) % 2
    assert distances(x, won, 1 - won, link)[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("model", LINKS)
def test_slope_of_the_prior_on_distances(model):
    rng = np.random.default_rng(2)
    x, first, second = rng.normal(size=8), rng.integers(0, 9, 8), rng.integers(1, 9, 8)
    _, slope, curvature = distances(x, first, second, LINKS[model])
    up, down = (
        np.array([distances(x + h * e, first, second, LINKS[model])[0] for e in np.eye(8)]) for h in (1e-6, -1e-6)
    )
    assert slope == pytest.approx((up - down) / 2e-6, abs=1e-7)
    assert (curvature >= 0).all()


def test_a_long_chain_keeps_its_length_under_the_prior_on_distances_alone():
    # Eight levels, each judged against the next, 15 to 5: seven steps of 1 JOD. Equal answers say equal distances.
    counts = 5 * np.eye(8, k=1, dtype=int) + 15 * np.eye(8, k=-1, dtype=int)
    lengths = {prior: np.ptp(scale(table(counts), prior=prior, bootstrap=0).jod) for prior in PRIORS}
    assert lengths["distances"] == pytest.approx(7, abs=0.3)
    assert lengths["scores"] < 6


def test_estimated_prior_follows_the_spread_of_the_truth():
    spreads = {}
    for truth in (0.5, 3.0):
        q, judgements = simulate(n=40, observers=40, judged=200, spread=truth, seed=5)
        spreads[truth] = scale(judgements, prior="scores", bootstrap=0).prior_std
        assert spreads[truth] == pytest.approx(np.std(q), rel=0.25)
    pairs = tally(simulate()[1], by_observer=False)
    first, second = pairs.total()
    assert fit(pairs, first, second, LINKS["thurstone"], "scores", 0.7).prior_std == 0.7


def test_quick_replicates_equal_exact_ones():
    _, judgements = simulate(seed=6)
    groups = tally(judgements, by_observer=True)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(12, np.full(12, 1 / 12), 50).astype(float)
    one, two = draws @ groups.first, draws @ groups.second
    start = scale(judgements, prior="scores", prior_std=1.5, bootstrap=0).jod
    link = LINKS["thurstone"]
    prior = Normal.of_scores(8, 1.5)
    quick = solve(groups, one, two, link, prior, start, tolerance=0.02)[0]
    exact = solve(groups, one, two, link, prior, start, tolerance=1e-9)[0]
    assert np.abs(quick - exact).max() < 1e-3


def test_intervals_hold_the_estimate_are_reproducible_and_name_what_was_resampled():
    _, judgements = simulate(seed=7)
    result = scale(judgements, seed=1)
    assert result.resampled == "observers"
    assert ((result.low < result.jod) & (result.jod < result.high)).all()
    assert np.array_equal(result.low, scale(judgements, seed=1).low)
    nameless = Judgements(judgements.conditions, judgements.winner, judgements.loser, judgements.left)
    assert scale(nameless).resampled == "judgements"
    none = scale(judgements, bootstrap=0)
    assert none.resampled == "nothing"
    assert np.isnan(none.std).all()
    assert scale(judgements, confidence=0.5).high[0] < result.high[0]


def test_observers_who_disagree_widen_the_intervals():
    # Half of the observers have the opposite taste: judgements of one observer depend on each other.
    _, judgements = simulate(observers=20, seed=8)
    flip = judgements.observer % 2 == 1
    winner = np.where(flip, judgements.loser, judgements.winner)
    loser = np.where(flip, judgements.winner, judgements.loser)
    torn = Judgements(judgements.conditions, winner, loser, judgements.left, judgements.observer, judgements.observers)
    nameless = Judgements(judgements.conditions, winner, loser, judgements.left)
    assert (
        scale(torn, prior="scores", prior_std=1.4).std.mean()
        > 1.3 * scale(nameless, prior="scores", prior_std=1.4).std.mean()
    )


def test_intervals_cover_the_truth():
    # 100 studies of 30 observers; bench/scaling.py repeats this with 1,000 and several designs.
    covered = []
    for seed in range(100):
        q, judgements = simulate(n=6, observers=30, judged=8, seed=seed)
        result = scale(judgements, seed=seed, bootstrap=200)
        covered.append((result.low <= q) & (q <= result.high))
    assert 0.90 <= np.mean(covered) <= 0.985


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_stated_error_equals_real_error_even_where_the_prior_pulls(spread):
    squares, stated = [], []
    for seed in range(150):
        q, judgements = simulate(n=8, observers=15, judged=6, spread=spread, seed=seed)
        if len(components(judgements)) == 1:
            result = scale(judgements, prior="scores", prior_std=spread, bootstrap=100)
            squares.append(np.mean((result.jod - q) ** 2))
            stated.append(np.mean(result.std**2))
    assert len(stated) > 100
    assert np.mean(stated) == pytest.approx(np.mean(squares), rel=0.15)


def test_disconnected_comparisons_are_refused_and_named():
    apart = Judgements(("a", "b", "c", "d", "e"), np.array([0, 1, 2]), np.array([1, 0, 3]), np.ones(3, bool))
    assert components(apart) == [["a", "b"], ["c", "d"], ["e"]]
    with pytest.raises(DataError, match=r"3 separate components.*\(2\) a, b; \(2\) c, d; \(1\) e"):
        scale(apart)
    with pytest.raises(DataError, match="no judgements"):
        scale(apart.select(np.zeros(3, bool)))


def test_wrong_use_is_named():
    _, judgements = simulate()
    with pytest.raises(ConfigurationError, match="did you mean 'thurstone'"):
        scale(judgements, "thurston")
    with pytest.raises(ConfigurationError, match="did you mean 'scores'"):
        scale(judgements, prior="score")
    with pytest.raises(ConfigurationError, match="prior_std is the width of the prior on scores"):
        scale(judgements, prior_std=1.5)
    for options in ({"prior": "scores", "prior_std": 0}, {"confidence": 1}, {"bootstrap": 10}):
        with pytest.raises(ConfigurationError, match="expected prior_std"):
            scale(judgements, **options)
    with pytest.raises(DataError, match="one entry a judgement"):
        Judgements(("a", "b"), np.array([0]), np.array([1, 0]), np.ones(1, bool))
    with pytest.raises(DataError, match="with itself"):
        Judgements(("a", "b"), np.array([0]), np.array([0]), np.ones(1, bool))
