"""`monet`: mean-opinion network. Several attention "raters" look at the maps of one ViT; their opinions are fused.

Chen et al., "GMC-IQA: Exploiting Global-correlation and Mean-opinion Consistency for No-reference Image Quality
Assessment" (2024), entered as MoNet in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey". The modules
were read in the public code of the same authors' PromptIQA (chencn2020/PromptIQA, `promptiqa.py`); self-attention over
positions is that of Zhang et al., "Self-Attention Generative Adversarial Networks" (ICML 2019).

Size: 407,414,284 parameters with one attribute and 50 scenes; published 408 M (the ViT's last norm and classifier, which
nothing reads, would make 408.18 M).

Differences from the paper:
- no sigmoid after the score: JODs are not bounded;
- the public code transposes the attended values and reads them back in the old shape, which mixes tokens and features;
  here they keep their places. Its tokens over channels hold M neighbouring channels of one map; here one channel of all M;
- the last pooling is over all positions: the public 3 x 3 belongs to another grid;
- test crops are the corners and the centre of the picture reduced to a short side of 448; a smaller picture is mirrored
  outwards, not enlarged.
Not published, chosen here: five test crops and that side, the scene head's shape (as the score head's),
scores and posteriors averaged over crops.

Licence: Apache-2.0. The trunk is a timm model given by configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.nn.backbones import feature_trunk
from pqa.spec import ViewSpec

__all__ = ["SIZES", "MoNet", "MoNetConfig"]

HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of the pixels, those that the trunk's weights were trained with and that the public code uses."""


@dataclass(frozen=True)
class MoNetConfig:
    """`blocks` are the ViT's blocks that are read, counted from 1; `opinions` the raters.

    `grid` is the side of the ViT's maps: `side` over its patch. `channels` and `kernels` belong to the three convolutions
    behind the fusion, `heads` to the transformer block before.
    """

    backbone: str = "vit_base_patch16_384.augreg_in21k_ft_in1k"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    blocks: tuple[int, ...] = (3, 6, 9, 12)
    side: int = 384
    grid: int = 24
    short_side: int = 448
    crops: int = 5
    opinions: int = 5
    heads: int = 12
    channels: tuple[int, ...] = (256, 128, 128)
    kernels: tuple[int, ...] = (5, 3, 3)
    head: int = 64
    dropout: float = 0.1
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = tuple(f"scene_{index}" for index in range(50))


SIZES: dict[str, MoNetConfig] = {
    "tiny": MoNetConfig(
        backbone_options={"img_size": 64, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2},
        blocks=(1, 2, 3, 4),
        side=64,
        grid=8,
        short_side=80,
        opinions=2,
        heads=2,
        channels=(32, 16, 16),
        kernels=(3, 2, 1),
        head=8,
        scenes=("bright", "neutral", "warm", "dark"),
    ),
    "full": MoNetConfig(),
}


class SpatialAttention(nn.Module):
    """Attention of a map's positions to each other, added with weight `gamma`, which starts at zero: the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(dim=-1)  # (N, P, P), rows attend to columns
        attended: Tensor = value @ weights.transpose(1, 2)
        return x + self.gamma * attended.reshape(x.shape)


class TokenAttention(nn.Module):
    """One head over tokens of `width` features, dropout, and the tokens themselves added: (N, T, D) to the same."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        weights = (self.query(x) @ self.key(x).transpose(1, 2) * x.shape[2] ** -0.5).softmax(dim=-1)
        attended: Tensor = self.dropout(weights @ self.value(x))
        return x + attended


