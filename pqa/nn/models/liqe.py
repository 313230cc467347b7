"""`liqe`: CLIP as judge of quality: which sentence about scene, distortion and quality suits a picture. Also a part of `pqe`.

Zhang et al., "Blind Image Quality Assessment via Vision-Language Correspondence: A Multitask Learning Perspective"
(CVPR 2023), prompts, words and patches as read in public code (zwx8981/LIQE `LIQE.py`, `utils.py`, `ImageDataset2.py`;
sunwei925/DN-PIQA `models/LIQE.py`). 495 sentences, one for each of 5 qualities, 9 scenes and 11 distortions; a patch's cosine
with each, scaled as CLIP scales; the mean over 15 patches; softmax. That is one joint distribution p(quality, scene,
distortion): its margins are the posteriors of scene and distortion, and the score is the mean quality, counted 1 to 5.

`Liqe` is the trained system, `LiqeFeatures` the frozen logits that PQE reads. Of CLIP both keep the image tower only:
the sentences never change, so their features are computed once, when weights are loaded, and a model file needs no text
tower. Without pretrained weights a random vector stands for each word, and the sum of three for a sentence.

Differences from the paper:
- the authors train the text tower too; here the 495 features are themselves parameters, begun where the text tower puts them,
  so the side of language learns, but each sentence by itself;
- a picture with fewer than 15 patch positions repeats some of them, and one smaller than a patch is mirrored outwards;
- patches lie 32 pixels apart in every picture (the training code: 48 where an edge reaches 1024);
- the 15 test patches are spread over the picture, as in the release of 2023 (`LIQE.py` at 883d914). A later revision
  (2272efb) takes the step between them from the number of pictures instead of that of patches: it is 0, and the first
  patch counts 15 times.

Licence: Apache-2.0. CLIP through open_clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.errors import ConfigurationError
from pqa.nn.backbones import clip, tokenize
from pqa.spec import ViewSpec

__all__ = ["DISTORTIONS", "PROMPTS", "SCENES", "SIZES", "Liqe", "LiqeConfig", "LiqeFeatures", "text_features"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

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


def prompts(scenes: Sequence[str]) -> tuple[str, ...]:
    """Every sentence over `scenes`: quality outermost, distortion innermost."""
    return tuple(
        f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
        for quality, scene, distortion in product(QUALITIES, scenes, DISTORTIONS)
    )


PROMPTS: tuple[str, ...] = prompts(SCENES)
"""In the order of the 495 features of the released weights."""


SCALE: dict[str, Any] = {"init_logit_scale": math.log(30.0)}
"""Without pretrained weights: between the scale where CLIP's training begins, at which untrained scores hardly differ, and
the 100 where it ends, at which they sit at one sentence. Weights bring their own."""


@dataclass(frozen=True)
class LiqeConfig:
    """`weights`: the row of `pqa.weights` that pretrained training begins with; `liqe` is the authors' trained model.

    `view`: where patches lie: `strided`, as the authors test, or `patches`, which training draws anywhere. `short_side`:
    larger pictures are reduced to it first. `scenes`: the words of the sentences.
    """

    clip: str = "ViT-B-32-quickgelu"
    clip_options: dict[str, Any] = field(default_factory=lambda: SCALE)
    weights: str = "ViT-B-32-quickgelu.openai"
    view: str = "strided"
    side: int = 224
    short_side: int = 768
    crops: int = 15
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = SCENES


SIZES: dict[str, LiqeConfig] = {
    "tiny": LiqeConfig(
        clip_options={
            "embed_dim": 32,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
            "text_cfg": {"context_length": 32, "width": 32, "heads": 2, "layers": 1},
            **SCALE,
        },
        side=32,
        short_side=96,
    ),
    "full": LiqeConfig(),
}


class Liqe(nn.Module):
    """See the module. `score` (N, 1) lies in 1 to 5, `scene_probabilities` (N, S), `distortion_probabilities` (N, 11).

    Raises ConfigurationError for more than one attribute: the sentences speak of one quality.
    """

    outputs = ("score", "scene_probabilities", "distortion_probabilities")
    branch_names: tuple[str, ...] = ()
    distortions = DISTORTIONS

    levels: Tensor
    scale: Tensor

    def __init__(self, config: LiqeConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        if len(config.attributes) != 1:
            raise ConfigurationError(f"liqe knows one quality, got the attributes {', '.join(config.attributes)}")
        self.config = config
        size = (config.side, config.side)
        self.views = (
            ViewSpec("patches", config.view, size, config.crops, config.short_side, mean=CLIP_MEAN, std=CLIP_STD),
        )
        self.visual, text, scale = _towers(
            config.clip, config.clip_options, config.scenes, config.weights, pretrained=pretrained
        )
        self.text = nn.Parameter(text)
        self.register_buffer("scale", scale)
        self.register_buffer("levels", torch.arange(1.0, len(QUALITIES) + 1))

    def forward(self, patches: Float[Tensor, "n k 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Patches with their axis, or without it where the configuration has one."""
        logits = _logits(self.visual(patches.flatten(0, -4)), F.normalize(self.text, dim=1), self.scale)
        mean = logits.reshape(-1, self.config.crops, len(self.text)).mean(dim=1)
        words = (len(QUALITIES), len(self.config.scenes), len(DISTORTIONS))
        joint = torch.softmax(mean, dim=1).reshape(-1, *words)
        return joint.sum(dim=(2, 3)) @ self.levels[:, None], joint.sum(dim=(1, 3)), joint.sum(dim=(1, 2))


