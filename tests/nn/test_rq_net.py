"""RQ-Net: its published counts, the pairing of its test positions, and its export."""

import numpy as np
import pytest
import torch

from export.command import untrained_spec
from export.onnx import export
from pqa import nn
from pqa.pixels.source import open_picture
from pqa.pixels.views import make_view
from pqa.runtime.store import load_model


def parameters(model):
    return sum(value.numel() for value in model.parameters())


def counted_by_thop(model):
    """Parameters that thop reports: those of plain convolutions and linear layers, by exact type. Attention's projections,
    CLIP's own LayerNorm class and bare parameters (class token, positions, projection) have other types or none."""
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
    return sum(value.numel() for part in model.modules() if type(part) in kinds for value in part.parameters())


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.build("rq_net", "tiny").eval()


def batch(model, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, *((view.crops,) if view.crops > 1 else ()), 3, *view.size, generator=generator)
        for view in model.views
    ]


def score(model, *views):
    with torch.no_grad():
        return model(*views)[0]


def test_parameters_as_published():
    with torch.device("meta"):
        full = nn.build("rq_net", "full")
    assert parameters(full) == 86_597_096
    assert counted_by_thop(full) == 57_663_464


def test_views_are_the_published_ones():
    with torch.device("meta"):
        whole, local = nn.build("rq_net", "full").views
    assert (whole.kind, whole.short_side, whole.size, whole.crops) == ("squashed", 244, (224, 224), 9)
    assert (local.kind, local.short_side, local.size, local.crops) == ("fragments", 672, (224, 224), 9)
    assert whole.mean == local.mean == (0.485, 0.456, 0.406)


def test_the_score_is_the_mean_over_pairs_of_equal_position(model):
    whole, local = batch(model, 3)
    single = nn.build("rq_net", "tiny", crops=1).eval()
    single.load_state_dict(model.state_dict())
    pairs = [score(single, whole[:, k], local[:, k]) for k in range(9)]
    torch.testing.assert_close(score(model, whole, local), torch.stack(pairs).mean(dim=0))


def test_order_of_positions_matters_only_between_the_views(model):
    whole, local = batch(model, 3)
    order = [4, 0, 8, 1, 7, 2, 6, 3, 5]
    both = score(model, whole[:, order], local[:, order])
    torch.testing.assert_close(both, score(model, whole, local))


def test_each_attribute_has_its_head():
    torch.manual_seed(0)
    three = nn.build("rq_net", "tiny", attributes=("overall", "detail", "exposure"), crops=1).eval()
    whole, local = batch(three, 4)
    together = score(three, whole, local)
    assert together.shape == (4, 3)
    three.heads = torch.nn.ModuleList(list(three.heads)[::-1])
    torch.testing.assert_close(score(three, whole, local), together.flip(1))


def test_fragments_speak_through_their_tokens_and_the_picture_through_its_class_token(model):
    whole, local = batch(model, 2)
    base = score(model, whole, local)
    assert not torch.allclose(base, score(model, whole.flip(-1), local))
    assert not torch.allclose(base, score(model, whole, local.flip(-1)))


def test_a_portrait_of_any_shape_becomes_its_views_and_a_score(model):
    for shape in [(300, 400, 3), (400, 300, 3), (30, 20, 3)]:
        picture = open_picture(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
        views = [torch.from_numpy(make_view(picture, None, view))[None] for view in model.views]
        assert score(model, *views).isfinite().all()


def test_export_agrees_with_torch_for_any_batch(model, tmp_path):
    proof = [view.numpy() for view in batch(model, 16)]
    export(model, untrained_spec(model, "rq_net", "tiny"), proof, tmp_path / "t.onnx")
    opened = load_model(tmp_path / "t.onnx")
    for n in (1, 3):
        views = batch(model, n, seed=n)
        feed = {view.name: values.numpy() for view, values in zip(model.views, views, strict=True)}
        (got,) = opened.session.run(["score"], feed)
        np.testing.assert_allclose(got, score(model, *views).numpy(), atol=1e-5)
