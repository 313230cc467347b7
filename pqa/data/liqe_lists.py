"""The six sets of LIQE with what its authors say of every picture: scenes and distortion beside the rating.

Zhang et al., "Blind Image Quality Assessment via Vision-Language Correspondence: A Multitask Learning Perspective" (CVPR
2023): LIVE, CSIQ, BID, LIVE in the Wild, KonIQ-10k and KADID-10k, each in ten divisions. `SET/splits2/K/NAME_PART_clip.txt`
of their repository (zwx8981/LIQE, `IQA_Database`): no header, six columns parted by tabs: picture, rating, distortion and up
to three scenes, `invalid` where there are fewer. As there, ratings of LIVE and CSIQ are turned round: higher is better. The
lists call LIVE's fast fading white noise; so it is read.

Many pictures of LIVE, BID and LIVE in the Wild are BMP, which is not decoded here: convert them to PNG under the same names.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pqa.data.labels import NO_SCENE, Split
from pqa.data.parts import Part
from pqa.data.rated import Rated, RatedSet
from pqa.data.reading import Pictures, whole_range
from pqa.data.tables import clean_id, some
from pqa.errors import DataError, unknown_key
from pqa.types import Warn

__all__ = ["CONTENTS", "DISTORTIONS", "FILES", "LICENCE", "lists", "read"]

SETS = ("live", "csiq", "bid", "clive", "koniq10k", "kadid10k")
PARTS: dict[Part, str] = {"train": "train", "choose": "val", "report": "test"}
FILES = tuple(f"{name}_train_clip.txt" for name in SETS)
FIRST = Path("splits2", "1")
NONE = "invalid"

CONTENTS = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")

DISTORTIONS = {
    "jpeg2000 compression": "jpeg2000 compression",
    "jpeg compression": "jpeg compression",
    "white noise": "noise",
    "gaussian blur": "blur",
    "fastfading": "jpeg2000 compression",
    "fnoise": "noise",
    "contrast": "contrast",
    "lens": "blur",
    "motion": "blur",
    "diffusion": "color",
    "shifting": "blur",
    "color quantization": "quantization",
    "oversaturation": "color",
    "desaturation": "color",
    "white with color": "noise",
    "impulse": "noise",
    "multiplicative": "noise",
    "white noise with denoise": "noise",
    "brighten": "overexposure",
    "darken": "underexposure",
    "shifting the mean": "other",
    "jitter": "spatial",
    "noneccentricity patch": "spatial",
    "pixelate": "spatial",
    "quantization": "quantization",
    "color blocking": "spatial",
    "sharpness": "contrast",
    "realistic blur": "blur",
    "realistic noise": "noise",
    "underexposure": "underexposure",
    "overexposure": "overexposure",
    "realistic contrast change": "contrast",
    "other realistic": "other",
}
"""The lists' 33 distortions as the 11 words of the model's sentences (`train_unique_clip_weight.py` there)."""

LICENCE = "terms of each set; those of the lists are not stated"


def lists(folder: Path) -> tuple[Path, str] | None:
    """Where a set's lists lie, and which set it is: in `folder` itself or in its first division; None without any."""
    for place in (folder, folder / FIRST):
        for name, file in zip(SETS, FILES, strict=True):
            if (place / file).is_file():
                return place, name
    return None


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every listed picture, one scale. `folder`: a set's, of which the first division is read, or one of its divisions
    (`SET/splits2/7`). The set is named as in the lists.

    Raises DataError for a missing list, a line of other cells, a rating that is no number, unknown words.
    """
    found = lists(folder)
    if found is None:
        raise DataError(f"{folder}: expected {' or '.join(FILES)} in it or in {FIRST}, found none")
    place, name = found
    pictures = Pictures(place.absolute().parents[1])
    files = tuple(place / f"{name}_{word}_clip.txt" for word in PARTS.values())
    rows: dict[str, Rated] = {}
    twice = []
    for part, file in zip(PARTS, files, strict=True):
        for row in _rows(file, part, pictures):
            if row.image in rows:
                twice.append(row.image)
            rows[row.image] = row  # the last list counts: what is reported on is never trained on
    warned = [Warn("listed_twice", f"{len(twice)} pictures stand in several lists: {some(twice)}")] if twice else []
    labels = np.array([row.labels[0] for row in rows.values()])
    return RatedSet(
        name, ("overall",), tuple(rows.values()), False, whole_range([labels]), LICENCE, files, tuple(warned)
    )


def _rows(file: Path, part: Part, pictures: Pictures) -> list[Rated]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as a list of pictures: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 6:
            raise DataError(f"{file}, line {number}: expected 6 cells parted by tabs, got {len(cells)}")
        image, rating, distortion, *scenes = cells
        content = tuple(scene for scene in scenes if scene != NONE)
        for word, known in ((distortion, DISTORTIONS), *((scene, CONTENTS) for scene in content)):
            if word not in known:
                raise DataError(f"{file}, line {number}: {unknown_key(word, known, 'word')}")
        name = clean_id(image)
        labels = (_number(rating, file, number),)
        rows.append(
            Rated(
                name,
                pictures.find(name),
                NO_SCENE,
                labels,
                (math.nan,),
                part=part,
                content=content,
                distortion=DISTORTIONS[distortion],
            )
        )
    if not rows:
        raise DataError(f"{file}: expected a line for each picture, got none")
    return rows


def _number(text: str, file: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{file}, line {line}: the rating is no number: {text!r}")
    return value
