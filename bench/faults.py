"""Whether a model orders the shots of one portrait under one rising fault, kind by kind.

    python -m bench.faults --data BIQ2021 [--model MODEL] [--portraits 20] [--part choose|report] [--gallery OUT.html]

BIQ2021 is the folder of that set's training split. Of one part of it, divided as in training, the portraits with a clear
face are taken whose rating is in the upper half of their subset. Each comes untouched and under one fault at seven
strengths, 1/7 to 1. For each kind: the mean over portraits of SRCC of the eight scores with the strengths, negated, and the
share of sets whose untouched shot scores above all others. Kinds named in what the default model is held to come first,
then the other kinds that training uses, then kinds that no training uses (`bench.unseen`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pqa
from bench import unseen
from bench.gallery import Shots, page
from pqa.data import sets
from pqa.data.parts import Part
from pqa.data.rated import Rated
from pqa.errors import DataError
from pqa.evaluation.metrics import srcc
from pqa.pixels.source import open_picture
from pqa.runtime.assess import Assessor
from pqa.simulator import camera
from pqa.types import Score

__all__ = [
    "GROUPS",
    "STRENGTHS",
    "Scorer",
    "Verdict",
    "assessor_scores",
    "fault_set",
    "judge",
    "portraits",
    "score_sets",
    "table",
    "well_liked",
]

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]

Scorer = Callable[[Sequence[Pixels]], npt.ArrayLike]
"""Pictures (H, W, 3) uint8 to their scores (n,), higher is better."""

STRENGTHS: tuple[float, ...] = tuple(step / 7 for step in range(8))
"""The untouched shot, then seven strengths of its fault."""

WORKING_SIDE = 1024
"""Pictures are reduced to this shorter side before a fault; most of the set are smaller anyway."""

GALLERY_SETS = 20
"""Sets on the page, spread over the kinds."""

NAMED = ("defocus", "motion", "sensor_noise", "jpeg", "under_exposure", "over_exposure")

GROUPS: dict[str, tuple[str, ...]] = {
    "named": NAMED,
    "other taught": tuple(name for name in camera.FAULTS if name not in NAMED),
    "unseen": tuple(unseen.UNSEEN),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`srcc` of the scores with the negated strengths, 0 where undefined; `first`: the untouched shot is above all others."""

    srcc: float
    first: bool


def portraits(folder: Path, part: Part) -> list[Rated]:
    """Every picture with a clear face of one part, as the set says."""
    found = [row for row in sets.read(folder, "biq2021").rows if row.part == part and row.condition == "portrait"]
    if not found:
        raise DataError(f"{folder}: no portrait is in the part {part}")
    return found


def well_liked(rows: Sequence[Rated], count: int, seed: int = 0) -> list[Rated]:
    """`count` of the rows rated at or above the median of their subset, drawn by `seed`; more keep those of fewer."""
    ratings: dict[str, list[float]] = {}
    for row in rows:
        ratings.setdefault(row.scene, []).append(row.labels[0])
    upper = [row for row in rows if row.labels[0] >= float(np.median(ratings[row.scene]))]
    return [upper[index] for index in np.random.default_rng(seed).permutation(len(upper))[:count]]


def opened(row: Rated) -> Pixels:
    """The picture as faults are applied to it."""
    return open_picture(row.path).reduced(WORKING_SIDE)


def assessor_scores(assessor: Assessor) -> Scorer:
    """The scores of a loaded model file. Raises DataError for a picture that it cannot score."""

    def score(pictures: Sequence[Pixels]) -> Array:
        return np.array([row.score for row in scored(assessor, pictures)])

    return score


def scored(assessor: Assessor, pictures: Sequence[Pixels]) -> list[Score]:
    """One scored row a picture. Raises DataError for a picture that the model cannot score."""
    rows = assessor.score(pictures)
    found = [row for row in rows if isinstance(row, Score)]
    if len(found) < len(rows):
        first = next(row for row in rows if not isinstance(row, Score))
        raise DataError(f"{len(rows) - len(found)} of {len(rows)} pictures were not scored, first {first}")
    return found


def fault_set(rgb: Pixels, kind: str, seed: int) -> list[Pixels]:
    """The shots of one portrait at STRENGTHS; `kind` is of `camera.FAULTS` or `unseen.UNSEEN`.

    They share their random numbers: one direction of motion, one pattern of noise, more and more of it.
    """
    faults = unseen.UNSEEN if kind in unseen.UNSEEN else camera.FAULTS
    return [camera.apply(rgb, kind, strength, np.random.default_rng(seed), faults) for strength in STRENGTHS]


