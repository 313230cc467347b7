"""KonIQ-10k, *An ecologically valid database for deep learning of blind image quality assessment* (Hosu et al., IEEE TIP 2020).

`koniq10k_distributions_sets.csv` of the authors' code repository (image_name, c1 to c5, c_total, MOS, SD, set) divides into
training, validation and test; `koniq10k_scores_and_distributions.csv` of the database has MOS_zscore in place of that
MOS, and no sets. Pictures in `1024x768/` or `512x384/`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pqa.data.labels import NO_SCENE, Split, read_labels
from pqa.data.parts import Part
from pqa.data.rated import RatedSet
from pqa.data.reading import by_name, need_file, on_one_scale
from pqa.data.tables import clean_id, read_table, some
from pqa.errors import DataError

__all__ = ["FILES", "read"]

FILES = ("koniq10k_distributions_sets.csv", "koniq10k_scores_and_distributions.csv")
PLACES = ("1024x768", "512x384")
SETS: dict[str, Part] = {"training": "train", "validation": "choose", "test": "report"}

POINTS = 25.0
"""Units of the MOS for each step of the five-point scale on which SD is stated; an approximation, as the MOS was normalised by
observer."""

LICENCE = "published for research; see database.mmsp-kn.de"


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every labelled picture, one scale from 0 to 100. `stds`: of the mean, 25 SD / sqrt(c_total).

    Raises DataError for a missing file or column, bad labels, or a set that is none of the three.
    """
    path = need_file(folder, FILES)
    table = read_table(path)
    labels = read_labels(path, column=table.find(("mos_zscore",)))
    named = [clean_id(name) for name in table.columns[table.need(("image_name",), "the picture")]]
    if labels.std is not None:
        counts = dict(zip(named, table.numbers(table.need(("c_total",), "the number of ratings")), strict=True))
        labels = replace(labels, std=POINTS * labels.std / np.sqrt([counts[name] for name in labels.image]))
    part = by_name(labels.image)
    if table.find(("set",)):
        unknown = sorted(set(table.columns["set"]) - set(SETS))
        if unknown:
            raise DataError(f"{path}: expected the sets {', '.join(SETS)}, got {some(unknown)}")
        part = {name: SETS[each] for name, each in zip(named, table.columns["set"], strict=True)}
    # A column "set" reads as scenes elsewhere; here it is the division.
    labels = replace(labels, scene=(NO_SCENE,) * len(labels))
    return on_one_scale("koniq", labels, folder, PLACES, part, high=100.0, licence=LICENCE, files=(path,))
