"""Trunks: the only caller of timm and open_clip, and the only place that may touch a hub (only with `pretrained=True`).

`options` replace single values of the named architecture, so that a test's trunk is the same code, only narrower. With
`pretrained=True` the weights named in `pqa.weights` come from the folder PQA_WEIGHTS_DIR or else from the hub; they
are read as safetensors and must fit to the last tensor. Nothing else touches the network.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import open_clip
import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pqa.errors import ConfigurationError, ModelError, unknown_key
from pqa.weights import WEIGHTS, Weight, locate, missing, verify

__all__ = [
    "BlockTrunk",
    "ClipVisual",
    "FeatureTrunk",
    "clip",
    "clip_blocks",
    "clip_visual",
    "feature_trunk",
    "read_weights",
    "tap_width",
    "tapped",
    "tokenize",
    "trunk",
]


def trunk(name: str, options: dict[str, Any], *, pretrained: bool = False) -> tuple[nn.Module, int]:
    """A timm model without its classifier, and the width C of its pooled feature.

    The module maps (N, 3, H, W) to (N, C). `options` are timm's own arguments for that model (widths, depths).
    """
    module = _timm(name, options, pretrained=pretrained)
    width: Any = module.num_features
    return module, int(width)


def tap_width(network: Any, tap: int) -> int:
    """Channels of the map that a `trunk` has after `tap`. Raises ConfigurationError where it has no such tap."""
    stages = list(network.feature_info)
    _check_taps(type(network).__name__, [tap], len(stages))
    return int(stages[tap]["num_chs"])


def tapped(
    network: Any, x: Float[Tensor, "n 3 h w"], tap: int
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n t i j"]]:
    """What a `trunk` gives for `x`, and its map after `tap` on the way there; taps count as in `feature_trunk`."""
    last, (early,) = network.forward_intermediates(x, indices=[tap], norm=False, output_fmt="NCHW")
    return network.forward_head(last), early


class FeatureTrunk(nn.Module):
    """(N, 3, H, W) to one map (N, C_i, h_i, w_i) a tap; `widths` holds C_i. What lies behind the last tap is removed."""

    def __init__(self, network: Any, taps: Sequence[int]) -> None:
        super().__init__()
        _check_taps(type(network).__name__, taps, len(network.feature_info))
        network.prune_intermediate_layers(list(taps), prune_norm=True, prune_head=True)
        self.network = network
        self.taps = list(taps)
        self.widths = tuple(int(network.feature_info[tap]["num_chs"]) for tap in taps)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        maps: list[Tensor] = self.network.forward_intermediates(
            x, indices=self.taps, norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return maps


def feature_trunk(name: str, options: dict[str, Any], taps: Sequence[int], *, pretrained: bool = False) -> FeatureTrunk:
    """A timm model's intermediate maps before any final norm.

    `taps` count from zero: blocks of a ViT, stages of a Swin; of a ResNet 0 is the stem and 1 to 4 are the stages.
    """
    return FeatureTrunk(_timm(name, options, pretrained=pretrained), taps)


class ClipVisual(nn.Module):
    """CLIP's picture tower: (N, 3, H, W) to the projected class token (N, E) and the patch tokens (N, L, C).

    The tokens are those after the final LayerNorm, not projected. `width` is C, `embedding` E, `grid` (h, w) with
    h w = L; `tower` is open_clip's VisionTransformer.
    """

    def __init__(self, tower: Any) -> None:
        super().__init__()
        tower.output_tokens = True
        self.tower = tower
        self.embedding = int(tower.output_dim)
        self.width = int(tower.conv1.out_channels)
        self.grid = tuple(int(side) for side in tower.grid_size)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n l c"]]:
        pooled, tokens = self.tower(x)
        return pooled, tokens


class BlockTrunk(nn.Module):
    """Patch tokens of CLIP's blocks as maps: (N, 3, H, W) to one (N, C, h, w) a tap, before any final LayerNorm."""

    def __init__(self, tower: Any, taps: Sequence[int]) -> None:
        super().__init__()
        _check_taps(type(tower).__name__, taps, len(tower.transformer.resblocks))
        tower.prune_intermediate_layers(list(taps), prune_norm=True, prune_head=True)
        self.tower = tower
        self.taps = list(taps)
        self.width = int(tower.conv1.out_channels)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        found = self.tower.forward_intermediates(x, indices=self.taps, intermediates_only=True, output_fmt="NCHW")
        maps: list[Tensor] = found["image_intermediates"]
        return maps


def clip_visual(name: str, options: dict[str, Any], *, pretrained: bool = False) -> ClipVisual:
    """The picture tower of the CLIP model `name` ("ViT-B-16-quickgelu"); `options` as in `clip`."""
    return ClipVisual(clip(name, options, pretrained=pretrained).visual)


def clip_blocks(name: str, options: dict[str, Any], taps: Sequence[int], *, pretrained: bool = False) -> BlockTrunk:
    """Blocks `taps` (from zero) of CLIP's picture tower; later blocks, final norm and projection are removed."""
    return BlockTrunk(clip(name, options, pretrained=pretrained).visual, taps)


