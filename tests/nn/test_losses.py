"""What holds for every loss: gradients, ranges, stated invariances, constants, ties, order, too few pictures; and the errors
picture by picture, Pearson's correlation, the scale-shift invariant loss against plain references."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from pqa.errors import ConfigurationError
from pqa.nn import losses
from pqa.nn.losses import LOSSES, huber, l1, mse, mse_plcc, plcc, relative_distance, scale_shift_invariant

TRAINED = {"ranker": {"steps": 5}}
"""Options that keep the losses fast which train something."""

FLOOR = 1.1e-4
"""The constant under the roots of the fidelity loss takes it this far below zero."""


def random(n, seed=0):
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scenes(n):
    return torch.arange(n) % 2


def value(name, prediction, label, **options):
    """A row's function on one batch of two interleaved scenes where it takes scenes, else of one."""
    row = LOSSES[name]
    extra = (scenes(len(label)),) if row.scope == "batch" else ()
    return row.function(prediction, label, *extra, **{**TRAINED.get(name, {}), **options})


every = pytest.mark.parametrize("name", LOSSES)


@every
def test_gradients(name):
    y = random(16, 1)
    assert torch.autograd.gradcheck(lambda q: value(name, q, y), random(16).requires_grad_())


@every
def test_agreement_costs_less_than_disagreement_and_nothing_costs_less_than_zero(name):
    y = 3.0 * random(16)
    good, bad = value(name, y, y).item(), value(name, -y, y).item()
    assert -FLOOR <= good < bad


BOUNDS = {"elo": 1.0, "fidelity_all": 1.0, "fidelity_pairs": 1.0, "krcc": 2.0, "plcc": 2.0}
BOUNDS |= {"scale_shift_invariant": 2.0, "srcc": 2.0}


@pytest.mark.parametrize("name", BOUNDS)
def test_stated_range(name):
    y = 100.0 * random(16)
    for q in (y, -y, random(16, 3), 1e3 * random(16, 4), torch.zeros(16, dtype=torch.float64)):
        assert -FLOOR <= value(name, q, y).item() <= BOUNDS[name] + 1e-6


SHIFT_OF_PREDICTION = ("bradley_terry", "combination", "elo", "fidelity_all", "fidelity_pairs", "krcc", "plcc")
SHIFT_OF_PREDICTION += ("relative_distance", "scale_shift_invariant", "srcc")


@every
def test_invariance_to_shifts_is_as_stated(name):
    q, y = random(16), random(16, 1)
    plain, shifted = value(name, q, y), value(name, q + 5.0, y)
    if name in SHIFT_OF_PREDICTION:
        torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-7)
        if name != "relative_distance":
            torch.testing.assert_close(value(name, q, y - 2.0), plain, rtol=0, atol=1e-7)
    else:
        assert abs(shifted - plain) > 1e-2
        if name != "ranker":
            torch.testing.assert_close(value(name, q + 5.0, y + 5.0), plain, rtol=0, atol=1e-7)


@every
def test_invariance_to_scale_is_as_stated(name):
    q, y = random(16), random(16, 1)
    change = abs(value(name, 7.0 * q, y) - value(name, q, y))
    if name in ("plcc", "scale_shift_invariant"):
        assert change < 1e-7
    else:
        assert change > 1e-4


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "ranker"])
def test_order_of_the_pictures_matters_only_where_pairs_are_consecutive(name):
    q, y, scene = random(16), random(16, 1), scenes(16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    if LOSSES[name].scope == "pairs":
        assert abs(value(name, q[order], y[order]) - value(name, q, y)) > 1e-4
        order = torch.arange(16).reshape(-1, 2).flip(1).roll(3, 0).flatten()
    extra, moved = ((scene,), (scene[order],)) if LOSSES[name].scope == "batch" else ((), ())
    function = LOSSES[name].function
    torch.testing.assert_close(function(q[order], y[order], *moved), function(q, y, *extra))


@every
@pytest.mark.parametrize("kind", ["prediction", "label", "both"])
def test_constants_have_finite_losses_and_gradients(name, kind):
    q = torch.full((16,), 0.3) if kind != "label" else random(16).float()
    y = torch.full((16,), 0.7) if kind != "prediction" else random(16, 1).float()
    q.requires_grad_()
    if name == "scale_shift_invariant" and kind != "prediction":
        with pytest.raises(ValueError, match="unequal labels"):
            value(name, q, y)
        return
    loss = value(name, q, y)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(q.grad).all()


@every
def test_extreme_scores_have_finite_gradients(name):
    q = (1e4 * random(16).float()).requires_grad_()
    loss = value(name, q, random(16, 1).float())
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(q.grad).all()


@every
def test_tied_labels_have_finite_gradients(name):
    q = random(16).float().requires_grad_()
    y = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(4)
    loss = value(name, q, y)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(q.grad).all()


@every
def test_too_few_pictures_raise(name):
    row = LOSSES[name]
    few = 1 if row.scope == "pairs" else row.least - 1
    with pytest.raises(ValueError, match="expected"):
        value(name, torch.zeros(few), torch.zeros(few))


@every
@pytest.mark.parametrize(("a", "b"), [((16,), (18,)), ((16, 2), (16, 2)), ((), ())])
def test_wrong_shapes_raise(name, a, b):
    extra = (torch.zeros(16, dtype=torch.int64),) if LOSSES[name].scope == "batch" else ()
    with pytest.raises(ValueError, match="two vectors of one length"):
        LOSSES[name].function(torch.zeros(a), torch.zeros(b), *extra)


POSITIVE = {
    "bradley_terry": ["temperature"],
    "combination": ["temperature", "weight"],
    "elo": ["temperature", "points"],
}
POSITIVE |= {"fidelity_all": ["unit"], "fidelity_pairs": ["unit"], "huber": ["delta"], "krcc": ["temperature"]}
POSITIVE |= {"mse_plcc": ["weight"], "ranker": ["steps"], "srcc": ["temperature"]}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in POSITIVE for option in POSITIVE[name]])
@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_options_out_of_range_raise(name, option, wrong):
    with pytest.raises(ConfigurationError, match=f"{option} must be above 0"):
        value(name, random(16), random(16, 1), **{option: wrong})


