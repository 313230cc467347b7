"""GFIQA-20k, *Going the Extra Mile in Face Image Quality Assessment* (Su et al., IEEE TMM 2024).

`mos_val_rating.csv` or `mos.csv` (img_name, mos), pictures in `image/`. Read in two independent readers of the set; neither
the set's own files nor its documentation were at hand.
"""

from __future__ import annotations

from pathlib import Path

from pqa.data.labels import Split, read_labels
from pqa.data.rated import RatedSet
from pqa.data.reading import by_name, need_file, on_one_scale

__all__ = ["FILES", "read"]

FILES = ("mos_val_rating.csv", "mos.csv")
PLACES = ("image", "images")

LICENCE = "published for research; see database.mmsp-kn.de"


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every labelled picture, one scale from 0 to 1, without standard deviations; parts by the hash of the name.

    Raises DataError for a missing file or column, or bad labels.
    """
    path = need_file(folder, FILES)
    labels = read_labels(path)
    part = by_name(labels.image)
    return on_one_scale("gfiqa", labels, folder, PLACES, part, high=1.0, licence=LICENCE, files=(path,))
