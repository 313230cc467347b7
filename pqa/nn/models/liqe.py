"""LIQE's logits as a frozen description of a picture's scene, distortion and quality (495 numbers). A part of `pqe`.

Zhang et al., "Blind Image Quality Assessment via Vision-Language Correspondence: A Multitask Learning Perspective"
(CVPR 2023), prompts and words as read in public code (zwx8981/LIQE; sunwei925/DN-PIQA `models/LIQE.py`): cosine of 15
patches with every prompt, scaled as CLIP scales, averaged over the patches, without softmax.

Only the image tower is kept: the prompts never change, so their features are computed once, when weights are loaded, and
travel as a buffer. Without pretrained weights the buffer holds random unit vectors, as an untrained text tower would give
no better ones; a checkpoint fills it.

Differences from the paper: a picture with fewer than 15 patch positions repeats some of them, and one smaller than a
patch is mirrored outwards.

Licence: Apache-2.0. CLIP through open_clip.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.nn.backbones import clip, tokenize

__all__ = ["PROMPTS", "LiqeFeatures", "text_features"]

QUALITIES = ("bad", "poor", "fair", "good", "perfect")
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")
DISTORTIONS = (
    "jpeg2000 compression",
    "jpeg compression",
    "noise",
    "blur",
    "color",
    "contrast",
    "overexposure",
    "underexposure",
    "spatial",
    "quantization",
    "other",
)

PROMPTS: tuple[str, ...] = tuple(
    f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
    for quality, scene, distortion in product(QUALITIES, SCENES, DISTORTIONS)
)
"""In the order of the 495 features of the released weights: quality outermost, distortion innermost."""


class LiqeFeatures(nn.Module):
    """Patches (N, K, 3, H, W) to the mean of their scaled cosines with the prompts (N, 495). Never trained."""

    text: Tensor
    scale: Tensor

    def __init__(self, name: str, options: dict[str, Any], *, pretrained: bool = False) -> None:
        super().__init__()
        whole = clip(name, options, pretrained=pretrained, weights="liqe")
        if pretrained:
            text = text_features(whole, PROMPTS)
        else:
            text = F.normalize(torch.randn(len(PROMPTS), whole.visual.output_dim), dim=1)
        self.visual = whole.visual
        self.register_buffer("text", text)
        self.register_buffer("scale", whole.logit_scale.detach().exp())
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode whatever its parent does."""
        return super().train(False)

    def forward(self, patches: Float[Tensor, "n k 3 h w"]) -> Float[Tensor, "n p"]:
        features = F.normalize(self.visual(patches.flatten(0, 1)), dim=1)
        logits = self.scale * features @ self.text.t()
        return logits.reshape(-1, patches.shape[1], len(PROMPTS)).mean(dim=1)


@torch.no_grad()
def text_features(clip_model: Any, texts: tuple[str, ...]) -> Float[Tensor, "p e"]:
    """Unit features of `texts` by the text tower of an open_clip model."""
    tokens = tokenize(texts, clip_model.context_length)
    features = torch.cat(
        [clip_model.encode_text(some) for some in torch.split(tokens, 99)]
    )  # in parts, to spare memory
    return F.normalize(features, dim=1)
