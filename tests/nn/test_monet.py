"""MoNet: the published size, and its blocks read against plain sums."""

import dataclasses
import json
import math

import pytest
import timm
import torch
from torch.nn import functional as F

from pqa import nn
from pqa.nn.models import monet


def shaken(module, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def full():
    with torch.device("meta"):
        return nn.build("monet", "full")


def test_parameters_are_those_of_the_specification(full):
    """Published 408 M; 407,414,284 without the ViT's last norm and classifier, which nothing reads."""
    assert parameters(full) == 407_414_284


def test_the_two_attentions_have_the_stated_widths(full):
    assert len(full.raters) == 5
    for rater in full.raters:
        assert len(rater.spatial) == 4
        assert rater.over_positions.query.weight.shape == (3072, 3072)
        assert rater.over_channels.query.weight.shape == (2304, 2304)
    assert len(full.fusion.spatial) == 5
    assert full.fusion.over_positions.query.weight.shape == (3840, 3840)
    assert full.fusion.over_channels.query.weight.shape == (2880, 2880)


def test_pixels_are_normalised_as_the_weights_of_its_trunk_want(full):
    (view,) = full.views
    wanted = timm.get_pretrained_cfg(full.config.backbone)
    assert (view.mean, view.std) == (wanted.mean, wanted.std) == ((0.5,) * 3, (0.5,) * 3)


def test_the_maps_are_those_of_blocks_3_6_9_and_12(full):
    assert full.config.blocks == (3, 6, 9, 12)
    torch.manual_seed(0)
    options = nn.MODELS["monet"].sizes["tiny"].backbone_options | {"depth": 12}
    model = nn.build("monet", "tiny", backbone_options=options, blocks=full.config.blocks).eval()
    seen = []
    for block in model.trunk.network.blocks:
        block.register_forward_hook(lambda _module, _inputs, tokens: seen.append(tokens))
    with torch.no_grad():
        maps = model.trunk(torch.randn(1, 3, 64, 64))
    assert len(seen) == 12
    for got, block in zip(maps, (3, 6, 9, 12), strict=True):
        torch.testing.assert_close(got.flatten(2).transpose(1, 2), seen[block - 1][:, 1:])


def test_one_rater_at_full_width_is_as_large_as_reckoned(full):
    """3 d (d + 1) for each attention, 2 (768 + 1) 96 + (768 + 1) 768 + 1 for each map's own."""
    attentions = sum(3 * d * (d + 1) for d in (4 * 768, 4 * 24**2))
    spatial = 2 * 769 * 96 + 769 * 768 + 1
    assert parameters(full.raters[0]) == attentions + 4 * spatial


def test_spatial_attention_starts_as_the_identity():
    torch.manual_seed(0)
    layer = monet.SpatialAttention(16)
    x = torch.randn(2, 16, 3, 4)
    assert torch.equal(layer(x), x)


def test_spatial_attention_by_hand():
    layer = shaken(monet.SpatialAttention(16))
    x = torch.randn(1, 16, 2, 3)
    query, key, value = layer.query(x)[0].flatten(1), layer.key(x)[0].flatten(1), layer.value(x)[0].flatten(1)
    for i in range(6):
        weights = torch.stack([query[:, i] @ key[:, j] for j in range(6)]).softmax(0)
        expected = x[0].flatten(1)[:, i] + layer.gamma * sum(weights[j] * value[:, j] for j in range(6))
        torch.testing.assert_close(layer(x)[0].flatten(1)[:, i], expected)


def test_token_attention_is_scaled_and_residual():
    layer = shaken(monet.TokenAttention(12, 0.1))
    x = torch.randn(2, 5, 12)
    expected = x + F.scaled_dot_product_attention(layer.query(x), layer.key(x), layer.value(x), scale=1 / math.sqrt(12))
    torch.testing.assert_close(layer(x), expected)


def silent_rater(maps=3, channels=16, positions=4):
    """A rater whose attentions add nothing: only its bookkeeping of axes is left."""
    rater = monet.MultiViewAttention(maps, channels, positions, 0.0).eval()
    for attention in (rater.over_positions, rater.over_channels):
        torch.nn.init.zeros_(attention.value.weight)
        torch.nn.init.zeros_(attention.value.bias)
    return rater


def test_a_rater_that_adds_nothing_gives_the_mean_map():
    """No transposition scrambles axes: every position and channel comes out where it went in."""
    maps = torch.randn(2, 3, 16, 2, 2)
    torch.testing.assert_close(silent_rater()(maps), maps.mean(dim=1))


@pytest.mark.parametrize("part", ["over_positions", "over_channels"])
def test_each_attention_returns_its_values_to_their_place(part):
    """With even weights every token receives the mean token: over positions, or over channels."""
    rater = silent_rater()
    attention = getattr(rater, part)
    torch.nn.init.zeros_(attention.query.weight)
    torch.nn.init.zeros_(attention.query.bias)
    torch.nn.init.eye_(attention.value.weight)
    maps = torch.randn(2, 3, 16, 2, 2)
    mean = maps.mean(dim=(3, 4), keepdim=True) if part == "over_positions" else maps.mean(dim=2, keepdim=True)
    torch.testing.assert_close(rater(maps), (maps + mean / 2).mean(dim=1))


def test_a_rater_ignores_the_order_of_positions_but_for_where_they_land():
    """Attention over positions knows no neighbourhood: moved positions come out moved, not otherwise changed."""
    rater = silent_rater()
    torch.manual_seed(1)
    torch.nn.init.normal_(rater.over_positions.value.weight)
    shaken(rater.spatial)
    maps = torch.randn(1, 3, 16, 2, 2)
    torch.testing.assert_close(rater(maps.flip(3)), rater(maps).flip(2))


def test_the_transformer_block_has_no_bias_in_its_attention(full):
    assert full.block.qkv.bias is None
    assert full.block.heads == 12


def test_the_transformer_block_agrees_with_torch():
    block = shaken(monet.TransformerBlock(24, 4))
    reference = torch.nn.TransformerEncoderLayer(
        24, 4, 96, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    state = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.in_proj_bias": torch.zeros(72),
        "self_attn.out_proj.weight": block.project.weight,
        "self_attn.out_proj.bias": block.project.bias,
    }
    for ours, theirs in (("norm1", "norm1"), ("norm2", "norm2"), ("mlp.0", "linear1"), ("mlp.2", "linear2")):
        for kind in ("weight", "bias"):
            state[f"{theirs}.{kind}"] = block.get_parameter(f"{ours}.{kind}")
    reference.load_state_dict(state)
    x = torch.randn(2, 5, 24)
    torch.testing.assert_close(block(x), reference(x), atol=1e-5, rtol=1e-5)


def test_crops_are_scored_alone_and_averaged():
    torch.manual_seed(0)
    model = shaken(nn.build("monet", "tiny"))
    one = nn.build("monet", "tiny", crops=1).eval()
    one.load_state_dict(model.state_dict())
    crops = torch.randn(2, 5, 3, 64, 64)
    with torch.no_grad():
        together = model(crops)
        each = [one(crops[:, k]) for k in range(5)]
    for got, parts in zip(together, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(parts).mean(0))


def test_tiny_differs_from_full_in_values_only():
    kinds = [{key: type(value) for key, value in dataclasses.asdict(monet.SIZES[size]).items()} for size in monet.SIZES]
    assert kinds[0] == kinds[1]
    json.dumps(dataclasses.asdict(monet.SIZES["tiny"]))
