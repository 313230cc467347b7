"""LIVE In the Wild Image Quality Challenge, *Massive Online Crowdsourced Study* (Ghadiyaram & Bovik, IEEE TIP 2016).

`Data/AllImages_release.mat`, `AllMOS_release.mat`, `AllStdDev_release.mat`: 1,169 names, MOS and standard deviations in one
order, the variables named after their files; pictures in `Images/`. Seven pictures (t1 to t7) that taught the observers are
left out. Many pictures are BMP, which is not decoded here: convert them to PNG under the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from pqa.data.labels import NO_SCENE, Labels, Split
from pqa.data.rated import RatedSet
from pqa.data.reading import by_name, need_file, on_one_scale
from pqa.data.tables import some
from pqa.errors import DataError

__all__ = ["FILES", "read"]

FILES = ("AllImages_release.mat", "AllMOS_release.mat", "AllStdDev_release.mat")
PLACES = ("Images",)

RATINGS = 175
"""Mean number of ratings of a picture (readme of the release); the number of each is not published."""

LICENCE = "free with the copyright notice and acknowledgement of LIVE, University of Texas at Austin"


def read(folder: Path, wanted: tuple[str, ...], split: Split) -> RatedSet:
    """Every rated picture, one scale from 0 to 100. `stds`: of the mean, that of the ratings / sqrt(175).

    Parts by the hash of the name. Raises DataError for missing or damaged files, or files of different lengths.
    """
    paths = tuple(need_file(folder, (name,)) for name in FILES)
    names, values, spreads = (_variable(path) for path in paths)
    if not len(names) == len(values) == len(spreads):
        raise DataError(
            f"{paths[0].parent}: the files differ in length: {len(names)} names, {len(values)} MOS, {len(spreads)} s.d."
        )
    keep = [k for k, name in enumerate(names) if not str(name).startswith("t")]
    image = tuple(str(names[k]) for k in keep)
    value = np.array([float(values[k]) for k in keep])
    bad = [name for name, fine in zip(image, np.isfinite(value), strict=True) if not fine]
    if bad or len(set(image)) < len(image):
        raise DataError(
            f"{paths[0].parent}: {len(bad)} labels are no numbers ({some(bad)}) or a picture is named twice"
        )
    std = np.array([float(spreads[k]) for k in keep]) / RATINGS**0.5
    labels = Labels(paths[1], image, (NO_SCENE,) * len(image), value, std, None, {})
    return on_one_scale("livew", labels, folder, PLACES, by_name(image), high=100.0, licence=LICENCE, files=paths)


def _variable(path: Path) -> list[Any]:
    """The one variable of a file as a flat list; cells come out of their nested arrays."""
    try:
        table: npt.NDArray[Any] = loadmat(path)[path.stem]
    except KeyError as error:
        raise DataError(f"{path}: expected a variable named {path.stem}") from error
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path}: cannot be read as a MATLAB file: {error}") from error
    return [cell.item() if isinstance(cell, np.ndarray) else cell for cell in table.ravel()]
