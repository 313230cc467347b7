"""`hyperiqa`: a network that writes, for each picture, the small network which judges it.

Su et al., "Blindly Assess Image Quality in the Wild Guided by a Self-Adaptive Hyper Network" (CVPR 2020), in the shape that
Chahine et al., "An Image Quality Assessment Dataset for Portraits" (CVPR 2023) train on PIQ23: one crop of 1344 x 1344
instead of patches of 224 x 224. Size `full` is that one (128,165,289 parameters), `original` the 2020 network. Public code:
SSL92/hyperIQA and DXOMARK-Research/PIQ2023, whose checkpoints `load_public` reads. Own code throughout.

Licence: Apache-2.0; the trunk's ImageNet weights are BSD-3-Clause.

Differences from the papers:
- test crops are five fixed ones (corners, centre), their scores averaged; the 2020 paper draws 25 at random, that of 2023
  does not say. A picture whose shorter side is below the crop's is enlarged to it; the papers do not say what they do;
- written weights are applied as batched matrix products (same numbers as the public grouped convolutions, any batch size);
- the last layer has one output an attribute; published models have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, cat, nn

from pqa.errors import ConfigurationError, ModelError
from pqa.nn.backbones import feature_trunk
from pqa.spec import ViewSpec

__all__ = ["SIZES", "HyperIqa", "HyperIqaConfig", "HyperNetwork", "as_crops", "load_public"]


@dataclass(frozen=True)
class HyperIqaConfig:
    """`side`: pixels of the crop, a multiple of 32 `cell`; `cell`: side of the last map's pooling cells.

    `width`: length of the local distortion vector, the target network's input; its layers halve it four times. `local`:
    share of each of the three early stages in it; `squeeze`: their channels before pooling. `narrow`: channels between
    the trunk's last map and the hyper features (`width` / 2). `crops`: test crops, 1, 5 or 9.
    """

    backbone: str = "resnet50.tv_in1k"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    side: int = 1344
    cell: int = 7
    width: int = 1344
    local: int = 16
    squeeze: tuple[int, int, int] = (16, 32, 64)
    narrow: tuple[int, int] = (1024, 512)
    crops: int = 5
    attributes: tuple[str, ...] = ("overall",)
    scenes: tuple[str, ...] = ()

    @property
    def grid(self) -> int:
        """Side of the trunk's last map."""
        return self.side // 32

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs of the target network's five layers."""
        return tuple(self.width >> layer for layer in range(5))

    def __post_init__(self) -> None:
        if self.side % (32 * self.cell):
            raise ConfigurationError(f"side must be a multiple of 32 x cell = {32 * self.cell}, got {self.side}")
        for wide, narrow in zip(self.widths, self.widths[1:], strict=False):
            if wide != 2 * narrow or wide * narrow % self.grid**2:
                raise ConfigurationError(
                    f"width must halve four times and each layer's weights fill the {self.grid} x {self.grid} map "
                    f"(width = side does), got width {self.width} at side {self.side}"
                )

    def views(self) -> tuple[ViewSpec, ...]:
        """Crops at native resolution, of a picture enlarged where it is smaller."""
        return (ViewSpec("crops", "crops", (self.side, self.side), crops=self.crops, enlarge=True),)


TINY: dict[str, Any] = {
    "backbone": "resnet10t",
    "backbone_options": {"channels": (8, 16, 24, 32), "stem_width": 8},
    "side": 64,
    "cell": 2,
    "width": 32,
    "local": 4,
    "squeeze": (4, 6, 8),
    "narrow": (32, 24),
}

SIZES: dict[str, HyperIqaConfig] = {
    "full": HyperIqaConfig(),
    "original": HyperIqaConfig(side=224, width=224),
    "tiny": HyperIqaConfig(**TINY),
}


