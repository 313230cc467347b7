"""`scene_gate`: our own model. Global and face branches, scene-wise rescaling, gating fusion, three attributes, spread.

What it joins:
- scene-adaptive rescaling: Chahine et al., "An Image Quality Assessment Dataset for Portraits" (CVPR 2023,
  SEM-HyperIQA) and "Generalized Portrait Quality Assessment" (2024, FHIQA): Q = sum_s p_s (a_s q + b_s), here for each
  branch and over the whole scene vector, so that an unseen scene is a mixture of known ones;
- a face branch and a gate: SAR in the NTIRE 2024 portrait quality challenge survey, q = g q_face + (1 - g) q_global;
- hand-made natural-scene statistics beside the learned features, after the gradient-boosting entries of NTIRE 2021.

Differences from those papers: rescaling follows each branch instead of the end; the gate also sees whether there is a
face, how large it is and how sure, and is zero without one; the spread (standard deviation of the error) is predicted.

Licence: Apache-2.0. The trunk is a timm model given by configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.nn.backbones import trunk
from pqa.spec import CropRule, ViewSpec

__all__ = ["SIZES", "SceneGate", "SceneGateConfig"]


@dataclass(frozen=True)
class SceneGateConfig:
    """`statistics` is the length of the two vectors of natural-scene statistics (0: branches see pixels alone).

    `width` is the embedding of each source of a branch; `floor` the smallest spread in units of the score.
    """

    backbone: str = "resnet10t"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    global_size: int = 224
    face_size: int = 224
    statistics: int = 0
    statistics_side: int = 512
    face_statistics_side: int = 224
    width: int = 96
    dropout: float = 0.2
    floor: float = 0.02
    attributes: tuple[str, ...] = ("overall", "detail", "exposure")
    scenes: tuple[str, ...] = ("bright", "neutral", "warm", "dark")


SIZES: dict[str, SceneGateConfig] = {
    "tiny": SceneGateConfig(
        backbone_options={"channels": (16, 24, 32, 48), "stem_width": 8}, global_size=64, face_size=64, width=24
    ),
    "small": SceneGateConfig(backbone_options={"channels": (16, 32, 64, 128), "stem_width": 8}),
    "full": SceneGateConfig(backbone="vit_base_patch16_clip_224", width=256),
}


class Branch(nn.Module):
    """Pixels (N, 3, H, W) and statistics (N, D) to an embedding (N, E) and a score for each attribute (N, A)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: SceneGateConfig, *, pretrained: bool) -> None:
        super().__init__()
        self.trunk, features = trunk(config.backbone, config.backbone_options, pretrained=pretrained)
        self.project = nn.Linear(features, config.width)
        self.embedding = config.width * (2 if config.statistics else 1)
        if config.statistics:
            self.register_buffer("mean", torch.zeros(config.statistics))
            self.register_buffer("scale", torch.ones(config.statistics))
            self.describe = nn.Sequential(
                nn.Linear(config.statistics, 2 * config.width),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(2 * config.width, config.width),
            )
        self.head = nn.Sequential(
            nn.LayerNorm(self.embedding),
            nn.Dropout(config.dropout),
            nn.Linear(self.embedding, config.width),
            nn.GELU(),
            nn.Linear(config.width, len(config.attributes)),
        )

    def forward(
        self, pixels: Float[Tensor, "n 3 h w"], statistics: Float[Tensor, "n d"] | None
    ) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n a"]]:
        embedding = self.project(self.trunk(pixels))
        if statistics is not None:
            # Clipped at five standard deviations: a statistic outside what was seen must not run away with the score.
            standard = ((statistics - self.mean) * self.scale).clamp(-5.0, 5.0)
            embedding = torch.cat([embedding, self.describe(standard)], dim=1)
        return embedding, self.head(embedding)


class SceneGate(nn.Module):
    """See the module. `views` and `outputs` name the inputs and outputs of `forward`, in order."""

    outputs = ("score", "std", "scene_probabilities", "score_by_scene", "branches", "gate")
    branch_names = ("global", "face")

    def __init__(self, config: SceneGateConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = _views(config)
        attributes, scenes = len(config.attributes), len(config.scenes)
        self.whole = Branch(config, pretrained=pretrained)
        self.face = Branch(config, pretrained=pretrained)
        width = self.whole.embedding
        self.scene = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, scenes))
        # Rescaling (a, b) of each branch, scene and attribute: the rescaler's values on the one-hot scenes.
        self.gain = nn.Parameter(torch.ones(2, scenes, attributes))
        self.offset = nn.Parameter(torch.zeros(2, scenes, attributes))
        self.gate = nn.Sequential(
            nn.LayerNorm(2 * width + 3), nn.Linear(2 * width + 3, config.width), nn.GELU(), nn.Linear(config.width, 1)
        )
        self.spread = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, attributes))

    def forward(
        self,
        whole: Float[Tensor, "n 3 h w"],
        face: Float[Tensor, "n 3 h w"],
        face_geometry: Float[Tensor, "n 3"],
        statistics: Float[Tensor, "n d"] | None = None,
        face_statistics: Float[Tensor, "n d"] | None = None,
    ) -> tuple[Tensor, ...]:
        embedding_g, score_g = self.whole(whole, statistics)
        embedding_f, score_f = self.face(face, face_statistics)
        probabilities = self.scene(embedding_g).softmax(dim=1)
        both = torch.cat([embedding_g, embedding_f], dim=1)
        present = face_geometry[:, :1]
        gate = torch.sigmoid(self.gate(torch.cat([both, face_geometry], dim=1))) * present
        by_scene = torch.stack([score_g, score_f], dim=1)[:, :, None] * self.gain + self.offset  # (N, 2, S, A)
        weights = torch.cat([1.0 - gate, gate], dim=1)  # (N, 2)
        score_by_scene = (by_scene * weights[:, :, None, None]).sum(dim=1)
        score = (score_by_scene * probabilities[:, :, None]).sum(dim=1)
        branches = (by_scene[..., 0] * probabilities[:, None]).sum(dim=2)
        std = F.softplus(self.spread(both)) + self.config.floor
        return score, std, probabilities, score_by_scene, branches, gate[:, 0]


def _views(config: SceneGateConfig) -> tuple[ViewSpec, ...]:
    """Inputs of `forward`, in order. Faces are cropped at 1.3 times their side, never below the view's own pixels."""
    rule = CropRule(scale=1.3, min_side=float(config.face_size))
    views = [
        ViewSpec("global", "global", (config.global_size, config.global_size)),
        ViewSpec("face", "face", (config.face_size, config.face_size), crop=rule),
        ViewSpec("face_geometry", "face_geometry", (3,)),
    ]
    if config.statistics:
        length = (config.statistics,)
        views += [
            ViewSpec("statistics", "statistics", length, short_side=config.statistics_side),
            ViewSpec("face_statistics", "face_statistics", length, short_side=config.face_statistics_side, crop=rule),
        ]
    return tuple(views)
