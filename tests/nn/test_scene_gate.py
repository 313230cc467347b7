"""scene_gate: the contract of its graph, and its export."""

import copy

import numpy as np
import pytest
import torch

from export.onnx import export
from pqa import nn
from pqa.errors import ConfigurationError
from pqa.nn.models.scene_gate import DOUBT, LEAST, TRUST
from pqa.nn.trees import Leaf, Node
from pqa.pixels import statistics
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
        "embedding": (6, 16),
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
    for name in ("score", "embedding"):
        torch.testing.assert_close(a[name][faceless], b[name][faceless])
        assert not torch.allclose(a[name][~faceless], b[name][~faceless])


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


def test_an_unseen_scene_is_a_mixture_of_each_branch_rescaled_for_the_known_ones(model):
    """The sum over scenes, branch by branch, as the module's text has it: sum_s p_s (a_s q + b_s), fused by the gate."""
    views = batch(model, 4)
    got = outputs(model, views)
    with torch.no_grad():
        _, whole, _ = model.whole(views[0], views[3], views[5])
        _, face, _ = model.face(views[1], views[4])
    for n in range(4):
        fused = torch.zeros(3)
        for index, (score, weight) in enumerate(((whole[n], 1 - got["gate"][n]), (face[n], got["gate"][n]))):
            for scene, chance in enumerate(got["scene_probabilities"][n]):
                fused += weight * chance * (model.gain[index, scene] * score + model.offset[index, scene]).detach()
        torch.testing.assert_close(fused, got["score"][n])


def test_the_scene_is_read_before_the_last_stage(model):
    """Another last stage of the global trunk makes other scores and the same scene; with no tap, another scene too."""
    late = nn.build("scene_gate", "tiny", statistics=STATISTICS, scene_tap=None).eval()
    for built, early in ((model, True), (late, False)):
        other = copy.deepcopy(built)
        with torch.no_grad():
            for parameter in other.whole.trunk.layer4.parameters():
                parameter.mul_(1.5)
        views = batch(built, 3)
        a, b = outputs(built, views), outputs(other, views)
        assert not torch.allclose(a["score"], b["score"], atol=1e-6)
        assert torch.equal(a["scene_probabilities"], b["scene_probabilities"]) == early


def test_fragments_are_looked_at_by_the_trunk_of_the_whole_picture(model):
    views = batch(model, 3)
    assert model.views[5].name == "fragments"
    assert model.views[5].short_side == 0  # native resolution
    other = [*views[:5], views[5] + 1.0]
    a, b = outputs(model, views), outputs(model, other)
    assert not torch.allclose(a["score"], b["score"], atol=1e-6)
    torch.testing.assert_close(a["scene_probabilities"], b["scene_probabilities"])
    without = nn.build("scene_gate", "tiny", statistics=STATISTICS, fragments=False)
    more = dict(model.named_parameters()).keys() - dict(without.named_parameters()).keys()
    assert more == {"whole.project_fragments.weight", "whole.project_fragments.bias"}


VIT = {"embed_dim": 16, "depth": 3, "num_heads": 2, "img_size": 56, "patch_size": 8}
SWIN = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "img_size": 56}


@pytest.mark.parametrize(("size", "options"), [("full", VIT), ("swin_base", SWIN)])
def test_vit_and_swin_are_configurations(size, options):
    built = nn.build("scene_gate", size, backbone_options=options, global_size=56, face_size=56, scene_tap=1).eval()
    got = outputs(built, batch(built, 2))
    assert got["score"].shape == (2, 3)
    assert got["embedding"].shape == (2, built.config.set_width)
    assert built.whole.trunk is not built.face.trunk


def test_what_fault_trees_are_sure_of_comes_off_the_overall_score_alone():
    torch.manual_seed(0)
    built = nn.build("scene_gate", "tiny", statistics=STATISTICS, anchors=8, fault_trees=2).eval()
    built.remember(torch.randn(8, 2 * STATISTICS + 3), torch.linspace(0, 1, 8), torch.ones(8))
    views = batch(built, 8)
    before = outputs(built, views)
    built.faults.fill([Node(0, 0.0, Leaf(0.5), Leaf(DOUBT - 0.1)), Leaf(0.1)])
    after = outputs(built, views)
    told = views[3][:, 0] <= 0.0  # the first statistic of the picture
    assert 0 < told.sum() < 8
    left = torch.where(told, 1.0 - TRUST * (0.6 - DOUBT), 1.0)
    torch.testing.assert_close(after["score"][:, 0], LEAST + (before["score"][:, 0] - LEAST) * left)
    torch.testing.assert_close(after["score"][:, 1:], before["score"][:, 1:])
    torch.testing.assert_close(after["branches"], before["branches"])
    mixed = torch.einsum("ns,nsa->na", after["scene_probabilities"], after["score_by_scene"])
    torch.testing.assert_close(mixed, after["score"])


def test_the_shipped_shape_stays(model):
    """The count before scene_tap, fragments and set_width were keys: a checkpoint of that time still loads."""
    small = nn.build("scene_gate", "small", statistics=len(statistics.NAMES))
    assert sum(parameter.numel() for parameter in small.parameters()) == 821_056
    assert small.outputs == ("score", "std", "scene_probabilities", "score_by_scene", "branches", "gate")
    assert small.joint is None


def test_a_tap_that_the_trunk_lacks_is_refused():
    with pytest.raises(ConfigurationError, match="a tap of ResNet must be 0 to 4, got 5"):
        nn.build("scene_gate", "tiny", scene_tap=5)


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
