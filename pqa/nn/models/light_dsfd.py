"""Light DSFD: the face detector of SAR. It finds faces, it judges none, and so is no row of `MODELS`.

Origin: Li et al., "DSFD: Dual Shot Face Detector" (CVPR 2019); the light variant `DSFDv2_r18` of lijiannuist/lightDSFD:
ResNet-18, six levels of strides 4 to 128, a searched bidirectional pyramid, one anchor a position. 14,218,678 parameters.

Structure, read from that code: two further stride-2 stages (512 -> 128 -> 256 and 256 -> 128 -> 256 channels); 1 x 1
convolutions to 128 channels; in the pyramid each level joins, with softmax weights of its own, up to three terms: a
depthwise separable 3 x 3 of (itself times the enlarged coarser term), one of (itself times the max-pooled finer term), and
a 1 x 1 of itself, each after a ReLU and before a batch normalisation; 3 x 3 branches to box and class heads. Class heads
use max-in-out: of the finest level three background maps compete, of the others three face maps. Heads also hold head
and body anchors of the pyramid-anchor training; detection reads the face's channels alone.

Differences from the original: anchors, decoding and suppression lie outside the graph (`pqa.runtime.dsfd`), so that one
ONNX file serves any picture size.

Licence: Apache-2.0 (this code, written from what the original computes). Its weights: not stated by their authors.
"""

from __future__ import annotations

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.errors import ModelError
from pqa.nn.backbones import feature_trunk

__all__ = ["KEYS", "LightDsfd", "load_public"]

LEVELS = 6
CHANNELS = 128
STAGES = (64, 128, 256, 512, 256, 256)

KEYS: tuple[tuple[str, str], ...] = (
    (r"stem_layer\.0\.", "trunk.network.conv1."),
    (r"stem_layer\.1\.", "trunk.network.bn1."),
    (r"layer([1-4])\.0\.", r"trunk.network.layer\1."),
    (r"layer([56])\.(\d)\.conv\.", r"deeper.<\1-5>.\2.0."),
    (r"layer([56])\.(\d)\.bn\.", r"deeper.<\1-5>.\2.1."),
    (r"latlayer(\d)\.conv\.", r"lateral.<\1-1>.0."),
    (r"latlayer(\d)\.bn\.", r"lateral.<\1-1>.1."),
    (r"bi_fpn\.0\.layers\.conv(\d)_td\.op\.", r"neck.down.<\1-1>."),
    (r"bi_fpn\.0\.layers\.conv(\d)_du\.op\.", r"neck.up.<\1-2>."),
    (r"bi_fpn\.0\.layers\.conv(\d)\.op\.", r"neck.same.<\1-1>."),
    (r"bi_fpn\.0\.layers\.w(\d)$", r"neck.shares.<\1-1>"),
    (r"bi_fpn\.0\.layers\.out_layers\.", "neck.out."),
    (r"loc_layers\.(\d)\.layers\.0\.", r"box_branch.\1.0."),
    (r"conf_layers\.(\d)\.layers\.0\.", r"face_branch.\1.0."),
    (r"loc_head\.", "box."),
    (r"conf_head\.", "face."),
)
"""How the public weight file names a tensor, and how this module does; <a-b> is the difference of two numbers."""


def _unit(channels: int, width: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def _separable() -> nn.Sequential:
    depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False)
    return nn.Sequential(nn.ReLU(), depthwise, nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False), nn.BatchNorm2d(CHANNELS))


def _pointwise() -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False), nn.BatchNorm2d(CHANNELS))


