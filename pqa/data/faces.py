"""Pictures with everything but the face black: RQ-Net's "portrait" pre-training on PIQ23-Face.

"Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey" (2024), section on RQ-Net: pixels outside the face are zero.
Which detector it used is not published.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pqa.data.reading import Pictures
from pqa.data.sets import LIMITS
from pqa.data.tables import some
from pqa.errors import DataError, InputError
from pqa.pixels.source import Source, open_picture
from pqa.types import Face

__all__ = ["Copied", "copy_faces", "face_only"]

LABELS = frozenset({".csv", ".mat", ".txt"})

Detect = Callable[[Source], tuple[Face, ...]]


@dataclass(frozen=True, slots=True)
class Copied:
    """What `copy_faces` did: pictures written (or there from an earlier run), without a face, and not decoded (with why)."""

    written: int
    faceless: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]


def face_only(rgb: npt.NDArray[np.uint8], face: Face) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8: the picture inside the face's box, rounded outwards and cut at the frame; zero elsewhere.

    `face` in the pixels of `rgb`. A box outside the picture leaves it all zero.
    """
    height, width = rgb.shape[:2]
    x1, y1 = max(0, math.floor(face.box[0])), max(0, math.floor(face.box[1]))
    x2, y2 = min(width, math.ceil(face.box[2])), min(height, math.ceil(face.box[3]))
    masked = np.zeros_like(rgb)
    if x1 < x2 and y1 < y2:
        masked[y1:y2, x1:x2] = rgb[y1:y2, x1:x2]
    return masked


def copy_faces(
    folder: Path, out: Path, detect: Detect, *, workers: int = 1, on_done: Callable[[int], None] = lambda total: None
) -> Copied:
    """Write the data set of `folder` to `out` in the same layout, each picture as a PNG with only its main face left.

    Label files are copied. Pictures in `out` are kept, so an interrupted run goes on. A picture without a face, or that
    cannot be decoded, is left out and named. `on_done` gets the number of pictures after each of them. Raises DataError for
    a missing folder, one without pictures, an `out` within it, and two pictures that would become one.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of a data set, found none")
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{out}: expected a folder outside {folder}, or its pictures would be found twice")
    files = Pictures(folder).files
    if not files:
        raise DataError(f"{folder}: expected pictures, found none")
    targets = [out / path.relative_to(folder).with_suffix(".png") for path in files]
    twice = sorted(str(path.relative_to(out)) for path, count in Counter(targets).items() if count > 1)
    if twice:
        raise DataError(
            f"{folder}: {len(twice)} names differ in nothing but their suffix: {some(twice)}; rename one of each"
        )
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in LABELS and path.is_file():
            place = out / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)

    def one(job: tuple[Path, Path]) -> str:
        try:
            return "" if job[1].is_file() or _write(job[0], job[1], detect) else "no face"
        except InputError as error:
            return str(error)
        finally:
            on_done(len(files))

    with ThreadPoolExecutor(workers) as pool:
        outcomes = list(pool.map(one, zip(files, targets, strict=True)))
    names = [path.relative_to(folder).as_posix() for path in files]
    faceless = tuple(name for name, outcome in zip(names, outcomes, strict=True) if outcome == "no face")
    broken = tuple((n, o) for n, o in zip(names, outcomes, strict=True) if o not in ("", "no face"))
    return Copied(len(files) - len(faceless) - len(broken), faceless, broken)


def _write(path: Path, target: Path, detect: Detect) -> bool:
    source = open_picture(path, LIMITS)
    faces = detect(source)
    if not faces:
        return False
    masked = face_only(source.whole(), faces[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: a half-written picture would be taken for done by the next run.
    half = target.with_suffix(".part")
    Image.fromarray(masked).save(half, "PNG")
    os.replace(half, target)
    return True
