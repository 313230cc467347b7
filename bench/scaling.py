"""Scaling of pairwise judgements: agreement with choix, the priors, speed, coverage of the intervals, active sampling.

    python -m bench.scaling agreement     the same judgements scaled by choix
    python -m bench.scaling priors        the error of either prior by design (minutes)
    python -m bench.scaling speed         125 pictures, 20,000 judgements
    python -m bench.scaling coverage      1,000 simulated studies a row (minutes)
    python -m bench.scaling active        judgements to the same error, random against active (minutes)

Simulated observers follow Thurstone's Case V; true qualities are normal with the stated spread in JOD (the scenes of
PIQ23 have 1.35 to 1.45). Every table is reproducible: the seeds are fixed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import choix
import numpy as np
import numpy.typing as npt
from scipy import special, stats

from pqa.judging.links import LINKS
from pqa.judging.priors import OPEN, PRIORS
from pqa.judging.sampling import next_pairs
from pqa.judging.scaling import Judgements, components, fit, scale, solve, tally

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
THURSTONE = LINKS["thurstone"]


def truth(conditions: int, spread: float, rng: np.random.Generator) -> Floats:
    q = rng.normal(0, spread, conditions)
    return q - q.mean()


def study(q: Floats, observers: int, judged: int, rng: np.random.Generator, taste: float = 0.0) -> Judgements:
    """Each observer judges `judged` different pairs; `taste` is the spread in JOD of personal opinions a picture."""
    i, j = np.triu_indices(len(q), 1)
    own = q + rng.normal(0, taste, (observers, len(q)))
    pick = np.concatenate([rng.choice(len(i), judged, replace=False) for _ in range(observers)])
    who = np.repeat(np.arange(observers), judged)
    win = rng.random(len(pick)) < special.ndtr((own[who, i[pick]] - own[who, j[pick]]) / THURSTONE.unit)
    return Judgements(
        conditions=tuple(map(str, range(len(q)))),
        winner=np.where(win, i[pick], j[pick]),
        loser=np.where(win, j[pick], i[pick]),
        left=rng.random(len(pick)) < 0.5,
        observer=who,
        observers=tuple(map(str, range(observers))),
    )


def agreement() -> None:
    print("| model | prior | choix | largest difference in JOD |\n|---|---|---|---|")
    judgements = study(truth(20, 1.4, np.random.default_rng(1)), 40, 60, np.random.default_rng(2))
    data = list(zip(judgements.winner.tolist(), judgements.loser.tolist(), strict=True))
    for model, prior, name, theirs in _choix(data):
        mine = scale(judgements, model, prior="scores", prior_std=prior or 1e6, bootstrap=0).jod
        other = theirs * LINKS[model].unit
        print(f"| {model} | {prior or 'none'} | {name} | {np.abs(mine - other + other.mean()).max():.1e} |")


def _choix(data: list[tuple[int, int]]) -> Iterator[tuple[str, float | None, str, Floats]]:
    logistic = LINKS["bradley-terry"].unit
    yield "bradley-terry", None, "opt_pairwise", choix.opt_pairwise(20, data, alpha=0, tol=1e-10)
    yield "bradley-terry", None, "mm_pairwise", choix.mm_pairwise(20, data, tol=1e-10)
    yield "bradley-terry", None, "ilsr_pairwise", choix.ilsr_pairwise(20, data, tol=1e-10)
    alpha = (logistic / 1.5) ** 2
    yield "bradley-terry", 1.5, "opt_pairwise", choix.opt_pairwise(20, data, alpha=alpha / 2, tol=1e-10)
    yield "bradley-terry", 1.5, "ep_pairwise (mean)", choix.ep_pairwise(20, data, alpha, model="logit")[0]
    alpha = (THURSTONE.unit / 1.5) ** 2
    yield "thurstone", 1.5, "ep_pairwise (mean)", choix.ep_pairwise(20, data, alpha, model="probit")[0]


def speed() -> None:
    judgements = study(truth(125, 1.4, np.random.default_rng(1)), 40, 500, np.random.default_rng(2))
    print("| model | prior | what | wall s | CPU s |\n|---|---|---|---|---|")
    for model, prior in product(LINKS, PRIORS):
        for bootstrap in (0, 300):
            wall, cpu = time.perf_counter(), time.process_time()
            scale(judgements, model, prior=prior, bootstrap=bootstrap)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            what = f"fit and {bootstrap} resamples of 40 observers" if bootstrap else "fit alone"
            print(f"| {model} | {prior} | {what} | {wall:.2f} | {cpu:.2f} |", flush=True)


Picker = Callable[[Judgements, np.random.Generator], list[tuple[int, int]]]


def _random(judgements: Judgements, rng: np.random.Generator) -> list[tuple[int, int]]:
    n = len(judgements.conditions)
    i, j = np.triu_indices(n, 1)
    pick = rng.integers(len(i), size=n - 1)
    return list(zip(i[pick].tolist(), j[pick].tolist(), strict=True))


def _active(judgements: Judgements, rng: np.random.Generator) -> list[tuple[int, int]]:
    n = len(judgements.conditions)
    return [(int(i), int(j)) for i, j in next_pairs(judgements, n - 1, seed=int(rng.integers(2**31)))]


Draw = Callable[[np.random.Generator], Floats]
Plan = Callable[[Floats, np.random.Generator], Judgements]


def _asked(q: Floats, i: Ints, j: Ints, rng: np.random.Generator) -> Judgements:
    """Pairs (i, j) judged once each."""
    win = rng.random(len(i)) < special.ndtr((q[i] - q[j]) / THURSTONE.unit)
    names = tuple(map(str, range(len(q))))
    return Judgements(names, np.where(win, i, j), np.where(win, j, i), np.ones(len(i), np.bool_))


def _every_pair(low: int, high: int) -> Plan:
    """Every pair judged `low` to `high` times, drawn evenly."""

    def plan(q: Floats, rng: np.random.Generator) -> Judgements:
        i, j = np.triu_indices(len(q), 1)
        times = rng.integers(low, high, len(i), endpoint=True)
        return _asked(q, np.repeat(i, times), np.repeat(j, times), rng)

    return plan


def _neighbours(times: int) -> Plan:
    """Each condition against the next, as in an experiment over levels of one distortion."""
    return lambda q, rng: _asked(q, *np.repeat([np.arange(len(q) - 1), np.arange(1, len(q))], times, axis=1), rng)


def _trees(picker: Picker, rounds: int) -> Plan:
    """`rounds` batches of conditions - 1 pairs as `picker` chooses them."""

    def plan(q: Floats, rng: np.random.Generator) -> Judgements:
        judged = _asked(q, np.zeros(0, np.int64), np.zeros(0, np.int64), rng)
        for _ in range(rounds):
            new = _asked(q, *np.array(picker(judged, rng)).T, rng)
            judged = Judgements(
                judged.conditions,
                np.concatenate([judged.winner, new.winner]),
                np.concatenate([judged.loser, new.loser]),
                np.concatenate([judged.left, new.left]),
            )
        return judged

    return plan


def _levels(count: int, step: float) -> Draw:
    return lambda rng: step * (np.arange(count) - (count - 1) / 2)


def _outlier(rng: np.random.Generator) -> Floats:
    """Six alike and one that everybody sees to be worst."""
    q = rng.normal(0, 0.7, 7)
    q[0] -= 4
    return q - q.mean()


def _plans() -> dict[str, tuple[Draw, Plan]]:
    ordinary = partial(truth, 10, 1.4)
    return {
        "every pair, 5 observers": (ordinary, _every_pair(5, 5)),
        "every pair, 15 observers": (ordinary, _every_pair(15, 15)),
        "every pair, 40 observers": (ordinary, _every_pair(40, 40)),
        "every pair, 15 observers, spread 4": (partial(truth, 10, 4.0), _every_pair(15, 15)),
        "every pair, 15 observers, one far off": (_outlier, _every_pair(15, 15)),
        "unbalanced: every pair 0 to 30 times": (ordinary, _every_pair(0, 30)),
        "neighbours of 4 levels, 1 JOD apart, 20 observers": (_levels(4, 1.0), _neighbours(20)),
        "neighbours of 8 levels, 1 JOD apart, 20 observers": (_levels(8, 1.0), _neighbours(20)),
        "neighbours of 8 levels, 2 JOD apart, 20 observers": (_levels(8, 2.0), _neighbours(20)),
        "sparse: 30 conditions, 290 random judgements": (partial(truth, 30, 1.4), _trees(_random, 10)),
        "adaptive: 30 conditions, 290 judgements by --next": (partial(truth, 30, 1.4), _trees(_active, 10)),
        "the simulator: 30 pictures, 1,800 random judgements": (partial(truth, 30, 1.4), _trees(_random, 62)),
    }


def priors(simulations: int) -> None:
    print("RMSE in JOD, and the share of pairs in the wrong order.")
    print("| design | distances | scores | none | distances | scores | none |\n|---|---|---|---|---|---|---|")
    for name, (draw, plan) in _plans().items():
        errors = []
        for seed in range(simulations):
            rng = np.random.default_rng(seed)
            q = draw(rng)
            judged = plan(q, rng)
            if len(components(judged)) > 1:
                continue
            pairs = tally(judged, by_observer=False)
            wins = pairs.total()
            fits = [
                fit(pairs, *wins, THURSTONE, "distances"),
                fit(pairs, *wins, THURSTONE, "scores"),
                fit(pairs, *wins, THURSTONE, "scores", OPEN),
            ]
            errors.append([(np.sqrt(np.mean((f.jod - q) ** 2)), _disorder(f.jod, q)) for f in fits])
        rmse, disorder = np.mean(errors, axis=0).T
        print(
            f"| {name} | {' | '.join(f'{x:.2f}' for x in rmse)} | {' | '.join(f'{x:.3f}' for x in disorder)} |",
            flush=True,
        )


def _disorder(one: Floats, other: Floats) -> float:
    i, j = np.triu_indices(len(one), 1)
    return float(np.mean((one[i] - one[j]) * (other[i] - other[j]) < 0))


DESIGNS = [  # conditions, observers, pairs an observer, spread, taste
    *((10, observers, 30, 1.4, 0.0) for observers in (5, 10, 15, 20, 30, 50)),
    (10, 30, 45, 1.4, 1.0),
    (20, 30, 30, 1.4, 0.0),
    (20, 30, 20, 2.5, 0.0),
]


def coverage(simulations: int) -> None:
    print(
        "| prior | conditions | observers | pairs each | spread | taste | coverage | mean width | percentile's coverage |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for prior, (conditions, observers, judged, spread, taste) in product(PRIORS, DESIGNS):
        hit, width, percentile = [], [], []
        for seed in range(simulations):
            rng = np.random.default_rng(seed)
            q = truth(conditions, spread, rng)
            judgements = study(q, observers, judged, rng, taste)
            # Personal opinions add to the noise of a judgement, so the scale of the group is flatter by this factor.
            group = q / math.sqrt(1 + 2 * (taste / THURSTONE.unit) ** 2)
            result = scale(judgements, prior=prior, bootstrap=200, seed=seed)
            hit.append(np.mean((result.low <= group) & (group <= result.high)))
            width.append(np.mean(result.high - result.low))
            low, high = _percentiles(judgements, prior, rng)
            percentile.append(np.mean((low <= group) & (group <= high)))
        row = (f"{np.mean(hit):.3f}", f"{np.mean(width):.2f}", f"{np.mean(percentile):.3f}")
        print(
            f"| {prior} | {conditions} | {observers} | {judged} | {spread} | {taste} | {' | '.join(row)} |", flush=True
        )


def _percentiles(judgements: Judgements, prior: str, rng: np.random.Generator) -> Floats:
    """The plain percentile interval over 200 resamples of observers, for comparison: (2, n)."""
    groups = tally(judgements, by_observer=True)
    count = len(judgements.observers)
    draws = rng.multinomial(count, np.full(count, 1 / count), 200).astype(np.float64)
    whole = fit(groups, *groups.total(), THURSTONE, prior)
    q, _ = solve(groups, draws @ groups.first, draws @ groups.second, THURSTONE, whole.prior, whole.jod, tolerance=0.02)
    bounds: Floats = np.quantile(q, [0.025, 0.975], axis=0)
    return bounds


def curve(conditions: int, spread: float, picker: Picker, rounds: int, seed: int) -> Floats:
    """RMSE in JOD and 1 - SRCC after each round of conditions - 1 judgements: (rounds, 2)."""
    rng = np.random.default_rng(seed)
    q = truth(conditions, spread, rng)
    names = tuple(map(str, range(conditions)))
    winner, loser = np.zeros(0, np.int64), np.zeros(0, np.int64)
    errors = []
    for _ in range(rounds):
        i, j = np.array(picker(Judgements(names, winner, loser, np.ones(len(winner), bool)), rng)).T
        win = rng.random(len(i)) < special.ndtr((q[i] - q[j]) / THURSTONE.unit)
        winner = np.concatenate([winner, np.where(win, i, j)])
        loser = np.concatenate([loser, np.where(win, j, i)])
        pairs = tally(Judgements(names, winner, loser, np.ones(len(winner), bool)), by_observer=False)
        jod = fit(pairs, *pairs.total(), THURSTONE, "scores").jod
        errors.append((np.sqrt(np.mean((jod - q) ** 2)), 1 - stats.spearmanr(jod, q)[0]))
    return np.array(errors)


def limit(spread: float) -> float:
    """Information of a judgement of two equals over the mean of random pairs: roughly the most that sampling gains."""
    x = np.linspace(-12, 12, 20_001) * math.sqrt(2) * spread / THURSTONE.unit
    up, down, p = THURSTONE.slope(x), THURSTONE.slope(-x), special.ndtr(x)
    information = p * THURSTONE.curvature(x, up) + (1 - p) * THURSTONE.curvature(-x, down)
    weight = stats.norm.pdf(np.linspace(-12, 12, 20_001))
    return float(2 / math.pi / (information @ weight / weight.sum()))


def active(simulations: int) -> None:
    print("| conditions | spread | judgements (active) | RMSE | random needs | SRCC | random needs | limit |")
    print("|---|---|---|---|---|---|---|---|")
    rounds = 15
    for conditions, spread in ((30, 1.4), (30, 3.0), (50, 3.0), (30, 5.0)):
        ours = np.mean([curve(conditions, spread, _active, rounds, s) for s in range(simulations)], axis=0)
        plain = np.mean([curve(conditions, spread, _random, 4 * rounds, s) for s in range(simulations)], axis=0)
        for done in (5, 10, 15):
            rmse, disorder = ours[done - 1]
            needs = [_ratio(plain[:, k], ours[done - 1, k], done) for k in (0, 1)]
            print(
                f"| {conditions} | {spread} | {done * (conditions - 1)} | {rmse:.2f} | {needs[0]} | "
                f"{1 - disorder:.3f} | {needs[1]} | {limit(spread):.2f} x |",
                flush=True,
            )


def _ratio(errors: Floats, target: float, done: int) -> str:
    """How many times `done` rounds it takes to reach the target (linear between rounds)."""
    reached = np.flatnonzero(errors <= target)
    if not len(reached):
        return f"> {len(errors) / done:.1f} x"
    k = int(reached[0])
    part = 0.0 if k == 0 else (errors[k - 1] - target) / (errors[k - 1] - errors[k])
    return f"{(k + part) / done if k else 1 / done:.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=["agreement", "priors", "speed", "coverage", "active"])
    parser.add_argument("--simulations", type=int, help="studies a row (priors 100, coverage 1000, active 30)")
    args = parser.parse_args()
    if args.part == "coverage":
        coverage(args.simulations or 1000)
    elif args.part == "priors":
        priors(args.simulations or 100)
    elif args.part == "active":
        active(args.simulations or 30)
    else:
        {"agreement": agreement, "speed": speed}[args.part]()


if __name__ == "__main__":
    main()
