"""`python -m bench.generalisation PART --data SIMULATED --cache DIR [...]`: what carries over to unseen scenes and devices.

Four questions, each answered by training tiny models on simulated portraits, several seeds each, and judging them on
pictures that took no part: `loss`, `face`, `rescaling`, `devices`. A seed draws the 70 % of the scenes that are trained on
(a seventh of them to choose the epoch), the scale and the shift of every scene's labels, weights and batches.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from pqa.data import sets
from pqa.data.parts import Part
from pqa.data.rated import Rated
from pqa.evaluation.metrics import evaluate
from training.facts import find_facts
from training.gather import Gathered, gather
from training.pictures import Portraits
from training.recipe import Augment, Average, Batches, Optimiser, Recipe, Schedule, Term
from training.run import Fitted, Machine, fit

Array = npt.NDArray[np.float64]

STILL = Augment(draw=False, mirror="together")
BASE = Recipe(
    model="scene_gate",
    terms=(Term("scale_shift_invariant"),),
    size="tiny",
    pretrained=False,
    batches=Batches("groups", size=64, scenes=4),
    augment=STILL,
    optimiser=Optimiser("adamw", rate=1e-3, decay=1e-2),
    schedule=Schedule("cosine", warmup=1),
    average=Average("ema", decay=0.95),
    epochs=12,
    clip=1.0,
    scene_weight=0.2,
    branch_weight=0.3,
)
"""What all runs share; tiny models from nothing learn within a dozen epochs."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Folders and size of the experiment."""

    data: Path
    faces: Path | None
    hidden: Path | None
    epochs: int
    cache: Path


def read(folder: Path) -> Gathered:
    return gather([sets.read(folder)])


def by_scene(data: Gathered, seed: int, *, devices: int = 0) -> Gathered:
    """60 % of the scenes to train, 10 % to choose, 30 % to report. `devices`: that many of them stay in training."""
    rng = np.random.default_rng((seed, 1))
    names = sorted({row.scene for row in data.rows})
    order = {name: place / len(names) for name, place in zip(names, rng.permutation(len(names)), strict=True)}
    cameras = rng.permutation(sorted({row.device for row in data.rows})).tolist()[:devices]

    def part(row: Rated) -> Part:
        return "train" if order[row.scene] < 0.6 else "choose" if order[row.scene] < 0.7 else "report"

    rows = [replace(row, part=part(row)) for row in data.rows]
    kept = [row for row in rows if not devices or row.part == "report" or row.device in cameras]
    return replace(data, rows=tuple(kept))


def within_scenes(data: Gathered, seed: int) -> Gathered:
    """Of every scene 70 % of the pictures to train, 10 % to choose, 20 % to report."""
    rng = np.random.default_rng((seed, 2))
    places = rng.permutation(len(data.rows)) / len(data.rows)
    parts: list[Part] = ["train" if p < 0.7 else "choose" if p < 0.8 else "report" for p in places]
    return replace(data, rows=tuple(replace(r, part=p) for r, p in zip(data.rows, parts, strict=True)))


def warped(data: Gathered, seed: int) -> Gathered:
    """Every scene's labels on a scale of their own: times exp(N(0, 0.5)), plus N(0, 2)."""
    rng = np.random.default_rng((seed, 3))
    names = sorted({row.scene for row in data.rows})
    gain = dict(zip(names, np.exp(rng.normal(0.0, 0.5, len(names))), strict=True))
    shift = dict(zip(names, rng.normal(0.0, 2.0, len(names)), strict=True))
    rows = [
        replace(row, labels=tuple(gain[row.scene] * label + shift[row.scene] for label in row.labels))
        for row in data.rows
    ]
    return replace(data, rows=tuple(rows))


def train(bench: Bench, recipe: Recipe, data: Gathered, seed: int) -> Fitted:
    """A run by the project's own trainer."""
    with tempfile.TemporaryDirectory() as out:
        machine = Machine(accelerator="cpu", workers=0, cache=bench.cache, detector="mtcnn", every=10**9)
        return fit(replace(recipe, seed=seed, epochs=bench.epochs), data, Path(out), machine)


