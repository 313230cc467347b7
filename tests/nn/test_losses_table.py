"""`loss_of`: scopes, scenes that do not count, missing labels, pairs across scenes, options."""

import json
import math

import pytest
import torch

from pqa.errors import ConfigurationError
from pqa.nn.losses import LOSSES, check_loss, enough, fidelity_pairs, loss_of, plcc, scale_shift_invariant, srcc

NAN = math.nan


def random(n, seed=0):
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def options(name):
    return {"steps": 5} if name == "ranker" else {}


def batch(count=48):
    """Predictions, labels and scenes: consecutive pairs are of one scene, scenes 4, 9 and 2 take turns."""
    return random(count), random(count, 1), torch.tensor([4, 4, 9, 9, 2, 2] * (count // 6))


@pytest.mark.parametrize("name", LOSSES)
def test_scope_is_kept(name):
    q, y, scene = batch()
    row = LOSSES[name]
    if row.scope in ("picture", "pairs"):
        wanted = row.function(q, y)
    elif row.scope == "batch":
        wanted = row.function(q, y, scene)
    else:
        by_scene = [row.function(q[scene == s], y[scene == s], **options(name)) for s in (4, 9, 2)]
        wanted = torch.stack(by_scene).mean()
    torch.testing.assert_close(loss_of(name, q, y, scene, **options(name)), wanted)


@pytest.mark.parametrize("name", LOSSES)
def test_pictures_without_a_label_take_no_part(name):
    q, y, scene = batch(108)
    q.requires_grad_()
    missing = torch.zeros(108, dtype=torch.bool)
    missing[[0, 1, 6, 7, 50, 51]] = True
    without = loss_of(name, q[~missing], y[~missing], scene[~missing], **options(name))
    label = y.clone()
    label[missing] = NAN
    found = loss_of(name, q, label, scene, **options(name))
    torch.testing.assert_close(found, without)
    found.backward()
    assert torch.isfinite(q.grad).all()
    assert (q.grad[missing] == 0).all()


def test_a_pair_with_one_label_takes_no_part():
    q, y, scene = batch(6)
    y[3] = NAN
    kept = [0, 1, 4, 5]
    torch.testing.assert_close(loss_of("fidelity_pairs", q, y, scene), fidelity_pairs(q[kept], y[kept]))


def test_scenes_that_say_nothing_do_not_count():
    q, y = random(10), random(10, 1)
    scene = torch.tensor([0] * 4 + [1] * 4 + [2] * 2)
    wanted = (plcc(q[:4], y[:4]) + plcc(q[4:8], y[4:8])) / 2
    y[8], y[9] = 3.0, NAN  # one rated picture
    torch.testing.assert_close(loss_of("plcc", q, y, scene), wanted)
    y[9] = 3.0  # two of one label
    torch.testing.assert_close(loss_of("plcc", q, y, scene), wanted)
    y[9] = 4.0
    assert abs(loss_of("plcc", q, y, scene) - wanted) > 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_anything_to_learn_from_raises_and_can_be_asked(name):
    row = LOSSES[name]
    q, scene = random(48), batch()[2]
    nothing = torch.full((48,), NAN, dtype=torch.float64)
    assert not enough(name, nothing, scene)
    with pytest.raises(ConfigurationError, match=f"loss {name} needs a scene with at least {row.least} rated"):
        loss_of(name, q, nothing, scene, **options(name))
    assert enough(name, random(48), scene)
    if row.scope in ("scene", "batch"):
        few = (torch.arange(48) // max(1, row.least - 1)).long()
        assert not enough(name, random(48), few)
        with pytest.raises(ConfigurationError, match="SceneGroups"):
            loss_of(name, q, random(48), few, **options(name))
        assert enough(name, random(48), few, across_scenes=True)
        assert enough(name, torch.ones(48), scene) is not row.ordered


@pytest.mark.parametrize("name", [name for name, row in LOSSES.items() if row.scope == "pairs"])
def test_pairs_across_scenes_raise_unless_allowed(name):
    q, y, scene = batch(12)
    scene[3] = 5
    with pytest.raises(ConfigurationError, match="a pair of two scenes"):
        loss_of(name, q, y, scene)
    torch.testing.assert_close(loss_of(name, q, y, scene, across_scenes=True), LOSSES[name].function(q, y))
    with pytest.raises(ValueError, match="even number, got 11"):
        loss_of(name, q[:11], y[:11], scene[:11])


@pytest.mark.parametrize("name", LOSSES)
def test_across_scenes_the_batch_is_one_scene(name):
    q, y, scene = batch()
    one = loss_of(name, q, y, torch.zeros(48, dtype=torch.int64), **options(name))
    torch.testing.assert_close(loss_of(name, q, y, scene, across_scenes=True, **options(name)), one)
    if LOSSES[name].scope in ("scene", "batch"):
        assert abs(loss_of(name, q, y, scene, **options(name)) - one) > 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_and_double_labels_give_single_precision(name):
    q, y, scene = batch()
    for dtype in (torch.bfloat16, torch.float16):
        half = q.to(dtype)
        with torch.autocast("cpu", torch.bfloat16):
            found = loss_of(name, half, y, scene, **options(name))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, loss_of(name, half.float(), y.float(), scene, **options(name)))


def test_options_reach_the_loss():
    q, y, scene = batch()
    found = loss_of("srcc", q, y, scene, temperature=1)
    wanted = torch.stack([srcc(q[scene == s], y[scene == s], temperature=1.0) for s in (2, 4, 9)]).mean()
    torch.testing.assert_close(found, wanted)
    plain = loss_of("fidelity_all", q, y, scene)
    assert abs(loss_of("fidelity_all", q, y, scene, probability="binary") - plain) > 1e-4


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("plc", {}, "unknown loss 'plc'; did you mean 'plcc'"),
        ("srcc", {"temprature": 1.0}, "unknown option of the loss srcc 'temprature'; did you mean 'temperature'"),
        ("scale_shift_invariant", {"scene": 1.0}, "unknown option of the loss scale_shift_invariant 'scene'"),
        ("huber", {"prediction": 1.0}, "unknown option of the loss huber 'prediction'"),
        ("huber", {"delta": "1"}, "option delta of the loss huber is a value like 1.0, got '1'"),
        ("huber", {"delta": True}, "got True"),
        ("huber", {"delta": -1.0}, "delta must be above 0, got -1.0"),
        ("ranker", {"steps": 5.5}, "option steps of the loss ranker is a value like 800, got 5.5"),
        ("fidelity_all", {"probability": 1.0}, "a value like 'thurstone', got 1.0"),
        ("fidelity_all", {"probability": "soft"}, "one of thurstone, binary, got 'soft'"),
    ],
)
def test_wrong_names_and_options_are_told_before_the_first_step(name, given, said):
    with pytest.raises(ConfigurationError, match=said):
        check_loss(name, **given)


@pytest.mark.parametrize("name", LOSSES)
def test_defaults_pass_and_survive_a_recipe_file(name):
    given = LOSSES[name].function.__kwdefaults__ or {}
    check_loss(name, **{**json.loads(json.dumps(given)), **options(name)})


@pytest.mark.parametrize(("prediction", "label", "scene"), [(6, 8, 8), (8, 8, 6), (8, 6, 8)])
def test_lengths_must_agree(prediction, label, scene):
    with pytest.raises(ValueError, match="expected one"):
        loss_of("plcc", torch.zeros(prediction), torch.zeros(label), torch.zeros(scene, dtype=torch.int64))


def test_scale_shift_invariant_takes_the_whole_batch():
    q, y, scene = batch()
    y[scene == 4] = 1.0
    kept = scene != 4
    found = loss_of("scale_shift_invariant", q, y, scene)
    torch.testing.assert_close(found, scale_shift_invariant(q[kept], y[kept], scene[kept]))
