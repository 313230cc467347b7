"""The study as plain data: the JSON document, CSV and LaTeX tables, and rows of a leaderboard."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pqa.data.tables import guarded, read_table
from pqa.errors import DataError
from pqa.evaluation.metrics import METRICS
from pqa.evaluation.significance import wins
from pqa.report.study import Model, Study

__all__ = ["SCHEMA_VERSION", "add_to_leaderboard", "csv_table", "document", "latex_table"]

SCHEMA_VERSION = 1

LEADERBOARD = ("labels", "split", "mapping", "model", "file_sha256", "pictures", "of", "scenes")
NAMES = {"srcc": "SRCC", "plcc": "PLCC", "krcc": "KRCC", "mae": "MAE", "rmse": "RMSE", "score": "Score"}
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def document(study: Study) -> dict[str, Any]:
    """The study as one JSON document; what is undefined is null."""
    settings = dataclasses.asdict(study.settings)
    found = {
        "schema_version": SCHEMA_VERSION,
        "protocol": {**settings, "plcc_mae_rmse_after": study.settings.mapping, "median_over": "scenes"},
        "labels": {
            "file": study.labels.source.name,
            "split": study.split,
            "pictures": len(study.labels),
            "of": study.total,
        },
        "models": [_model(model) for model in study.models],
        "noise_ceiling": [dataclasses.asdict(each) for each in study.ceilings],
        "comparisons": [dataclasses.asdict(each) for each in study.comparisons],
        "wins": wins(study.comparisons, [model.name for model in study.models]),
        "p1401_tests": [dataclasses.asdict(each) for each in study.tests],
        "warnings": [dataclasses.asdict(each) for each in study.warnings],
    }
    return {key: _clean(value) for key, value in found.items()}


def _model(model: Model) -> dict[str, Any]:
    evaluation = model.replicates.evaluation
    scenes = [
        {
            **dataclasses.asdict(scene),
            "intervals": {metric: dataclasses.asdict(interval) for metric, interval in intervals.items()},
        }
        for scene, intervals in zip(evaluation.scenes, model.scene_intervals, strict=True)
    ]
    plain = ("pairs", "regret", "devices", "pooled", "main")
    return {
        "name": model.name,
        "file": model.file,
        "sha256": model.sha256,
        "mapping": evaluation.mapping,
        "medians": {metric: dataclasses.asdict(model.intervals[metric]) for metric in METRICS},
        "label_noise": None if model.noise is None else {m: dataclasses.asdict(n) for m, n in model.noise.items()},
        "win_probability_std": "predicted" if model.spread is None else model.spread,
        "calibration": [dataclasses.asdict(each) for each in model.calibrations],
        "slices": [dataclasses.asdict(each) for each in model.slices],
        "scenes": scenes,
        **{key: None if getattr(model, key) is None else dataclasses.asdict(getattr(model, key)) for key in plain},
    }


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _clean(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_clean(each) for each in value]
    return value


def csv_table(study: Study) -> str:
    """One row a model and scene, then one with the model's medians (scene `median`); intervals and ceilings beside."""
    ceilings = {each.scene: each for each in study.ceilings}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    bounds = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    writer.writerow(["model", "mapping", "scene", "pictures", *METRICS, *bounds, "ceiling_score", "undefined"])
    for model in study.models:
        evaluation = model.replicates.evaluation
        for scene, intervals in zip(evaluation.scenes, model.scene_intervals, strict=True):
            ceiling = ceilings.get(scene.scene)
            writer.writerow(
                [guarded(model.name), scene.fit.name, guarded(scene.scene), scene.n]
                + [getattr(scene, metric) for metric in METRICS]
                + [end for metric in METRICS for end in (intervals[metric].low, intervals[metric].high)]
                + ["" if ceiling is None else ceiling.score, " ".join(scene.undefined)]
            )
        writer.writerow(
            [guarded(model.name), evaluation.mapping, "median", evaluation.n]
            + [getattr(evaluation, metric) for metric in METRICS]
            + [end for metric in METRICS for end in (model.intervals[metric].low, model.intervals[metric].high)]
            + ["", ""]
        )
    return text.getvalue()


def latex_table(study: Study) -> str:
    """A booktabs table of the medians with their intervals, one row a model."""
    level = f"{study.settings.confidence:.0%}".replace("%", r"\%")
    lines = [
        f"% {study.labels.source.name}, {study.split}: median over {len(set(study.labels.scene))} scenes, "
        f"{len(study.labels)} pictures",
        r"\begin{tabular}{l" + "c" * len(METRICS) + "}",
        r"\toprule",
        "Model & " + " & ".join(NAMES[metric] for metric in METRICS) + r" \\",
        r"\midrule",
    ]
    for model in study.models:
        cells = [f"{i.value:.3f} [{i.low:.3f}, {i.high:.3f}]" for i in (model.intervals[metric] for metric in METRICS)]
        lines.append(f"{_latex(model.name)} & " + " & ".join(cells) + r" \\")
    note = f"Mapping before PLCC, MAE and RMSE: {_latex(study.settings.mapping)}; {level} intervals"
    lines += [r"\bottomrule", rf"\multicolumn{{{len(METRICS) + 1}}}{{l}}{{{note}}} \\", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in text)


def add_to_leaderboard(study: Study, path: Path) -> None:
    """Add the study's models to a CSV file, best score first within one set of labels, split and mapping.

    The same predictions under the same name take their old row's place. The file appears whole or not at all. Raises
    DataError for a file that is no leaderboard.
    """
    columns = [*LEADERBOARD, *METRICS, "score_low", "score_high", "date"]
    rows: list[dict[str, str]] = []
    if path.exists():
        table = read_table(path)
        if list(table.columns) != columns:
            raise DataError(f"{path}: expected the columns {', '.join(columns)}, got {', '.join(table.columns)}")
        rows = [{name: table.columns[name][k] for name in columns} for k in range(len(table))]
    for model in study.models:
        row = _row(study, model)
        same = ("labels", "split", "mapping", "model", "file_sha256")
        rows = [old for old in rows if any(old[name] != row[name] for name in same)] + [row]
    rows.sort(key=lambda row: (row["labels"], row["split"], row["mapping"], -float(row["score"])))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: guarded(cell) if name in LEADERBOARD else cell for name, cell in row.items()} for row in rows
    )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _row(study: Study, model: Model) -> dict[str, str]:
    evaluation, score = model.replicates.evaluation, model.intervals["score"]
    values = (study.labels.source.name, study.split, evaluation.mapping, model.name, model.sha256)
    counts = (evaluation.n, study.total, len(evaluation.scenes))
    return {
        **dict(zip(LEADERBOARD, map(str, (*values, *counts)), strict=True)),
        **{metric: f"{getattr(evaluation, metric):.6f}" for metric in METRICS},
        "score_low": f"{score.low:.6f}",
        "score_high": f"{score.high:.6f}",
        "date": datetime.now(UTC).date().isoformat(),
    }
