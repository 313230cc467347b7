"""`python -m training.default.card`: the card of a trained model file, with figures on the report part.

python -m training.default.card --model MODEL.onnx --data BIQ2021 --cache RUN/cache > pqa/artifacts/scene_gate.md
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from scipy.stats import kendalltau, pearsonr, spearmanr

import pqa
from pqa import imaging, nss
from pqa.calibration import calibration, chance_ece, pairs, win_probability
from pqa.data import biq2021
from pqa.data.parts import Part
from pqa.runtime.predictor import Predictor
from pqa.types import Score
from training.default.cache import Cache, Sample
from training.default.data import SOUND, view_tensors

__all__ = ["main"]

Vector = npt.NDArray[np.float64]

INTRODUCTION = """\
# {name} {version}

{description}

- File: {bytes} bytes, sha256 `{sha256}`.
- Architecture: {architecture}, {parameters} parameters; views: {views}; attributes: {attributes}.
- Scenes: {scenes}; light conditions clustered from the training pictures' colour statistics, without anybody's labels.
- Data: {data}. BIQ2021 (Ahmed and Asif, 2021) is published for research; this weight was trained on its training split.
- Terms: {licence}.
- Provenance: {provenance}.
- Recipe: `{recipe}`, then this card: `{command}`.
- Agreement of the file with torch: largest difference {difference:.1e} over {pictures} portraits, spread {spread:.3f}.

## What it may be used for, and what not

It orders photographs of people by the technical quality that raters of BIQ2021 saw: mean ratings of single pictures shown
one at a time. No votes between shots of one scene stand behind it yet, and no picture larger than 512 x 512 pixels: larger
ones are judged as they look at that size. Nobody rated detail and exposure: both were taught by simulated camera faults,
starting from the overall rating. It says nothing about a person; do not use it to judge people, or alone to decide on them.

## Figures on the report part

