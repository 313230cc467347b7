"""After the last step: calibrate on the choose part, export, and judge the model file on the report part as it will serve."""

from __future__ import annotations

import csv
import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

import pqa
from export import checkpoint
from export.onnx import export
from pqa.cli.table import progress
from pqa.data.labels import Labels
from pqa.data.predictions import Predictions
from pqa.data.rated import Rated
from pqa.data.sets import LIMITS
from pqa.errors import DataError
from pqa.report.html import html_report
from pqa.report.study import Settings, Study, study
from pqa.report.tables import document
from pqa.spec import Calibration, ModelSpec
from pqa.types import Image, Score
from training.calibrate import calibrate
from training.curves import read_curves
from training.gather import Gathered
from training.pictures import Portraits
from training.recipe import Augment, Recipe
from training.run import Fitted

__all__ = ["finish", "judge"]

PROOF = 16
"""Pictures on which the exported graph is compared with torch."""


def finish(recipe: Recipe, data: Gathered, fitted: Fitted, out: Path, *, exchange: bool = True) -> dict[str, Any]:
    """Leave in `out` the checkpoint (safetensors; an ensemble has none, `exchange` is false), the model file, its predictions
    and metrics, and a page about them."""
    name = recipe.model
    views, outputs = _outputs(fitted)
    spec = export(
        fitted.model, _spec(recipe, data, fitted, outputs), [view[:PROOF] for view in views], out / f"{name}.onnx"
    )
    if exchange:
        weights = out / f"{name}.safetensors"
        checkpoint.save(fitted.model, weights, name=name, size=recipe.size, changes=fitted.build, spec=spec)
    metrics: dict[str, Any] = {
        "model": name,
        "size": recipe.size,
        "data": data.names,
        "pictures": {part: len(data.part(part)) for part in ("train", "choose", "report")},
        "choose": {"score": fitted.best_score, "epoch": fitted.best_epoch},
        "parity": asdict(spec.parity) if spec.parity else None,
        "calibration": asdict(spec.calibration),
        "warnings": [asdict(warning) for warning in (*data.warnings, *fitted.warnings)],
    }
    if report := data.part("report"):
        found = judge(out / f"{name}.onnx", data, report, out)
        metrics["report"] = {attribute: document(each) for attribute, each in found.items()}
        curves, images = read_curves(out), {row.image: row.path for row in report}
        for attribute, each in found.items():
            page = html_report(each, images=images, curves=curves)
            (out / f"report-{attribute}.html").write_text(page, encoding="utf-8")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))
    return metrics


def _outputs(fitted: Fitted) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Views of the first choose pictures, and every output over them: over all where a spread is to be calibrated."""
    part = fitted.choose
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = fitted.model.to(device)
    wanted = len(part.rows) if "std" in model.outputs else min(PROOF, len(part.rows))
    still = Augment(draw=False, mirror="none")
    pictures = Portraits(part.rows, part.facts, fitted.model.views, part.groups, part.scenes, still)
    first: list[list[torch.Tensor]] = []
    found: list[list[np.ndarray]] = []
    with torch.no_grad():
        for batch in DataLoader(Subset(pictures, range(wanted)), batch_size=4):
            if 4 * len(first) < PROOF:
                first.append(batch["views"])
            found.append([value.cpu().numpy() for value in model(*(view.to(device) for view in batch["views"]))])
    model.cpu()
    views = [torch.cat(tensors).numpy() for tensors in zip(*first, strict=True)]
    return views, {name: np.concatenate([each[i] for each in found]) for i, name in enumerate(model.outputs)}


def _spec(recipe: Recipe, data: Gathered, fitted: Fitted, outputs: dict[str, np.ndarray]) -> ModelSpec:
    label = np.array([row.labels[0] for row in fitted.choose.rows])
    rated = ~np.isnan(label)
    calibration = Calibration()
    if "std" in outputs and rated.sum() > 2:
        groups = np.array(fitted.choose.groups)[rated] if data.per_scene else None
        # Equal ratings in every scene calibrate nothing; the model is worth keeping all the same, and its file says so.
        with suppress(DataError):
            calibration = calibrate(outputs["score"][rated, 0], outputs["std"][rated, 0], label[rated], groups)
    config = fitted.model.config
    return ModelSpec(
        name=recipe.model,
        version=pqa.__version__,
        architecture=f"{recipe.model} ({recipe.size})",
        views=fitted.model.views,
        attributes=config.attributes,
        trained=True,
        scenes=config.scenes if "scene_probabilities" in outputs else (),
        branches=fitted.model.branch_names,
        detector=fitted.detector,
        range=data.range,
        comparable_across_scenes=not data.per_scene,
        licence="; ".join(data.licences),
        data=data.names,
        description=f"Trained on {len(data.part('train'))} pictures, chosen on {len(data.part('choose'))}.",
        calibration=calibration,
        provenance={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.files},
    )


def judge(model: Path, data: Gathered, rows: list[Rated], out: Path) -> dict[str, Study]:
    """Score `rows` through the serving path and compare with their labels, attribute by attribute."""
    images = [Image(row.image, row.path, row.scene, row.device or None) for row in rows]
    with progress(len(images), "judging") as advance:
        scored = pqa.load(model, limits=LIMITS).score(images, on_done=advance)
    good = [(row, score) for row, score in zip(rows, scored, strict=True) if isinstance(score, Score)]
    if not good:
        raise DataError(f"none of the {len(rows)} pictures of the report part could be scored")
    with (out / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "scene", "score", "score_std", *data.attributes])
        for row, score in good:
            values = [score.attributes[name].score for name in data.attributes]
            writer.writerow([row.image, row.scene, score.score, score.score_std, *values])
    return {
        name: study(
            _labels(data, [row for row, _ in good], index),
            [_predictions(model, [score for _, score in good], name)],
            Settings(shared_scale=not data.per_scene, resamples=1000),
            split="report part",
        )
        for index, name in enumerate(data.attributes)
        if any(not np.isnan(row.labels[index]) for row, _ in good)
    }


def _labels(data: Gathered, rows: list[Rated], attribute: int) -> Labels:
    kept = [row for row in rows if not np.isnan(row.labels[attribute])]
    std = np.array([row.stds[attribute] for row in kept])
    stated = not np.isnan(std).any()
    return Labels(
        data.files[0],
        tuple(row.image for row in kept),
        tuple(row.scene for row in kept),
        np.array([row.labels[attribute] for row in kept]),
        std if stated else None,
        1.959964 * std if stated else None,
        {name: tuple(getattr(row, name) for row in kept) for name in ("device", "condition")},
    )


def _predictions(model: Path, scores: list[Score], attribute: str) -> Predictions:
    found = [score.attributes[attribute] for score in scores]
    stds = [each.std for each in found]
    return Predictions(
        model.stem,
        model,
        tuple(score.id for score in scores),
        np.array([each.score for each in found]),
        None if None in stds else np.array(stds, float),
        {},
    )
