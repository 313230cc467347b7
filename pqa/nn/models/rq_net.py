"""RQ-Net: one CLIP image encoder over the whole picture and over its fragments; a score that compares within a scene.

Origin: RQ-Net, the winning entry in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey" (CVPR workshops
2024); code ZachL1/SIND, commit 65fbe22. CLIP: Radford et al., "Learning
Transferable Visual Models From Natural Language Supervision" (ICML 2021). Fragments: see `pqa.pixels.fragments`.

Structure, as there: ViT-B/16 shared by both views; global feature: the projected class token (512); local feature: the
196 patch tokens after the last LayerNorm through a Global-Local block, Conv1d 196 -> 49 -> 1 with the tokens as
channels, then Linear 768 -> 512, ReLU after each; both joined, Linear 1024 -> 1. Global view: squashed to 244 x 244,
cropped to 224. Local view: short side 672, a 7 x 7 grid of 32 x 32 patches. ImageNet's mean and deviation, not CLIP's.
86,597,096 parameters; the published 57.6 M are 57,663,464, what `thop` counts (it passes over attention, the encoder's
LayerNorms and bare parameters).

Differences from the paper:
- nine test positions (corners, edges, centre) are taken in one order by both views, while the code pairs two orders;
  they are inputs of the graph, (N, 9, 3, H, W), and their scores are averaged in it. Training builds it with `crops=1`;
- a picture smaller than 244 or 672 is mirrored outwards, never enlarged; sizes change through this project's one filter
  (Hamming), not torchvision's bilinear one;
- several attributes have one head each, as the published pre-training on details, exposure and overall had;
- unknown and chosen: the two 90 % scene subsets and the face detector of the published ensemble (not part of a model).

Licence: Apache-2.0 (this code, written from the descriptions). CLIP's weights: MIT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pqa.nn.backbones import clip_visual
from pqa.spec import ViewSpec

__all__ = ["SIZES", "RqNet", "RqNetConfig"]


@dataclass(frozen=True)
class RqNetConfig:
    """`backbone`: a CLIP model of open_clip, `backbone_options` replace values of its configuration.

    `side`: that of both views; `squash`: side the picture is squashed to before its crop of `side`; `short_side`:
    reduction of the picture before its fragments; `crops`: test positions, 1 or 9; `width`: length of the local feature.
    """

    backbone: str = "ViT-B-16-quickgelu"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    side: int = 224
    squash: int = 244
    short_side: int = 672
    crops: int = 9
    width: int = 512
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = ()


SIZES: dict[str, RqNetConfig] = {
    "tiny": RqNetConfig(
        backbone_options={
            "embed_dim": 32,
            "vision_cfg": {"image_size": 56, "patch_size": 8, "width": 48, "layers": 2, "head_width": 16},
            "text_cfg": {"width": 16, "heads": 1, "layers": 1, "vocab_size": 64},
        },
        side=56,
        squash=61,
        short_side=168,
        width=32,
    ),
    "full": RqNetConfig(),
}


class GlobalLocal(nn.Module):
    """Patch tokens (N, T, C) and the global feature (N, E) to a score (N, 1); `width` is that of the local feature."""

    def __init__(self, tokens: int, channels: int, embedding: int, width: int) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.Conv1d(tokens, tokens // 4, 1), nn.ReLU(), nn.Conv1d(tokens // 4, 1, 1), nn.ReLU())
        self.project = nn.Sequential(nn.Linear(channels, width), nn.ReLU())
        self.score = nn.Linear(embedding + width, 1)

    def forward(self, tokens: Float[Tensor, "n t c"], whole: Float[Tensor, "n e"]) -> Float[Tensor, "n 1"]:
        local = self.project(self.pool(tokens)[:, 0])
        score: Tensor = self.score(torch.cat([whole, local], dim=1))
        return score


class RqNet(nn.Module):
    """See the module. `views` and `outputs` name the inputs and outputs of `forward`, in order."""

    outputs = ("score",)
    branch_names = ()

    def __init__(self, config: RqNetConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = _views(config)
        visual = clip_visual(config.backbone, config.backbone_options, pretrained=pretrained)
        self.visual = visual
        self.heads = nn.ModuleList(
            GlobalLocal(math.prod(visual.grid), visual.width, visual.embedding, config.width) for _ in config.attributes
        )

    def forward(self, whole: Float[Tensor, "n k 3 h w"], fragments: Float[Tensor, "n k 3 h w"]) -> tuple[Tensor]:
        """Scores (N, A), means over the crops. Views of a model built with `crops=1` have no axis of crops."""
        embedding, _ = self.visual(whole.flatten(0, -4))
        _, tokens = self.visual(fragments.flatten(0, -4))
        score = torch.cat([head(tokens, embedding) for head in self.heads], dim=1)
        return (score.reshape(-1, self.config.crops, len(self.heads)).mean(dim=1),)


def _views(config: RqNetConfig) -> tuple[ViewSpec, ...]:
    """Inputs of `forward`, in order."""
    size = (config.side, config.side)
    return (
        ViewSpec("global", "squashed", size, config.crops, short_side=config.squash),
        ViewSpec("fragments", "fragments", size, config.crops, short_side=config.short_side),
    )