Pictures cut off by near-duplicate group before anything was trained or chosen; nothing was trained or chosen on this part.
"""

Slice = tuple[str, Callable[[Sample, Score], bool]]

SLICES: tuple[Slice, ...] = (
    ("portraits", lambda sample, row: sample.portrait),
    ("portraits of ss01 (archive)", lambda sample, row: sample.portrait and sample.subset == "ss01"),
    ("portraits of ss02 (deliberate faults)", lambda sample, row: sample.portrait and sample.subset == "ss02"),
    ("portraits of ss03 (stock photographs)", lambda sample, row: sample.portrait and sample.subset == "ss03"),
    (
        "portraits, face below a quarter of the short side",
        lambda sample, row: sample.portrait and sample.face_share < 0.25,
    ),
    ("portraits, face above a quarter", lambda sample, row: sample.portrait and sample.face_share >= 0.25),
    ("portraits, one face", lambda sample, row: sample.portrait and sample.faces == 1),
    ("portraits, several faces", lambda sample, row: sample.portrait and sample.faces > 1),
    ("portraits, L* of the face below 50", lambda sample, row: sample.portrait and _luminance(row) < 50),
    ("portraits, L* of the face 50 to 65", lambda sample, row: sample.portrait and 50 <= _luminance(row) < 65),
    ("portraits, L* of the face above 65", lambda sample, row: sample.portrait and 65 <= _luminance(row) < 101),
    ("all pictures", lambda sample, row: True),
)


def _line(name: str, score: Vector, mos: Vector, *, on_scale: bool = True) -> str:
    if len(score) < 3:
        return f"| {name} | {len(score)} | - | - | - | - |"
    figures = (spearmanr(score, mos)[0], pearsonr(score, mos)[0], kendalltau(score, mos)[0])
    error = f"{np.abs(score - mos).mean():.3f}" if on_scale else "-"
    return f"| {name} | {len(score)} | " + " | ".join(f"{value:.3f}" for value in figures) + f" | {error} |"


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="cache of the run: the division and the baselines")
    args = parser.parse_args(argv)

    assessor = pqa.load(args.model)
    spec = assessor.predictor.spec
    cache = Cache.open(args.cache)
    rows = _of_part(cache, "report")
    samples = [cache.samples[row] for row in rows]
    paths = {row.path.name: row.path for row in biq2021.read(args.data)}
    scored = [row for row in assessor.score([paths[sample.name] for sample in samples]) if isinstance(row, Score)]
    if len(scored) != len(samples):
        raise SystemExit(f"{len(samples) - len(scored)} of {len(samples)} report pictures could not be scored")
    score = np.array([row.score for row in scored])
    mos = np.array([sample.mos for sample in samples])

    parity = spec.parity
    print(
        INTRODUCTION.format(
            name=spec.name,
            version=spec.version,
            description=spec.description,
            bytes=assessor.predictor.model.bytes,
            sha256=assessor.predictor.model.info.sha256,
            parameters=f"{_parameters(args.model):,}",
            architecture=spec.architecture,
            views=", ".join(view.name for view in spec.views),
            attributes=", ".join(spec.attributes),
            scenes=", ".join(spec.scenes),
            data="; ".join(spec.data),
            licence=spec.licence,
            provenance="; ".join(f"{what} {which}" for what, which in spec.provenance.items()),
            recipe="pqa train --recipe default --data BIQ2021 --out RUN",
            command="python -m training.default.card --model RUN/scene_gate.onnx --data BIQ2021 --cache RUN/cache",
            difference=parity.max_difference if parity else float("nan"),
            pictures=parity.pictures if parity else 0,
            spread=parity.spread if parity else float("nan"),
        )
    )
    print("| pictures | n | SRCC | PLCC | KRCC | MAE |\n|---|---|---|---|---|---|")
    for name, chosen in SLICES:
        mask = np.array([chosen(sample, row) for sample, row in zip(samples, scored, strict=True)])
        print(_line(name, score[mask], mos[mask]))
    portrait = np.array([sample.portrait for sample in samples])
    print(
        "\nSimple baselines on the same portraits:\n\n| baseline | n | SRCC | PLCC | KRCC | MAE |\n|---|---|---|---|---|---|"
    )
    chosen_rows = [row for row, is_portrait in zip(rows, portrait, strict=True) if is_portrait]
    for name, values in _baselines(cache, chosen_rows, [paths[s.name] for s in samples if s.portrait]):
        print(_line(name, values, mos[portrait], on_scale=name.startswith("ridge")))
    print("\nSimulated faults at half strength or more, on portraits of the choose part:\n")
    print("| fault | n | scores below its sound picture | mean fall |\n|---|---|---|---|")
    for fault, falls in sorted(_falls(cache, assessor.predictor).items()):
        print(f"| {fault} | {len(falls)} | {np.mean(np.array(falls) > 0):.2f} | {np.mean(falls):.3f} |")
    fitted = spec.calibration
    print(
        f"\nSpreads are the graph's times {fitted.std_scale:.3f}, win probabilities use the slope "
        f"{fitted.win_slope:.3f} across scenes and {fitted.scene_slope:.3f} within one;\n"
        f"fitted on the choose part ({fitted.source})."
    )
    std = np.array([row.score_std or np.nan for row in scored])
    print(
        "On the report part's portraits the standardised error has the root mean square "
        f"{_rms((score - mos) / std, portrait):.3f}. Is a win probability the share of pairs won?\n"
    )
    print(
        "| pairs of the report part | pairs | calibration error | by chance alone | Brier score |\n|---|---|---|---|---|"
    )
    names = np.array([str(sample.group) for sample in samples])
    everything = np.ones(len(names), bool)
    for title, kind, mask in (
        ("two portraits, of other content", "across", portrait),
        ("two pictures of one near-duplicate group, all subjects", "within", everything),
    ):
        chosen = pairs(names[mask], kind)
        slope = fitted.win_slope if kind == "across" else fitted.scene_slope
        probability = win_probability(score[mask], std[mask] / slope, chosen)
        found = calibration(probability, mos[mask], chosen, kind=kind)
        print(f"| {title} | {found.pairs} | {found.ece:.3f} | {chance_ece(probability):.3f} | {found.brier:.3f} |")
    unlike = np.array(["unlike_training" in row.flags for row in scored])
    print(
        f"\nFlagged as unlike the photographs it learned from: {unlike[portrait].mean():.1%} of the portraits, "
        f"{unlike[~portrait].mean():.1%} of the other pictures of the report part."
    )
    return 0


def _luminance(row: Score) -> float:
    """L* of the face, NaN without one."""
    value = row.measurements.get("face_luminance")
    return float("nan") if value is None else value


def _falls(cache: Cache, predictor: Predictor) -> dict[str, list[float]]:
    """How far each fault lowers the score (of the first attribute) of portraits in the choose part."""
    views = predictor.spec.views

    @functools.cache
    def score(row: int) -> float:
        tensors = view_tensors(cache, views, row)
        feed = {view.name: tensor.numpy()[None] for view, tensor in zip(views, tensors, strict=True)}
        return float(predictor.model.session.run(["score"], feed)[0][0, 0])

    falls: dict[str, list[float]] = {}
    for row, sample in enumerate(cache.samples):
        single = sample.version and "+" not in sample.version
        if (
            sample.part == "choose"
            and sample.portrait
            and single
            and (sample.strength >= 0.5 or sample.version in SOUND)
        ):
            falls.setdefault(sample.version, []).append(score(sample.base) - score(row))
    return falls


def _parameters(model: Path) -> int:
    """Numbers in the weights of an ONNX file."""
    return sum(int(np.prod(tensor.dims)) for tensor in onnx.load(model).graph.initializer)


def _rms(values: Vector, mask: npt.NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.mean(values[mask] ** 2)))


def _baselines(cache: Cache, rows: list[int], paths: list[Path]) -> list[tuple[str, Vector]]:
    statistics = np.asarray(cache.views["statistics"], np.float64)[rows]
    sharpness = statistics[:, nss.NAMES.index("laplacian.1.energy")]
    luminance = np.array([imaging.open(path).reduced(64).mean() / 255.0 for path in paths])
    return [
        ("energy of the Laplacian (log)", sharpness),
        ("mean luminance", luminance),
        ("ridge regression on natural-scene statistics", _ridge(cache, rows)),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
