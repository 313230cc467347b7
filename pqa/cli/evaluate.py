"""`pqa evaluate`: predictions against human ratings, scene by scene."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from pqa.cli.evaluate_text import print_ceilings, print_study
from pqa.cli.outputs import check_writable
from pqa.cli.text import plain
from pqa.data.labels import Labels, read_labels, take_split
from pqa.data.predictions import Predictions, read_predictions
from pqa.errors import ConfigurationError
from pqa.evaluation.mappings import MAPPINGS
from pqa.evaluation.metrics import METRICS
from pqa.report.html import html_report
from pqa.report.study import Settings, ceilings_of, study
from pqa.report.tables import add_to_leaderboard, csv_table, document, latex_table

__all__ = ["configure", "run"]

EPILOG = """examples:
  pqa evaluate --predictions p.csv --labels Scores_Overall.csv --split scene
  pqa evaluate --predictions a.csv b.csv --labels mos.csv --report out.html --images photos
  pqa evaluate --labels Scores_Overall.csv            (the noise ceiling of every scene)

exit codes: 0 done, 2 wrong use or files that do not fit together"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Agreement of predictions with human ratings: SRCC, PLCC, KRCC, MAE and RMSE in every scene, their median over "
        "scenes, intervals, noise ceilings, significance between models."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="FILE", help="PIQ23 score file, or image,mos[,...]"
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="one CSV a model: image,score[,score_std]",
    )
    parser.add_argument("--column", metavar="NAME", help="column of the predictions to judge (default: score)")
    parser.add_argument(
        "--label-column", metavar="NAME", help="column of the ratings (default: jod, mos, label, score)"
    )
    parser.add_argument("--split", choices=("scene", "device"), help="official split, its file beside the labels")
    parser.add_argument(
        "--part",
        choices=("test", "train", "both"),
        default="test",
        help="part of the split; both: all pictures, the parts as slices (%(default)s)",
    )
    group = parser.add_argument_group("protocol")
    group.add_argument(
        "--mapping", choices=sorted(MAPPINGS), default="raw", help="fitted before PLCC, MAE, RMSE (%(default)s)"
    )
    group.add_argument(
        "--shared-scale",
        action="store_true",
        help="ratings compare across scenes: add NTIRE's main score, pairs across",
    )
    group.add_argument(
        "--slice", action="append", metavar="COLUMN", help="also evaluate by this column; may be repeated"
    )
    group.add_argument(
        "--resample",
        choices=("scenes", "pictures", "both"),
        default="scenes",
        help="what the bootstrap draws (%(default)s)",
    )
    group.add_argument("--resamples", type=int, default=5000, metavar="N", help="of the bootstrap (%(default)s)")
    group.add_argument("--confidence", type=float, default=0.95, help="of intervals and tests (%(default)s)")
    group.add_argument("--metric", choices=METRICS, default="score", help="that models are compared on (%(default)s)")
    group.add_argument(
        "--correction",
        choices=("holm", "bonferroni", "none"),
        default="holm",
        help="for several comparisons (%(default)s)",
    )
    group.add_argument("--seed", type=int, default=0, help="of every random draw (%(default)s)")
    group = parser.add_argument_group("answer")
    form = group.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    form.add_argument("--csv", action="store_true", help="print a CSV table, one row a model and scene")
    form.add_argument("--latex", action="store_true", help="print a LaTeX table of the medians")
    group.add_argument("--report", type=Path, metavar="FILE.html", help="also write one self-contained page")
    group.add_argument("--images", type=Path, metavar="DIR", help="pictures, for the thumbnails of the report")
    group.add_argument("--leaderboard", type=Path, metavar="FILE.csv", help="also add the models to this table")


def run(args: argparse.Namespace) -> int:
    """0 when done; files that do not fit together raise DataError, wrong options ConfigurationError."""
    if args.images and not args.report:
        raise ConfigurationError("--images is for the thumbnails of --report; give both")
    for path in (args.report, args.leaderboard):
        if path is not None:
            check_writable(path)
    labels = read_labels(args.labels, column=args.label_column)
    split = f"{args.split} split, {args.part}" if args.split else "all"
    if args.split:
        labels = _both_parts(labels, args.split) if args.part == "both" else take_split(labels, args.split, args.part)
    if args.label_column:
        split += f"; ratings: {args.label_column}"
    if not args.predictions:
        return _ceilings(args, labels, split)
    settings = Settings(
        mapping=args.mapping,
        resample=args.resample,
        resamples=args.resamples,
        confidence=args.confidence,
        metric=args.metric,
        correction=args.correction,
        columns=tuple(name.lower() for name in args.slice) if args.slice else None,
        shared_scale=args.shared_scale or len(set(labels.scene)) == 1,
        seed=args.seed,
    )
    found = study(labels, [_predictions(path, args.column) for path in args.predictions], settings, split=split)
    if args.report:
        args.report.write_text(html_report(found, images=args.images), encoding="utf-8", errors="backslashreplace")
    if args.leaderboard:
        add_to_leaderboard(found, args.leaderboard)
    if args.json:
        print(json.dumps(document(found), indent=2, allow_nan=False))
    elif args.csv or args.latex:
        sys.stdout.write(csv_table(found) if args.csv else latex_table(found))
        for warning in found.warnings:
            print(f"warning: {plain(warning.message)}", file=sys.stderr)
    else:
        print_study(_console(), found)
    return 0


def _both_parts(labels: Labels, split: Literal["scene", "device"]) -> Labels:
    """All pictures, with a column `split` that names the part of each."""
    part = {name: each for each in ("test", "train") for name in take_split(labels, split, each).image}
    return replace(labels, columns={**labels.columns, "split": tuple(part.get(name, "") for name in labels.image)})


def _predictions(path: Path, column: str | None) -> Predictions:
    """Another column than the score is a model of its own, named after both."""
    return read_predictions(path, column=column, name=f"{path.stem}:{column}" if column else None)


def _console() -> Console:
    """Tables are wide; a file or a pipe has room for them."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def _ceilings(args: argparse.Namespace, labels: Labels, split: str) -> int:
    """Labels alone: how high any predictor could reach on them."""
    wanted = [f"--{name}" for name in ("report", "leaderboard", "csv", "latex") if getattr(args, name)]
    if wanted:
        raise ConfigurationError(f"{wanted[0]} needs --predictions")
    if labels.std is None:
        raise ConfigurationError(f"{labels.source}: without --predictions a column with the ratings' s.d. is needed")
    ceilings, warnings = ceilings_of(labels, args.seed)
    if args.json:
        document = {
            "labels": labels.source.name,
            "split": split,
            "noise_ceiling": [asdict(each) for each in ceilings],
            "warnings": [asdict(each) for each in (*labels.warnings, *warnings)],
        }
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        print_ceilings(_console(), labels, split, ceilings, [*labels.warnings, *warnings])
    return 0
