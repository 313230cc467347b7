"""PQE: the published size, its frozen LIQE, and how crops meet."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from pqa import nn
from pqa.nn.backbones import clip, tokenize
from pqa.nn.models.liqe import PROMPTS, LiqeFeatures, text_features
from pqa.nn.models.pqe import SIZES
from pqa.spec import CropRule
from pqa.weights import VARIABLE

NAME, OPTIONS = SIZES["tiny"].clip, SIZES["tiny"].clip_options


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.build("pqe", "tiny").eval()


def batch(model, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, view.crops, 3, *view.size, generator=generator) for view in model.views]


def test_trained_parameters_are_as_published():
    """174 M: two Swin-B and the head. LIQE's picture tower, 87.8 M, is frozen."""
    with torch.device("meta"):
        full = nn.build("pqe", "full")
    assert sum(p.numel() for p in full.parameters() if p.requires_grad) == 174_082_929
    assert sum(p.numel() for p in full.parameters() if not p.requires_grad) == 87_849_216
    assert full.head[0].in_features == 1024 + 1024 + 495


def test_the_prompts():
    assert len(set(PROMPTS)) == 495 == 9 * 11 * 5
    assert PROMPTS[0] == "a photo of a animal with jpeg2000 compression artifacts, which is of bad quality"
    assert PROMPTS[-1] == "a photo of a others with other artifacts, which is of perfect quality"
    assert int((tokenize(PROMPTS) != 0).sum(1).max()) <= 32


def test_liqe_is_the_mean_of_scaled_cosines():
    torch.manual_seed(2)
    whole = clip(NAME, OPTIONS).eval()
    torch.manual_seed(2)
    features = LiqeFeatures(NAME, OPTIONS)
    features.text.copy_(text_features(whole, PROMPTS))
    patches = torch.randn(2, 15, 3, 32, 32)
    with torch.no_grad():
        got = features(patches)
        for picture, logits in zip(patches, got, strict=True):
            image, text = whole.encode_image(picture), whole.encode_text(tokenize(PROMPTS[:7], 32))
            cosine = F.cosine_similarity(image[:, None], text[None], dim=2)
            torch.testing.assert_close(logits[:7], (whole.logit_scale.exp() * cosine).mean(0))


def test_liqe_weights_fill_the_prompts(tmp_path, monkeypatch):
    torch.manual_seed(4)
    whole = clip(NAME, OPTIONS).eval()
    save_file(
        {key: value.contiguous().clone() for key, value in whole.state_dict().items()}, tmp_path / "liqe.safetensors"
    )
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    features = LiqeFeatures(NAME, OPTIONS, pretrained=True)
    torch.testing.assert_close(features.text, text_features(whole, PROMPTS))
    torch.testing.assert_close(features.scale, whole.logit_scale.exp())
    torch.testing.assert_close(features.visual.conv1.weight, whole.visual.conv1.weight)


def test_liqe_is_never_trained(model):
    model.train()
    assert not any(part.training for part in model.description.modules())
    (score,) = model(*batch(model, 2))
    score.sum().backward()
    assert all(p.grad is None for p in model.description.parameters())
    silent = [name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    model.zero_grad()
    model.eval()
    assert silent == []


def test_crop_k_of_the_picture_meets_crop_k_of_the_face(model):
    crops, faces, patches = batch(model, 2)
    order = [3, 1, 4, 0, 2]
    one = nn.build("pqe", "tiny", crops=1).eval()
    one.load_state_dict(model.state_dict())
    with torch.no_grad():
        (score,) = model(crops, faces, patches)
        each = torch.stack([one(crops[:, k], faces[:, k], patches)[0] for k in range(5)])
        (moved,) = model(crops[:, order], faces[:, order], patches)
        (apart,) = model(crops[:, order], faces, patches)
    torch.testing.assert_close(score, each.mean(0))
    torch.testing.assert_close(score, moved)
    assert not torch.equal(score, apart)


def test_the_branches_share_nothing(model):
    whole = {p.data_ptr() for p in model.whole.parameters()}
    assert whole.isdisjoint(p.data_ptr() for p in model.face.parameters())


def test_views_are_the_published_ones():
    with torch.device("meta"):
        crops, faces, patches = nn.build("pqe", "full").views
    assert (crops.size, crops.crops, crops.short_side, crops.crop) == ((384, 384), 5, 448, None)
    assert faces.crop == CropRule(margin_px=20.0, square=False, fallback="whole")
    assert (faces.size, faces.crops, faces.short_side) == ((384, 384), 5, 448)
    assert crops.enlarge
    assert faces.enlarge
    assert (patches.kind, patches.size, patches.crops, patches.short_side) == ("strided", (224, 224), 15, 0)