class LiqeFeatures(nn.Module):
    """Patches (N, K, 3, H, W) to the mean of their scaled cosines with the prompts (N, 495). Never trained."""

    text: Tensor
    scale: Tensor

    def __init__(self, name: str, options: dict[str, Any], *, pretrained: bool = False) -> None:
        super().__init__()
        self.visual, text, scale = _towers(name, options, SCENES, "liqe", pretrained=pretrained)
        self.register_buffer("text", text)
        self.register_buffer("scale", scale)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode whatever its parent does."""
        return super().train(False)

    def forward(self, patches: Float[Tensor, "n k 3 h w"]) -> Float[Tensor, "n p"]:
        logits = _logits(self.visual(patches.flatten(0, 1)), self.text, self.scale)
        return logits.reshape(-1, patches.shape[1], len(PROMPTS)).mean(dim=1)


def _logits(features: Float[Tensor, "n e"], text: Float[Tensor, "p e"], scale: Tensor) -> Float[Tensor, "n p"]:
    """Scaled cosines of image features with unit text features."""
    return scale * F.normalize(features, dim=1) @ text.t()


def _towers(
    name: str, options: dict[str, Any], scenes: tuple[str, ...], weights: str, *, pretrained: bool
) -> tuple[Any, Float[Tensor, "p e"], Tensor]:
    """CLIP's image tower, unit features of the sentences over `scenes` (random without pretrained weights), its scale."""
    whole = clip(name, options, pretrained=pretrained, weights=weights)
    if pretrained:
        text = text_features(whole, prompts(scenes))
    else:
        width = whole.visual.output_dim
        quality, scene, distortion = (torch.randn(len(words), width) for words in (QUALITIES, scenes, DISTORTIONS))
        text = F.normalize((quality[:, None, None] + scene[:, None] + distortion).flatten(0, 2), dim=1)
    return whole.visual, text, whole.logit_scale.detach().exp()


@torch.no_grad()
def text_features(clip_model: Any, texts: tuple[str, ...]) -> Float[Tensor, "p e"]:
    """Unit features of `texts` by the text tower of an open_clip model."""
    tokens = tokenize(texts, clip_model.context_length)
    features = torch.cat(
        [clip_model.encode_text(some) for some in torch.split(tokens, 99)]
    )  # in parts, to spare memory
    return F.normalize(features, dim=1)
