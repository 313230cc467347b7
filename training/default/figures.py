"""Tables of a card: figures of one trained file, as Markdown lines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pqa
from pqa.data import biq2021
from pqa.data.parts import Part
from pqa.evaluation.decisions import calibration, chance_ece, pairs, win_probability
from pqa.evaluation.metrics import krcc, mae, plcc, rmse, srcc
from pqa.pixels.source import open_picture
from pqa.pixels.statistics import NAMES
from pqa.types import Score
from training.default.cache import Cache, Sample
from training.default.data import SOUND, view_tensors

__all__ = ["Judged", "baselines", "calibrations", "faults", "flagged", "judge", "seeds", "slices"]

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

HEAD = "| n | SRCC | PLCC | KRCC | MAE |\n|---|---|---|---|---|---|"
FEW = 10
"""Fewer pictures of a subset get no column of their own in a comparison of seeds."""

SLICES: tuple[tuple[str, Callable[[Sample, float], bool]], ...] = (
    ("face below a quarter of the short side", lambda sample, luminance: sample.face_share < 0.25),
    ("face above a quarter", lambda sample, luminance: sample.face_share >= 0.25),
    ("one face", lambda sample, luminance: sample.faces == 1),
    ("several faces", lambda sample, luminance: sample.faces > 1),
    ("L* of the face below 50", lambda sample, luminance: luminance < 50),
    ("L* of the face 50 to 65", lambda sample, luminance: 50 <= luminance < 65),
    ("L* of the face above 65", lambda sample, luminance: luminance >= 65),
)


@dataclass(frozen=True)
class Judged:
    """The report part's untouched pictures (N) by one file, and what is known of them; `cache` has the rest."""

    assessor: pqa.Assessor
    cache: Cache
    paths: tuple[Path, ...]
    samples: tuple[Sample, ...]
    rows: tuple[Score, ...]

    @functools.cached_property
    def score(self) -> Vector:
        return np.array([row.score for row in self.rows])

    @functools.cached_property
    def mos(self) -> Vector:
        return np.array([sample.mos for sample in self.samples])

    @functools.cached_property
    def portrait(self) -> Mask:
        return np.array([sample.portrait for sample in self.samples])

    @functools.cached_property
    def subset(self) -> npt.NDArray[np.str_]:
        return np.array([sample.subset for sample in self.samples])

    @functools.cached_property
    def falls(self) -> dict[str, list[float]]:
        """By fault at half strength or more: how far it lowers the first score of portraits in the choose part."""
        views, session = self.assessor.predictor.spec.views, self.assessor.predictor.model.session

        @functools.cache
        def score(row: int) -> float:
            tensors = view_tensors(self.cache, views, row)
            feed = {view.name: tensor.numpy()[None] for view, tensor in zip(views, tensors, strict=True)}
            return float(session.run(["score"], feed)[0][0, 0])

        falls: dict[str, list[float]] = {}
        for row, sample in enumerate(self.cache.samples):
            asked = sample.part == "choose" and sample.portrait and sample.version and "+" not in sample.version
            if asked and (sample.strength >= 0.5 or sample.version in SOUND):
                falls.setdefault(sample.version, []).append(score(sample.base) - score(row))
        return falls


def judge(assessor: pqa.Assessor, cache: Cache, paths: Mapping[str, Path]) -> Judged:
    """Score the report part; ends the program when a picture gets no score, as no figure may leave one out."""
    samples = tuple(cache.samples[row] for row in _of_part(cache, "report"))
    files = tuple(paths[sample.name] for sample in samples)
    rows = tuple(row for row in assessor.score(files) if isinstance(row, Score))
    if len(rows) != len(samples):
        raise SystemExit(f"{len(samples) - len(rows)} of {len(samples)} report pictures could not be scored")
    return Judged(assessor, cache, files, samples, rows)


def slices(judged: Judged) -> Iterator[str]:
    """Agreement with the ratings: portraits, by subset, by face, and all pictures."""

    def line(name: str, mask: Mask) -> str:
        return _line(name, judged.score[mask], judged.mos[mask])

    yield f"| pictures {HEAD}"
    yield line("portraits", judged.portrait)
    for name in sorted(set(judged.subset[judged.portrait])):
        about = f" ({biq2021.SUBSETS[name]})" if name in biq2021.SUBSETS else ""
        yield line(f"portraits of {name}{about}", judged.portrait & (judged.subset == name))
    pictures = list(zip(judged.samples, judged.rows, strict=True))
    for name, holds in SLICES:
        chosen = np.array([holds(sample, _luminance(row)) for sample, row in pictures])
        yield line(f"portraits, {name}", judged.portrait & chosen)
    yield line("all pictures", np.ones(len(judged.score), bool))


def baselines(judged: Judged) -> Iterator[str]:
    """What simple values reach on the same portraits."""
    rows = [row for row in _of_part(judged.cache, "report") if judged.cache.samples[row].portrait]
    statistics = np.asarray(judged.cache.views["statistics"], np.float64)[rows]
    portraits = [path for path, shown in zip(judged.paths, judged.portrait, strict=True) if shown]
    luminance = np.array([open_picture(path).reduced(64).mean() / 255.0 for path in portraits])
    mos = judged.mos[judged.portrait]
    yield f"| baseline {HEAD}"
    sharpness = statistics[:, NAMES.index("laplacian.1.energy")]
    yield _line("energy of the Laplacian (log)", sharpness, mos, on_scale=False)
    yield _line("mean luminance", luminance, mos, on_scale=False)
    yield _line("ridge regression on natural-scene statistics", _ridge(judged.cache, rows), mos)


