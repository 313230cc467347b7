"""`pqa rank`: the portraits of each scene, best first."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from rich.console import Console

from pqa.cli import contact_sheet
from pqa.cli.grouping import auto_group
from pqa.cli.inputs import Inputs
from pqa.cli.main import EXIT_CODES, EXIT_OK, EXIT_PARTIAL
from pqa.cli.options import PATHS, add_inputs, add_model, add_scores, find_inputs, limits, open_model, positive
from pqa.cli.outputs import check_out, check_writable, copy_top, write_ranking
from pqa.cli.table import print_ranking, progress
from pqa.cli.xmp import write_sidecars
from pqa.errors import ConfigurationError
from pqa.session import available_cpus
from pqa.types import Ranking

__all__ = ["configure", "run"]

EPILOG = f"""{PATHS}

Pictures within a bracket are too close to call: the first of them beats the
others with a chance of at most 75 %. "beats first" is the chance that people
would rate the picture above the first one. Scores compare within a scene only.

examples:
  pqa rank photos
  pqa rank a.jpg b.jpg c.jpg --json
  pqa rank unsorted --group auto --sheet sheet.html
  pqa rank photos --top 2 --copy-to best
  pqa rank --map scenes.csv --attribute detail --out ranking.csv
  pqa rank photos --server http://scores.example:8000

{EXIT_CODES}"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add_inputs(parser)
    parser.add_argument(
        "--group",
        choices=("folder", "auto"),
        default="folder",
        help="scenes by folder, or found by capture time, camera and likeness (default: folder)",
    )
    add_scores(parser, "group")
    add_model(parser)
    group = parser.add_argument_group("answer")
    group.add_argument("--json", action="store_true", help="print the answer document of POST /rank")
    group.add_argument("--out", type=Path, metavar="FILE", help="also write it: FILE.csv, FILE.json or FILE.parquet")
    group.add_argument("--sheet", type=Path, metavar="FILE.html", help="also write a contact sheet, one file")
    group.add_argument("--top", type=positive, metavar="K", help="with --copy-to: how many of each scene (default: 1)")
    group.add_argument("--copy-to", type=Path, metavar="DIR", help="copy the best, with their RAW files, to DIR")
    group.add_argument("--xmp", action="store_true", help="write star ratings to XMP files beside the pictures")
    group.add_argument(
        "--xmp-naming",
        choices=("adobe", "darktable"),
        default="adobe",
        help="IMG.xmp, which Lightroom reads beside RAW files, or IMG.jpg.xmp, for darktable and digiKam (default: adobe)",
    )


def run(args: argparse.Namespace) -> int:
    _check(args)
    with open_model(args) as assessor:
        inputs = find_inputs(args)
        images = inputs.images
        if args.group == "auto":
            with progress(len(images), "finding scenes") as advance:
                workers = args.workers or available_cpus()
                found = auto_group(images, limits=limits(args), workers=workers, on_done=advance)
            # Scenes are answered in the order in which their first pictures come: of groups that is their number.
            images = tuple(sorted(found, key=lambda image: image.scene))
        with progress(len(images)) as advance:
            ranking = assessor.rank(images, attribute=args.attribute, scene_mode=args.scene_mode, on_done=advance)
    ranking = dataclasses.replace(ranking, unscored=(*ranking.unscored, *inputs.unscored))
    # The answer first, so that a full disk cannot lose it.
    if args.json:
        print(json.dumps(ranking.to_dict(), indent=2, allow_nan=False))
    else:
        print_ranking(Console(), ranking)
    _write(args, ranking, dataclasses.replace(inputs, images=images))
    return EXIT_PARTIAL if ranking.unscored else EXIT_OK


def _check(args: argparse.Namespace) -> None:
    """What can be known to be wrong before any work is done."""
    if args.top and not args.copy_to:
        raise ConfigurationError("--top says how many to copy; name the folder with --copy-to DIR")
    if args.group == "auto" and (args.map or args.scene or args.scene_mode == "known"):
        raise ConfigurationError(
            "--group auto finds the scenes itself; leave out --map, --scene and --scene-mode known"
        )
    if args.out:
        check_out(args.out)
    if args.sheet:
        check_writable(args.sheet)
    if args.copy_to and args.copy_to.is_file():
        raise ConfigurationError(f"--copy-to {args.copy_to}: expected a folder, this is a file")


def _write(args: argparse.Namespace, ranking: Ranking, inputs: Inputs) -> None:
    if args.out:
        write_ranking(ranking, args.out)
    if args.sheet:
        contact_sheet.write(args.sheet, ranking, inputs.images, limits(args))
    if args.copy_to:
        copy_top(ranking, args.top or 1, args.copy_to, inputs.files, inputs.companions)
    if args.xmp:
        write_sidecars(ranking, inputs.files, inputs.companions, args.xmp_naming)
