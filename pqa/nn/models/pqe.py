"""`pqe`: two Swin transformers, one for the picture and one for the face, beside LIQE's frozen description.

Sun et al., "Dual-Branch Network for Portrait Image Quality Assessment" (2024), entered as PQE in "Deep Portrait Quality
Assessment. A NTIRE 2024 Challenge Survey". Shapes as read in the authors' code (sunwei925/DN-PIQA `models/DN_PIQA.py`,
`models/test_images.py`).

Size: 174,082,929 trained parameters, as published (174 M); LIQE's picture tower is frozen and not counted there.

Differences from the paper:
- faces come from this project's detector, not from YOLOv5-face: its first face, +-20 px; without one the whole picture,
  as there. A crop beyond the picture's edge is moved inside, where the authors' continues in black;
- sizes change through this project's one filter (Hamming), not torchvision's bilinear one;
- LIQE's patches are those of the picture as displayed, after orientation and conversion to sRGB.
Left to training: pre-training of the branches on LSVQ and GFIQA, pairs and the fidelity loss (`pqa.nn.losses`).

Licence: Apache-2.0. The trunks are timm models given by configuration, CLIP comes through open_clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pqa.nn.backbones import trunk
from pqa.nn.models.liqe import CLIP_MEAN, CLIP_STD, PROMPTS, LiqeFeatures
from pqa.spec import CropRule, ViewSpec

__all__ = ["PQE", "SIZES", "PQEConfig"]


@dataclass(frozen=True)
class PQEConfig:
    """`clip` and `clip_options` name LIQE's CLIP, `patch` is its side of a patch; `hidden` the width of the head."""

    backbone: str = "swin_base_patch4_window12_384.ms_in22k"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    clip: str = "ViT-B-32-quickgelu"
    clip_options: dict[str, Any] = field(default_factory=dict)
    side: int = 384
    short_side: int = 448
    crops: int = 5
    patch: int = 224
    patches: int = 15
    hidden: int = 128
    dropout: float = 0.1
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = ()


SIZES: dict[str, PQEConfig] = {
    "tiny": PQEConfig(
        backbone_options={
            "img_size": 64,
            "embed_dim": 16,
            "depths": (1, 1),
            "num_heads": (1, 2),
            "window_size": 2,
        },
        clip_options={
            "embed_dim": 32,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
            "text_cfg": {"context_length": 32, "width": 32, "heads": 2, "layers": 1},
        },
        side=64,
        short_side=80,
        patch=32,
        hidden=16,
    ),
    "full": PQEConfig(),
}


class PQE(nn.Module):
    """See the module. Crop k of the picture is scored with crop k of the face; the scores are averaged."""

    outputs = ("score",)
    branch_names: tuple[str, ...] = ()

    def __init__(self, config: PQEConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = _views(config)
        self.whole, width = trunk(config.backbone, config.backbone_options, pretrained=pretrained)
        self.face, _ = trunk(config.backbone, config.backbone_options, pretrained=pretrained)
        self.description = LiqeFeatures(config.clip, config.clip_options, pretrained=pretrained)
        self.head = nn.Sequential(
            nn.Linear(2 * width + len(PROMPTS), config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, len(config.attributes)),
        )

    def forward(
        self,
        crops: Float[Tensor, "n k 3 h w"],
        face_crops: Float[Tensor, "n k 3 h w"],
        patches: Float[Tensor, "n p 3 s s"],
    ) -> tuple[Tensor]:
        """Crops with their axis, or without it where the configuration has one crop; scores (N, A)."""
        k = self.config.crops
        description = self.description(patches)[:, None].expand(-1, k, -1).flatten(0, 1)
        parts = [self.whole(crops.flatten(0, -4)), self.face(face_crops.flatten(0, -4)), description]
        score = self.head(torch.cat(parts, dim=1))
        return (score.unflatten(0, (-1, k)).mean(dim=1),)


def _views(config: PQEConfig) -> tuple[ViewSpec, ...]:
    """Inputs of `forward`, in order. As published, small pictures and faces are enlarged to the short side."""
    face = CropRule(margin_px=20.0, square=False)
    crops = ViewSpec(
        "crops", "crops", (config.side, config.side), config.crops, short_side=config.short_side, enlarge=True
    )
    patch = (config.patch, config.patch)
    return (
        crops,
        replace(crops, name="face_crops", crop=face),
        ViewSpec("patches", "strided", patch, config.patches, mean=CLIP_MEAN, std=CLIP_STD),
    )
