"""SAR: scene-adaptive scores of the whole picture and of the face, joined by a gate.

Origin: the entry SAR in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey" (CVPR workshops 2024); no
public code. CLIP: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021).

Structure, as there: CLIP ViT-B/16 up to block 10, blocks 1 to 6 frozen; block 6 of the global view tells the scene (50);
blocks 8 to 10 joined embed each view; one regressor a scene and view, weighted by the scene's probability (by the true
scene in training); gate g in [0, 1]: q = g q_face + (1 - g) q_global. Scenarios `global`, `local` and `joint` train each
view alone and both together (the trainer draws them with p = .3, .3, .4). Test: 30 dense patches of 224 x 224 averaged.
Face: found at falling thresholds (.8 to .2), square of side max(longer box edge, 512 px).

Unknown and chosen: kernel sizes, pooling and what the gate sees (3 x 3 convolutions, global means, both embeddings): these
reproduce the published 26.11 GMACs outside the detector (26.106; attention's own not counted, as `thop` does). ReLU
after the convolutions (two linear maps in a row would be one). CLIP's mean and deviation. The global view is reduced to a
short side of 512 px, the face's side at its smallest; the face is native. No face at .2: the centre square.

Parameters: 109,103,767 with one encoder for both views, 109,498,519 with CLIP's last LayerNorm and projection, which
nothing here reads. Published beside the detector: 135.02 M. Two encoders, as `thop` counts, would be 133.1 M: unresolved.

Differences from the paper:
- a picture has one scene: the posterior is averaged over its patches before it weights the regressors, so that
  score = sum_s p_s score_s holds for the picture and a known or pooled scene can take its place;
- patch k of the face is read with patch k of the picture; a crop below 224 px is mirrored outwards, never enlarged.

Licence: Apache-2.0 (this code, written from the description). CLIP's weights: MIT.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.errors import ConfigurationError, unknown_key
from pqa.nn.backbones import clip_blocks
from pqa.spec import CropRule, ViewSpec

__all__ = ["SCENARIOS", "SIZES", "Sar", "SarConfig"]

SCENARIOS: dict[str, float | None] = {"global": 0.0, "local": 1.0, "joint": None}
"""Weight of the face in each scenario; None: the gate's."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class SarConfig:
    """`backbone`: a CLIP model of open_clip, `backbone_options` replace values of its configuration.

    `blocks`: those joined into an embedding, counted from one, ascending; the encoder ends with the last of them.

    `scene_block` tells the scene, the first `frozen` blocks and all before them do not train. `gate` gives the gate's
    hidden widths. `short_side` is the reduction of the global view, `face_side` the smallest face crop.
    """

    backbone: str = "ViT-B-16-quickgelu"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    blocks: tuple[int, ...] = (8, 9, 10)
    scene_block: int = 6
    frozen: int = 6
    gate: tuple[int, int] = (128, 64)
    side: int = 224
    crops: int = 30
    short_side: int = 512
    face_side: int = 512
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = tuple(f"scene_{index}" for index in range(50))


SIZES: dict[str, SarConfig] = {
    "tiny": SarConfig(
        backbone_options={
            "embed_dim": 32,
            "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 4, "head_width": 16},
            "text_cfg": {"width": 16, "heads": 1, "layers": 1, "vocab_size": 64},
        },
        blocks=(2, 3, 4),
        scene_block=2,
        frozen=1,
        gate=(16, 8),
        side=32,
        crops=6,
        short_side=64,
        face_side=64,
        scenes=("indoor", "outdoor", "lowlight", "night"),
    ),
    "full": SarConfig(),
}


