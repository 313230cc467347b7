"""The contract of every row of MODELS, at size tiny: shapes, independence, gradients, round trips, export and ranking."""

import dataclasses
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from scipy.stats import spearmanr
from torch.nn import functional

import pqa
from export.command import perturb, untrained_spec
from export.onnx import export
from export.proof import proof_views
from pqa import nn, weights
from pqa.data.assets import ASTRONAUT
from pqa.errors import ConfigurationError, MissingWeights, UntrainedModel
from pqa.nn import backbones
from pqa.pixels.source import open_picture
from pqa.pixels.views import make_view
from service.settings import Settings
from tests.serving import serving

EVERY = pytest.mark.parametrize("name", sorted(nn.MODELS))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    connect = socket.socket.connect

    def only_here(self, address):
        if address[0] != "127.0.0.1":
            raise ConnectionError(f"a model built without pretrained weights reached for {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


def perturbed(name, seed=0):
    """A tiny model away from its symmetric start, so that nothing agrees by being one or zero."""
    torch.manual_seed(seed)
    model = nn.build(name, "tiny")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def models():
    return {name: perturbed(name) for name in nn.MODELS}


def views_of(model, n, seed=1):
    """Random tensors of the shapes the model states; half the pictures have no face."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for view in model.views:
        shape = view.size if len(view.size) == 1 else (*([view.crops] if view.crops > 1 else []), 3, *view.size)
        values = torch.randn(n, *shape, generator=generator)
        if view.kind == "face_geometry":
            values = torch.rand(n, 3, generator=generator)
            values[:, 0] = (torch.arange(n) % 2 == 0).float()
        made.append(values)
    return made


def outputs(model, views):
    with torch.no_grad():
        return dict(zip(model.outputs, model(*views), strict=True))


@EVERY
def test_shapes_and_finite(name, models):
    model = models[name]
    attributes, scenes = len(model.config.attributes), len(model.config.scenes)
    shapes = {
        "score": (3, attributes),
        "std": (3, attributes),
        "scene_probabilities": (3, scenes),
        "score_by_scene": (3, scenes, attributes),
        "distortion_probabilities": (3, len(getattr(model, "distortions", ()))),
        "branches": (3, len(model.branch_names)),
        "gate": (3,),
    }
    got = outputs(model, views_of(model, 3))
    assert "score" in got
    if "embedding" in got:
        shapes["embedding"] = (3, model.config.set_width)
    assert {key: tuple(value.shape) for key, value in got.items()} == {key: shapes[key] for key in got}
    for key, value in got.items():
        assert torch.isfinite(value).all(), key
    if "gate" in got:
        assert ((got["gate"] >= 0) & (got["gate"] <= 1)).all()
    if "std" in got:
        assert (got["std"] > 0).all()


@EVERY
def test_tiny_is_the_same_code_with_other_values(name):
    sizes = nn.MODELS[name].sizes
    assert {"tiny", "full"} <= set(sizes)
    assert len({type(config) for config in sizes.values()}) == 1


@EVERY
def test_a_score_ignores_its_neighbours(name, models):
    model = models[name]
    views = views_of(model, 4)
    together = outputs(model, views)["score"]
    order = [3, 1, 0, 2]
    shuffled = outputs(model, [view[order] for view in views])["score"]
    alone = torch.cat([outputs(model, [view[i : i + 1] for view in views])["score"] for i in range(4)])
    # A hundredth of what the pictures themselves make of difference: neighbours would make as much.
    tolerance = 0.01 * float(together.std(dim=0).min())
    rounding = float(together.abs().max()) * torch.finfo(torch.float32).eps
    assert tolerance > 4.0 * rounding, "scores too alike for the test to mean anything"
    torch.testing.assert_close(shuffled, together[order], rtol=0.0, atol=tolerance)
    torch.testing.assert_close(alone, together, rtol=0.0, atol=tolerance)


@EVERY
def test_every_trainable_parameter_learns_and_frozen_ones_do_not(name):
    model = perturbed(name)
    for mode in (True, False):
        model.train(mode)
        torch.manual_seed(5)
        # Random signs, so that no gradient cancels (a softmax's outputs sum to one).
        got = dict(zip(model.outputs, model(*views_of(model, 6)), strict=True))
        if "embedding" in got:
            got["joint"] = model.joint(got["embedding"], got["score"])
        sum((value * torch.randn_like(value)).sum() for value in got.values()).backward()
    silent = [
        key for key, p in model.named_parameters() if p.requires_grad and not (p.grad is not None and p.grad.any())
    ]
    assert silent == []
    assert [key for key, p in model.named_parameters() if not p.requires_grad and p.grad is not None] == []


@EVERY
def test_weights_survive_safetensors(name, models):
    model = models[name]
    state = load(save({key: value.contiguous() for key, value in model.state_dict().items()}))
    again = nn.build(name, "tiny")
    again.load_state_dict(state)
    views = views_of(model, 2)
    for a, b in zip(outputs(model, views).values(), outputs(again.eval(), views).values(), strict=True):
        assert torch.equal(a, b)


@EVERY
def test_the_seed_alone_decides_the_weights(name):
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(nn.build(name, "tiny").state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@EVERY
def test_missing_pretrained_weights_are_named(name, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no network in tests")

    monkeypatch.setattr(backbones, "hf_hub_download", refuse)
    monkeypatch.setattr(backbones, "get_hf_file_metadata", refuse)
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    with pytest.raises(MissingWeights, match=f"https://.*{weights.VARIABLE}") as caught:
        nn.build(name, pretrained=True)
    (row,) = [row for row in weights.WEIGHTS.values() if f"'{row.name}'" in str(caught.value)]
    assert name in row.used_by


@EVERY
def test_wrong_views_are_named(name, models):
    views = views_of(models[name], 2)
    view = models[name].views[0]
    with pytest.raises(ConfigurationError, match=rf"view {view.name} must have the shape .*{view.size[0]}"):
        models[name](views[0][..., :-1], *views[1:])
    with pytest.raises(ConfigurationError, match=f"takes {len(views)} views"):
        models[name](*views, views[0])


@EVERY
def test_unknown_keys_and_sizes_offer_the_nearest(name):
    with pytest.raises(ConfigurationError, match="did you mean 'tiny'"):
        nn.build(name, "tinny")
    with pytest.raises(ConfigurationError, match="did you mean 'attributes'"):
        nn.build(name, "tiny", atributes=("overall",))


@EVERY
def test_every_configuration_key_can_be_changed(name):
    """No key of a configuration is hidden by an argument of `build`."""
    config = nn.MODELS[name].sizes["tiny"]
    changes = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    assert nn.build(name, "tiny", **changes).config == config


@EVERY
def test_attributes_and_scenes_are_not_emptied(name):
    for key in ("attributes", "scenes"):
        if getattr(nn.MODELS[name].sizes["tiny"], key):
            with pytest.raises(ConfigurationError, match=f"{name} needs the names of its {key}, got none"):
                nn.build(name, "tiny", **{key: ()})


SCENES = pytest.mark.parametrize("name", [name for name in sorted(nn.MODELS) if nn.MODELS[name].sizes["tiny"].scenes])


@SCENES
def test_the_scene_vector_sums_to_one(name, models):
    got = outputs(models[name], views_of(models[name], 5))
    torch.testing.assert_close(got["scene_probabilities"].sum(dim=1), torch.ones(5))
    assert (got["scene_probabilities"] >= 0).all()


@SCENES
def test_a_known_scene_and_a_certain_posterior_agree(name, models):
    """Where the scene network (`model.scene`, logits) is certain of s, the score is score_by_scene's column s."""
    model = models[name]
    if "score_by_scene" not in model.outputs:
        assert set(model.outputs) <= {"score", "scene_probabilities", "distortion_probabilities"}, (
            "no score rests on scenes"
        )
        return
    views = views_of(model, 3)
    for scene in range(len(model.config.scenes)):

        def certain(_module, _inputs, logits, scene=scene):
            return torch.full_like(logits, -1e4).index_fill(1, torch.tensor([scene]), 1e4)

        handle = model.scene.register_forward_hook(certain)
        got = outputs(model, views)
        handle.remove()
        assert (got["scene_probabilities"][:, scene] == 1).all()
        torch.testing.assert_close(got["score"], got["score_by_scene"][:, scene])


LEVELS = 16


@pytest.fixture(scope="module")
def pictures():
    """Two scenes (a coarse and a fine pattern) at 16 strengths of contrast, shuffled: pixels, rating, scene.

    Contrast is good in one scene and bad in the other, so that no untrained score agrees with the ratings.
    """
    generator = np.random.default_rng(0)
    made = []
    for scene, cells in enumerate((12, 48)):
        pattern = generator.random((cells, cells, 3)).repeat(96 // cells, axis=0).repeat(96 // cells, axis=1) - 0.5
        for level in range(LEVELS):
            noise = generator.normal(0.0, 4.0, pattern.shape)
            rgb = np.clip(120 + 20 * scene + pattern * (20 + 12 * level) + noise, 0, 255).astype(np.uint8)
            made.append((rgb, (1 - 2 * scene) * (2.0 * level / (LEVELS - 1) - 1.0), scene))
    order = generator.permutation(len(made))
    return [made[index] for index in order]


@EVERY
def test_it_overfits_two_scenes(name, pictures):
    torch.manual_seed(0)
    one_crop = {"crops": 1} if hasattr(nn.MODELS[name].sizes["tiny"], "crops") else {}
    model = nn.build(name, "tiny", **one_crop)
    sources = [open_picture(rgb) for rgb, _, _ in pictures]
    views = [torch.from_numpy(np.stack([make_view(source, None, view) for source in sources])) for view in model.views]
    ratings = torch.tensor([rating for _, rating, _ in pictures])
    scenes = torch.tensor([scene for _, _, scene in pictures])
    # About where the scores begin: a model may have a scale with ends (liqe: 1 to 5).
    ratings = ratings + outputs(model.eval(), views)["score"].mean()
    learner = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    reached = []
    for step in range(1, 201):
        got = dict(zip(model.outputs, model.train()(*views), strict=True))
        loss = functional.smooth_l1_loss(got["score"], ratings[:, None].expand_as(got["score"]), beta=0.1)
        if "scene_probabilities" in got:
            loss = loss + 0.1 * functional.nll_loss(got["scene_probabilities"].clamp_min(1e-6).log(), scenes)
        learner.zero_grad()
        loss.backward()
        learner.step()
        if step % 10 == 0:
            reached.append(float(spearmanr(outputs(model.eval(), views)["score"][:, 0], ratings).statistic))
            if reached[-1] >= 0.9:
                break
    assert reached[-1] >= 0.9, reached


@EVERY
def test_exported_it_ranks_and_is_served(name, tmp_path):
    torch.manual_seed(0)
    model, path = nn.build(name, "tiny"), tmp_path / f"{name}.onnx"
    proof = [views[:16] for views in proof_views(model.views)]
    scores = perturb(model, proof)
    spec = export(model, untrained_spec(model, name, "tiny"), proof, path, scores)
    assert spec.parity is not None
    assert spec.parity.pictures == 16
    assert spec.parity.spread >= 0.049
    assert spec.parity.max_difference <= 1e-4 * spec.parity.spread
    with pytest.raises(UntrainedModel):
        pqa.load(path)
    dark = tmp_path / "dark.png"
    Image.fromarray((open_picture(ASTRONAUT).reduced(300) * 0.3).astype(np.uint8)).save(dark)
    ranking = pqa.load(path, allow_untrained=True).rank([ASTRONAUT, dark])
    rows = ranking.groups[0].ranking
    assert [row.rank for row in rows] == [1, 2]
    assert all("untrained_model" in row.flags for row in rows)
    assert rows[0].score != rows[1].score
    with serving(Settings(models=(str(path),), allow_untrained=True)) as live:
        sent = [("images", (file.name, file.read_bytes())) for file in (ASTRONAUT, dark)]
        answer = live.http.post("/rank", files=sent)
    assert answer.status_code == 200, answer.text
    (group,) = answer.json()["groups"]
    assert [(row["id"], row["score"]) for row in group["ranking"]] == [(Path(row.id).name, row.score) for row in rows]
