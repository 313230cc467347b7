"""Your own rated pictures: a folder with one CSV of labels.

The CSV (`labels.csv`, or the only one) has a column for the picture (image, filename, ...), relative to the folder, and one
for its mean rating (score, mos, jod, label, or overall), higher is better; if wanted std, scene, device, condition. Every
further column of numbers is an attribute by its name (detail, exposure, colour). Without a scene column the folders of the
picture say scene and device: `scene/a.jpg`, `scene/device/a.jpg`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from pqa.data.labels import CI_HIGH, CI_LOW, IMAGE, NO_SCENE, SCENE, STD, VALUE, Labels, Split, read_labels
from pqa.data.rated import Rated, RatedSet
from pqa.data.reading import Pictures, by_group, rated, whole_range
from pqa.data.tables import Table, read_table
from pqa.errors import DataError
from pqa.types import Warn

__all__ = ["FILE", "attributes", "label_file", "read"]

FILE = "labels.csv"
OVERALL = ("overall", *VALUE)
OTHERS = frozenset(
    {*IMAGE, *OVERALL, *SCENE, *STD, *CI_LOW, *CI_HIGH, "device", "condition", "split", "total comparisons"}
)
"""Columns that are no further attribute, whatever is in them; names that end in std are none either."""
LICENCE = "as its owner says"


def label_file(folder: Path) -> Path | None:
    """`labels.csv`, or the only CSV of the folder."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
    named = [path for path in tables if path.name.lower() == FILE]
    return named[0] if named else tables[0] if len(tables) == 1 else None


def _need(folder: Path) -> Path:
    path = label_file(folder)
    if path is None:
        raise DataError(
            f"{folder}: expected {FILE}, or one CSV with the columns image and score, found none or several"
        )
    return path


def attributes(folder: Path) -> tuple[str, ...]:
    """Those with a column: any name of a mean rating is the overall one, further ones are the other columns of numbers."""
    table = read_table(_need(folder))
    overall = ("overall",) if table.find(OVERALL) else ()
    return (*overall, *(name for name in table.columns if _is_rating(table, name)))


def _is_rating(table: Table, name: str) -> bool:
    if name in OTHERS or name.endswith("std"):
        return False
    try:
        return bool(np.isfinite(table.numbers(name)).any())
    except DataError:
        return False


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every labelled picture. Where there are several scenes, labels are taken to compare within a scene only.

    A fifth of the pictures are `report` and 12 % `choose`, by whole scenes or devices; with fewer than three of them by
    picture, with a warning. Raises DataError for a missing file or column, or bad labels.
    """
    path = _need(folder)
    table = read_table(path)
    tables = []
    for name in wanted:
        labels = read_labels(path, column=table.find((name,)))
        # The one column of standard deviations belongs to the overall rating.
        tables.append(_placed(labels if name == "overall" else replace(labels, std=None)))
    groups: dict[str, str] = {}
    for labels in tables:
        keys = labels.scene if split == "scene" else labels.columns["device"]
        groups |= {name: key or name for name, key in zip(labels.image, keys, strict=True)}
    warnings = [warning for labels in tables for warning in labels.warnings]
    count = len(set(groups.values()))
    if count < 3:
        message = f"{count} {split}(s) cannot be divided into three parts: pictures are divided one by one instead"
        warnings.append(Warn("divided_by_picture", message))
        groups = {name: name for name in groups}
    pictures = Pictures(folder)
    rows: tuple[Rated, ...] = rated(tables, pictures.find, by_group(groups))
    return RatedSet(
        "own",
        wanted,
        rows,
        per_scene=len({row.scene for row in rows}) > 1,
        range=whole_range([labels.value for labels in tables]),
        licence=LICENCE,
        files=(path,),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _placed(labels: Labels) -> Labels:
    """With scenes and devices from the pictures' folders where no column says them."""
    parents = [PurePosixPath(name).parts[:-1] for name in labels.image]
    scenes = labels.scene
    warnings = labels.warnings
    if any(parents) and any(warning.code == "one_scene" for warning in warnings):
        scenes = tuple(parts[0] if parts else NO_SCENE for parts in parents)
        warnings = tuple(warning for warning in warnings if warning.code != "one_scene")
    device = labels.columns.get("device", tuple(parts[1] if len(parts) > 1 else "" for parts in parents))
    return replace(labels, scene=scenes, columns={**labels.columns, "device": device}, warnings=warnings)
