"""`pqa score`: portraits one by one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from pqa.cli.main import EXIT_CODES, EXIT_OK, EXIT_PARTIAL
from pqa.cli.options import PATHS, add_inputs, add_model, add_scores, find_inputs, open_model
from pqa.cli.outputs import check_out, write_answer
from pqa.cli.table import print_scores, progress
from pqa.types import Unscored

__all__ = ["configure", "run"]

EPILOG = f"""{PATHS}

examples:
  pqa score portrait.jpg
  pqa score photos --json | jq .score
  pqa score photos --out predictions.csv
  find . -name '*.jpg' -print0 | pqa score - --json

{EXIT_CODES}"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_inputs(parser)
    add_scores(parser, "image")
    add_model(parser)
    group = parser.add_argument_group("answer")
    group.add_argument("--json", action="store_true", help="print one JSON line a picture, in input order")
    group.add_argument(
        "--out", type=Path, metavar="FILE", help="also write a table: FILE.csv, FILE.json or FILE.parquet"
    )


def run(args: argparse.Namespace) -> int:
    if args.out:
        check_out(args.out)
    with open_model(args) as assessor:
        inputs = find_inputs(args)
        with progress(len(inputs.images)) as advance:
            rows = assessor.score(inputs.images, attribute=args.attribute, scene_mode=args.scene_mode, on_done=advance)
    rows += inputs.unscored
    if args.json:
        for row in rows:
            print(json.dumps(row.to_dict(), allow_nan=False))
    else:
        print_scores(Console(), rows)
    if args.out:
        write_answer(rows, args.out)
    return EXIT_PARTIAL if any(isinstance(row, Unscored) for row in rows) else EXIT_OK
