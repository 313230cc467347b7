"""Everything that is computed about predictors on one set of labels; the forms of the report only write it down."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pqa.data.labels import Labels
from pqa.data.predictions import Predictions, common
from pqa.data.tables import some
from pqa.errors import DataError, unknown_key
from pqa.evaluation import decisions as cal
from pqa.evaluation.bootstrap import Interval, Replicates, Resample, bootstrap, replicates, scene_intervals
from pqa.evaluation.labelnoise import Ceiling, Noise, label_noise, noise_ceiling
from pqa.evaluation.metrics import Evaluation, MainScore, main_score
from pqa.evaluation.significance import Comparison, compare
from pqa.evaluation.slices import DeviceLevel, Slice, devices, slices
from pqa.report.pooled import Pooled, PooledTest, pooled, pooled_tests
from pqa.types import Warn

__all__ = ["Model", "Settings", "Study", "ceilings_of", "study"]

Array = npt.NDArray[np.float64]

FEW_SCENES = 10
SLICED = ("condition", "split", "face_size", "luminance", "faces")  # cut by these columns unless others are named


@dataclass(frozen=True, slots=True)
class Settings:
    """How to evaluate. `columns` to slice by (None: those of SLICED that are there); `shared_scale` when labels compare
    across scenes, which allows pairs across scenes and NTIRE's main score."""

    mapping: str = "raw"
    resample: Resample = "scenes"
    resamples: int = 5000
    confidence: float = 0.95
    metric: str = "score"
    correction: Literal["holm", "bonferroni", "none"] = "holm"
    columns: tuple[str, ...] | None = None
    shared_scale: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """One predictor: `score` and `std` follow the study's labels; `spread` is None where the predictor brought its own."""

    name: str
    file: str
    sha256: str
    score: Array
    std: Array | None
    replicates: Replicates
    intervals: dict[str, Interval]
    scene_intervals: list[dict[str, Interval]]
    noise: dict[str, Noise] | None
    pairs: cal.PairAccuracy
    calibrations: tuple[cal.Calibration, ...]
    spread: float | None
    regret: cal.Regret
    devices: DeviceLevel | None
    slices: tuple[Slice, ...]
    pooled: Pooled | None
    main: MainScore | None


@dataclass(frozen=True, slots=True)
class Study:
    """Labels that every model scored (`total` before the join), models, ceilings of the scenes, comparisons, warnings."""

    settings: Settings
    labels: Labels
    total: int
    split: str
    models: tuple[Model, ...]
    ceilings: tuple[Ceiling, ...]
    comparisons: tuple[Comparison, ...]
    tests: tuple[PooledTest, ...]
    warnings: tuple[Warn, ...]


def study(labels: Labels, predictions: Sequence[Predictions], settings: Settings, *, split: str = "all") -> Study:
    """Evaluate every predictor on the pictures that all of them scored. Raises DataError and ConfigurationError."""
    names = _distinct([each.name for each in predictions])
    joined, aligned, warnings = common(labels, [replace(p, name=n) for p, n in zip(predictions, names, strict=True)])
    settings, few = _resampling(settings, len(set(joined.scene)))
    warnings = [*labels.warnings, *(w for each in aligned for w in each.warnings), *warnings, *few, *_unnamed(joined)]
    models = []
    for each in aligned:
        model, found = _model(joined, each, settings)
        models.append(model)
        warnings += [Warn(w.code, f"{model.name}: {w.message}") for w in found]
    tables = {model.name: model.replicates for model in models}
    alpha = 1 - settings.confidence
    compared = compare(tables, metric=settings.metric, alpha=alpha, correction=settings.correction)
    ceilings, odd = ceilings_of(joined, settings.seed)
    return Study(
        settings,
        joined,
        len(labels),
        split,
        tuple(models),
        ceilings,
        compared,
        pooled_tests({m.name: m.pooled for m in models if m.pooled}, alpha, settings.correction),
        (*warnings, *odd),
    )


def _resampling(settings: Settings, scenes: int) -> tuple[Settings, list[Warn]]:
    """One scene can only be resampled by its pictures; few scenes give intervals that say little."""
    if scenes == 1 and settings.resample != "pictures":
        return replace(settings, resample="pictures"), [Warn("one_scene", "one scene: intervals are over its pictures")]
    if scenes < FEW_SCENES and settings.resample != "pictures":
        return settings, [
            Warn("few_scenes", f"{scenes} scenes: intervals and tests over scenes are rough below {FEW_SCENES}")
        ]
    return settings, []


