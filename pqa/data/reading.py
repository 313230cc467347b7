"""What the readers of data sets share: finding pictures and label files, dividing into parts, joining attributes."""

from __future__ import annotations

import hashlib
import math
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from pqa.data.labels import Labels
from pqa.data.parts import CHOOSE_SHARE, REPORT_SHARE, Part, parts
from pqa.data.rated import Rated, RatedSet
from pqa.data.tables import some
from pqa.errors import DataError

__all__ = ["Pictures", "by_group", "by_name", "find_file", "need_file", "on_one_scale", "rated", "whole_range"]

READ = frozenset({".avif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
NAMED = READ | {".bmp", ".gif"}
"""Suffixes of picture files; those not in READ are found, so that they can be told from missing ones, but not decoded."""


class Pictures:
    """The picture files of a folder, to any depth, found by name whatever its case and the suffix it was saved with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        seen: set[str] = set()
        for place, below, names in os.walk(folder, followlinks=True):
            # Links are followed, since data sets are built of them, but never in circles.
            seen.add(os.path.realpath(place))
            below[:] = sorted(
                name
                for name in below
                if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in seen
            )
            for name in sorted(names):
                if os.path.splitext(name)[1].lower() in NAMED and not name.startswith("."):
                    self.files.append(Path(place, name))
                    self._by_stem[os.path.splitext(name)[0].lower()].append(self.files[-1])

    def find(self, name: str, places: Sequence[str] = ()) -> Path:
        """The file meant by `name` (forward slashes). If there is none: where it was expected, which is no file.

        Of several files the first by: in the folder that `name` states; in a folder called as the earliest of `places`; of
        a format that can be decoded; of the very suffix; by path.
        """
        stated = PurePosixPath(name)
        wanted = [place.lower() for place in places]
        parents = tuple(part.lower() for part in stated.parts[:-1])

        def order(path: Path) -> tuple[bool, int, bool, bool, str]:
            above = tuple(part.lower() for part in path.relative_to(self.folder).parts[:-1])
            rank = min((wanted.index(part) for part in above if part in wanted), default=len(wanted))
            suffix = path.suffix.lower()
            return (
                above[len(above) - len(parents) :] != parents,
                rank,
                suffix not in READ,
                suffix != stated.suffix.lower(),
                str(path),
            )

        found = self._by_stem.get(os.path.splitext(stated.name)[0].lower(), ())
        return min(found, key=order, default=self.folder / stated)


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of `names`, in any case, in `folder` or one folder below it."""
    if not folder.is_dir():
        return None
    here = sorted(folder.iterdir())
    below = [path for place in here if place.is_dir() for path in _entries(place)]
    for name in names:
        for path in (*here, *below):
            if path.name.lower() == name.lower() and path.is_file():
                return path
    return None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # a locked folder holds no label file that could be read
        return []


def need_file(folder: Path, names: Sequence[str]) -> Path:
    """Like `find_file`. Raises DataError that names what was looked for."""
    found = find_file(folder, names)
    if found is None:
        raise DataError(f"{folder}: expected {' or '.join(names)} in it or one folder below, found none")
    return found


def _smallest(groups: Mapping[str, str], share: float) -> set[str]:
    """Names of whole groups in the order of their hashes, as near to `share` of all names as that order comes.

    At least one group where there are two or more, and never all.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for name, group in groups.items():
        members[group].append(name)
    order = sorted(members, key=lambda group: hashlib.sha256(group.encode(errors="surrogateescape")).digest())
    taken: set[str] = set()
    for group in order[:-1]:
        if taken and len(taken) + len(members[group]) / 2 > share * len(groups):
            break
        taken.update(members[group])
    return taken


def by_group(groups: Mapping[str, str], report: Collection[str] | None = None) -> dict[str, Part]:
    """The part of every picture, a group (scene, device) as one; `groups` maps pictures to their groups.

    `report`: the pictures of an official test part; None: a fifth of all. `choose` is 12 % of the others. Which groups:
    by the hash of their names, so the division needs no seed.
    """
    reported = _smallest(groups, REPORT_SHARE) if report is None else set(report)
    left = {name: group for name, group in groups.items() if name not in reported}
    chosen = _smallest(left, CHOOSE_SHARE if report is not None else CHOOSE_SHARE / (1 - REPORT_SHARE))
    return {name: "report" if name in reported else "choose" if name in chosen else "train" for name in groups}


def by_name(names: Sequence[str]) -> dict[str, Part]:
    """The part of every picture by the hash of its name alone, for sets on one scale without an official division."""
    return dict(zip(names, parts(names, range(len(names))), strict=True))


def rated(tables: Sequence[Labels], find: Callable[[str], Path], part: Mapping[str, Part]) -> tuple[Rated, ...]:
    """One row a picture, from one table an attribute joined on the picture's name; NaN where a table lacks it."""
    index = [{name: k for k, name in enumerate(table.image)} for table in tables]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table.image):
        at = [where.get(name) for where in index]
        first, k = next((table, k) for table, k in zip(tables, at, strict=True) if k is not None)
        rows.append(
            Rated(
                name,
                find(name),
                first.scene[k],
                tuple(math.nan if k is None else float(t.value[k]) for t, k in zip(tables, at, strict=True)),
                tuple(
                    math.nan if k is None or t.std is None else float(t.std[k]) for t, k in zip(tables, at, strict=True)
                ),
                device=first.columns["device"][k] if "device" in first.columns else "",
                condition=first.columns["condition"][k] if "condition" in first.columns else "",
                part=part[name],
            )
        )
    return tuple(rows)


def on_one_scale(
    name: str,
    labels: Labels,
    folder: Path,
    places: Sequence[str],
    part: Mapping[str, Part],
    *,
    high: float,
    licence: str,
    files: tuple[Path, ...],
) -> RatedSet:
    """The set of one table of overall ratings from 0 to `high`. Raises DataError for a rating outside."""
    outside = [each for each, value in zip(labels.image, labels.value, strict=True) if not 0 <= value <= high]
    if outside:
        raise DataError(
            f"{labels.source}: expected ratings from 0 to {high:g}, {len(outside)} are outside: {some(outside)}"
        )
    pictures = Pictures(folder)
    rows = rated([labels], lambda each: pictures.find(each, places), part)
    warnings = tuple(warning for warning in labels.warnings if warning.code != "one_scene")
    return RatedSet(name, ("overall",), rows, False, (0.0, high), licence, files, warnings)


def whole_range(labels: Sequence[npt.NDArray[np.float64]]) -> tuple[float, float]:
    """The whole numbers around all finite labels, for scales without stated ends; they differ by at least 1."""
    values = np.concatenate(labels)
    low, high = math.floor(np.nanmin(values)), math.ceil(np.nanmax(values))
    return float(low), float(max(high, low + 1))
