"""The pictures on which an export proves itself: a folder of portraits, or the shipped one under two dozen camera faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pqa.data.assets import ASTRONAUT
from pqa.errors import DataError, InputError
from pqa.faces.detectors import load_detector
from pqa.pixels.source import Source, open_picture
from pqa.pixels.views import make_view
from pqa.simulator.camera import variants
from pqa.spec import ViewSpec
from pqa.types import Face

__all__ = ["PORTRAITS", "proof_views"]

PORTRAITS = 16
"""How many pictures of a folder are taken: the first in order of their names that can be read and show a face."""


def proof_views(
    views: Sequence[ViewSpec], *, detector: str = "mtcnn", folder: Path | None = None
) -> list[npt.NDArray[np.float32]]:
    """One (N, ...) float32 array a view, cut by the one pixel path around the main face that `detector` finds.

    N is PORTRAITS with a folder (searched whole), 24 without. Raises DataError for a folder with fewer such pictures,
    MissingWeights for a detector that is not at hand.
    """
    shots = _faults(detector) if folder is None else _portraits(folder, detector)
    stacked = []
    for view in views:
        # Filled picture by picture: of views with many large crops two copies would be gigabytes.
        values = np.empty((len(shots), *make_view(*shots[0], view).shape), np.float32)
        for row, (source, face) in zip(values, shots, strict=True):
            row[...] = make_view(source, face, view)
        stacked.append(values)
    return stacked


def _faults(detector: str) -> list[tuple[Source, Face | None]]:
    source = open_picture(ASTRONAUT)
    # One face for all: a fault that hides it must not change what is compared.
    main = next(iter(load_detector(detector).detect(source)), None)
    rgb = source.whole()
    return [(open_picture(shot), main) for seed in (0, 1) for _, shot in variants(rgb, seed=seed)]


def _portraits(folder: Path, name: str) -> list[tuple[Source, Face | None]]:
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of at least {PORTRAITS} portraits")
    detector = load_detector(name)
    found: list[tuple[Source, Face | None]] = []
    unreadable = faceless = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            source = open_picture(path)
            faces = detector.detect(source)
        except InputError:
            unreadable += 1
            continue
        if not faces:
            faceless += 1
            continue
        found.append((source, faces[0]))
        if len(found) == PORTRAITS:
            return found
    raise DataError(
        f"{folder}: a proof takes {PORTRAITS} portraits, found {len(found)} ({unreadable} files cannot be read, "
        f"{faceless} pictures show no face)"
    )
