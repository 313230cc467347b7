"""SPAQ, *Perceptual Quality Assessment of Smartphone Photography* (Fang et al., CVPR 2020).

`MOS and Image attribute scores.xlsx` saved as CSV (Image name, MOS, Brightness, Colorfulness, Contrast, Noisiness,
Sharpness), pictures in `TestImage/`. Only the MOS is read: the attributes are none of ours.
"""

from __future__ import annotations

from pathlib import Path

from pqa.data.labels import Split, read_labels
from pqa.data.rated import RatedSet
from pqa.data.reading import by_name, find_file, on_one_scale
from pqa.errors import DataError

__all__ = ["FILES", "read"]

FILES = ("MOS and Image attribute scores.csv", "MOS_and_Image_attribute_scores.csv")
SHEETS = tuple(name.replace(".csv", ".xlsx") for name in FILES)
PLACES = ("TestImage",)

LICENCE = "educational and research purposes only (readme of the SPAQ release)"


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every labelled picture, one scale from 0 to 100, without standard deviations; parts by the hash of the name.

    Raises DataError for a missing file or column, or bad labels; where only the spreadsheet is there, says how to save it.
    """
    path = find_file(folder, FILES)
    if path is None:
        sheet = find_file(folder, SHEETS)
        hint = f"; open {sheet} in a spreadsheet program and save it as CSV under the same name" if sheet else ""
        raise DataError(f"{folder}: expected {FILES[0]!r} in it or one folder below, found none{hint}")
    labels = read_labels(path)
    part = by_name(labels.image)
    return on_one_scale("spaq", labels, folder, PLACES, part, high=100.0, licence=LICENCE, files=(path,))