def judge(scores: npt.ArrayLike, strengths: npt.ArrayLike = STRENGTHS) -> Verdict:
    """The verdict on one set: (n,) scores beside (n,) strengths, the untouched shot (strength 0) first."""
    values, levels = np.asarray(scores, np.float64), np.asarray(strengths, np.float64)
    return Verdict(float(np.nan_to_num(srcc(values, -levels))), bool(values[0] > values[1:].max()))


def score_sets(
    score: Scorer, pictures: Sequence[Pixels], kinds: Sequence[str], on_set: Callable[[], None] = lambda: None
) -> dict[str, Array]:
    """Scores (portraits, strengths) by kind; the untouched shot of a portrait is scored once. Calls `on_set` after each set."""
    untouched = np.asarray(score(pictures), np.float64)
    found = {kind: np.empty((len(pictures), len(STRENGTHS))) for kind in kinds}
    for kind, scores in found.items():
        for number, rgb in enumerate(pictures):
            scores[number] = untouched[number], *np.asarray(score(fault_set(rgb, kind, number)[1:]), np.float64)
            on_set()
    return found


def table(scores: Mapping[str, Array], groups: Mapping[str, Sequence[str]] = GROUPS) -> str:
    """Markdown: a row for each kind and one for the mean of each group; kinds that were not scored are left out.

    `scores` are (portraits, strengths) by kind. The last column is the mean fall from the untouched shot to strength 1.
    """
    lines = ["| kind | sets | mean SRCC | lowest | untouched first | mean fall |", "|---|---|---|---|---|---|"]
    for group, kinds in groups.items():
        rows = [(kind, *_figures(scores[kind])) for kind in kinds if kind in scores]
        if rows:
            cells = np.array([row[1:] for row in rows])
            means = (cells[:, 0].sum(), cells[:, 1].mean(), cells[:, 2].min(), cells[:, 3].mean(), cells[:, 4].mean())
            lines += [_line(*row) for row in [*rows, (f"**{group}**", *means)]]
    return "\n".join(lines)


def _figures(scores: Array) -> tuple[float, float, float, float, float]:
    verdicts = [judge(row) for row in scores]
    correlations = [verdict.srcc for verdict in verdicts]
    first = np.mean([verdict.first for verdict in verdicts])
    fall = np.mean(scores[:, 0] - scores[:, -1])
    return len(scores), float(np.mean(correlations)), min(correlations), float(first), float(fall)


def _line(kind: str, count: float, correlation: float, lowest: float, first: float, fall: float) -> str:
    return f"| {kind} | {count:.0f} | {correlation:.3f} | {lowest:.2f} | {first:.2f} | {fall:.3f} |"


def progress(total: int, what: str) -> Callable[[], None]:
    """To be called after each of `total` pieces; tells how far things are, on the error stream, every ten seconds."""
    state = {"done": 0, "told": time.monotonic()}

    def step() -> None:
        state["done"] += 1
        if time.monotonic() - state["told"] > 10:
            state["told"] = time.monotonic()
            print(f"{state['done']} of {total} {what}", file=sys.stderr)

    return step


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """The arguments that this benchmark and `bench.invariance` share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021's training split")
    parser.add_argument("--model", default="default", help="name of the store or path of an .onnx file")
    parser.add_argument("--portraits", type=int, default=20, help="how many portraits are changed (20)")
    parser.add_argument("--part", choices=("choose", "report"), default="choose")
    parser.add_argument("--workers", type=int, default=1, help="pictures scored at once (1)")
    return parser


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS), help="of kinds (all)")
    parser.add_argument("--gallery", type=Path, metavar="OUT.html", help="also write a page with pictures")
    args = parser.parse_args()
    rows = portraits(args.data, args.part)
    pictures = [opened(row) for row in well_liked(rows, args.portraits)]
    kinds = [kind for group in args.groups for kind in GROUPS[group]]
    score = assessor_scores(pqa.load(args.model, workers=args.workers))
    found = score_sets(score, pictures, kinds, progress(len(kinds) * len(pictures), "sets"))
    title = f"{len(pictures)} portraits of the {args.part} part, model {args.model}"
    print(f"{title}\n\n{table(found)}")
    if args.gallery:
        cases = [(kinds[n * len(kinds) // GALLERY_SETS], n % len(pictures)) for n in range(GALLERY_SETS)]
        shown = [
            Shots(f"{kind}, portrait {number}", fault_set(pictures[number], kind, number), found[kind][number])
            for kind, number in cases
        ]
        args.gallery.write_text(page(title, rows, np.asarray(score([opened(row) for row in rows])), shown), "utf-8")


if __name__ == "__main__":
    main()
