"""What is wrong with a data set, found before a training run finds it."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqa.data.duplicates import duplicate_groups, thumbnail
from pqa.data.rated import Rated, RatedSet
from pqa.data.reading import Pictures
from pqa.data.sets import LIMITS, known_as, read_all
from pqa.data.tables import some
from pqa.errors import DataError, InputError
from pqa.pixels.source import open_picture
from pqa.types import Warn

__all__ = ["Checked", "Finding", "check", "leakage"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault, in words, and the pictures or scenes that have it."""

    code: str
    message: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A data set looked over. `parts` counts the pictures of each part, by split; `notes` are no faults."""

    folder: str
    kind: str
    attributes: tuple[str, ...] = ()
    pictures: int = 0
    scenes: dict[str, int] | None = None
    devices: int = 0
    parts: dict[str, dict[str, int]] | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[Warn, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Look:
    path: Path
    image: str
    error: str = ""
    sha256: str = ""
    thumbnail: npt.NDArray[np.float32] | None = None


def leakage(found: RatedSet) -> tuple[int, int, int, int]:
    """How far a device split keeps devices apart: devices of `report` also seen elsewhere, of how many; and the pictures
    of `report` taken by them, of how many."""
    reported = [row.device for row in found.rows if row.part == "report"]
    elsewhere = {row.device for row in found.rows if row.part != "report"}
    shared = set(reported) & elsewhere
    return len(shared), len(set(reported)), sum(device in shared for device in reported), len(reported)


def check(
    folder: Path,
    kind: str | None = None,
    *,
    deep: bool = False,
    workers: int = 1,
    on_done: Callable[[int], None] = lambda total: None,
) -> Checked:
    """Look over a data set: every file is read and its header decoded, with `deep` its pixels too.

    `on_done` gets the number of files after each of them. Raises DataError for a folder that is missing or not recognised,
    ConfigurationError for an unknown `kind`. Labels that cannot be read at all are a finding.
    """
    name = known_as(folder, kind)
    try:
        found = read_all(folder, name, None, "scene")
        single = (
            [read_all(folder, name, (each,), "scene") for each in found.attributes] if len(found.attributes) > 1 else []
        )
        by_device = read_all(folder, name, None, "device") if any(row.device for row in found.rows) else None
    except DataError as error:
        return Checked(str(folder), name, findings=(Finding("unusable", str(error)),))
    files = {row.path: row.image for each in (found, *single) for row in each.rows if row.path.is_file()}

    def look(path: Path) -> _Look:
        try:
            source = open_picture(path, LIMITS)
            return _Look(path, files[path], sha256=source.sha256, thumbnail=thumbnail(source) if deep else None)
        except InputError as error:
            return _Look(path, files[path], error=str(error))
        finally:
            on_done(len(files))

    with ThreadPoolExecutor(workers) as pool:
        looks = list(pool.map(look, files))
    warnings = list(dict.fromkeys(warning for each in (found, *single) for warning in each.warnings))
    across, within = _bursts(found, looks) if deep else ([], [])
    findings = [
        *(Finding(warning.code, warning.message) for warning in warnings if warning.code == "bad_label"),
        *_of_labels(found),
        *_of_files(folder, looks),
        *across,
    ]
    notes = [warning for warning in warnings if warning.code != "bad_label"] + _unlabelled(folder, found) + within
    splits = {"scene": found} if by_device is None else {"scene": found, "device": by_device}
    if by_device is not None:
        shared, devices, pictures, reported = leakage(by_device)
        message = (
            f"device split: {shared} of {devices} test devices, and the devices of {pictures} of {reported} test pictures, "
            "also occur in training"
        )
        notes.append(Warn("device_leak", message))
    if not deep:
        notes.append(Warn("not_deep", "pixels were not decoded and near-duplicates not looked for: see --deep"))
    return Checked(
        str(folder),
        name,
        found.attributes,
        len(found.rows),
        dict(Counter(row.scene for row in found.rows)),
        len({row.device for row in found.rows} - {""}),
        {split: dict(Counter(row.part for row in each.rows)) for split, each in splits.items()},
        tuple(findings),
        tuple(notes),
    )


def _of_labels(found: RatedSet) -> list[Finding]:
    findings = []
    lost = tuple(row.image for row in found.rows if not row.path.is_file())
    if lost:
        findings.append(Finding("missing", f"{len(lost)} of {len(found.rows)} labelled pictures are not there", lost))
    partly = tuple(row.image for row in found.rows if any(map(math.isnan, row.labels)))
    if partly:
        wanted = ", ".join(found.attributes)
        findings.append(Finding("partly_rated", f"{len(partly)} pictures lack a label of {wanted}", partly))
    sizes = Counter(row.scene for row in found.rows if row.path.is_file())
    alone = tuple(sorted(scene for scene, count in sizes.items() if count == 1))
    if found.per_scene and alone:
        findings.append(
            Finding("lone_picture", f"{len(alone)} scenes have one picture, nothing to compare it with", alone)
        )
    return findings


def _of_files(folder: Path, looks: Sequence[_Look]) -> list[Finding]:
    findings = []
    # The pictures of a division of lists lie above its folder.
    broken = tuple(
        f"{Path(os.path.relpath(look.path, folder)).as_posix()} ({look.error})" for look in looks if look.error
    )
    if broken:
        findings.append(Finding("unreadable", f"{len(broken)} of {len(looks)} files cannot be decoded", broken))
    same: dict[str, dict[str, None]] = defaultdict(dict)
    for look in looks:
        if look.sha256:
            same[look.sha256][look.image] = None
    copies = tuple(" = ".join(names) for names in same.values() if len(names) > 1)
    if copies:
        findings.append(
            Finding("same_bytes", f"{len(copies)} times one file carries the labels of several pictures", copies)
        )
    return findings


def _bursts(found: RatedSet, looks: Sequence[_Look]) -> tuple[list[Finding], list[Warn]]:
    """Near-duplicates on two sides of the scene split (the device split has the same scenes on both on purpose), and a note on
    all of them."""
    rows: dict[Path, Rated] = {row.path: row for row in found.rows}
    seen = [(rows[look.path], look.thumbnail) for look in looks if look.path in rows and look.thumbnail is not None]
    if not seen:
        return [], []
    groups: dict[int, list[Rated]] = defaultdict(list)
    for (row, _), group in zip(seen, duplicate_groups([each for _, each in seen]), strict=True):
        groups[group].append(row)
    bursts = [rows for rows in groups.values() if len(rows) > 1]
    split = [rows for rows in bursts if len({row.part for row in rows}) > 1]
    findings, notes = [], []
    if split:
        names = tuple(" ~ ".join(f"{row.image} ({row.part})" for row in rows) for rows in split)
        message = f"{len(split)} groups of near-duplicates lie in more than one part"
        findings.append(Finding("near_duplicates", message, names))
    if bursts:
        count = sum(map(len, bursts))
        notes.append(Warn("bursts", f"{count} pictures look like another: {len(bursts)} groups of near-duplicates"))
    return findings, notes


def _unlabelled(folder: Path, found: RatedSet) -> list[Warn]:
    known = {row.path.stem.lower() for row in found.rows}
    extra = [path.name for path in Pictures(folder).files if path.stem.lower() not in known]
    return [Warn("unlabelled", f"{len(extra)} picture files have no label: {some(extra)}")] if extra else []