def clip(name: str, options: dict[str, Any], *, pretrained: bool = False, weights: str = "") -> Any:
    """A whole CLIP with its text tower: `encode_image`, `encode_text`, `logit_scale`.

    `options` replace values of open_clip's configuration, key by key: {"vision_cfg": {"layers": 2}}. `weights` is a row
    of `pqa.weights.WEIGHTS` (default: OpenAI's of that model).
    """
    config = open_clip.get_model_config(name)
    if config is None:
        raise unknown_key(name, open_clip.list_models(), "CLIP model")
    values = _merged(config, options)
    if not pretrained:
        with _given(options, name):
            return open_clip.CLIP(**values)
    key = weights or f"{name}.openai"
    if key not in WEIGHTS:
        raise unknown_key(key, WEIGHTS, "weights")

    def load(tensors: dict[str, Tensor]) -> Any:
        with _given(options, name):
            module = open_clip.CLIP(**values)
        module.load_state_dict(tensors)
        return module

    return _load(load, WEIGHTS[key])


def tokenize(texts: Sequence[str], length: int = 77) -> Int64[Tensor, "n t"]:
    """CLIP's byte-pair tokens of `texts`, cut and padded to `length`. The vocabulary is part of open_clip."""
    tokens: Tensor = open_clip.tokenizer.SimpleTokenizer(context_length=length)(list(texts))
    return tokens


def read_weights(weight: Weight) -> dict[str, Tensor]:
    """The tensors of a weight, from the folder PQA_WEIGHTS_DIR or else the hub.

    Raises MissingWeights where neither has it, ModelError for a damaged or foreign file.
    """
    path = locate(weight) or _download(weight)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: expected a safetensors file of {weight.name}: {error}") from error


def _download(weight: Weight) -> Path:
    if not weight.hub:
        raise missing(weight, "not on the hub")
    # The hub's client raises a dozen unrelated types (network, HTTP, cache, offline mode): all mean "not to be had".
    silent: Exception | None = None
    try:
        # Asked once: a download's own retries take half a minute to find out that nobody answers.
        get_hf_file_metadata(hf_hub_url(weight.hub, weight.file))
    except Exception as error:
        silent = error
    try:
        path = Path(hf_hub_download(weight.hub, weight.file, local_files_only=silent is not None))
    except Exception as error:
        raise missing(weight, f"the hub is out of reach: {type(silent or error).__name__}") from (silent or error)
    verify(path, weight, weight.sha256)
    return path


def _load(build: Callable[[dict[str, Tensor]], Any], weight: Weight) -> Any:
    """What `build` makes of the weight's tensors. They are read first: nothing big is built in vain."""
    tensors = read_weights(weight)
    try:
        return build(tensors)
    except (RuntimeError, KeyError) as error:
        raise ModelError(f"the weights {weight.name} do not fit the model: {error}") from error


def _timm(name: str, options: dict[str, Any], *, pretrained: bool) -> Any:
    """A timm model without classifier. Its default weights are those of the tag in `name`, else timm's own default."""
    if not timm.is_model(name):
        raise unknown_key(name, timm.list_models(), "timm model")
    if not pretrained:
        with _given(options, name):
            return timm.create_model(name, pretrained=False, num_classes=0, **options)

    def load(tensors: dict[str, Tensor]) -> Any:
        # Built with the classifier of the file, since timm is strict about missing tensors only then.
        classes, overlay = _facts(name).num_classes, {"state_dict": tensors}
        with _given(options, name):
            module: Any = timm.create_model(
                name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay, **options
            )
        module.reset_classifier(0)
        return module

    return _load(load, _timm_weight(name))


@contextlib.contextmanager
def _given(options: dict[str, Any], network: str) -> Iterator[None]:
    """Raises ConfigurationError where the library that builds the network does not know one of its options."""
    try:
        yield
    except TypeError as error:
        raise ConfigurationError(f"{network} cannot be built with the options {options}: {error}") from error


def _check_taps(network: str, taps: Sequence[int], count: int) -> None:
    for tap in taps:
        if not 0 <= tap < count:
            raise ConfigurationError(f"a tap of {network} must be 0 to {count - 1}, got {tap}")


def _facts(name: str) -> Any:
    """What timm knows of a model's weights: classes, tag, hub, licence."""
    return timm.get_pretrained_cfg(name)


def _timm_weight(name: str) -> Weight:
    """The row of `name`, or one made from what timm knows, so that any timm trunk can be tried."""
    config = _facts(name)
    full = name if "." in name else f"{name}.{config.tag}"
    known = WEIGHTS.get(full)
    if known is not None:
        return known
    hub = config.hf_hub_id or f"timm/{full}"
    return Weight(full, 0, config.license or "not stated", f"https://huggingface.co/{hub}", hub=hub)


def _merged(config: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """`config` with the values of `options`, nested dictionaries merged."""
    merged = copy.deepcopy(config)
    for key, value in options.items():
        merged[key] = _merged(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged
