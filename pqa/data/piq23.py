"""PIQ23, *An Image Quality Assessment Dataset for Portraits* (Chahine et al., CVPR 2023), in its official layout.

`Scores_Overall.csv`, `Scores_Details.csv`, `Scores_Exposure.csv` (at the top or in `Scores/`), pictures in `Overall/`,
`Details/`, `Exposure/`, split files in `Test split/`, devices in `Metadata/Image Metadata.csv`. The three folders hold the
same picture names but different regions of interest (README of the release): by default a picture comes from the folder of
the first attribute asked for, and where it is not there, from another.
"""

from __future__ import annotations

import filecmp
from pathlib import Path

from pqa.data.labels import METADATA, SPLITS, Split, beside, read_labels, take_split
from pqa.data.rated import Rated, RatedSet
from pqa.data.reading import Pictures, by_group, find_file, need_file, rated, whole_range
from pqa.types import Warn

__all__ = ["FILES", "attributes", "read"]

FILES = {"overall": "Scores_Overall.csv", "detail": "Scores_Details.csv", "exposure": "Scores_Exposure.csv"}
FOLDERS = {"overall": "Overall", "detail": "Details", "exposure": "Exposure"}

LICENCE = "non-commercial research only; derived data restricted (terms of the PIQ23 release)"

TRUTH = "Truth.csv"
"""Lies in a folder of `pqa simulate` and in no release."""

SIMULATED_LICENCE = "simulated labels; for the pictures the terms of the portraits that they were made from"


def attributes(folder: Path) -> tuple[str, ...]:
    """Those whose score file is there."""
    return tuple(name for name, file in FILES.items() if find_file(folder, (file,)))


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every labelled picture, whether its file is there or not. Labels in JOD, comparable within a scene only.

    The official test part is `report`; about 12 % of the official training part are `choose`: whole scenes for the scene
    split, for the device split the pictures of whole devices (a device of `choose` or `train` may also occur in the test
    part, where the official split has it so). Raises DataError for missing score or split files and for bad labels.
    """
    tables = [read_labels(need_file(folder, (FILES[name],))) for name in wanted]
    report = {name for table in tables for name in take_split(table, split, "test").image}
    groups: dict[str, str] = {}
    for table in tables:
        devices = table.columns.get("device", ("",) * len(table))
        keys = table.scene if split == "scene" else devices
        groups |= {name: key or name for name, key in zip(table.image, keys, strict=True)}
    pictures = Pictures(folder)
    places = tuple(FOLDERS[name] for name in dict.fromkeys((*wanted, *FILES)))
    rows = rated(tables, lambda name: pictures.find(name, places), by_group(groups, report))
    files = [table.source for table in tables]
    files += [file for name in (SPLITS[split], METADATA) if (file := beside(tables[0].source, name))]
    warnings = [warning for table in tables for warning in table.warnings]
    simulated = find_file(folder, (TRUTH,)) is not None
    return RatedSet(
        "simulated" if simulated else "piq23",
        wanted,
        rows,
        per_scene=True,
        range=whole_range([table.value for table in tables]),
        licence=SIMULATED_LICENCE if simulated else LICENCE,
        files=tuple(files),
        warnings=(*warnings, *_regions(pictures, wanted, rows)),
    )


def _regions(pictures: Pictures, wanted: tuple[str, ...], rows: tuple[Rated, ...]) -> list[Warn]:
    """What to know about the folders the pictures came from."""
    first = FOLDERS[wanted[0]]
    others = {name.lower() for name in FOLDERS.values()} - {first.lower()}
    here = [row for row in rows if row.path.is_file()]
    warnings = []
    strange = sum(row.path.relative_to(pictures.folder).parts[0].lower() in others for row in here)
    if strange:
        message = f"{strange} of {len(rows)} pictures are not in {first}, taken from elsewhere"
        warnings.append(Warn("other_region", message))
    # One picture tells: the release cuts all of a folder to other regions, a simulated set none.
    shown = [(FOLDERS[name], pictures.find(row.image, (FOLDERS[name],))) for row in here[:1] for name in wanted[1:]]
    own = [path for place, path in shown if place.lower() in map(str.lower, path.relative_to(pictures.folder).parts)]
    if any(not filecmp.cmp(here[0].path, path, shallow=False) for path in own):
        message = (
            f"the pictures of {first} carry the labels of {', '.join(wanted)}; raters of the others saw other regions of the "
            "same shots"
        )
        warnings.append(Warn("regions", message))
    return warnings
