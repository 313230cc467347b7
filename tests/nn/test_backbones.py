"""Trunks and their weights: files in the hub's own format, made here from narrow configurations."""

import dataclasses
import hashlib

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from pqa.errors import ConfigurationError, MissingWeights, ModelError
from pqa.nn import backbones
from pqa.weights import VARIABLE, WEIGHTS

RESNET = {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}
SWIN = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 2, "img_size": 64}
VIT = {"embed_dim": 16, "depth": 4, "num_heads": 2, "img_size": 32}
CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1},
}
TIMM = [
    ("resnet50.tv_in1k", RESNET, (1, 2, 3, 4), 64),
    ("swin_base_patch4_window12_384.ms_in22k", SWIN, (0, 1, 2, 3), 64),
    ("vit_base_patch16_384.augreg_in21k_ft_in1k", VIT, (0, 2), 32),
    ("vit_base_patch16_clip_224.openai", VIT, (1, 3), 32),
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network in tests")

    monkeypatch.setattr(backbones, "hf_hub_download", refuse)
    monkeypatch.setattr(backbones, "get_hf_file_metadata", refuse)
    monkeypatch.delenv(VARIABLE, raising=False)


def hub_file(folder, name, module):
    state = {key: value.contiguous().clone() for key, value in module.state_dict().items()}
    save_file(state, folder / f"{name}.safetensors", metadata={"format": "pt"})


def timm_file(folder, name, options):
    """What the hub holds for `name`: a whole state dict with the classifier of its pre-training."""
    torch.manual_seed(1)
    whole = timm.create_model(name, num_classes=timm.get_pretrained_cfg(name).num_classes, **options)
    hub_file(folder, name, whole)
    return whole


@pytest.mark.parametrize(("name", "options", "taps", "side"), TIMM)
def test_a_timm_trunk_takes_the_file_of_the_folder(name, options, taps, side, tmp_path, monkeypatch):
    whole = timm_file(tmp_path, name, options).eval()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    x = torch.randn(2, 3, side, side)
    module, width = backbones.trunk(name, options, pretrained=True)
    expected = whole.forward_head(whole.forward_features(x), pre_logits=True)
    torch.testing.assert_close(module.eval()(x), expected)
    assert expected.shape == (2, width)
    maps = backbones.feature_trunk(name, options, taps, pretrained=True).eval()(x)
    reference = whole.forward_intermediates(x, indices=list(taps), norm=False, intermediates_only=True)
    for got, want in zip(maps, reference, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(("name", "options", "taps", "side"), TIMM)
def test_feature_maps_have_the_widths_they_state(name, options, taps, side):
    trunk = backbones.feature_trunk(name, options, taps)
    maps = trunk(torch.randn(1, 3, side, side))
    assert tuple(values.shape[1] for values in maps) == trunk.widths
    sum(values.square().sum() for values in maps).backward()
    assert [key for key, p in trunk.named_parameters() if p.grad is None] == []


def test_clip_takes_the_file_of_the_folder(tmp_path, monkeypatch):
    name = "ViT-B-16-quickgelu"
    torch.manual_seed(2)
    config = backbones._merged(open_clip.get_model_config(name), CLIP)
    whole = open_clip.CLIP(**config).eval()
    hub_file(tmp_path, f"{name}.openai", whole)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    x = torch.randn(2, 3, 32, 32)
    visual = backbones.clip_visual(name, CLIP, pretrained=True).eval()
    embedded, tokens = visual(x)
    torch.testing.assert_close(embedded, whole.encode_image(x))
    assert tokens.shape == (2, visual.grid[0] * visual.grid[1], visual.width)
    assert embedded.shape == (2, visual.embedding)
    # The class token is projected, the patch tokens are the same tower's after its last LayerNorm.
    full = whole.visual.ln_post(whole.visual.transformer(whole.visual._embeds(x)))
    torch.testing.assert_close(tokens, full[:, 1:])


def test_clip_blocks_end_at_the_last_tap():
    blocks = backbones.clip_blocks("ViT-B-16-quickgelu", CLIP, (0, 1))
    assert len(blocks.tower.transformer.resblocks) == 2
    maps = blocks(torch.randn(2, 3, 32, 32))
    assert [tuple(values.shape) for values in maps] == [(2, 64, 2, 2)] * 2
    sum(values.square().sum() for values in maps).backward()
    assert [key for key, p in blocks.named_parameters() if p.grad is None] == []


def test_clip_reads_text():
    model = backbones.clip("ViT-B-32-quickgelu", CLIP)
    tokens = backbones.tokenize(["a photo", "a portrait with blur"], length=16)
    assert tokens.shape == (2, 16)
    assert model.encode_text(tokens).shape == (2, 12)


@pytest.mark.parametrize(
    "build",
    [
        lambda: backbones.trunk("resnet50.tv_in1k", RESNET, pretrained=True),
        lambda: backbones.clip_visual("ViT-B-16-quickgelu", CLIP, pretrained=True),
        lambda: backbones.clip("ViT-B-32-quickgelu", CLIP, pretrained=True, weights="liqe"),
    ],
)
def test_missing_weights_name_origin_and_variable(build):
    with pytest.raises(MissingWeights, match=rf"https://.*safetensors.*{VARIABLE}"):
        build()


def test_weights_of_another_model_are_refused(tmp_path, monkeypatch):
    timm_file(tmp_path, "resnet50.tv_in1k", RESNET)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ModelError, match="do not fit"):
        backbones.trunk("resnet50.tv_in1k", {**RESNET, "channels": (8, 8, 8, 8)}, pretrained=True)
    (tmp_path / "resnet50.tv_in1k.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="expected a safetensors file"):
        backbones.trunk("resnet50.tv_in1k", RESNET, pretrained=True)


def test_a_checksum_is_held_against_the_file(tmp_path, monkeypatch):
    name = "resnet50.tv_in1k"
    timm_file(tmp_path, name, RESNET)
    file = tmp_path / f"{name}.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  {file.name}\n")
    backbones.trunk(name, RESNET, pretrained=True)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  {file.name}\n")
    with pytest.raises(ModelError, match=f"expected sha256 {'0' * 64}, got {digest}"):
        backbones.trunk(name, RESNET, pretrained=True)


def test_a_silent_hub_is_asked_once_and_then_only_what_was_fetched_before(tmp_path, monkeypatch):
    name = "resnet50.tv_in1k"
    timm_file(tmp_path, name, RESNET)
    asked = []

    def cached(*_, local_files_only):
        asked.append(local_files_only)
        return str(tmp_path / f"{name}.safetensors")

    monkeypatch.setattr(backbones, "hf_hub_download", cached)
    backbones.trunk(name, RESNET, pretrained=True)
    monkeypatch.setattr(backbones, "get_hf_file_metadata", lambda url: url)
    backbones.trunk(name, RESNET, pretrained=True)
    assert asked == [True, False]


def test_a_checksum_of_the_table_is_held_against_what_the_hub_sends(tmp_path, monkeypatch):
    name = "resnet50.tv_in1k"
    timm_file(tmp_path, name, RESNET)
    file = tmp_path / f"{name}.safetensors"
    monkeypatch.setattr(backbones, "hf_hub_download", lambda *_, **__: str(file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(WEIGHTS, name, dataclasses.replace(WEIGHTS[name], sha256=digest))
    backbones.trunk(name, RESNET, pretrained=True)
    monkeypatch.setitem(WEIGHTS, name, dataclasses.replace(WEIGHTS[name], sha256="0" * 64))
    with pytest.raises(ModelError, match=f"expected sha256 {'0' * 64}, got {digest}"):
        backbones.trunk(name, RESNET, pretrained=True)


def test_unknown_trunks_offer_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'resnet50'"):
        backbones.trunk("resnet5O", {})
    with pytest.raises(ConfigurationError, match="did you mean 'ViT-B-16'"):
        backbones.clip("ViT-B16", {})


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_every_weight_says_what_a_reader_needs(name):
    row = WEIGHTS[name]
    assert row.name == name
    assert row.megabytes > 0
    assert row.licence
    assert row.used_by
    assert row.origin.startswith("https://")


@pytest.mark.parametrize("name", sorted(name for name, row in WEIGHTS.items() if row.hub))
def test_sizes_are_four_bytes_a_parameter(name):
    with torch.device("meta"):
        if WEIGHTS[name].file == "open_clip_model.safetensors":
            module = backbones.clip(name.removesuffix(".openai"), {})
        else:
            module = timm.create_model(name, num_classes=timm.get_pretrained_cfg(name).num_classes)
    assert WEIGHTS[name].megabytes == round(4 * sum(p.numel() for p in module.parameters()) / 1e6)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: backbones.trunk("resnet50.tv_in1k", {"chanels": (8, 8, 8, 8)}), "resnet50.tv_in1k .*'chanels'"),
        (lambda: backbones.clip("ViT-B-16-quickgelu", {"vision_cfg": {"layer": 2}}), "ViT-B-16-quickgelu .*'layer'"),
        (lambda: backbones.feature_trunk("resnet50.tv_in1k", RESNET, (1, 5)), "tap of ResNet must be 0 to 4, got 5"),
        (lambda: backbones.clip_blocks("ViT-B-16-quickgelu", CLIP, (0, 3)), "tap of .* must be 0 to 2, got 3"),
    ],
)
def test_options_and_taps_that_a_trunk_lacks_are_named(build, says):
    with pytest.raises(ConfigurationError, match=says):
        build()
