"""How often intervals hold the truth, by what is resampled and by method, in simulated experiments.

    python -m bench.interval_coverage [--experiments 300] [--scenes 15] [--pictures 40]

Each experiment draws scenes whose predictor noise is uniform in [0.5, 1.5] s.d. of the ratings. `scenes` and `both` must
hold the median of a large population of scenes, `pictures` the mean of repeated experiments on the same scenes.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from pqa.evaluation.bootstrap import Interval, Method, Resample, bootstrap, replicates, scene_intervals
from pqa.evaluation.metrics import METRICS, evaluate

Array = npt.NDArray[np.float64]
KINDS: tuple[tuple[Resample, Method], ...] = (
    ("scenes", "bca"),
    ("both", "percentile"),
    ("both", "bca"),
    ("pictures", "percentile"),
    ("pictures", "bca"),
)


def experiment(noise: Array, pictures: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Scores, labels and scenes of one experiment, one scene for each noise."""
    labels = rng.normal(size=(noise.size, pictures))
    scores = labels + noise[:, None] * rng.normal(size=labels.shape)
    return scores.ravel(), labels.ravel(), np.repeat(np.arange(noise.size), pictures)


def run(experiments: int, scenes: int, pictures: int, confidence: float) -> dict[tuple[str, str], Array]:
    """Share of experiments whose interval held the truth, each of METRICS, by (resampled, method)."""
    rng = np.random.default_rng(0)
    large = evaluate(*experiment(rng.uniform(0.5, 1.5, 4001), pictures, rng))
    fixed = rng.uniform(0.5, 1.5, scenes)
    repeated = [evaluate(*experiment(fixed, pictures, rng)) for _ in range(400)]
    truth = {"scenes": [getattr(large, m) for m in METRICS], "both": [getattr(large, m) for m in METRICS]}
    truth["pictures"] = [float(np.mean([getattr(each, m) for each in repeated])) for m in METRICS]
    truth["one scene"] = [float(np.mean([each.values(m)[0] for each in repeated])) for m in METRICS]
    held: dict[tuple[str, str], Array] = {}

    def count(kind: str, method: str, intervals: dict[str, Interval]) -> None:
        hits = [i.low <= t <= i.high for i, t in zip(intervals.values(), truth[kind], strict=True)]
        held[kind, method] = held.get((kind, method), np.zeros(len(METRICS))) + np.array(hits) / experiments

    for seed in range(experiments):
        fresh = replicates(*experiment(rng.uniform(0.5, 1.5, scenes), pictures, rng), resamples=500, seed=seed)
        again = replicates(*experiment(fixed, pictures, rng), resamples=500, seed=seed)
        for kind, method in KINDS:
            source = again if kind == "pictures" else fresh
            count(kind, method, bootstrap(source, resample=kind, method=method, confidence=confidence))
        count("one scene", "bca", scene_intervals(again, confidence=confidence)[0])
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--scenes", type=int, default=15)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--confidence", type=float, default=0.95)
    args = parser.parse_args()
    held = run(args.experiments, args.scenes, args.pictures, args.confidence)
    print(
        f"coverage of {args.confidence:.0%} intervals, {args.scenes} scenes of {args.pictures}, {args.experiments} runs"
    )
    print(f"{'resampled':10} {'method':11}" + "".join(f"{m:>8}" for m in METRICS))
    for (kind, method), shares in held.items():
        print(f"{kind:10} {method:11}" + "".join(f"{share:8.3f}" for share in shares))


if __name__ == "__main__":
    main()
