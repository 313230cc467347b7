"""`pqa score`: portraits one by one."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from pathlib import Path

from rich.console import Console

from pqa.cli.main import EXIT_CODES, EXIT_OK, EXIT_PARTIAL
from pqa.cli.options import PATHS, add_inputs, add_model, add_scores, find_inputs, open_model
from pqa.cli.outputs import check_out, open_rows
from pqa.cli.table import print_row, print_unscored, progress
from pqa.types import Unscored

__all__ = ["configure", "run"]

EPILOG = f"""{PATHS}

Rows are printed and written as they are made, in the order of the pictures;
with --scene-mode group, when their scene is complete. What --out writes lies in
FILE.PID.part until all is done. A process that is killed leaves that: read it
like FILE (but of JSON the closing bracket is missing, of Parquet all).

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
    console = Console()
    unscored: list[Unscored] = []
    with contextlib.ExitStack() as stack:
        assessor = stack.enter_context(open_model(args))
        inputs = find_inputs(args)
        rows = assessor.stream(inputs.images, attribute=args.attribute, scene_mode=args.scene_mode)
        write = None
        if args.out:
            devices = any(image.device is not None for image in inputs.images)
            write = stack.enter_context(open_rows(args.out, devices=devices))
        # Rows on a terminal are their own progress, and a bar below them would be written over.
        advance = stack.enter_context(progress(len(inputs.images), hidden=sys.stdout.isatty()))
        for row in itertools.chain(rows, inputs.unscored):
            if args.json:
                print(json.dumps(row.to_dict(), allow_nan=False), flush=True)
            else:
                print_row(console, row)
            if write is not None:
                write(row)
            advance()
            if isinstance(row, Unscored):
                unscored.append(row)
    if not args.json:
        print_unscored(console, unscored, ())
    return EXIT_PARTIAL if unscored else EXIT_OK
