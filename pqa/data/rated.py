"""Rated pictures of any data set, as training reads them: what every reader of `pqa.data.sets.SETS` gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pqa.data.parts import Part
from pqa.types import Warn

__all__ = ["Rated", "RatedSet"]


@dataclass(frozen=True, slots=True)
class Rated:
    """One rated picture.

    `image` is its name in the data set (forward slashes), `path` the file. `labels` holds a mean rating for each attribute
    of the set (higher is better; NaN: not rated) and `stds` its standard deviation (NaN: not stated). `device` and
    `condition` are empty where the data set does not say; so are `content`, words for what the picture shows, and
    `distortion`, one word for its main fault.
    """

    image: str
    path: Path
    scene: str
    labels: tuple[float, ...]
    stds: tuple[float, ...]
    device: str = ""
    condition: str = ""
    part: Part = "train"
    content: tuple[str, ...] = ()
    distortion: str = ""


@dataclass(frozen=True, slots=True)
class RatedSet:
    """A data set with its division into parts.

    `per_scene`: labels compare within a scene only (JOD of PIQ23); false: all are on one scale, and the set is one scene
    unless its own labels name scenes. `range`: (low, high) of the scale. `files`: the label files that were read, whose
    hashes go into a trained model's provenance. `warnings`: what was left out, and why.
    """

    name: str
    attributes: tuple[str, ...]
    rows: tuple[Rated, ...]
    per_scene: bool
    range: tuple[float, float]
    licence: str
    files: tuple[Path, ...]
    warnings: tuple[Warn, ...] = ()
