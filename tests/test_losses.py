"""Losses: gradients, stated invariances, references, edge cases."""

import math

import pytest
import torch
from scipy.stats import norm, pearsonr

from pqa.nn.losses import fidelity, plcc


def random(n, seed=0):
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gradients():
    probability = torch.sigmoid(random(8, 1))
    assert torch.autograd.gradcheck(lambda d: fidelity(d, probability), random(8).requires_grad_())
    assert torch.autograd.gradcheck(lambda p: plcc(p, random(8, 2)), random(8).requires_grad_())


def test_fidelity_against_a_plain_loop():
    difference, probability = random(20), torch.sigmoid(random(20, 1))
    total = 0.0
    for d, p in zip(difference.tolist(), probability.tolist(), strict=True):
        p_hat = norm.cdf(d / math.sqrt(2))
        total += 1 - math.sqrt(p * p_hat + 1e-8) - math.sqrt((1 - p) * (1 - p_hat) + 1e-8)
    assert fidelity(difference, probability).item() == pytest.approx(total / 20, abs=1e-12)


def test_fidelity_is_mirrored_and_zero_at_the_truth():
    difference, probability = random(20), torch.sigmoid(random(20, 1))
    mirrored = fidelity(-difference, 1 - probability)
    torch.testing.assert_close(fidelity(difference, probability), mirrored)
    true = torch.from_numpy(norm.cdf(difference.numpy() / math.sqrt(2)))
    assert abs(fidelity(difference, true).item()) < 1e-4


def test_fidelity_survives_extremes():
    difference = torch.tensor([-1e3, 0.0, 1e3], requires_grad=True)
    fidelity(difference, torch.tensor([1.0, 0.5, 1.0])).backward()
    assert torch.isfinite(difference.grad).all()


def test_plcc_is_scipys_and_invariant():
    p, y = random(30), random(30, 1)
    assert plcc(p, y).item() == pytest.approx(1 - pearsonr(p, y)[0], abs=1e-9)
    torch.testing.assert_close(plcc(3 * p + 7, y), plcc(p, y), rtol=0, atol=1e-8)
    torch.testing.assert_close(plcc(-p, y), 2 - plcc(p, y))


def test_plcc_of_a_constant_counts_as_zero_correlation():
    p = torch.zeros(5, requires_grad=True)
    loss = plcc(p, torch.arange(5.0))
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert torch.isfinite(p.grad).all()


@pytest.mark.parametrize(("a", "b"), [((1,), (1,)), ((3,), (4,)), ((2, 2), (2, 2))])
def test_wrong_shapes_raise(a, b):
    with pytest.raises(ValueError, match="two vectors of one length"):
        plcc(torch.zeros(a), torch.zeros(b))


def test_fidelity_wants_vectors_of_one_length():
    with pytest.raises(ValueError, match="two vectors of one length"):
        fidelity(torch.zeros(3), torch.zeros(4))
