"""An evaluation as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pqa.cli.text import plain
from pqa.data.labels import Labels
from pqa.evaluation.bootstrap import Interval
from pqa.evaluation.labelnoise import Ceiling
from pqa.evaluation.metrics import METRICS
from pqa.evaluation.significance import wins
from pqa.report.markup import chance, number
from pqa.report.study import Model, Study
from pqa.types import Warn

__all__ = ["print_ceilings", "print_study"]

NAMES = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "mae": "MAE", "rmse": "RMSE", "score": "score"}


def print_study(console: Console, study: Study) -> None:
    """Medians with intervals first, then scenes, comparisons, what is beyond correlation, warnings last."""
    settings, scenes = study.settings, len(set(study.labels.scene))
    console.print(
        Text(
            f"{plain(study.labels.source.name)} ({study.split}): {len(study.labels)} of {study.total} labelled pictures, "
            f"{scenes} scene{'s' * (scenes != 1)}; PLCC, MAE, RMSE after mapping: {settings.mapping}; "
            f"{settings.confidence:.0%} intervals over {settings.resample}"
        )
    )
    table = _table("median over scenes", *NAMES.values())
    for model in study.models:
        table.add_row(Text(plain(model.name)), *(_interval(model.intervals[metric]) for metric in METRICS))
    if study.ceilings:
        ceiling = [f"{np.median([getattr(c, metric) for c in study.ceilings]):.3f}" for metric in METRICS]
        table.add_row(Text("noise ceiling", style="dim"), *ceiling)
    for model in study.models:
        if model.noise:
            cells = [f"± {model.noise[metric].std:.3f}" for metric in METRICS]
            table.add_row(Text(f"label noise, {plain(model.name)}", style="dim"), *cells)
    console.print(table)
    _scenes(console, study)
    if len(study.models) > 1:
        _comparisons(console, study)
    for model in study.models:
        _beyond(console, study, model)
    _warnings(console, study.warnings)


def print_ceilings(
    console: Console, labels: Labels, split: str, ceilings: Sequence[Ceiling], warnings: Sequence[Warn]
) -> None:
    """The noise ceiling of every scene, and their median."""
    console.print(Text(f"noise ceiling of {plain(labels.source.name)} ({split}): {len(labels)} pictures"))
    table = _table("scene", "pictures", "reliability", *NAMES.values())
    for each in ceilings:
        values = (each.reliability, *(getattr(each, metric) for metric in METRICS))
        table.add_row(Text(plain(each.scene)), str(each.n), *(f"{value:.3f}" for value in values))
    columns = ("reliability", *METRICS)
    medians = [f"{np.median([getattr(each, column) for each in ceilings]):.3f}" for column in columns]
    table.add_row("median", str(len(labels)), *medians, style="bold")
    console.print(table)
    _warnings(console, warnings)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _interval(interval: Interval) -> str:
    return f"{interval.value:.3f}\n[{interval.low:.3f}, {interval.high:.3f}]"


def _scenes(console: Console, study: Study) -> None:
    """All figures of one model, or the score of several side by side."""
    ceilings = {each.scene: f"{each.score:.3f}" for each in study.ceilings}
    if len(study.models) == 1:
        table = _table("scene", "pictures", *NAMES.values(), "interval", "ceiling")
    else:
        table = _table(
            f"scene: {NAMES['score']}", "pictures", *(plain(model.name) for model in study.models), "ceiling"
        )
    for k, scene in enumerate(study.models[0].replicates.evaluation.scenes):
        cells = [f"{model.replicates.evaluation.scenes[k].score:.3f}" for model in study.models]
        if len(study.models) == 1:
            score = study.models[0].scene_intervals[k]["score"]
            cells = [f"{getattr(scene, metric):.3f}" for metric in METRICS] + [f"[{score.low:.3f}, {score.high:.3f}]"]
        table.add_row(Text(plain(scene.scene)), str(scene.n), *cells, ceilings.get(scene.scene, ""))
    console.print(table)


def _comparisons(console: Console, study: Study) -> None:
    names = [model.name for model in study.models]
    table = _table(f"{study.settings.metric}: row against column", *map(plain, names))
    for name, row in zip(names, wins(study.comparisons, names), strict=True):
        table.add_row(Text(plain(name)), *(cell or "" for cell in row))
    console.print(table)
    table = _table("pair", "difference", "p", f"p ({study.settings.correction})", "verdict", "scenes won:lost")
    for each in study.comparisons:
        table.add_row(
            Text(plain(f"{each.first} - {each.second}")),
            _interval(each.difference),
            chance(each.p),
            chance(each.adjusted),
            each.verdict,
            f"{each.scenes_won}:{each.scenes_lost}",
        )
    console.print(table)
    table = _table("ITU-T P.1401 test", "pair", "p", f"p ({study.settings.correction})", "verdict")
    for test in study.tests:
        pair = plain(f"{test.first} - {test.second}")
        table.add_row(test.test.replace("_", " "), pair, chance(test.p), chance(test.adjusted), test.verdict)
    console.print(table)


def _beyond(console: Console, study: Study, model: Model) -> None:
    pairs, regret = model.pairs, model.regret
    lines = [
        f"pairs: {pairs.accuracy:.3f} of {pairs.decided} decided pairs in order ({pairs.judged} judged of {pairs.pairs})",
        f"top picture: costs {regret.mean:.3f} on average, {regret.median:.3f} in the median scene; best in {regret.hits:.0%}",
    ]
    how = "its own s.d." if model.spread is None else f"one s.d. of {model.spread:.3g}, fitted on these pairs"
    lines += [
        f"win probability {each.kind} scenes ({how}): ECE {each.ece:.3f}, Brier {each.brier:.3f}, {each.pairs} pairs"
        for each in model.calibrations
    ]
    if model.devices:
        d = model.devices
        left = f", {len(d.left_out)} with too few pictures left out" if d.left_out else ""
        lines.append(
            f"devices: SRCC {number(d.srcc)}, PLCC {number(d.plcc)}, KRCC {number(d.krcc)} over {len(d.rows)} devices{left}"
        )
    if model.pooled and model.pooled.outlier_ratio is not None:
        p = model.pooled
        lines.append(f"P.1401: RMSE {p.rmse:.3f}, RMSE* {p.epsilon_rmse:.3f}, outlier ratio {p.outlier_ratio:.3f}")
    if model.main:
        m = model.main
        lines.append(f"NTIRE 2021 main score (PLCC after {m.fit.name}): {m.main:.4f} = {m.srcc:.4f} + {m.plcc:.4f}")
    console.print(Text(plain(model.name), style="bold"))
    for line in lines:
        console.print(Text(f"  {line}"))
    if model.slices:
        table = _table("  slice", "pictures", "scenes", "SRCC", "PLCC", "KRCC", "MAE", "bias")
        for each in model.slices:
            values = (each.srcc, each.plcc, each.krcc, each.mae)
            cells = [number(value) for value in values]
            name = Text(plain(f"  {each.column} = {each.value}"))
            table.add_row(name, str(each.n), str(each.scenes), *cells, number(each.bias, "+.3f"))
        console.print(table)


def _warnings(console: Console, warnings: Sequence[Warn]) -> None:
    for warning in warnings:
        console.print(Text(f"warning: {plain(warning.message)}", style="yellow"))
