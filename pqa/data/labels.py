"""Subjective labels from CSV: PIQ23's official score files, and any table with a picture and a mean rating.

PIQ23 (*An Image Quality Assessment Dataset for Portraits*, CVPR 2023): `Scores_<Attribute>.csv`, one row a picture, with
IMAGE PATH (backslashes), JOD, JOD STD, CI RANGE, IMAGE, SCENE, CONDITION, ...; split copies add SPLIT. `Scene Split.csv`
(SCENE, SPLIT), `Device Split.csv` (IMAGE, SPLIT) and `Image Metadata.csv` (Image, Device) are joined on their columns: by
substring Indoor_Scene_1 would also take Indoor_Scene_12. They are looked for beside the score file and in the folders of
the official release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt

from pqa.data.tables import Table, clean_id, read_table, some
from pqa.errors import DataError
from pqa.types import Warn

__all__ = [
    "CI_HIGH",
    "CI_LOW",
    "IMAGE",
    "METADATA",
    "NO_SCENE",
    "SCENE",
    "SPLITS",
    "STD",
    "VALUE",
    "Labels",
    "Split",
    "beside",
    "read_labels",
    "take_split",
]

Array = npt.NDArray[np.float64]
Split = Literal["scene", "device"]

IMAGE = ("image", "image path", "image name", "image_name", "img_name", "filename", "file", "id")
VALUE = ("jod", "mos", "label", "score")
STD = ("jod std", "std", "mos std", "label_std", "sd")
CI_LOW, CI_HIGH = ("ci low", "ci_low"), ("ci high", "ci_high")
SCENE = ("scene", "set", "group")
NO_SCENE = "all"
"""The one scene of a table that names none."""
PLACES = (".", "..", "Metadata", "../Metadata", "Test split", "../Test split", "../../Test split", "../../Metadata")
METADATA = "Image Metadata.csv"
SPLITS = {"scene": "Scene Split.csv", "device": "Device Split.csv"}


@dataclass(frozen=True, slots=True)
class Labels:
    """Mean ratings of N pictures, higher is better.

    `std` is the standard deviation of the mean rating, `ci` the half-width of its 95 % interval, (N,) each or None.
    `columns` holds every other column as text (`device` too), for slices. `warnings` name what was left out, and why.
    """

    source: Path
    image: tuple[str, ...]
    scene: tuple[str, ...]
    value: Array
    std: Array | None
    ci: Array | None
    columns: Mapping[str, tuple[str, ...]]
    warnings: tuple[Warn, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    def take(self, index: npt.NDArray[np.intp]) -> Labels:
        """The pictures of (M,) indices, in that order."""
        return replace(
            self,
            image=tuple(self.image[k] for k in index),
            scene=tuple(self.scene[k] for k in index),
            value=self.value[index],
            std=None if self.std is None else self.std[index],
            ci=None if self.ci is None else self.ci[index],
            columns={name: tuple(column[k] for k in index) for name, column in self.columns.items()},
        )


def read_labels(path: Path, *, column: str | None = None) -> Labels:
    """Read labels; `column` names the rating's column where it is not jod, mos, label or score.

    Rows without a finite rating or s.d. are left out and counted in `warnings`; without a scene column all pictures are
    one scene. Raises DataError for missing columns, a picture named twice, or no usable row.
    """
    table = read_table(path)
    image = table.need(IMAGE, "the picture")
    value = table.need((column.lower(),) if column else VALUE, "the mean rating")
    scene, std = table.find(SCENE), table.find(STD)
    warnings = [] if scene else [Warn("one_scene", f"{path.name} has no scene column: all pictures count as one scene")]
    names = tuple(map(clean_id, table.columns[image]))
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{path}: {len(twice)} pictures are labelled more than once: {some(twice)}")
    used = {image, value, scene, std, "image path"}
    labels = Labels(
        path,
        names,
        tuple(table.columns[scene]) if scene else (NO_SCENE,) * len(table),
        table.numbers(value),
        table.numbers(std) if std else None,
        _half_width(table, std),
        {name: tuple(cells) for name, cells in table.columns.items() if name not in used},
    )
    usable = np.isfinite(labels.value)
    if labels.std is not None:
        usable &= np.isfinite(labels.std) & (labels.std >= 0)
    lost = [name for name, fine in zip(names, usable, strict=True) if not fine]
    if lost:
        warnings.append(Warn("bad_label", f"{len(lost)} of {len(names)} labels are not usable numbers: {some(lost)}"))
    if len(lost) == len(names):
        raise DataError(f"{path}: none of {len(names)} rows has a usable rating")
    return replace(_with_devices(labels.take(np.flatnonzero(usable))), warnings=tuple(warnings))


def _half_width(table: Table, std: str | None) -> Array | None:
    """Half-width of the labels' 95 % intervals: from the stated interval, else 1.96 standard deviations."""
    low, high = table.find(CI_LOW), table.find(CI_HIGH)
    if low and high:
        return (table.numbers(high) - table.numbers(low)) / 2
    return 1.959964 * table.numbers(std) if std else None


def beside(path: Path, name: str) -> Path | None:
    """The file `name` beside the score file `path`, or in one of the release's folders around it."""
    return next((path.parent / place / name for place in PLACES if (path.parent / place / name).is_file()), None)


def _with_devices(labels: Labels) -> Labels:
    """Add the device of each picture from PIQ23's metadata, where that lies beside; a picture not in it has none."""
    found = None if "device" in labels.columns else beside(labels.source, METADATA)
    if found is None:
        return labels
    table = read_table(found)
    of = dict(zip(table.columns[table.need(("image",), "the picture")], table.columns["device"], strict=True))
    names = tuple(of.get(PurePosixPath(name).name, "") for name in labels.image)
    return replace(labels, columns={**labels.columns, "device": names}) if any(names) else labels


def take_split(labels: Labels, split: Split, part: str = "test") -> Labels:
    """One part of an official split, `test` or `train`, by its file beside the labels, joined on SCENE or IMAGE.

    A `split` column records the part. Raises DataError when the file is not there, or leaves no picture.
    """
    found = beside(labels.source, SPLITS[split])
    if found is None:
        raise DataError(
            f"{labels.source}: --split {split} needs {SPLITS[split]!r} beside it or in the release's folders"
        )
    table = read_table(found)
    key = table.need(("scene",) if split == "scene" else ("image",), "the split")
    side = dict(zip(table.columns[key], map(str.lower, table.columns[table.need(("split",), "the part")]), strict=True))
    keys = labels.scene if split == "scene" else tuple(PurePosixPath(name).name for name in labels.image)
    unknown = sorted({each for each in keys if each not in side})
    if unknown:
        raise DataError(f"{found}: does not place {len(unknown)} of the labels' {split} keys: {some(unknown)}")
    index = np.array([k for k, each in enumerate(keys) if side[each] == part.lower()], dtype=np.intp)
    if not index.size:
        raise DataError(
            f"{found}: no picture of {labels.source.name} is in part {part!r} ({', '.join(set(side.values()))})"
        )
    return labels.take(index)
