"""Metrics against scipy, time of the bootstrap, and known noise on known labels.

    OMP_NUM_THREADS=1 python -m bench.metrics [--labels Scores_Overall.csv]

Without `--labels` the data are simulated in PIQ23's shape: 5,116 pictures, 50 scenes of 45 to 125, JOD with s.d. 1.4.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from pqa.data.labels import read_labels
from pqa.evaluation import metrics
from pqa.evaluation.bootstrap import bootstrap, replicates
from pqa.evaluation.labelnoise import noise_ceiling

Array = npt.NDArray[np.float64]
PICTURES, SCENES, SPREAD = 5116, 50, 1.4
RESAMPLES, LIMIT = 5000, 10.0


def simulated(seed: int = 0) -> tuple[Array, list[str]]:
    """Labels and scenes of PIQ23's shape."""
    rng = np.random.default_rng(seed)
    sizes = np.linspace(80, 125, SCENES).astype(int)
    sizes[:5] = 45
    sizes[-1] += PICTURES - int(sizes.sum())
    labels = [SPREAD * (v - v.mean()) / v.std() for v in (rng.normal(size=n) for n in sizes)]
    return np.concatenate(labels), [f"scene {k}" for k, n in enumerate(sizes) for _ in range(n)]


def agreement(labels: Array, scenes: list[str]) -> None:
    """Largest difference to scipy over scenes, on continuous scores, on heavily tied ones, and on all pictures at once."""
    noisy = labels + np.random.default_rng(1).normal(size=labels.size)
    print("largest difference to scipy    SRCC       PLCC       KRCC")
    for name, x, y, groups in (
        ("scenes", noisy, labels, scenes),
        ("scenes, rounded to halves", np.round(2 * noisy), np.round(2 * labels), scenes),
        ("all pictures at once", noisy, labels, ["all"] * labels.size),
    ):
        worst = np.zeros(3)
        for index in metrics.by_scene(groups, labels.size).values():
            a, b = x[index], y[index]
            ours = metrics.srcc(a, b), metrics.plcc(a, b), metrics.krcc(a, b)
            theirs = (stats.spearmanr(a, b), stats.pearsonr(a, b), stats.kendalltau(a, b))
            worst = np.maximum(worst, np.abs(np.array(ours) - [each.statistic for each in theirs]))
        print(f"{name:28}" + "".join(f"{value:11.1e}" for value in worst))


def timing(labels: Array, scenes: list[str]) -> None:
    """All six metrics of every scene, resampled, with jackknife and intervals."""
    scores = labels + np.random.default_rng(2).normal(size=labels.size)
    start = time.process_time()
    interval = bootstrap(replicates(scores, labels, scenes, resamples=RESAMPLES))["score"]
    taken = time.process_time() - start
    print(
        f"\n{RESAMPLES} resamples of {labels.size} pictures: {taken:.1f} s of CPU, {LIMIT / taken:.1f} times as fast as asked"
    )
    print(f"score {interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]")


def known_noise(labels: Array, scenes: list[str]) -> None:
    """Labels plus N(0, s): measured once, and mean and s.d. of 30 simulations; PLCC as theory has it."""
    perfect = metrics.evaluate(labels, labels, scenes)
    print(f"\nlabels fed back: lowest score of a scene {min(s.score for s in perfect.scenes):.12f}")
    print("noise   SRCC   PLCC   KRCC    MAE  score   simulated score   PLCC by theory")
    for noise in (0.35, 0.7, 1.4, 2.8):
        runs = [
            metrics.evaluate(labels + noise * np.random.default_rng([3, k]).normal(size=labels.size), labels, scenes)
            for k in range(31)
        ]
        first, others = runs[0], np.array([run.score for run in runs[1:]])
        spread = np.median([labels[index].std() for index in metrics.by_scene(scenes, labels.size).values()])
        print(
            f"{noise:5.2f}  {first.srcc:.3f}  {first.plcc:.3f}  {first.krcc:.3f}  {first.mae:.3f}  {first.score:.3f}"
            f"   {others.mean():.3f} ± {others.std():.3f}     {1 / np.sqrt(1 + noise**2 / spread**2):.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, help="label file in place of simulated data")
    args = parser.parse_args()
    labels, scenes = simulated()
    if args.labels:
        found = read_labels(args.labels)
        labels, scenes = found.value, list(found.scene)
        if found.std is not None:
            ceilings = noise_ceiling(found.value, found.std, found.scene)
            print(f"noise ceiling of the score, median over scenes: {np.median([c.score for c in ceilings]):.3f}\n")
    agreement(labels, scenes)
    timing(labels, scenes)
    known_noise(labels, scenes)


if __name__ == "__main__":
    main()