class Pool(nn.Module):
    """Maps (N, C, h, w) to (N, E): 3 x 3 convolution, ReLU, mean over positions."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(channels, width, 3, padding=1)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n e"]:
        return F.relu(self.convolve(maps)).mean(dim=(2, 3))


class Sar(nn.Module):
    """See the module. `views` and `outputs` name the inputs and outputs of `forward`, in order."""

    outputs = ("score", "scene_probabilities", "score_by_scene", "branches", "gate")
    branch_names = ("global", "face")

    def __init__(self, config: SarConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = _views(config)
        self.taps = sorted({config.scene_block - 1, *(block - 1 for block in config.blocks)})
        self.visual = clip_blocks(config.backbone, config.backbone_options, self.taps, pretrained=pretrained)
        self._freeze(config.frozen)
        width = self.visual.width
        attributes, scenes = len(config.attributes), len(config.scenes)
        self.scene = nn.Sequential(Pool(width, width), nn.Linear(width, scenes))
        self.embed = nn.ModuleList(Pool(len(config.blocks) * width, width) for _ in self.branch_names)
        self.regress = nn.ModuleList(nn.Linear(width, scenes * attributes) for _ in self.branch_names)
        first, second = config.gate
        self.gate = nn.Sequential(
            nn.Linear(2 * width, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 1)
        )

    def _freeze(self, blocks: int) -> None:
        tower = self.visual.tower
        for part in (tower.conv1, tower.ln_pre, *tower.transformer.resblocks[:blocks]):
            part.requires_grad_(False)
        tower.class_embedding.requires_grad_(False)
        tower.positional_embedding.requires_grad_(False)

    def forward(
        self,
        whole: Float[Tensor, "n k 3 h w"],
        face: Float[Tensor, "n k 3 h w"],
        scene: Int[Tensor, " n"] | None = None,
        scenario: str = "joint",
    ) -> tuple[Tensor, ...]:
        """Means over the crops. Views of a model built with `crops=1`, as for training, have no axis of crops.

        `scene`: the true scenes, which then weight the regressors in place of the posterior; `scenario`: a row of
        SCENARIOS. Raises ConfigurationError for another scenario or for a scene index out of range.
        """
        if scenario not in SCENARIOS:
            raise unknown_key(scenario, SCENARIOS, "scenario")
        early, maps_g = self._maps(whole)
        _, maps_f = self._maps(face)
        embeddings = [pool(maps) for pool, maps in zip(self.embed, (maps_g, maps_f), strict=True)]
        probabilities = self._mean(self.scene(early).softmax(dim=1))
        weight = SCENARIOS[scenario]
        gate = torch.sigmoid(self.gate(torch.cat(embeddings, dim=1)))  # (N K, 1)
        if weight is not None:
            gate = torch.full_like(gate, weight)
        by_branch = torch.stack(
            [regress(embedding) for regress, embedding in zip(self.regress, embeddings, strict=True)], dim=1
        )  # (N K, 2, S A)
        mixed = (by_branch * torch.stack([1.0 - gate, gate], dim=1)).sum(dim=1)
        score_by_scene = self._by_scene(mixed)
        weights = probabilities if scene is None else self._certain(scene).to(probabilities)
        score = (score_by_scene * weights[:, :, None]).sum(dim=1)
        first = torch.stack([self._by_scene(values)[:, :, 0] for values in by_branch.unbind(dim=1)], dim=1)
        branches = (first * weights[:, None]).sum(dim=2)
        return score, probabilities, score_by_scene, branches, self._mean(gate)[:, 0]

    def _maps(self, pixels: Tensor) -> tuple[Float[Tensor, "nk c h w"], Float[Tensor, "nk bc h w"]]:
        """Patch tokens as maps: of the scene's block, and of the embedding's blocks joined; crops join the batch."""
        found = dict(zip(self.taps, self.visual(pixels.flatten(0, -4)), strict=True))
        joined = torch.cat([found[block - 1] for block in self.config.blocks], dim=1)
        return found[self.config.scene_block - 1], joined

    def _mean(self, values: Float[Tensor, "nk d"]) -> Float[Tensor, "n d"]:
        """Mean over the crops of a picture."""
        return values.reshape(-1, self.config.crops, values.shape[1]).mean(dim=1)

    def _by_scene(self, values: Float[Tensor, "nk sa"]) -> Float[Tensor, "n s a"]:
        """Mean over the crops of values that hold scenes times attributes."""
        return self._mean(values).reshape(-1, len(self.config.scenes), len(self.config.attributes))

    def _certain(self, scene: Int[Tensor, " n"]) -> Int[Tensor, "n s"]:
        count = len(self.config.scenes)
        if bool(((scene < 0) | (scene >= count)).any()):
            raise ConfigurationError(f"scene index must be 0 to {count - 1}, got {scene.tolist()}")
        return F.one_hot(scene, count)


def _views(config: SarConfig) -> tuple[ViewSpec, ...]:
    """Inputs of `forward`, in order."""
    size = (config.side, config.side)
    rule = CropRule(min_side=float(config.face_side), fallback="centre")
    return (
        ViewSpec("global", "patches", size, config.crops, config.short_side, CLIP_MEAN, CLIP_STD),
        ViewSpec("face", "patches", size, config.crops, 0, CLIP_MEAN, CLIP_STD, crop=rule),
    )
