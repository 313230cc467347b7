"""`sem_hyperiqa`: HyperIQA that also names the scene, and rescales its score by it.

Chahine et al., "An Image Quality Assessment Dataset for Portraits" (CVPR 2023); public code in DXOMARK-Research/PIQ2023.
Size `full` has 145,266,841 parameters with 50 scenes. Own code throughout.

The published variants are values of the configuration: `full` feeds the rescaler with the scene posterior, `full_so`
(scene only) with the one-hot known scene, `full_co` (condition only) with the one-hot known one of four light conditions.

Licence: Apache-2.0; the trunk's ImageNet weights are BSD-3-Clause.

Differences from the paper:
- test crops are five (see `hyperiqa`); posterior and unscaled score are averaged over them before rescaling, so that the
  scene network always reads one crop, as in the published parameter count;
- first values are not published (the public initialiser fails on convolutions without bias): rescaling begins near the
  identity;
- where the rescaler wants a known scene and none is known, the most probable one is taken; so the variants keep the scene
  network. With a known scene, `score_by_scene` holds exactly the paper's score;
- pooling a posterior over several shots of one scene mixes the scenes' scores linearly, while `score` rescales by the
  posterior itself, which is not linear.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.errors import unknown_key
from pqa.nn.models.hyperiqa import TINY, HyperIqaConfig, HyperNetwork, as_crops

__all__ = ["CONDITIONS", "SIZES", "SceneConfig", "SceneHyperIqa", "SemHyperIqa", "SemHyperIqaConfig", "strips"]

CONDITIONS = ("Indoor", "Outdoor", "Lowlight", "Night")
"""PIQ23's four light conditions."""

RESCALING = Literal["posterior", "known"]


@dataclass(frozen=True)
class SceneConfig(HyperIqaConfig):
    """`scene_width` and `rescale_width`: hidden units of the scene network and of the rescaler."""

    scenes: tuple[str, ...] = tuple(f"scene_{index}" for index in range(50))
    scene_width: int = 500
    rescale_width: int = 100


@dataclass(frozen=True)
class SemHyperIqaConfig(SceneConfig):
    """`rescaling`: what the rescaler reads, the scene posterior or a one-hot scene."""

    rescaling: RESCALING = "posterior"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rescaling not in get_args(RESCALING):
            raise unknown_key(self.rescaling, get_args(RESCALING), "rescaling")


TINY_SCENES: dict[str, Any] = TINY | {"scenes": ("a", "b", "c"), "scene_width": 24, "rescale_width": 16}

SIZES: dict[str, SemHyperIqaConfig] = {
    "full": SemHyperIqaConfig(),
    "full_so": SemHyperIqaConfig(rescaling="known"),
    "full_co": SemHyperIqaConfig(rescaling="known", scenes=CONDITIONS),
    "tiny": SemHyperIqaConfig(**TINY_SCENES),
}


class SceneHyperIqa(nn.Module, ABC):
    """What SEM-HyperIQA and FHIQA share; they differ in `combine`."""

    outputs = ("score", "scene_probabilities", "score_by_scene")
    branch_names: tuple[str, ...] = ()
    columns: Tensor

    def __init__(self, config: SceneConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = config.views()
        self.core = HyperNetwork(config, pretrained=pretrained)
        scenes, wide, narrow = len(config.scenes), config.scene_width, config.rescale_width
        self.register_buffer("columns", strips(config.grid, scenes), persistent=False)
        self.scene = nn.Sequential(
            nn.Linear(config.width // 2 * scenes, wide),
            nn.ReLU(),
            nn.Linear(wide, wide),
            nn.ReLU(),
            nn.Linear(wide, scenes),
        )
        self.rescale = nn.Sequential(
            nn.Linear(scenes, narrow),
            nn.ReLU(),
            nn.Linear(narrow, narrow),
            nn.ReLU(),
            nn.Linear(narrow, narrow),
            nn.ReLU(),
            last := nn.Linear(narrow, 2 * len(config.attributes)),
        )
        for layer in (*self.scene, *self.rescale):
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        # A q + b begins near q itself: gains drawn about zero would turn the order of half of the scenes.
        gain, _ = last.bias.chunk(2)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.ones_(gain)

    def forward(self, crops: Float[Tensor, "n *k 3 h w"]) -> tuple[Tensor, ...]:
        crops = as_crops(crops)
        quality, features = self.core(crops.flatten(0, 1))
        pooled = (features.mean(dim=2) @ self.columns).flatten(1)
        probabilities = self.scene(pooled).softmax(dim=1)
        quality, probabilities = (
            values.unflatten(0, (-1, crops.shape[1])).mean(dim=1) for values in (quality, probabilities)
        )
        known = torch.eye(len(self.config.scenes), dtype=quality.dtype, device=quality.device)
        by_scene = self.rescaled(quality[:, None], known)
        return self.combine(quality, probabilities, by_scene), probabilities, by_scene

    def rescaled(self, quality: Float[Tensor, "*n a"], vector: Float[Tensor, "*n s"]) -> Float[Tensor, "*n a"]:
        """a q + b with (a, b) as the rescaler makes them of a scene vector."""
        both: Tensor = self.rescale(vector)
        gain, offset = both.chunk(2, dim=-1)
        return gain * quality + offset

    @abstractmethod
    def combine(
        self,
        quality: Float[Tensor, "n a"],
        probabilities: Float[Tensor, "n s"],
        by_scene: Float[Tensor, "n s a"],
    ) -> Float[Tensor, "n a"]:
        """The score where no scene is known."""


class SemHyperIqa(SceneHyperIqa):
    """See the module."""

    config: SemHyperIqaConfig

    def combine(
        self,
        quality: Float[Tensor, "n a"],
        probabilities: Float[Tensor, "n s"],
        by_scene: Float[Tensor, "n s a"],
    ) -> Float[Tensor, "n a"]:
        if self.config.rescaling == "known":
            probabilities = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1]).to(quality.dtype)
        return self.rescaled(quality, probabilities)


def strips(length: int, count: int) -> Float[Tensor, "length count"]:
    """Means over `count` overlapping runs of `length` positions, as a matrix: what adaptive pooling does to one axis.

    As a matrix since `count` may exceed `length`, a pooling that ONNX has no operator for.
    """
    matrix = torch.zeros(length, count)
    for index in range(count):
        first, last = index * length // count, math.ceil((index + 1) * length / count)
        matrix[first:last, index] = 1.0 / (last - first)
    return matrix