def outputs(bench: Bench, fitted: Fitted, rows: Sequence[Rated]) -> dict[str, Array]:
    """Every output of the model over `rows`."""
    facts = find_facts([row.path for row in rows], fitted.model.views, "mtcnn", bench.cache, workers=2)
    none = [-1] * len(rows)
    pictures = Portraits(rows, facts, fitted.model.views, none, none, STILL, keep=0)
    with torch.no_grad():
        found = [
            [value.numpy() for value in fitted.model(*batch["views"])] for batch in DataLoader(pictures, batch_size=32)
        ]
    return {name: np.concatenate([each[i] for each in found]) for i, name in enumerate(fitted.model.outputs)}


def srcc(rows: Sequence[Rated], score: Array) -> float:
    """Median over scenes of SRCC."""
    return evaluate(score, [row.labels[0] for row in rows], [row.scene for row in rows]).srcc


def mae(rows: Sequence[Rated], score: Array) -> float:
    """Mean over pictures of the absolute error, in units of the labels."""
    return float(np.abs(score - np.array([row.labels[0] for row in rows])).mean())


def loss(bench: Bench, seed: int) -> dict[str, float]:
    """(a) Scale-shift invariant loss against plain regression on raw labels of many scales: SRCC on unseen scenes."""
    data = warped(by_scene(read(bench.data), seed), seed)
    report = data.part("report")
    plain = replace(BASE, batches=Batches("plain", size=64))
    runs = {
        "scale-shift invariant": BASE,
        "Huber on raw labels": replace(plain, terms=(Term("huber"),)),
        "squared error on raw labels": replace(plain, terms=(Term("mse"),)),
    }
    return {
        name: srcc(report, outputs(bench, train(bench, r, data, seed), report)["score"][:, 0])
        for name, r in runs.items()
    }