def _unnamed(labels: Labels) -> list[Warn]:
    """Pictures whose cell in the scene column is empty."""
    lost = [name for name, scene in zip(labels.image, labels.scene, strict=True) if not scene]
    text = f"{len(lost)} of {len(labels)} pictures have no scene and count as one scene: {some(lost)}"
    return [Warn("unnamed_scene", text)] if lost else []


def ceilings_of(labels: Labels, seed: int = 0) -> tuple[tuple[Ceiling, ...], list[Warn]]:
    """The scenes' noise ceilings, none without label s.d.; scenes whose labels are all noise are named."""
    if labels.std is None:
        return (), [
            Warn("no_label_std", "labels have no standard deviation: no noise ceiling, every pair counts as decided")
        ]
    found = noise_ceiling(labels.value, labels.std, labels.scene, seed=seed)
    lost = [each.scene for each in found if each.reliability == 0]
    text = f"{len(lost)} of {len(found)} scenes: labels vary no more than their noise ({', '.join(lost[:5])})"
    return found, [Warn("labels_all_noise", text)] if lost else []


def _distinct(names: Sequence[str]) -> list[str]:
    """Names with #2, #3, ... on repeats."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        made.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return made


def _model(labels: Labels, scores: Predictions, settings: Settings) -> tuple[Model, list[Warn]]:
    x, y, scenes = scores.score, labels.value, labels.scene
    made = replicates(x, y, scenes, mapping=settings.mapping, resamples=settings.resamples, seed=settings.seed)
    chosen = cal.pairs(scenes, "within", seed=settings.seed)
    calibrations, spread, warnings = _calibrations(labels, scores, chosen, settings)
    columns = {**labels.columns, **{k: v for k, v in scores.columns.items() if k not in labels.columns}}
    wanted = [name for name in SLICED if len(set(columns.get(name, ()))) > 1]
    wanted = wanted if settings.columns is None else list(settings.columns)
    for name in wanted:
        if name not in columns:
            raise unknown_key(name, columns, "column to slice by")
    model = Model(
        scores.name,
        scores.source.name,
        hashlib.sha256(scores.source.read_bytes()).hexdigest(),
        x,
        scores.std,
        made,
        bootstrap(made, resample=settings.resample, confidence=settings.confidence),
        scene_intervals(made, confidence=settings.confidence),
        None if labels.std is None else label_noise(made.evaluation, x, y, labels.std, scenes, seed=settings.seed),
        cal.pair_accuracy(x, y, labels.std, chosen, confidence=settings.confidence),
        calibrations,
        spread,
        cal.top_regret(x, y, scenes),
        devices(x, y, scenes, columns["device"]) if "device" in columns else None,
        tuple(s for n in wanted for s in slices(x, y, scenes, columns[n], column=n, mapping=settings.mapping)),
        pooled(made.evaluation, x, y, labels.ci, scenes),
        main_score(x, y) if settings.shared_scale else None,
    )
    return model, [*made.evaluation.warnings, *_other_scale(made.evaluation, x, y), *warnings]


def _other_scale(evaluation: Evaluation, x: Array, y: Array) -> list[Warn]:
    """Errors of raw scores say nothing when the scores are on a scale of their own."""
    alike = 0.2 * np.std(y) <= np.std(x) <= 5 * np.std(y) and abs(x.mean() - y.mean()) <= 3 * np.std(y)
    if alike or evaluation.mapping != "raw" or np.std(y) == 0:
        return []
    text = (
        f"scores ({x.min():.3g} to {x.max():.3g}) and ratings ({y.min():.3g} to {y.max():.3g}) are on different scales"
    )
    return [Warn("other_scale", f"{text}: MAE and RMSE say nothing without a mapping")]


def _calibrations(
    labels: Labels, scores: Predictions, within: cal.Pairs, settings: Settings
) -> tuple[tuple[cal.Calibration, ...], float | None, list[Warn]]:
    """Reliability inside scenes, and across them when labels share a scale; with the predictor's std or a fitted one."""
    found: list[cal.Calibration] = []
    spread, std = None, scores.std
    try:
        if std is None:
            spread = cal.fit_spread(scores.score, labels.value, within)
            std = np.full(scores.score.size, spread)
        kinds: list[tuple[cal.Kind, cal.Pairs]] = [("within", within)]
        if settings.shared_scale and len(set(labels.scene)) > 1:
            kinds.append(("across", cal.pairs(labels.scene, "across", seed=settings.seed)))
        for kind, chosen in kinds:
            probability = cal.win_probability(scores.score, std, chosen)
            found.append(cal.calibration(probability, labels.value, chosen, kind=kind))
    except DataError as error:
        return tuple(found), spread, [Warn("no_calibration", str(error))]
    return tuple(found), spread, []
