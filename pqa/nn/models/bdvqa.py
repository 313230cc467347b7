"""`bdvqa`: the stages of one Swin transformer, pooled and joined, and a line through them.

BDVQA in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey", after Wang et al., "MSTRIQ: No Reference Image
Quality Assessment Based on Swin Transformer with Multi-Stage Fusion" (CVPR Workshops 2022). No code is public.

Size: the report says 794 without saying of what. Swin-L at 384 has 195.2 M parameters, and its weights with their index
and mask buffers fill 794.4 MB in float32, so the figure is taken for megabytes: 794 M parameters would exceed the
challenge's limit of 2 GB. The network here has 195,198,325 parameters; the last norm of Swin, which nothing behind the
stages reads, is left out.

Differences from the paper:
- the published test averages 18 random crops; here they lie on a fixed even lattice, so that a picture has one score;
- a picture with fewer pixels than a crop is mirrored outwards, not enlarged.
Not published, chosen here: Swin-L, window 12; the four stages pooled over positions (192, 384, 768 and 1536 numbers) and
joined for one linear layer; a test picture's short side of 448, of which a crop shows three quarters (square) to half
(4:3), as a random-resized crop of scale 0.5 to 1 would. Left to training: pairs, such crops, rotation, the merged loss.

Licence: Apache-2.0. The trunk is a timm model given by configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pqa.nn.backbones import feature_trunk
from pqa.spec import ViewSpec

__all__ = ["BDVQA", "SIZES", "BDVQAConfig"]


@dataclass(frozen=True)
class BDVQAConfig:
    """`stages` of the Swin, counted from zero, are pooled; `short_side` is that of the picture before cropping."""

    backbone: str = "swin_large_patch4_window12_384.ms_in22k_ft_in1k"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    stages: tuple[int, ...] = (0, 1, 2, 3)
    side: int = 384
    short_side: int = 448
    crops: int = 18
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = ()


SIZES: dict[str, BDVQAConfig] = {
    "tiny": BDVQAConfig(
        backbone_options={
            "img_size": 64,
            "embed_dim": 16,
            "depths": (1, 1, 1, 1),
            "num_heads": (1, 2, 4, 8),
            "window_size": 2,
        },
        side=64,
        short_side=80,
    ),
    "full": BDVQAConfig(),
}


class BDVQA(nn.Module):
    """See the module. Each crop is scored alone; the scores are averaged."""

    outputs = ("score",)
    branch_names: tuple[str, ...] = ()

    def __init__(self, config: BDVQAConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        size = (config.side, config.side)
        self.views = (ViewSpec("crops", "patches", size, crops=config.crops, short_side=config.short_side),)
        self.trunk = feature_trunk(config.backbone, config.backbone_options, config.stages, pretrained=pretrained)
        self.head = nn.Linear(sum(self.trunk.widths), len(config.attributes))

    def forward(self, crops: Float[Tensor, "n k 3 h w"]) -> tuple[Tensor]:
        """Crops with their axis, or without it where the configuration has one crop; scores (N, A)."""
        stages = self.trunk(crops.flatten(0, -4))
        score = self.head(torch.cat([stage.mean(dim=(2, 3)) for stage in stages], dim=1))
        return (score.unflatten(0, (-1, self.config.crops)).mean(dim=1),)