def faceless(bench: Bench) -> Bench:
    """The same experiment where no face was ever found: the gate is shut, in training too."""
    cache = bench.cache / "faceless"
    cache.mkdir(exist_ok=True)
    for store in bench.cache.glob("facts-*.jsonl"):
        entries = [json.loads(line) for line in store.read_text().splitlines()]
        for entry in entries:
            entry["face"] = None
            entry["vectors"] = {name: [0.0] * len(values) for name, values in entry["vectors"].items()}
        (cache / store.name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return replace(bench, cache=cache)


def face(bench: Bench, seed: int) -> dict[str, float]:
    """(b) With and without the face view where shots are focused behind the face: SRCC on unseen scenes."""
    if bench.faces is None:
        raise SystemExit("the part `face` needs --faces: pqa simulate ... --face-faults 0.4")
    data = by_scene(read(bench.faces), seed)
    report = data.part("report")
    seen = outputs(bench, train(bench, BASE, data, seed), report)
    blind = faceless(bench)
    return {
        "with the face view": srcc(report, seen["score"][:, 0]),
        "trained and judged without faces": srcc(
            report, outputs(blind, train(blind, BASE, data, seed), report)["score"][:, 0]
        ),
        "with it, face branch alone": srcc(report, seen["branches"][:, 1]),
        "with it, global branch alone": srcc(report, seen["branches"][:, 0]),
    }


def rescaling(bench: Bench, seed: int) -> dict[str, float]:
    """(c) FHIQA's rescaling on known scenes of many scales, and scene modes.

    Three times as long as the others, and the last epoch: a scene has but three pictures to choose an epoch by.
    """
    bench = replace(bench, epochs=3 * bench.epochs)
    data = warped(within_scenes(read(bench.data), seed), seed)
    report = data.part("report")
    recipe = replace(
        BASE,
        terms=(Term("huber"),),
        batches=Batches("plain", size=32),
        optimiser=replace(BASE.optimiser, rate=3e-3),
        watch=bench.epochs,
        scene_weight=0.0,
        branch_weight=0.0,
        average=Average(),
    )
    plain = outputs(bench, train(bench, replace(recipe, model="hyperiqa"), data, seed), report)["score"][:, 0]
    fitted = train(bench, replace(recipe, model="fhiqa", scene_weight=1.0), data, seed)
    found = outputs(bench, fitted, report)
    rows, posterior = found["score_by_scene"][:, :, 0], found["scene_probabilities"]
    place = np.array([fitted.scenes.index(row.scene) for row in report])
    pooled = np.stack([posterior[place == number].mean(axis=0) for number in place])
    modes = {
        "image": found["score"][:, 0],
        "group": (pooled * rows).sum(axis=1),
        "known": rows[np.arange(len(rows)), place],
    }
    figures = {"HyperIQA, MAE": mae(report, plain), "HyperIQA, SRCC": srcc(report, plain)}
    for name, score in modes.items():
        figures |= {f"FHIQA {name}, MAE": mae(report, score), f"FHIQA {name}, SRCC": srcc(report, score)}
    figures["FHIQA, scene named right"] = float((posterior.argmax(axis=1) == place).mean())
    return figures


def devices(bench: Bench, seed: int) -> dict[str, float]:
    """(d) From known devices on unseen scenes to the hidden preset's devices and scenes."""
    if bench.hidden is None:
        raise SystemExit("the part `devices` needs --hidden: pqa simulate ... --preset hidden")
    data = by_scene(read(bench.data), seed)
    known, hidden = data.part("report"), list(sets.read(bench.hidden).rows)
    plain = replace(
        BASE, terms=(Term("huber"),), batches=Batches("plain", size=64), branch_weight=0.0, scene_weight=0.0
    )
    count = len({row.device for row in data.rows})
    runs = {
        "scene_gate": (BASE, data),
        "HyperIQA": (replace(plain, model="hyperiqa", average=Average()), data),
        "FHIQA": (replace(plain, model="fhiqa", scene_weight=1.0, average=Average()), data),
        "RQ-Net": (replace(BASE, model="rq_net", scene_weight=0.0, branch_weight=0.0), data),
        "scene_gate, regression": (replace(BASE, terms=(Term("huber"),)), data),
        f"scene_gate, {count // 4} of {count} devices": (BASE, by_scene(read(bench.data), seed, devices=count // 4)),
    }
    figures = {}
    for name, (recipe, rows) in runs.items():
        fitted = train(bench, recipe, rows, seed)
        scores = [srcc(part, outputs(bench, fitted, part)["score"][:, 0]) for part in (known, hidden)]
        figures |= {f"{name}: known": scores[0], f"{name}: hidden": scores[1], f"{name}: drop": scores[0] - scores[1]}
    return figures


PARTS: Mapping[str, Callable[[Bench, int], dict[str, float]]] = {
    "loss": loss,
    "face": face,
    "rescaling": rescaling,
    "devices": devices,
}


def table(title: str, found: Sequence[Mapping[str, float]]) -> str:
    """Mean and deviation over the seeds, and every seed's figure."""
    lines = [f"### {title}", "", "| | mean | s.d. | " + " | ".join(f"seed {n}" for n in range(len(found))) + " |"]
    lines.append("|---|" + "---|" * (2 + len(found)))
    for name in found[0]:
        values = np.array([each[name] for each in found])
        cells = [f"{values.mean():.3f}", f"{values.std(ddof=1):.3f}", *(f"{value:.3f}" for value in values)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--data", type=Path, required=True, help="pqa simulate's folder")
    parser.add_argument("--faces", type=Path, help="the same with --face-faults (part face)")
    parser.add_argument("--hidden", type=Path, help="the preset hidden (part devices)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--cache", type=Path, required=True, help="where faces are kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(args.data, args.faces, args.hidden, args.epochs, args.cache)
    question = PARTS[args.part]
    found = []
    for seed in range(args.seeds):
        found.append(question(bench, seed))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in found[-1].items()), flush=True)
    print("\n" + table((question.__doc__ or "").strip().splitlines()[0], found))


if __name__ == "__main__":
    main()