class Neck(nn.Module):
    """The searched pyramid over LEVELS maps (N, CHANNELS, h, w), finest first; same shapes out."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_separable() for _ in range(LEVELS - 1))
        self.up = nn.ModuleList(_separable() for _ in range(LEVELS - 1))
        self.same = nn.ModuleList(_pointwise() for _ in range(LEVELS))
        terms = (2, *(3 for _ in range(LEVELS - 2)), 2)
        self.shares = nn.ParameterList(1e-3 * torch.randn(count) for count in terms)
        self.out = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 1) for _ in range(LEVELS))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        coarse, fine = [maps[-1]], [maps[0]]
        for level in range(LEVELS - 2, -1, -1):
            enlarged = F.interpolate(coarse[0], size=maps[level].shape[2:], mode="bilinear", align_corners=True)
            coarse.insert(0, self.down[level](enlarged * maps[level]))
        for level in range(1, LEVELS):
            pooled = F.max_pool2d(fine[-1], 3, stride=2, padding=1)
            fine.append(self.up[level - 1](pooled * maps[level]))
        joined = []
        for level in range(LEVELS):
            terms = [self.same[level](maps[level])]
            terms = [fine[level], *terms] if level > 0 else terms
            terms = [coarse[level], *terms] if level < LEVELS - 1 else terms
            shares = self.shares[level].softmax(dim=0)
            total = sum(term * share for term, share in zip(terms, shares, strict=True))
            joined.append(self.out[level](total))
        return joined


class LightDsfd(nn.Module):
    """Pictures (N, 3, H, W), BGR in [0, 255] less (104, 117, 123), to offsets (N, P, 4) and probabilities (N, P).

    P anchors: level by level, finest first, row by row. Offsets are in the units of `pqa.runtime.dsfd.decode`.
    """

    outputs = ("offset", "probability")

    def __init__(self) -> None:
        super().__init__()
        self.trunk = feature_trunk("resnet18", {}, (1, 2, 3, 4))
        self.deeper = nn.ModuleList(
            nn.Sequential(_unit(channels, 128), _unit(128, 256, 3, stride=2)) for channels in STAGES[3:5]
        )
        self.lateral = nn.ModuleList(_unit(channels, CHANNELS) for channels in STAGES)
        self.neck = Neck()
        self.box_branch = nn.ModuleList(_branch() for _ in range(LEVELS))
        self.face_branch = nn.ModuleList(_branch() for _ in range(LEVELS))
        # Face anchors on every level, head anchors from the second, body anchors from the third.
        kinds = [min(level + 1, 3) for level in range(LEVELS)]
        self.box = nn.ModuleList(nn.Conv2d(CHANNELS, 4 * count, 1) for count in kinds)
        self.face = nn.ModuleList(nn.Conv2d(CHANNELS, 2 * count + 2, 1) for count in kinds)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n p 4"], Float[Tensor, "n p"]]:
        maps = self.trunk(image)
        for stage in self.deeper:
            maps.append(stage(maps[-1]))
        maps = self.neck([side(features) for side, features in zip(self.lateral, maps, strict=True)])
        offsets, evidence = [], []
        for level, features in enumerate(maps):
            box = self.box[level](self.box_branch[level](features))[:, :4]
            offsets.append(box.flatten(2).transpose(1, 2))
            four = self.face[level](self.face_branch[level](features))
            if level == 0:
                odds = four[:, 3] - four[:, :3].amax(dim=1)
            else:
                odds = four[:, :3].amax(dim=1) - four[:, 3]
            evidence.append(odds.flatten(1))
        return torch.cat(offsets, dim=1), torch.cat(evidence, dim=1).sigmoid()


def _branch() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU(inplace=True))


def _renamed(key: str) -> str:
    """The name here of a tensor of the public file; names of this module stay."""
    key = key.removeprefix("module.")
    for pattern, ours in KEYS:
        found = re.match(pattern, key)
        if found:
            name = found.expand(ours) + key[found.end() :]
            return re.sub(r"<(\d)-(\d)>", lambda pair: str(int(pair[1]) - int(pair[2])), name)
    return key


def load_public(model: LightDsfd, tensors: dict[str, Tensor]) -> None:
    """Fill `model` with tensors in the public file's names (see KEYS); its auxiliary training head is left out.

    Raises ModelError for tensors of another network.
    """
    renamed = {_renamed(key): value for key, value in tensors.items() if "auxiliary" not in key}
    counters = "num_batches_tracked"  # written by later versions of torch only, read by training only
    try:
        report = model.load_state_dict(renamed, strict=False)
    except RuntimeError as error:
        raise ModelError(f"not weights of light DSFD (DSFDv2_r18): {error}") from error
    missing = [key for key in report.missing_keys if not key.endswith(counters)]
    if missing or report.unexpected_keys:
        raise ModelError(
            f"not weights of light DSFD (DSFDv2_r18): {len(missing)} tensors are missing ({', '.join(missing[:3])}), "
            f"{len(report.unexpected_keys)} are unknown ({', '.join(report.unexpected_keys[:3])})"
        )
