"""LIQE: its size, its one joint distribution, its frozen scale, its two ways of placing patches."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from pqa import nn
from pqa.data.liqe_lists import CONTENTS
from pqa.data.liqe_lists import DISTORTIONS as OF_THE_LISTS
from pqa.errors import ConfigurationError
from pqa.nn.backbones import clip
from pqa.nn.models.liqe import DISTORTIONS, PROMPTS, SCENES, SIZES, text_features
from pqa.pixels.source import open_picture
from pqa.pixels.views import make_view
from pqa.weights import VARIABLE

TINY = SIZES["tiny"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.build("liqe", "tiny").eval()


@pytest.fixture(scope="module")
def patches(model):
    return torch.randn(3, 15, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def outputs(model, patches):
    with torch.no_grad():
        return dict(zip(model.outputs, model(patches), strict=True))


def test_outputs_are_margins_of_one_distribution_over_the_sentences(model, patches):
    """Against a loop over the 495 sentences, in the order of PROMPTS."""
    got = outputs(model, patches)
    with torch.no_grad():
        for n, picture in enumerate(patches):
            cosine = F.cosine_similarity(model.visual(picture)[:, None], model.text[None], dim=2)
            joint = torch.softmax((model.scale * cosine).mean(dim=0), dim=0).tolist()
            score, scenes, distortions = 0.0, dict.fromkeys(SCENES, 0.0), dict.fromkeys(DISTORTIONS, 0.0)
            for sentence, p in zip(PROMPTS, joint, strict=True):
                (level,) = [
                    k
                    for k, word in enumerate(("bad", "poor", "fair", "good", "perfect"), 1)
                    if f" {word} q" in sentence
                ]
                (scene,) = [word for word in SCENES if f" a {word} with" in sentence]
                (distortion,) = [word for word in DISTORTIONS if f"with {word} artifacts" in sentence]
                score += level * p
                scenes[scene] += p
                distortions[distortion] += p
            assert got["score"][n].item() == pytest.approx(score, abs=1e-4)
            assert got["scene_probabilities"][n].tolist() == pytest.approx(list(scenes.values()), abs=1e-5)
            assert got["distortion_probabilities"][n].tolist() == pytest.approx(list(distortions.values()), abs=1e-5)


def test_scores_lie_between_the_levels_and_posteriors_sum_to_one(model, patches):
    got = outputs(model, 100.0 * patches)
    assert ((got["score"] > 1.0) & (got["score"] < 5.0)).all()
    for name in ("scene_probabilities", "distortion_probabilities"):
        torch.testing.assert_close(got[name].sum(dim=1), torch.ones(3))


def test_the_order_of_patches_changes_nothing_and_one_patch_has_no_axis(model, patches):
    score = outputs(model, patches)["score"]
    torch.testing.assert_close(outputs(model, patches.flip(1))["score"], score)
    one = nn.build("liqe", "tiny", crops=1).eval()
    one.load_state_dict(model.state_dict())
    repeated = patches[:, :1].expand(-1, 15, -1, -1, -1)
    torch.testing.assert_close(outputs(one, patches[:, 0])["score"], outputs(model, repeated)["score"])


def test_sentences_learn_and_the_scale_does_not():
    model = nn.build("liqe", "tiny")
    names = dict(model.named_parameters())
    assert "text" in names
    assert "scale" not in names
    assert not any(name.startswith("transformer") for name in names)


@pytest.mark.parametrize("weights", ["ViT-B-32-quickgelu.openai", "liqe"])
def test_pretrained_sentences_come_from_the_text_tower(tmp_path, monkeypatch, weights):
    torch.manual_seed(4)
    whole = clip(TINY.clip, {**TINY.clip_options, "init_logit_scale": 4.0}).eval()
    save_file({k: v.contiguous().clone() for k, v in whole.state_dict().items()}, tmp_path / f"{weights}.safetensors")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    model = nn.build("liqe", "tiny", pretrained=True, weights=weights)
    torch.testing.assert_close(model.text.data, text_features(whole, PROMPTS))
    torch.testing.assert_close(model.scale, torch.tensor(4.0).exp())
    torch.testing.assert_close(model.visual.conv1.weight, whole.visual.conv1.weight)


def test_it_has_one_quality():
    with pytest.raises(ConfigurationError, match="one quality, got the attributes overall, detail"):
        nn.build("liqe", "tiny", attributes=("overall", "detail"))


def test_other_scene_words_make_other_sentences():
    model = nn.build("liqe", "tiny", scenes=("portrait", "group"))
    assert len(model.text) == 5 * 2 * 11
    assert outputs(model, torch.randn(1, 15, 3, 32, 32))["scene_probabilities"].shape == (1, 2)


def test_the_lists_speak_the_words_of_the_sentences():
    assert CONTENTS == SCENES
    assert set(OF_THE_LISTS.values()) == set(DISTORTIONS)
    assert len(OF_THE_LISTS) == 33


def test_test_patches_are_the_authors_and_training_draws_anywhere():
    """Of a 768 x 768 picture 18 x 18 windows lie 32 pixels apart; the test takes every 21st, row by row."""
    (test,) = nn.build("liqe", "tiny").views
    assert (test.kind, test.crops, test.short_side) == ("strided", 15, 96)
    with torch.device("meta"):
        (full,) = nn.build("liqe", "full").views
        (train,) = nn.build("liqe", "full", crops=3, view="patches").views
    assert (train.kind, train.crops, train.size) == ("patches", 3, (224, 224))
    rgb = np.zeros((768, 768, 3), np.uint8)
    rgb[..., 0] = np.arange(768)[:, None] // 4
    rgb[..., 1] = np.arange(768)[None] // 4
    got = make_view(open_picture(rgb), None, full)
    corners = np.rint((got[:, :2, 0, 0] * np.array(full.std[:2]) + np.array(full.mean[:2])) * 255).astype(int)
    assert corners.tolist() == [[32 * (21 * k // 18) // 4, 32 * (21 * k % 18) // 4] for k in range(15)]