class MultiViewAttention(nn.Module):
    """The paper's MAL, one rater: M maps (N, M, C, H, W) of P = H W positions to one (N, C, H, W).

    Each map first attends to itself. All maps together are then seen twice, as P tokens of M C features and as C tokens of
    M P features; the two results and the M maps are averaged.
    """

    def __init__(self, maps: int, channels: int, positions: int, dropout: float) -> None:
        super().__init__()
        self.spatial = nn.ModuleList(SpatialAttention(channels) for _ in range(maps))
        self.over_positions = TokenAttention(maps * channels, dropout)
        self.over_channels = TokenAttention(maps * positions, dropout)

    def forward(self, maps: Float[Tensor, "n m c h w"]) -> Float[Tensor, "n c h w"]:
        _, m, c, h, w = maps.shape
        x = torch.stack([layer(maps[:, i]) for i, layer in enumerate(self.spatial)], dim=1).flatten(3)  # (N, M, C, P)
        positions = self.over_positions(x.permute(0, 3, 1, 2).flatten(2)).unflatten(2, (m, c)).permute(0, 2, 3, 1)
        channels = self.over_channels(x.transpose(1, 2).flatten(2)).unflatten(2, (m, h * w)).transpose(1, 2)
        both: Tensor = (positions + channels) / 2  # (N, M, C, P)
        return both.mean(dim=1).reshape(-1, c, h, w)


class TransformerBlock(nn.Module):
    """Pre-norm attention without bias in q, k and v, then a perceptron of four times the width: (N, T, D) to the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        query, key, value = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        x = x + self.project(attended.transpose(1, 2).flatten(2))
        widened: Tensor = self.mlp(self.norm2(x))
        return x + widened


class MoNet(nn.Module):
    """See the module. Crops are scored one by one; scores and scene posteriors are averaged over them."""

    outputs = ("score", "scene_probabilities")
    branch_names: tuple[str, ...] = ()

    def __init__(self, config: MoNetConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = (
            ViewSpec("crops", "crops", (config.side, config.side), config.crops, config.short_side, HALF, HALF),
        )
        taps = [block - 1 for block in config.blocks]
        self.trunk = feature_trunk(config.backbone, config.backbone_options, taps, pretrained=pretrained)
        channels, positions = self.trunk.widths[0], config.grid**2
        self.raters = nn.ModuleList(
            MultiViewAttention(len(taps), channels, positions, config.dropout) for _ in range(config.opinions)
        )
        self.fusion = MultiViewAttention(config.opinions, channels, positions, config.dropout)
        self.block = TransformerBlock(channels, config.heads)
        self.reduce = nn.Sequential(*_convolutions((channels, *config.channels), config.kernels))
        last = config.channels[-1]
        self.score = nn.Sequential(
            nn.Linear(last, config.head),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.head, len(config.attributes)),
        )
        self.scene = nn.Sequential(
            nn.Linear(last, config.head),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.head, len(config.scenes)),
        )

    def forward(self, crops: Float[Tensor, "n k 3 h w"]) -> tuple[Tensor, Tensor]:
        """Crops with their axis, or without it where the configuration has one crop; scores (N, A) and posteriors (N, S)."""
        maps = torch.stack(self.trunk(crops.flatten(0, -4)), dim=1)
        opinions = torch.stack([rater(maps) for rater in self.raters], dim=1)
        fused = self.fusion(opinions)
        tokens = self.block(fused.flatten(2).transpose(1, 2))
        feature = self.reduce(tokens.transpose(1, 2).unflatten(2, fused.shape[2:])).mean(dim=(2, 3))
        values = self.score(feature), self.scene(feature).softmax(dim=1)
        score, probabilities = (value.unflatten(0, (-1, self.config.crops)).mean(dim=1) for value in values)
        return score, probabilities


def _convolutions(channels: tuple[int, ...], kernels: tuple[int, ...]) -> list[nn.Module]:
    """Convolution, batch norm and ReLU for each kernel, halved by average pooling between them."""
    layers: list[nn.Module] = []
    for (before, after), kernel in zip(pairwise(channels), kernels, strict=True):
        if layers:
            layers.append(nn.AvgPool2d(2))
        layers += [nn.Conv2d(before, after, kernel), nn.BatchNorm2d(after), nn.ReLU()]
    return layers
