"""`ModelSpec`: everything a model file says about itself.

It travels as JSON in the metadata of the ONNX file (key `pqa.spec`) and is the only handshake between `pqa.nn` /
`export` (which write it) and `pqa.runtime` (which reads it).

Graph contract. Inputs: one tensor a view, named as the view; picture views `(N, 3, H, W)` float32 RGB normalised with
the view's mean and std, or `(N, K, 3, H, W)` for K > 1 crops; vector views `(N, D)` float32. Outputs (N pictures,
A attributes, S scenes, B branches):

| name | shape | meaning |
|---|---|---|
| score | (N, A) | predicted mean rating with the picture's own scene posterior; higher is better |
| std | (N, A) | standard deviation of its error, before calibration; optional |
| scene_probabilities | (N, S) | scene posterior, rows sum to one; optional |
| score_by_scene | (N, S, A) | the score if scene s were certain; scene vector p: sum_s p_s score_by_scene_s; optional |
| distortion_probabilities | (N, D) | posterior of the kind of fault; for training, not served; optional |
| branches | (N, B) | score of each branch alone for the first attribute; optional |
| gate | (N,) | weight of the face branch in [0, 1]; optional |
| distance | (N,) | how far the nearest of the training pictures is, by statistics; optional |
| embedding | (N, E) | what pictures of one set are compared by; only with `sets` |

With `sets` the file holds a second graph, as base64 in its metadata (key `pqa.sets`), which takes one set of M pictures:
`embedding` (M, E) and `score` (M, A), the score under whatever scene vector was asked for, and gives `joint` (M, A), the
score of each picture seen together with the others. The order of the set changes nothing, and a set of one keeps its score.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal

from pqa.errors import ConfigurationError
from pqa.structured import structured

__all__ = ["SETS_KEY", "SPEC_KEY", "Calibration", "CropRule", "ModelSpec", "Parity", "ViewSpec"]

SPEC_KEY = "pqa.spec"
SETS_KEY = "pqa.sets"
SPEC_VERSION = 1


@dataclass(frozen=True, slots=True)
class CropRule:
    """How a face box becomes a crop.

    The box is squared on its longer edge (if `square`), its side multiplied by `scale`, enlarged by `margin_px` on
    every side, raised to `min_side` pixels, and moved (then cut) to lie inside the picture.
    """

    scale: float = 1.0
    margin_px: float = 0.0
    min_side: float = 0.0
    square: bool = True
    fallback: Literal["whole", "centre"] = "whole"


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """One input of the graph. `kind` is a row of `pqa.pixels.views.VIEWS`.

    `size` is (height, width) of a picture view, (length,) of a vector view. `crops` > 1: that many crops a picture.
    `short_side` is the reduction of the picture before cropping (0: the view's own rule). `mean` and `std` apply to
    pixels in [0, 1]. `reference` marks a view cut from the reference picture of a two-input model. `enlarge`: a picture
    smaller than the tensor is enlarged to it (kind `crops`) instead of mirrored outwards.
    """

    name: str
    kind: str
    size: tuple[int, ...]
    crops: int = 1
    short_side: int = 0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: CropRule | None = None
    reference: bool = False
    enlarge: bool = False


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the graph's spread becomes an honest one.

    The calibrated std of a picture is `std_scale` times the graph's std; the probability that i beats j is
    Phi(slope * (s_i - s_j) / sqrt(std_i^2 + std_j^2)): with `win_slope`, or, for two shots of one scene, with `within_slope`
    where that was fitted apart. What a model gets wrong in a scene it gets wrong in all its shots, so that their difference
    says more than that of two scenes. `source` says on which pairs this was fitted.
    """

    std_scale: float = 1.0
    win_slope: float = 1.0
    source: str = "not calibrated"
    within_slope: float | None = None

    @property
    def scene_slope(self) -> float:
        """The slope between shots of one scene."""
        return self.win_slope if self.within_slope is None else self.within_slope


@dataclass(frozen=True, slots=True)
class Parity:
    """Agreement of the exported graph with torch: largest difference over `pictures`, and torch's own spread there."""

    max_difference: float
    spread: float
    pictures: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model file says about itself. `range` is the scale of the ratings it was trained on (not a clip).

    `sets`: it also scores pictures together with their set (see the module). A picture whose output `distance` is above
    `unlike_above` is flagged `unlike_training`.
    """

    name: str
    version: str
    architecture: str
    views: tuple[ViewSpec, ...]
    attributes: tuple[str, ...]
    trained: bool
    scenes: tuple[str, ...] = ()
    range: tuple[float, float] = (0.0, 1.0)
    branches: tuple[str, ...] = ()
    sets: bool = False
    unlike_above: float | None = None
    comparable_across_scenes: bool = False
    detector: str = "mtcnn"
    licence: str = "unspecified"
    data: tuple[str, ...] = ()
    description: str = ""
    calibration: Calibration = field(default_factory=Calibration)
    parity: Parity | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    spec_version: int = SPEC_VERSION

    def __post_init__(self) -> None:
        if not self.views:
            raise ConfigurationError("a ModelSpec needs at least one view, got none")
        if not self.attributes:
            raise ConfigurationError("a ModelSpec needs at least one attribute, got none")
        names = [view.name for view in self.views]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"view names must differ, got {names}")
        if not self.range[0] < self.range[1]:
            raise ConfigurationError(f"range must be (low, high) with low < high, got {self.range}")
        if self.spec_version > SPEC_VERSION:
            raise ConfigurationError(
                f"this model file has spec version {self.spec_version}, this pqa reads up to {SPEC_VERSION}: update pqa"
            )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read a spec; unknown or missing keys and wrong types raise ConfigurationError."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"the model's spec is not JSON: {error}") from error
        return structured(cls, raw, "spec")
