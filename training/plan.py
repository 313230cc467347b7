"""What one command does: a run, the same with several seeds, cross-validation over scenes, or an ensemble."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pqa.errors import ConfigurationError
from training.ensemble import Ensemble
from training.finish import finish
from training.gather import Gathered, bagged, few, fold
from training.recipe import Recipe
from training.run import Fitted, Machine, fit

__all__ = ["Plan", "carry_out"]

METRICS = ("srcc", "plcc", "krcc", "score")


@dataclass(frozen=True, slots=True)
class Plan:
    """At most one of `seeds`, `folds` and `bag` is above zero: how many runs. `start`: weights to begin with, which
    several runs take in turn."""

    seeds: int = 0
    folds: int = 0
    bag: int = 0
    smoke: bool = False
    start: tuple[Path, ...] = ()


def carry_out(
    plan: Plan,
    recipe: Recipe,
    data: Gathered,
    out: Path,
    machine: Machine,
) -> list[str]:
    """Train, export and judge; returns what to tell. Several runs lie in folders of `out` and are summed up in its metrics."""
    if plan.smoke:
        data = few(data)
    count = plan.seeds or plan.folds or plan.bag
    if not count:
        if len(plan.start) > 1:
            raise ConfigurationError(
                "one run begins with the weights of one other; several need --seeds, --folds or --bag"
            )
        fitted = fit(recipe, data, out, machine, start=plan.start[0] if plan.start else None)
        return [_line(out.name, finish(recipe, data, fitted, out)), str(out / f"{recipe.model}.onnx")]
    if count < 2:
        raise ConfigurationError("seeds, folds and members of an ensemble are counted from two")
    if machine.devices * machine.nodes > 1:
        raise ConfigurationError(
            "several runs in one command use one process; start them one by one with --seed instead"
        )
    machine = replace(machine, cache=machine.cache or out / "cache")
    found, runs = [], []
    for number in range(count):
        seeded = replace(recipe, seed=recipe.seed + number)
        one = fold(data, number, count) if plan.folds else bagged(data, number) if plan.bag else data
        folder = out / f"{'fold' if plan.folds else 'member' if plan.bag else 'seed'}-{number}"
        start = plan.start[number % len(plan.start)] if plan.start else None
        fitted = fit(seeded, one, folder, machine, start=start)
        runs.append(fitted)
        found.append(finish(seeded, one, fitted, folder))
    lines = [_line(f"run {number}", metrics) for number, metrics in enumerate(found)]
    summary: dict[str, Any] = {"runs": [_figures(metrics) for metrics in found], **_summed(found)}
    lines.append(f"mean of {count}: " + _words(summary["mean"]) + "; s.d. " + _words(summary["deviation"]))
    if plan.bag:
        joined = finish(recipe, data, _joined(runs), out, exchange=False)
        lines += [_line("ensemble", joined), str(out / f"{recipe.model}.onnx")]
        summary["ensemble"] = joined
    (out / "metrics.json").write_text(json.dumps(summary, indent=2))
    return lines


def _joined(runs: list[Fitted]) -> Fitted:
    return replace(runs[0], model=Ensemble([run.model for run in runs]).eval(), best_score=None, best_epoch=None)


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    """Medians over scenes of the first attribute on the report part; of the choose part where nothing was reported."""
    for study in metrics.get("report", {}).values():
        return {name: float(study["models"][0]["medians"][name]["value"]) for name in METRICS}
    return {"score": float(metrics["choose"]["score"])}


def _summed(found: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    table = [_figures(metrics) for metrics in found]
    columns = {name: np.array([row[name] for row in table]) for name in table[0]}
    return {
        "mean": {name: float(values.mean()) for name, values in columns.items()},
        "deviation": {name: float(values.std(ddof=1)) for name, values in columns.items()},
    }


def _words(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def _line(name: str, metrics: dict[str, Any]) -> str:
    return f"{name}: " + _words(_figures(metrics))
