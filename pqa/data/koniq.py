"""KonIQ-10k, *An ecologically valid database for deep learning of blind image quality assessment* (Hosu et al., IEEE TIP 2020).

`koniq10k_distributions_sets.csv` of the authors' code repository (image_name, c1 to c5, c_total, MOS, SD, set) divides into
training, validation and test; `koniq10k_scores_and_distributions.csv` of the database has MOS_zscore in place of that
MOS, and no sets. Pictures in `1024x768/` or `512x384/`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pqa.data.labels import Split, read_labels
from pqa.data.parts import Part
from pqa.data.rated import RatedSet
from pqa.data.reading import Pictures, by_name, need_file, rated
from pqa.data.tables import read_table, some
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
    if labels.std is not None and "c_total" in labels.columns:
        counts = np.array([float(cell or "nan") for cell in labels.columns["c_total"]])
        labels.std[:] /= np.sqrt(counts)
    names = labels.image
    part = by_name(names)
    if "set" in labels.columns:
        unknown = sorted(set(labels.columns["set"]) - set(SETS))
        if unknown:
            raise DataError(f"{path}: expected the sets {', '.join(SETS)}, got {some(unknown)}")
        part = {name: SETS[each] for name, each in zip(names, labels.columns["set"], strict=True)}
    pictures = Pictures(folder)
    rows = rated([labels], lambda name: pictures.find(name, PLACES), part, scale=POINTS)
    return RatedSet("koniq", wanted, rows, False, (0.0, 100.0), LICENCE, (path,))