def test_plcc_is_scipys():
    p, y = random(30), random(30, 1)
    assert plcc(p, y).item() == pytest.approx(1 - pearsonr(p, y)[0], abs=1e-9)
    torch.testing.assert_close(plcc(-p, y), 2 - plcc(p, y))
    assert plcc(torch.zeros(5), torch.arange(5.0)).item() == pytest.approx(1.0)


def test_mse_plcc_is_the_sum_of_both():
    q, y = random(30), random(30, 1)
    wanted = np.mean((q.numpy() - y.numpy()) ** 2) + 0.3 * (1 - pearsonr(q, y)[0])
    assert mse_plcc(q, y, weight=0.3).item() == pytest.approx(wanted, abs=1e-8)


def test_errors_picture_by_picture_against_a_plain_loop():
    q, y = random(30), random(30, 1)
    absolute = [abs(a - b) for a, b in zip(q.tolist(), y.tolist(), strict=True)]
    assert l1(q, y).item() == pytest.approx(sum(absolute) / 30)
    assert mse(q, y).item() == pytest.approx(sum(e * e for e in absolute) / 30)
    wanted = [0.5 * e * e if e <= 0.7 else 0.7 * (e - 0.35) for e in absolute]
    assert {e <= 0.7 for e in absolute} == {True, False}
    assert huber(q, y, delta=0.7).item() == pytest.approx(sum(wanted) / 30)


def test_relative_distance_against_a_plain_double_loop():
    q, y = random(9).tolist(), random(9, 1).tolist()
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    wanted = sum(abs((y[i] - y[j]) - (q[i] - q[j])) for i, j in pairs) / len(pairs)
    assert relative_distance(torch.tensor(q), torch.tensor(y)).item() == pytest.approx(wanted, rel=1e-5)


def test_scale_shift_invariant_against_a_plain_loop():
    q, y, scene = random(24), random(24, 1), torch.tensor([0] * 5 + [3] * 8 + [1] * 11)

    def norm(values):
        middle = np.sort(values)[(len(values) - 1) // 2]
        return (values - middle) / np.mean(np.abs(values - middle))

    found = [(q[scene == s].numpy(), y[scene == s].numpy()) for s in (0, 3, 1)]
    wanted = np.mean([np.mean(np.abs(norm(a) - norm(b))) for a, b in found])
    assert scale_shift_invariant(q, y, scene).item() == pytest.approx(wanted, abs=1e-12)


def test_scale_shift_invariant_is_blind_to_a_scale_and_a_shift_of_each_scene():
    q, y, scene = random(24), random(24, 1), torch.arange(24) % 3
    plain = scale_shift_invariant(q, y, scene)
    scale, shift = torch.tensor([0.2, 3.0, 11.0])[scene], torch.tensor([-4.0, 0.0, 9.0])[scene]
    torch.testing.assert_close(scale_shift_invariant(scale * q + shift, y, scene), plain)
    torch.testing.assert_close(scale_shift_invariant(q, scale * y + shift, scene), plain)
    assert scale_shift_invariant(scale * y + shift, y, scene).item() == pytest.approx(0.0, abs=1e-12)


def test_scale_shift_invariant_leaves_scenes_out():
    q, y = random(8), random(8, 1)
    pair = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    torch.testing.assert_close(scale_shift_invariant(q, y, pair), scale_shift_invariant(q[:6], y[:6], pair[:6]))
    flat = torch.cat([y[:5], torch.ones(3, dtype=torch.float64)])
    three = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    torch.testing.assert_close(scale_shift_invariant(q, flat, three), scale_shift_invariant(q[:5], y[:5], three[:5]))
    with pytest.raises(ValueError, match="expected a scene of 3 pictures or more with unequal labels"):
        scale_shift_invariant(q, torch.ones(8), three)
    with pytest.raises(ValueError, match="one scene a picture"):
        scale_shift_invariant(q, y, pair[:5])


def test_scale_shift_invariant_of_equal_predictions_is_one():
    q = torch.full((6,), 2.0, requires_grad=True)
    loss = scale_shift_invariant(q, torch.arange(6.0), torch.zeros(6, dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert q.grad.abs().max() <= 1e3


def test_every_function_of_the_table_is_public():
    assert all(row.function.__name__ == name and name in losses.__all__ for name, row in LOSSES.items())
