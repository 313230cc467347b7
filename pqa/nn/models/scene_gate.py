"""`scene_gate`: our own model. Global and face branches, scene-wise rescaling, gating fusion, three attributes, spread.

What it joins:
- scene-adaptive rescaling: Chahine et al., "An Image Quality Assessment Dataset for Portraits" (CVPR 2023,
  SEM-HyperIQA) and "Generalized Portrait Quality Assessment" (2024, FHIQA): Q = sum_s p_s (a_s q + b_s), here for each
  branch and over the whole scene vector, so that an unseen scene is a mixture of known ones;
- a face branch and a gate: SAR in the NTIRE 2024 portrait quality challenge survey, q = g q_face + (1 - g) q_global;
- the scene read from an early block, which still holds light and place: SAR, which takes block 6 of 12;
- fragments at native resolution through the trunk of the whole picture: RQ-Net, in the same survey. One trunk serves both
  as there, so the second look costs time but no weights, and a pretrained trunk is not joined by an untrained one;
- hand-made natural-scene statistics beside the learned features, after the gradient-boosting entries of NTIRE 2021;
- beside both branches, what few ratings suffice for: a kernel regression and boosted trees on those statistics
  (`pqa.nn.kernel`, `pqa.nn.trees`), and codebooks of patches (`pqa.nn.codebook`);
- after them all, trees that were shown simulated faults alone: what they are sure of comes off the overall score;
- a set-aware head, `model.joint`, apart from the independent score: see `pqa.nn.models.pseudo_reference`.

Differences from those papers: rescaling follows each branch instead of the end; the gate also sees whether there is a
face, how large it is and how sure, and is zero without one; the spread (standard deviation of the error) is predicted.

Sizes: `tiny` for tests, `small` (the shipped one: a small ResNet, early scene, fragments and set head off), `full` (CLIP
ViT-B/16, the base size) and `swin_base` (Swin-B). They differ in values of the configuration only.

Licence: Apache-2.0. The trunk is a timm model given by configuration: weights of `full` Apache-2.0, of `swin_base` MIT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.errors import ConfigurationError
from pqa.nn.backbones import tap_width, tapped, trunk
from pqa.nn.codebook import CodebookRegression
from pqa.nn.kernel import KernelRegression
from pqa.nn.models.pseudo_reference import PseudoReference
from pqa.nn.trees import Leaf, Node, Trees
from pqa.spec import CropRule, ViewSpec

__all__ = ["SIZES", "SceneGate", "SceneGateConfig"]


OUTPUTS = ("score", "std", "scene_probabilities", "score_by_scene", "branches", "gate")

LEAST = 0.05
"""The rating that is left when a fault leaves nothing: what the worst pictures of BIQ2021 get."""

DOUBT, TRUST = 0.2, 0.5
"""The share of the score that fault trees must say a fault took before it counts, which most untouched pictures stay below,
and how much of the rest comes off."""


@dataclass(frozen=True)
class SceneGateConfig:
    """`statistics` is the length of the two vectors of natural-scene statistics (0: branches see pixels alone).

    `width` is the embedding of each source of a branch; `floor` the smallest spread in units of the score. `scene_tap`:
    where the scene posterior is read in the trunk of the global branch, as `pqa.nn.backbones.feature_trunk` counts (None:
    from the branch's embedding). `fragments`: the global branch also looks at fragments, of `global_size`, which must be a
    multiple of 7. `anchors`: how many rated examples a kernel regression on the statistics keeps (0: there is none); `trees`:
    how many boosted trees of `leaves` leaves stand beside it; `words`: how many words the codebooks of the global and of the
    face view have. Once they are fitted (`remember`) the score is the mean of what the branches say and of these three's mean.
    `fault_trees`: how many further trees on the same vectors then say what share of the overall score a fault took.
    `set_width`: length of the embedding that pictures of a set are compared by (0: no set head). `mean` and `std` normalise
    all pixels.
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
    scene_tap: int | None = None
    fragments: bool = False
    anchors: int = 0
    trees: int = 0
    leaves: int = 15
    words: int = 0
    fault_trees: int = 0
    set_width: int = 0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    attributes: tuple[str, ...] = ("overall", "detail", "exposure")
    scenes: tuple[str, ...] = ("bright", "neutral", "warm", "dark")


SIZES: dict[str, SceneGateConfig] = {
    "tiny": SceneGateConfig(
        backbone_options={"channels": (16, 24, 32, 48), "stem_width": 8},
        global_size=56,
        face_size=64,
        width=24,
        scene_tap=2,
        fragments=True,
        set_width=16,
    ),
    "small": SceneGateConfig(backbone_options={"channels": (16, 32, 64, 128), "stem_width": 8}),
    "full": SceneGateConfig(
        backbone="vit_base_patch16_clip_224",
        width=256,
        scene_tap=5,
        fragments=True,
        set_width=128,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
    "swin_base": SceneGateConfig(
        backbone="swin_base_patch4_window7_224.ms_in22k", width=256, scene_tap=1, fragments=True, set_width=128
    ),
}


class Branch(nn.Module):
    """Pixels (N, 3, H, W), statistics (N, D) and fragments (N, 3, H, W) to an embedding (N, E) and scores (N, A).

    Third comes the trunk's map (N, C, h, w) after `tap`, or None without one. `fragments`: whether it takes any.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: SceneGateConfig, *, fragments: bool, tap: int | None, pretrained: bool) -> None:
        super().__init__()
        self.tap = tap
        self.trunk, features = trunk(config.backbone, config.backbone_options, pretrained=pretrained)
        self.project = nn.Linear(features, config.width)
        self.embedding = config.width * (1 + bool(config.statistics) + fragments)
        if config.statistics:
            self.register_buffer("mean", torch.zeros(config.statistics))
            self.register_buffer("scale", torch.ones(config.statistics))
            self.describe = nn.Sequential(
                nn.Linear(config.statistics, 2 * config.width),
                nn.GELU(),
                nn.Dropout(config.dropout),
                nn.Linear(2 * config.width, config.width),
            )
        if fragments:
            self.project_fragments = nn.Linear(features, config.width)
        self.head = nn.Sequential(
            nn.LayerNorm(self.embedding),
            nn.Dropout(config.dropout),
            nn.Linear(self.embedding, config.width),
            nn.GELU(),
            nn.Linear(config.width, len(config.attributes)),
        )

    def forward(
        self,
        pixels: Float[Tensor, "n 3 h w"],
        statistics: Float[Tensor, "n d"] | None,
        fragments: Float[Tensor, "n 3 h w"] | None = None,
    ) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n a"], Float[Tensor, "n c i j"] | None]:
        feature, early = (self.trunk(pixels), None) if self.tap is None else tapped(self.trunk, pixels, self.tap)
        sources = [self.project(feature)]
        if statistics is not None:
            # Clipped at five standard deviations: a statistic outside what was seen must not run away with the score.
            sources.append(self.describe(((statistics - self.mean) * self.scale).clamp(-5.0, 5.0)))
        if fragments is not None:
            sources.append(self.project_fragments(self.trunk(fragments)))
        embedding = torch.cat(sources, dim=1)
        return embedding, self.head(embedding), early


class SceneGate(nn.Module):
    """See the module. `views` and `outputs` name the inputs and outputs of `forward`, in order.

    `joint` maps embeddings (M, E) and scores (M, A) of one set to joint scores (M, A); None without a set head.
    """

    share: Tensor

    def __init__(self, config: SceneGateConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = _views(config)
        self.outputs: tuple[str, ...] = OUTPUTS
        self.branch_names: tuple[str, ...] = ("global", "face")
        attributes, scenes = len(config.attributes), len(config.scenes)
        self.whole = Branch(config, fragments=config.fragments, tap=config.scene_tap, pretrained=pretrained)
        self.face = Branch(config, fragments=False, tap=None, pretrained=pretrained)
        width = self.whole.embedding + self.face.embedding
        self.scene = self._scene(config)
        # Rescaling (a, b) of each branch, scene and attribute: the rescaler's values on the one-hot scenes.
        self.gain = nn.Parameter(torch.ones(2, scenes, attributes))
        self.offset = nn.Parameter(torch.zeros(2, scenes, attributes))
        self.gate = nn.Sequential(
            nn.LayerNorm(width + 3), nn.Linear(width + 3, config.width), nn.GELU(), nn.Linear(config.width, 1)
        )
        self.spread = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, attributes))
        self.kernel = KernelRegression(config.anchors, 2 * config.statistics + 3) if config.anchors else None
        self.trees = Trees(config.trees, config.leaves) if config.trees else None
        self.codebook = CodebookRegression(2, config.words, config.std) if config.words else None
        self.faults = Trees(config.fault_trees, config.leaves) if config.fault_trees else None
        if config.anchors:
            self.branch_names = ("global", "face", "statistics")
            self.outputs = (*self.outputs, "distance")
            self.register_buffer("share", torch.zeros(()))  # of the fitted ones in the score
        self.joint = PseudoReference(config.set_width, attributes) if config.set_width else None
        if config.set_width:
            self.outputs = (*self.outputs, "embedding")
            self.embed = nn.Linear(width, config.set_width)

    def standardise(self, vectors: Mapping[str, Float[Tensor, "n d"]]) -> None:
        """Give both branches mean and deviation of their statistics over the training pictures, by the name of the view."""
        for branch, name in ((self.whole, "statistics"), (self.face, "face_statistics")):
            if name in vectors:
                branch.mean.copy_(vectors[name].mean(dim=0))
                branch.scale.copy_(1.0 / vectors[name].std(dim=0, correction=0).clamp(min=1e-3))

    def remember(
        self,
        vectors: Float[Tensor, "m d"],
        ratings: Float[Tensor, " m"],
        importance: Float[Tensor, " m"],
        trees: Sequence[Node | Leaf] = (),
    ) -> None:
        """Fit the kernel regression to rated examples: statistics, face statistics and face geometry, one after another.

        `trees` were grown on such vectors. `codebook` and `faults` are filled by themselves.
        """
        if self.kernel is None or bool(trees) != (self.trees is not None):
            raise ConfigurationError(
                "this scene_gate has no room for that: build it with `anchors`, and with `trees` for trees"
            )
        self.kernel.fit(vectors, ratings, importance)
        if self.trees is not None:
            self.trees.fill(trees)
        self.share.fill_(0.5)

    def _scene(self, config: SceneGateConfig) -> nn.Sequential:
        """Logits (N, S) from the global branch's embedding, or from its early map."""
        if config.scene_tap is None:
            width, pool = self.whole.embedding, []
        else:
            width, channels = config.width, tap_width(self.whole.trunk, config.scene_tap)
            pool = [nn.Conv2d(channels, width, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*pool, nn.LayerNorm(width), nn.Linear(width, len(config.scenes)))

    def forward(
        self,
        whole: Float[Tensor, "n 3 h w"],
        face: Float[Tensor, "n 3 h w"],
        face_geometry: Float[Tensor, "n 3"],
        fourth: Tensor | None = None,
        fifth: Tensor | None = None,
        sixth: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """`fourth` to `sixth`: what `views` names of statistics and fragments, in its order (export takes no `*args`)."""
        given = zip((view.name for view in self.views[3:]), (fourth, fifth, sixth), strict=False)
        optional = {name: tensor for name, tensor in given if tensor is not None}
        embedding_g, score_g, early = self.whole(whole, optional.get("statistics"), optional.get("fragments"))
        embedding_f, score_f, _ = self.face(face, optional.get("face_statistics"))
        probabilities = self.scene(embedding_g if early is None else early).softmax(dim=1)
        both = torch.cat([embedding_g, embedding_f], dim=1)
        present = face_geometry[:, :1]
        gate = torch.sigmoid(self.gate(torch.cat([both, face_geometry], dim=1))) * present
        by_scene = torch.stack([score_g, score_f], dim=1)[:, :, None] * self.gain + self.offset  # (N, 2, S, A)
        weights = torch.cat([1.0 - gate, gate], dim=1)  # (N, 2)
        score_by_scene = (by_scene * weights[:, :, None, None]).sum(dim=1)
        score = (score_by_scene * probabilities[:, :, None]).sum(dim=1)
        branches = (by_scene[..., 0] * probabilities[:, None]).sum(dim=2)
        std = F.softplus(self.spread(both)) + self.config.floor
        found = [score, std, probabilities, score_by_scene, branches, gate[:, 0]]
        if self.kernel is not None:
            measured = (optional[view.name] for view in self.views if view.name.endswith("statistics"))
            vectors = torch.cat([*measured, face_geometry], dim=1)
            opinion, distance = self.kernel(vectors)
            opinions = [opinion]
            if self.trees is not None:
                opinions.append(self.trees(vectors))
            if self.codebook is not None:
                opinions.append(self.codebook((whole, face)))
            likely = torch.stack(opinions).mean(dim=0)
            found[0] = score + self.share * (likely[:, None] - score)
            found[3] = score_by_scene + self.share * (likely[:, None, None] - score_by_scene)
            found[4] = torch.cat([branches, likely[:, None]], dim=1)
            found.append(distance)
            if self.faults is not None:
                taken = TRUST * (self.faults(vectors) - DOUBT).clamp(0.0, 1.0)
                kept = F.pad(1.0 - taken[:, None], (0, score.shape[1] - 1), value=1.0)  # (N, A), overall alone
                found[0] = LEAST + (found[0] - LEAST) * kept
                found[3] = LEAST + (found[3] - LEAST) * kept[:, None]
        if self.joint is not None:
            found.append(self.embed(torch.cat([embedding_g, embedding_f * present], dim=1)))
        return tuple(found)


def _views(config: SceneGateConfig) -> tuple[ViewSpec, ...]:
    """Inputs of `forward`, in order. Faces are cropped at 1.3 times their side, never below the view's own pixels."""
    rule = CropRule(scale=1.3, min_side=float(config.face_size))
    whole, face = (config.global_size, config.global_size), (config.face_size, config.face_size)
    views = [
        ViewSpec("global", "global", whole, mean=config.mean, std=config.std),
        ViewSpec("face", "face", face, mean=config.mean, std=config.std, crop=rule),
        ViewSpec("face_geometry", "face_geometry", (3,)),
    ]
    if config.statistics:
        length = (config.statistics,)
        views += [
            ViewSpec("statistics", "statistics", length, short_side=config.statistics_side),
            ViewSpec("face_statistics", "face_statistics", length, short_side=config.face_statistics_side, crop=rule),
        ]
    if config.fragments:
        views.append(ViewSpec("fragments", "fragments", whole, mean=config.mean, std=config.std))
    return tuple(views)
