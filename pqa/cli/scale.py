"""`pqa scale`: a table of pairwise judgements to JOD with intervals, and the pairs to judge next."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from pqa.cli.outputs import check_writable
from pqa.data.tables import guarded
from pqa.errors import ConfigurationError, DataError
from pqa.judging.judgements import JudgementTable, read_conditions, read_judgements, unjudged
from pqa.judging.links import LINKS
from pqa.judging.observers import ObserverReport, exclude, screen
from pqa.judging.priors import PRIORS
from pqa.judging.sampling import next_pairs
from pqa.judging.scaling import Judgements, Scaling, scale

__all__ = ["configure", "run"]

COLUMNS = ("image", "scene", "JOD", "JOD STD", "CI LOW", "CI HIGH", "TOTAL COMPARISONS")


EPILOG = """A study begins with a list of its conditions, a row each (condition,scene), and
no judgements: --next prints the first pairs to show. Each answer is a row of the
table: the pair, Selection (1: Condition_1 was better, 2: Condition_2) and, if
known, Observer. With that table --next prints the pairs to show after these.

examples:
  pqa scale --conditions conditions.csv --next 20
  pqa scale judgements.csv --conditions conditions.csv --next 20
  pqa scale judgements.csv --out jod.csv"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Scale pairwise judgements (CSV: Observer, Session, Scene, Condition_1, Condition_2, Selection) to JOD, "
        "each scene apart, or print the pairs to judge next."
    )
    parser.epilog = EPILOG
    parser.add_argument("judgements", type=Path, nargs="?", help="table of judgements, one row a judgement")
    parser.add_argument("--out", type=Path, help="CSV to write (default: standard output); pqa evaluate reads it")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the CSV and notes")
    parser.add_argument("--model", choices=sorted(LINKS), default="thurstone", help="preference model (%(default)s)")
    parser.add_argument("--prior", choices=PRIORS, default=PRIORS[0], help="on distances or on scores (%(default)s)")
    parser.add_argument("--prior-std", type=float, help="width in JOD of --prior scores (default: estimated)")
    parser.add_argument("--bootstrap", type=int, default=300, metavar="N", help="resamples; 0: none (%(default)s)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the intervals (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples and of ties in --next (%(default)s)")
    parser.add_argument("--screen", action="store_true", help="report every observer, not only conspicuous ones")
    parser.add_argument("--exclude", action="append", default=[], metavar="OBSERVER", help="leave out; may be repeated")
    parser.add_argument("--strict", action="store_true", help="refuse a table with unusable rows")
    parser.add_argument("--next", type=int, metavar="N", help="print the N most informative pairs a scene, and stop")
    parser.add_argument("--conditions", type=Path, help="CSV (condition, scene) of conditions not yet judged")


def run(args: argparse.Namespace) -> int:
    """0 when done; a table that cannot be scaled or a wrong option raises DataError or ConfigurationError."""
    if args.out:
        check_writable(args.out)
    table = _table(args)
    unusable = [problem for problem in table.problems if not problem.used]
    if args.strict and unusable:
        raise DataError("; ".join(f"{p.count} x {p.message} (line {p.lines[0]})" for p in unusable))
    scenes = exclude(table.scenes, set(args.exclude)) if args.exclude else dict(table.scenes)
    if args.next is not None:
        return _next(args, table, scenes)
    named = bool(scenes) and all(judgements.observer is not None for judgements in scenes.values())
    reports = screen(scenes, args.model) if named or args.screen else []
    reports = [report for report in reports if args.screen or report.flags]
    scales = {scene: _scale(scene, judgements, args) for scene, judgements in scenes.items()}
    if args.out:
        with args.out.open("w", newline="", encoding="utf-8-sig") as file:
            _write(file, scales)
    if args.json:
        print(json.dumps(_document(args, table, scales, reports), indent=2, allow_nan=False))
        return 0
    if not args.out:
        _write(sys.stdout, scales)
    _notes(args, table, scales, reports)
    return 0


def _table(args: argparse.Namespace) -> JudgementTable:
    conditions = read_conditions(args.conditions) if args.conditions else None
    if args.judgements is not None:
        return read_judgements(args.judgements, conditions)
    if conditions is None:
        raise ConfigurationError(
            "expected a table of judgements (Observer, Scene, Condition_1, Condition_2, Selection), got none; to begin a study "
            "list its conditions in a CSV (condition, scene) and ask for the first pairs: pqa scale --conditions CSV --next N"
        )
    if args.next is None:
        raise ConfigurationError(
            "without judgements there is nothing to scale; --next N prints the first pairs to show"
        )
    return unjudged(conditions)


