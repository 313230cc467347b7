"""`pqa simulate`: from a folder of portraits, a data set in PIQ23's own format with known truth."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pqa.cli.inputs import collect
from pqa.cli.main import EXIT_OK, EXIT_PARTIAL
from pqa.cli.options import positive
from pqa.cli.table import progress
from pqa.cli.text import plain
from pqa.data.duplicates import THRESHOLD, thumbnail
from pqa.data.tables import some
from pqa.errors import ConfigurationError, DataError, InputError
from pqa.evaluation.metrics import srcc
from pqa.faces.detectors import Detector, load_detector
from pqa.pixels.source import open_picture
from pqa.simulator.dataset import PRESETS, Portrait, SceneResult, Settings, held_out_devices, simulate
from pqa.simulator.psychometrics import ATTRIBUTES
from pqa.simulator.release import write_release
from pqa.types import Image

__all__ = ["configure", "run"]

EPILOG = """IN is a folder of sound portraits (whatever faults they have stay in every picture), a
pattern, or a CSV map with a column image. Faces are found, and near-duplicates are used once.
OUT must be empty or not there; the pictures go to OUT/Overall, the labels to OUT/Scores.

examples:
  pqa simulate portraits simulated --scenes 50 --devices 24 --seed 1
  pqa simulate others hidden --preset hidden --seed 1
  pqa evaluate --labels simulated/Scores/Scores_Overall.csv --split scene --predictions p.csv

exit codes: 0 done, 2 wrong use, 3 done, but pictures of IN could not be read (they are named)"""

SMALLEST_FACE = 40.0
"""Pixels of a face's side below which a portrait is passed over."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("portraits", metavar="IN", help="portraits to take the scenes from")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the data set")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="phones", help="kind of data set (%(default)s)")
    parser.add_argument("--scenes", type=positive, metavar="N", help="one portrait each (default: 50; hidden: 96)")
    parser.add_argument(
        "--devices", type=positive, metavar="M", help="cameras (default: 24; hidden: 6, and one edited)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random (%(default)s)")
    parser.add_argument("--side", type=positive, default=768, metavar="PX", help="shorter side at most (%(default)s)")
    parser.add_argument("--observers", type=positive, default=30, metavar="N", help="a scene (%(default)s)")
    parser.add_argument(
        "--face-faults",
        type=float,
        default=0.0,
        metavar="P",
        help="share of shots focused behind the face (%(default)s)",
    )
    parser.add_argument("--workers", type=positive, metavar="N", help="processes (default: processors)")


def run(args: argparse.Namespace) -> int:
    preset = PRESETS[args.preset]
    settings = Settings(
        args.preset,
        args.scenes or preset.scenes,
        args.devices or preset.devices,
        args.seed,
        args.side,
        args.observers,
        args.face_faults,
    )
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise ConfigurationError(f"{args.out}: expected an empty folder or none; name another or remove it")
    images = collect([args.portraits]).images
    portraits, unreadable = _portraits(images, settings)
    if len(portraits) < settings.scenes:
        why = f"; not readable: {some(unreadable)}" if unreadable else ""
        raise DataError(
            f"{settings.scenes} scenes need as many different portraits with a face of {SMALLEST_FACE:g} pixels, found "
            f"{len(portraits)} among {len(images)} pictures{why}: add portraits or ask for fewer scenes"
        )
    begin = time.monotonic()
    with progress(settings.scenes, "simulating") as advance:
        scenes = simulate(portraits, args.out, settings, args.workers or os.cpu_count() or 1, advance)
    write_release(args.out, scenes, held_out_devices(settings))
    _report(scenes, time.monotonic() - begin, args.out)
    if unreadable:
        print(f"left out, not readable: {plain(some(unreadable))}")
    return EXIT_PARTIAL if unreadable else EXIT_OK


def _portraits(images: Sequence[Image], settings: Settings) -> tuple[list[Portrait], list[str]]:
    """The first portraits of a random order that have a face and resemble none before them; names of unreadable files."""
    detector = load_detector("mtcnn")
    order = np.random.default_rng(settings.seed).permutation(len(images)).tolist()
    found: list[Portrait] = []
    seen: list[npt.NDArray[np.float32]] = []
    unreadable = []
    with progress(settings.scenes, "finding faces") as advance:
        for place in order:
            if len(found) == settings.scenes:
                break
            path = Path(str(images[place].source))
            try:
                portrait = _portrait(path, detector, seen)
            except InputError as error:
                unreadable.append(f"{images[place].id} ({error})")
                continue
            if portrait is not None:
                found.append(portrait)
                advance()
    return found, unreadable


def _portrait(path: Path, detector: Detector, seen: list[npt.NDArray[np.float32]]) -> Portrait | None:
    source = open_picture(path)
    small = thumbnail(source)
    if any(float(small @ other) >= THRESHOLD for other in seen):
        return None
    faces = detector.detect(source)
    if not faces or faces[0].side < SMALLEST_FACE:
        return None
    seen.append(small)
    return Portrait(path, faces[0].box)


def _report(scenes: Sequence[SceneResult], seconds: float, out: Path) -> None:
    pictures = sum(len(scene.pictures) for scene in scenes)
    print(f"{pictures} pictures of {len(scenes)} scenes in {plain(str(out))}: {pictures / seconds:.1f} a second")
    for attribute in ATTRIBUTES:
        scales = [scene.scales[attribute] for scene in scenes]
        spread = np.median([scale.jod.std() for scale in scales])
        error = np.median(np.concatenate([scale.std for scale in scales]))
        truths = [np.array([each.quality[attribute] for each in scene.pictures]) for scene in scenes]
        agreement = np.median([srcc(truth, scale.jod) for truth, scale in zip(truths, scales, strict=True)])
        print(
            f"{attribute}: spread {spread:.2f} JOD within a scene, s.d. of a label {error:.2f}, "
            f"SRCC of labels with the truth {agreement:.3f} (medians)"
        )