def faults(judged: Judged) -> Iterator[str]:
    """How far each simulated fault lowers the score of portraits in the choose part."""
    yield "| fault | n | scores below its sound picture | mean fall |\n|---|---|---|---|"
    for fault, falls in sorted(judged.falls.items()):
        yield f"| {fault} | {len(falls)} | {np.mean(np.array(falls) > 0):.2f} | {np.mean(falls):.3f} |"


def calibrations(judged: Judged) -> Iterator[str]:
    """Whether spreads and win probabilities are what they say."""
    fitted = judged.assessor.predictor.spec.calibration
    yield (
        f"Spreads are the graph's times {fitted.std_scale:.3f}, win probabilities use the slope "
        f"{fitted.win_slope:.3f} across scenes and {fitted.scene_slope:.3f} within one;\n"
        f"fitted on the choose part ({fitted.source})."
    )
    std = np.array([row.score_std or np.nan for row in judged.rows])
    error = rmse((judged.score / std)[judged.portrait], (judged.mos / std)[judged.portrait])
    yield (
        "On the report part's portraits the standardised error has the root mean square "
        f"{error:.3f}. Is a win probability the share of pairs won?\n"
    )
    yield (
        "| pairs of the report part | pairs | calibration error | by chance alone | Brier score |\n|---|---|---|---|---|"
    )
    names = np.array([str(sample.group) for sample in judged.samples])
    for title, kind, mask, slope in (
        ("two portraits, of other content", "across", judged.portrait, fitted.win_slope),
        (
            "two pictures of one near-duplicate group, all subjects",
            "within",
            np.ones(len(names), bool),
            fitted.scene_slope,
        ),
    ):
        chosen = pairs(names[mask], kind)
        if not len(chosen.first):
            yield f"| {title} | 0 | - | - | - |"
            continue
        probability = win_probability(judged.score[mask], std[mask] / slope, chosen)
        found = calibration(probability, judged.mos[mask], chosen, kind=kind)
        yield f"| {title} | {found.pairs} | {found.ece:.3f} | {chance_ece(probability):.3f} | {found.brier:.3f} |"


def flagged(judged: Judged) -> str:
    """How many pictures are unlike what was learned from."""
    unlike, portrait = np.array(["unlike_training" in row.flags for row in judged.rows]), judged.portrait
    said = f"Flagged as unlike the photographs it learned from: {unlike[portrait].mean():.1%} of the portraits"
    if not portrait.all():
        said += f", {unlike[~portrait].mean():.1%} of the other pictures"
    return f"{said} of the report part."


def seeds(judged: Judged, others: Sequence[Judged]) -> Iterator[str]:
    """This file beside others of the same recipe: ratings of the report part's portraits, faults of the choose part."""
    subset = judged.subset[judged.portrait]
    within = [name for name in sorted(set(subset)) if np.sum(subset == name) >= FEW]
    columns = ["SRCC", *(f"within {name}" for name in within), "MAE", "faults below"]
    columns += ["SRCC with this file's scores", "mean difference from them"]
    yield f"| file | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|"
    first, mos = judged.score[judged.portrait], judged.mos[judged.portrait]
    for file in (judged, *others):
        score = file.score[file.portrait]
        below = [fall > 0 for fault, some in file.falls.items() if fault not in SOUND for fall in some]
        figures = (
            srcc(score, mos),
            *(srcc(score[subset == name], mos[subset == name]) for name in within),
            mae(score, mos),
            np.mean(below),
            srcc(score, first),
            mae(score, first),
        )
        title = "this one" if file is judged else f"`{file.assessor.predictor.model.info.sha256[:12]}`"
        yield f"| {title} | {' | '.join(f'{value:.3f}' for value in figures)} |"


def _line(name: str, score: Vector, mos: Vector, *, on_scale: bool = True) -> str:
    if len(score) < 3:
        return f"| {name} | {len(score)} | - | - | - | - |"
    figures = f"{srcc(score, mos):.3f} | {plcc(score, mos):.3f} | {krcc(score, mos):.3f}"
    return f"| {name} | {len(score)} | {figures} | {f'{mae(score, mos):.3f}' if on_scale else '-'} |"


def _of_part(cache: Cache, part: Part) -> list[int]:
    return [row for row, sample in enumerate(cache.samples) if sample.part == part and row == sample.base]


def _ridge(cache: Cache, rows: Sequence[int], penalty: float = 10.0) -> Vector:
    """Linear ridge regression of the rating on the picture's statistics, fitted on the train part; values for `rows`."""
    train = _of_part(cache, "train")
    x = np.asarray(cache.views["statistics"], np.float64)
    mean, scale = x[train].mean(axis=0), np.maximum(x[train].std(axis=0), 1e-3)
    x = np.clip((x - mean) / scale, -5.0, 5.0)
    mos = np.array([cache.samples[row].mos for row in train])
    weights = np.linalg.solve(x[train].T @ x[train] + penalty * np.eye(x.shape[1]), x[train].T @ (mos - mos.mean()))
    fitted: Vector = x[list(rows)] @ weights + mos.mean()
    return fitted


def _luminance(row: Score) -> float:
    """L* of the face, NaN without one."""
    value = row.measurements.get("face_luminance")
    return float("nan") if value is None else value
