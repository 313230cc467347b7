"""Frozen value types that travel through the whole system.

Field names are the keys of the answer document (`POST /rank`, `pqa rank --json`): `Ranking.to_dict()` is that
document. Coordinates are pixels of the displayed picture (after EXIF orientation), origin top left, x to the right.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL.Image

from pqa.errors import Status
from pqa.structured import structured

__all__ = [
    "SCHEMA_VERSION",
    "Best",
    "Estimate",
    "Face",
    "Group",
    "Image",
    "ImageSource",
    "ModelInfo",
    "RankedScore",
    "Ranking",
    "Reason",
    "Scale",
    "SceneMode",
    "Score",
    "Unscored",
    "Warn",
]

SCHEMA_VERSION = 1

ImageSource = bytes | str | Path | npt.NDArray[np.uint8] | PIL.Image.Image
SceneMode = Literal["image", "group", "known"]


@dataclass(frozen=True, slots=True)
class Image:
    """One picture to score: where it comes from and the set it belongs to."""

    id: str
    source: ImageSource
    scene: str = "default"
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face. `landmarks` are left eye, right eye, nose, left and right mouth corner as seen.

    `quality`: what the model's face branch sees in it, on the scale of the score; None for faces that it was not asked for
    and for models without such a branch. `used`: the score is about this one.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    confidence: float
    quality: float | None = None
    used: bool = False

    @property
    def side(self) -> float:
        """Longer edge of the box in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    def turned(self, degrees: int, size: tuple[int, int]) -> Face:
        """The face in its picture of `size` (width, height) turned counter-clockwise by 0, 90, 180 or 270 degrees."""
        if not degrees:
            return self
        (x1, y1, x2, y2), width = self.box, size[0]
        landmarks = tuple((y, width - x) for x, y in self.landmarks)
        quarter = dataclasses.replace(self, box=(y1, width - x2, y2, width - x1), landmarks=landmarks)
        return quarter.turned(degrees - 90, size[::-1])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A predicted mean rating and the standard deviation of its error, both on the model's scale."""

    score: float
    std: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A measured fault: `value` crossed `threshold` (both in `unit`)."""

    code: str
    value: float
    threshold: float
    unit: str


@dataclass(frozen=True, slots=True)
class Score:
    """One scored picture. Higher is better; compare within one model and scene only.

    `score` is that of the picture alone. `joint_score` is on the same scale, of the picture seen together with its set;
    None where it was scored by itself, where its set is it alone or too large, or where the model has no set head.
    """

    id: str
    scene: str
    score: float
    score_std: float | None
    joint_score: float | None
    attributes: Mapping[str, Estimate]
    branches: Mapping[str, float]
    gate: float | None
    scene_probabilities: Mapping[str, float]
    width: int
    height: int
    faces: tuple[Face, ...]
    reasons: tuple[Reason, ...]
    flags: tuple[str, ...]
    status: Status = "ok"
    measurements: Mapping[str, float | None] = field(default_factory=dict)
    """What was measured on picture and face, in the units of `pqa.pixels.measures.Measurements`; no part of the score.

    Of a `truncated` picture also `rows_decoded`: the share of its stored rows that came, 0.5 to 1.
    """
    device: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class RankedScore(Score):
    """A score with its place in its group (defaults are placeholders that `pqa.ranking` always fills)."""

    rank: int = 0
    tie_group: int = 0
    relative_quality: float | None = None


@dataclass(frozen=True, slots=True)
class Unscored:
    """A picture without a score, and why."""

    id: str
    scene: str
    status: Status
    detail: str

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Scale:
    """Range of a model's scores."""

    min: float
    max: float
    comparable_across_scenes: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model gave the scores."""

    name: str
    version: str
    sha256: str
    trained: bool
    scale: Scale


@dataclass(frozen=True, slots=True)
class Warn:
    """Something the reader of an answer should know."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Best:
    """The first of a group and the chance that it is truly the best of it."""

    id: str
    p_best: float


@dataclass(frozen=True, slots=True)
class Group:
    """The ranking of one scene. Rows and columns of `win_probability` follow `order`."""

    scene: str
    best: Best | None
    order: tuple[str, ...]
    ranking: tuple[RankedScore, ...]
    win_probability: tuple[tuple[float, ...], ...] | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer document: one group a scene, best first."""

    model: ModelInfo
    attribute: str
    scene_mode: SceneMode
    groups: tuple[Group, ...]
    unscored: tuple[Unscored, ...] = ()
    warnings: tuple[Warn, ...] = ()
    schema_version: int = field(default=SCHEMA_VERSION)

    def to_dict(self) -> dict[str, Any]:
        """The document as plain dicts and lists, ready for `json.dumps`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Ranking:
        """The ranking of a document, as `to_dict` gives it or as `json.loads` reads it, equal to the one it was made from.

        Raises ConfigurationError for an unknown or missing key, or a value of another type.
        """
        return structured(cls, document, "document")