class HyperNetwork(nn.Module):
    """(N, 3, side, side) to the quality (N, A) and the hyper features (N, width / 2, grid, grid)."""

    def __init__(self, config: HyperIqaConfig, *, pretrained: bool) -> None:
        super().__init__()
        self.widths, attributes = config.widths, len(config.attributes)
        self.trunk = feature_trunk(config.backbone, config.backbone_options, (1, 2, 3, 4), pretrained=pretrained)
        maps, cells = self.trunk.widths, config.grid // config.cell
        self.cell = nn.AvgPool2d(config.cell)
        self.squeeze = nn.ModuleList(
            nn.Conv2d(wide, narrow, 1, bias=False) for wide, narrow in zip(maps[:3], config.squeeze, strict=True)
        )
        # Stage i has 8, 4, 2 and 1 times the cells of the last map a side.
        lengths = [narrow * (cells << 3 - i) ** 2 for i, narrow in enumerate(config.squeeze)] + [maps[3] * cells**2]
        shares = [config.local] * 3 + [config.width - 3 * config.local]
        self.local = nn.ModuleList(nn.Linear(length, share) for length, share in zip(lengths, shares, strict=True))
        channels = config.width // 2
        self.features = nn.Sequential(
            nn.Conv2d(maps[3], config.narrow[0], 1),
            nn.ReLU(),
            nn.Conv2d(config.narrow[0], config.narrow[1], 1),
            nn.ReLU(),
            nn.Conv2d(config.narrow[1], channels, 1),
            nn.ReLU(),
        )
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        self.weights = nn.ModuleList(
            nn.Conv2d(channels, wide * narrow // config.grid**2, 3, padding=1) for wide, narrow in pairs
        )
        self.biases = nn.ModuleList(nn.Linear(channels, narrow) for _, narrow in pairs)
        self.last_weight = nn.Linear(channels, self.widths[4] * attributes)
        self.last_bias = nn.Linear(channels, attributes)
        for layer in (*self.squeeze, *self.local, *self.weights, *self.biases, self.last_weight, self.last_bias):
            nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n c g g"]]:
        stages = self.trunk(x)
        pooled = [self.cell(squeeze(stage)) for squeeze, stage in zip(self.squeeze, stages, strict=False)]
        pooled.append(self.cell(stages[3]))
        vector = cat([read(cells.flatten(1)) for read, cells in zip(self.local, pooled, strict=True)], dim=1)[..., None]
        features = self.features(stages[3])
        mean = features.mean(dim=(2, 3))
        for layer, (write, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            weight = write(features).flatten(1).unflatten(1, (self.widths[layer + 1], self.widths[layer]))
            vector = (weight @ vector + bias(mean)[..., None]).sigmoid()
        weight = self.last_weight(mean).unflatten(1, (-1, self.widths[4]))
        return (weight @ vector)[..., 0] + self.last_bias(mean), features


class HyperIqa(nn.Module):
    """See the module."""

    outputs = ("score",)
    branch_names: tuple[str, ...] = ()

    def __init__(self, config: HyperIqaConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.views = config.views()
        self.core = HyperNetwork(config, pretrained=pretrained)

    def forward(self, crops: Float[Tensor, "n *k 3 h w"]) -> tuple[Tensor, ...]:
        crops = as_crops(crops)
        quality, _ = self.core(crops.flatten(0, 1))
        return (quality.unflatten(0, (-1, crops.shape[1])).mean(dim=1),)


def as_crops(crops: Float[Tensor, "n *k 3 h w"]) -> Float[Tensor, "n k 3 h w"]:
    """The axis of crops, also where a view has but one."""
    return crops if crops.dim() == 5 else crops[:, None]


PUBLIC: tuple[tuple[str, str], ...] = (
    ("module.", ""),
    ("hyperNet.", ""),
    *((f"res.lda{i + 1}_pool.0.", f"core.squeeze.{i}.") for i in range(3)),
    *((f"res.lda{i + 1}_fc.", f"core.local.{i}.") for i in range(4)),
    ("res.", "core.trunk.network."),
    ("conv1.", "core.features."),
    *((f"fc{i + 1}w_conv.", f"core.weights.{i}.") for i in range(4)),
    *((f"fc{i + 1}b_fc.", f"core.biases.{i}.") for i in range(4)),
    ("fc5w_fc.", "core.last_weight."),
    ("fc5b_fc.", "core.last_bias."),
    ("sceneClassNet.layers.", "scene."),
    ("rescaleNet.layers.", "rescale."),
)
"""Prefixes of the public checkpoints and ours, applied once each in this order. The first two rows are wrappers: that of
parallel training, and that of PIQ2023's model around hyperIQA's."""


def load_public(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a checkpoint in the key layout of SSL92/hyperIQA (hyperiqa) or DXOMARK-Research/PIQ2023 (all three).

    Raises ModelError for keys or shapes that are not the model's.
    """
    renamed = {}
    for key, tensor in state.items():
        name = key
        for theirs, ours in PUBLIC:
            if name.startswith(theirs):
                name = ours + name[len(theirs) :]
                if ours:
                    break
        renamed[name] = tensor
    try:
        model.load_state_dict(renamed)
    except RuntimeError as error:
        raise ModelError(f"not a public checkpoint of {type(model).__name__} in this size: {error}") from error