def _scale(scene: str, judgements: Judgements, args: argparse.Namespace) -> Scaling:
    try:
        return scale(
            judgements,
            args.model,
            prior=args.prior,
            prior_std=args.prior_std,
            bootstrap=args.bootstrap,
            confidence=args.confidence,
            seed=args.seed,
        )
    except DataError as error:
        raise DataError(f"scene {scene!r}: {error}") from error


def _next(args: argparse.Namespace, table: JudgementTable, scenes: Mapping[str, Judgements]) -> int:
    pairs = [
        (scene, *pair)
        for scene, judgements in scenes.items()
        for pair in next_pairs(judgements, args.next, args.model, prior_std=args.prior_std, seed=args.seed)
    ]
    if args.json:
        keys = ("scene", "condition_1", "condition_2")
        document = {"pairs": [dict(zip(keys, pair, strict=True)) for pair in pairs], "problems": _problems(table)}
        print(json.dumps(document, indent=2))
        return 0
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("Scene", "Condition_1", "Condition_2"))
    writer.writerows(pairs)
    _complain(table)
    return 0


def _write(file: TextIO, scales: Mapping[str, Scaling]) -> None:
    """The CSV. A table of labels names a picture once: conditions that several scenes share get their scene's name."""
    names = [name for result in scales.values() for name in result.conditions]
    shared = len(set(names)) < len(names)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for scene, result in scales.items():
        bounds = [result.jod, result.std, result.low, result.high] if result.bootstrap else [result.jod]
        for k, name in enumerate(result.conditions):
            numbers = [f"{column[k]:.6f}" for column in bounds] + [""] * (4 - len(bounds))
            image = guarded(f"{scene}/{name}" if shared else name)
            writer.writerow((image, guarded(scene), *numbers, int(result.comparisons[k])))


def _problems(table: JudgementTable) -> list[dict[str, Any]]:
    return [dataclasses.asdict(problem) for problem in table.problems]


def _document(
    args: argparse.Namespace,
    table: JudgementTable,
    scales: Mapping[str, Scaling],
    reports: Sequence[ObserverReport],
) -> dict[str, Any]:
    return {
        "rows": table.rows,
        "problems": _problems(table),
        "excluded": sorted(args.exclude),
        "observers": [dataclasses.asdict(report) for report in reports],
        "scenes": [
            {
                "scene": scene,
                "model": result.model,
                "prior": result.prior,
                "prior_std": result.prior_std,
                "log_likelihood": result.log_likelihood,
                "judgements": result.judgements,
                "observers": result.observers,
                "resampled": result.resampled,
                "bootstrap": result.bootstrap,
                "confidence": result.confidence,
                "conditions": [_condition(result, k) for k in range(len(result.conditions))],
            }
            for scene, result in scales.items()
        ],
    }


def _condition(result: Scaling, k: int) -> dict[str, Any]:
    bounds = {"jod_std": result.std, "ci_low": result.low, "ci_high": result.high}
    return {
        "image": result.conditions[k],
        "jod": float(result.jod[k]),
        **{key: float(column[k]) if result.bootstrap else None for key, column in bounds.items()},
        "comparisons": int(result.comparisons[k]),
    }


def _complain(table: JudgementTable) -> None:
    for problem in table.problems:
        lines = ", ".join(map(str, problem.lines)) + (", ..." if problem.count > len(problem.lines) else "")
        fate = "kept" if problem.used else "left out"
        print(f"{problem.code}: {problem.count} rows {fate}: {problem.message} (lines {lines})", file=sys.stderr)


def _notes(
    args: argparse.Namespace,
    table: JudgementTable,
    scales: Mapping[str, Scaling],
    reports: Sequence[ObserverReport],
) -> None:
    _complain(table)
    if args.exclude:
        print(f"excluded observers: {', '.join(sorted(args.exclude))}", file=sys.stderr)
    for report in reports:
        flags = ", ".join(report.flags) or "-"
        print(
            f"observer {report.observer}: {report.judgements} judgements, distance {report.distance:.2f}, "
            f"left {report.left_share:.0%}, flags {flags}",
            file=sys.stderr,
        )
    for scene, result in scales.items():
        width = "" if result.prior_std is None else f" {result.prior_std:.2f} JOD"
        print(
            f"scene {scene}: {len(result.conditions)} conditions, {result.judgements} judgements, "
            f"{result.observers or 'unnamed'} observers, {result.model}, prior on {result.prior}{width}, "
            f"{result.bootstrap} resamples of {result.resampled}",
            file=sys.stderr,
        )
