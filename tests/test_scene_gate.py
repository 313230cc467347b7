"""scene_gate: the contract of its graph, and its export."""

import numpy as np
import pytest
import torch

from export.onnx import export
from pqa import nn
from pqa.errors import ConfigurationError
from pqa.runtime.store import load_model
from pqa.spec import ModelSpec

STATISTICS = 10


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = nn.build("scene_gate", "tiny", statistics=STATISTICS)
    with torch.no_grad():  # away from its symmetric start, so that nothing agrees by being one or zero
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built.eval()


def batch(model, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    views = [
        torch.randn(n, *((3, *view.size) if len(view.size) == 2 else view.size), generator=generator)
        for view in model.views
    ]
    views[2] = torch.rand(n, 3, generator=generator)
    views[2][:, 0] = (torch.arange(n) % 2 == 0).float()
    return views


def outputs(model, views):
    with torch.no_grad():
        return dict(zip(model.outputs, model(*views), strict=True))


def test_shapes_and_ranges(model):
    got = outputs(model, batch(model, 6))
    assert {name: tuple(value.shape) for name, value in got.items()} == {
        "score": (6, 3),
        "std": (6, 3),
        "scene_probabilities": (6, 4),
        "score_by_scene": (6, 4, 3),
        "branches": (6, 2),
        "gate": (6,),
    }
    torch.testing.assert_close(got["scene_probabilities"].sum(1), torch.ones(6))
    assert (got["std"] >= model.config.floor).all()
    assert ((got["gate"] >= 0) & (got["gate"] <= 1)).all()


def test_without_a_face_the_face_branch_has_no_say(model):
    views = batch(model, 6)
    other = [view.clone() for view in views]
    other[1] += 1.0
    other[4] += 1.0
    a, b = outputs(model, views), outputs(model, other)
    faceless = views[2][:, 0] == 0
    assert (a["gate"][faceless] == 0).all()
    torch.testing.assert_close(a["score"][faceless], b["score"][faceless])
    assert not torch.allclose(a["score"][~faceless], b["score"][~faceless])


def test_any_scene_vector_is_a_mixture_and_the_posterior_is_one(model):
    got = outputs(model, batch(model, 4))
    mixed = torch.einsum("ns,nsa->na", got["scene_probabilities"], got["score_by_scene"])
    torch.testing.assert_close(got["score"], mixed)


def test_a_score_ignores_its_neighbours(model):
    views = batch(model, 5)
    together = outputs(model, views)["score"]
    order = [3, 1, 4, 0, 2]
    shuffled = outputs(model, [view[order] for view in views])["score"]
    alone = torch.cat([outputs(model, [view[i : i + 1] for view in views])["score"] for i in range(5)])
    torch.testing.assert_close(shuffled, together[order])
    torch.testing.assert_close(alone, together)


def test_every_parameter_learns(model):
    model.zero_grad()
    model.train()
    score, std, probabilities, by_scene, branches, gate = model(*batch(model, 8))
    weights = torch.randn(3, generator=torch.Generator().manual_seed(0))
    (
        score @ weights + std.sum(1) + by_scene[:, 0].sum(1) + branches.sum(1) + probabilities[:, 0] + gate
    ).sum().backward()
    model.eval()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    model.zero_grad()
    assert silent == []


def test_same_seed_same_weights():
    torch.manual_seed(3)
    a = nn.build("scene_gate", "tiny", statistics=STATISTICS)
    torch.manual_seed(3)
    b = nn.build("scene_gate", "tiny", statistics=STATISTICS)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("scene_gat",), "did you mean 'scene_gate'"),
        (("scene_gate", "tinny"), "did you mean 'tiny'"),
    ],
)
def test_unknown_names_offer_the_nearest(arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        nn.build(*arguments)


def test_unknown_key_offers_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'dropout'"):
        nn.build("scene_gate", "tiny", droput=0.1)


def spec_of(model, **changes):
    values = {
        "name": "t",
        "version": "0",
        "architecture": "scene_gate (tiny)",
        "views": model.views,
        "attributes": model.config.attributes,
        "scenes": model.config.scenes,
        "branches": model.branch_names,
        "trained": False,
    }
    return ModelSpec(**(values | changes))


def test_export_agrees_with_torch_for_any_batch(model, tmp_path):
    proof = [view.numpy() for view in batch(model, 16)]
    spec = export(model, spec_of(model), proof, tmp_path / "t.onnx")
    assert spec.parity is not None
    assert spec.parity.pictures == 16
    opened = load_model(tmp_path / "t.onnx")
    assert opened.spec == spec
    for n in (1, 3, 7):
        views = batch(model, n, seed=n)
        feed = {view.name: values.numpy() for view, values in zip(model.views, views, strict=True)}
        (got,) = opened.session.run(["score"], feed)
        np.testing.assert_allclose(got, outputs(model, views)["score"].numpy(), atol=1e-5)
