"""What is found once about every picture and kept: its main face and the statistics that models read beside pixels.

One JSON line a picture in `facts-HASH.jsonl`, HASH being that of the detector and of the vector views, so that another model
over the same pictures keeps its own file. Lines are matched by path, size and time of change; a run that was cut off
continues behind its last line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqa.cli.table import progress
from pqa.data.sets import LIMITS
from pqa.errors import InputError
from pqa.faces.detectors import load_detector
from pqa.pixels.source import open_picture
from pqa.pixels.views import view_row
from pqa.spec import ViewSpec
from pqa.types import Face

__all__ = ["Facts", "find_facts"]


@dataclass(frozen=True, slots=True)
class Facts:
    """`face`: the main one, None without; `vectors`: (D,) float32 by the name of the view; `problem`: why it cannot be read."""

    face: Face | None
    vectors: dict[str, npt.NDArray[np.float32]]
    problem: str = ""


def find_facts(
    paths: Sequence[Path],
    views: Sequence[ViewSpec],
    detector: str,
    folder: Path,
    *,
    workers: int,
) -> list[Facts]:
    """The facts of every picture in `paths`, from `folder` or found now. Unreadable pictures have a `problem`."""
    vectors = tuple(view for view in views if view_row(view).vector)
    key = hashlib.sha256(repr((detector, vectors)).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / f"facts-{key}.jsonl"
    lines = store.read_text().splitlines() if store.is_file() else []
    known = {entry["file"]: entry for entry in map(_entry, lines) if entry}
    marks = [_mark(path) for path in paths]
    missing = [path for path, mark in zip(paths, marks, strict=True) if mark not in known]
    if missing:
        look = partial(_look, vectors=vectors, detector=detector)
        # A line at a time, whole: several machines may share the folder.
        with store.open("a", buffering=1) as file, progress(len(missing), "finding faces") as advance:
            for entry in _looked(look, missing, workers):
                known[entry["file"]] = entry
                file.write(json.dumps(entry) + "\n")
                advance()
    return [_facts(known[mark]) for mark in marks]


def _looked(look: Callable[[Path], dict[str, Any]], paths: Sequence[Path], workers: int) -> Iterator[dict[str, Any]]:
    if min(workers, len(paths)) < 2:
        yield from map(look, paths)
        return
    with ProcessPoolExecutor(workers) as pool:
        try:
            yield from pool.map(look, paths, chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)  # a run that is stopped does not look at the rest first


def _mark(path: Path) -> str:
    state = path.stat()
    return f"{path.absolute()}|{state.st_size}|{state.st_mtime_ns}"


def _entry(line: str) -> dict[str, Any]:
    """A line of the file; empty for one that a cut-off run left half written."""
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return entry


_detectors: dict[str, Any] = {}


def _look(path: Path, vectors: tuple[ViewSpec, ...], detector: str) -> dict[str, Any]:
    if detector not in _detectors:
        _detectors[detector] = load_detector(detector)
    entry: dict[str, Any] = {"file": _mark(path), "face": None, "vectors": {}, "problem": ""}
    try:
        source = open_picture(path, LIMITS)
        faces = _detectors[detector].detect(source)
        face = faces[0] if faces else None
        entry["face"] = asdict(face) if face else None
        entry["vectors"] = {view.name: view_row(view).make(source, face, view, None).tolist() for view in vectors}
    except InputError as error:
        entry["problem"] = str(error)
    return entry


def _facts(entry: dict[str, Any]) -> Facts:
    face = entry["face"]
    if face is not None:
        landmarks = tuple((float(x), float(y)) for x, y in face["landmarks"])
        face = Face(**{**face, "box": tuple(face["box"]), "landmarks": landmarks})
    vectors = {name: np.array(values, np.float32) for name, values in entry["vectors"].items()}
    return Facts(face, vectors, entry["problem"])
