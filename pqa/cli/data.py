"""`pqa data`: look over a data set, cut it down to its faces, list the sets that can be read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from pqa.cli.main import EXIT_OK, EXIT_PARTIAL
from pqa.cli.options import positive
from pqa.cli.text import plain
from pqa.data.check import Checked, check
from pqa.data.faces import copy_faces
from pqa.data.sets import SETS
from pqa.data.tables import some
from pqa.faces.detectors import DETECTORS, load_detector
from pqa.session import available_cpus

__all__ = ["configure", "run"]

EPILOG = """examples:
  pqa data check PIQ23
  pqa data check photos --kind own --deep
  pqa data faces PIQ23 PIQ23-Face
  pqa data sets

exit codes: 0 done and nothing found, 3 done with findings (check) or pictures left
out (faces), 2 wrong use or a folder that cannot be used"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = actions.add_parser("check", help="what is missing, unreadable, duplicated or leaking", allow_abbrev=False)
    one.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    one.add_argument("--kind", metavar="NAME", help=f"{', '.join(SETS)} (default: by the files that are there)")
    one.add_argument("--deep", action="store_true", help="decode every pixel, look for near-duplicates across parts")
    one.add_argument("--json", action="store_true", help="print one JSON document, with every name")
    two = actions.add_parser("faces", help="copy a data set with all but the faces black", allow_abbrev=False)
    two.add_argument("folder", type=Path, metavar="DIR", help="folder of the data set")
    two.add_argument("out", type=Path, metavar="OUT", help="folder of the copy; pictures that are there are kept")
    two.add_argument("--detector", choices=sorted(DETECTORS), default="mtcnn", help="default: %(default)s")
    for each in (one, two):
        each.add_argument(
            "--workers", type=positive, metavar="N", help="pictures in work at once (default: processors)"
        )
    three = actions.add_parser("sets", help="list the data sets that can be read", allow_abbrev=False)
    three.add_argument("--json", action="store_true", help="print a JSON list, for machines")


def run(args: argparse.Namespace) -> int:
    """Raises DataError for folders that cannot be used, ConfigurationError for unknown names."""
    return {"check": _check, "faces": _faces, "sets": _sets}[args.action](args)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int], None]]:
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda total: progress.update(task, advance=1, total=total)


def _check(args: argparse.Namespace) -> int:
    with _progress("pictures") as on_done:
        workers = args.workers or available_cpus()
        found = check(args.folder, args.kind, deep=args.deep, workers=workers, on_done=on_done)
    if args.json:
        print(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        _print(found)
    return EXIT_PARTIAL if found.findings else EXIT_OK


def _print(found: Checked) -> None:
    print(plain(f"{found.folder}: {found.kind}"))
    if found.scenes:
        sizes = found.scenes.values()
        scenes = f"{len(sizes)} scenes of {min(sizes)} to {max(sizes)}" if len(sizes) > 1 else "1 scene"
        devices = f", {found.devices} devices" if found.devices else ""
        print(f"{found.pictures} pictures, {scenes}{devices}; labels: {', '.join(found.attributes)}")
    for split, parts in (found.parts or {}).items():
        counts = ", ".join(f"{parts.get(part, 0)} {part}" for part in ("train", "choose", "report"))
        print(f"{split} split: {counts}" if found.devices else f"parts: {counts}")
    for finding in found.findings:
        names = f": {some(finding.names)}" if finding.names else ""
        print(plain(f"found {finding.code}: {finding.message}{names}"))
    for note in found.notes:
        print(plain(f"note {note.code}: {note.message}"))
    if not found.findings:
        print("nothing found")


def _faces(args: argparse.Namespace) -> int:
    detector = load_detector(args.detector)
    with _progress("faces") as on_done:
        workers = args.workers or available_cpus()
        done = copy_faces(args.folder, args.out, detector.detect, workers=workers, on_done=on_done)
    print(plain(f"{args.out}: {done.written} pictures with all but the face black"))
    for name in done.faceless:
        print(plain(f"no face, left out: {name}"), file=sys.stderr)
    for name, why in done.unreadable:
        print(plain(f"not decoded, left out: {name}: {why}"), file=sys.stderr)
    return EXIT_PARTIAL if done.faceless or done.unreadable else EXIT_OK


def _sets(args: argparse.Namespace) -> int:
    rows = [
        {"name": name, "status": row.status, "source": row.source, "files": row.files, "licence": row.licence}
        for name, row in SETS.items()
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return EXIT_OK
    for name, row in SETS.items():
        print(f"{name}: {row.status}, columns read in {row.source}")
        print(f"  recognised by {', '.join(row.files)}; licence: {row.licence}")
    return EXIT_OK
