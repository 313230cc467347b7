"""Fidelity of words: plain references, gradients, ends, rounding, wrong shapes."""

import math

import pytest
import torch

from pqa.nn.losses import fidelity_class, fidelity_several

E = 1e-8


def posterior(n=6, c=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(2.0 * torch.randn(n, c, dtype=torch.float64, generator=generator), dim=1)


def test_several_words_against_a_loop():
    p = posterior()
    g = (posterior(seed=1) > 0.2).double()
    total = 0.0
    for n in range(6):
        for c in range(5):
            a, b = p[n, c].item(), g[n, c].item()
            total += 1 - math.sqrt(a * b + E) - math.sqrt((1 - a) * (1 - b) + E)
    assert fidelity_several(p, g).item() == pytest.approx(total / 30)


def test_one_word_against_a_loop():
    p, true = posterior(), torch.tensor([0, 4, 2, 2, 1, 3])
    wanted = sum(1 - math.sqrt(p[n, k].item() + E) for n, k in enumerate(true.tolist())) / 6
    assert fidelity_class(p, true).item() == pytest.approx(wanted)


def test_gradients():
    logits = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    present, true = (posterior(4, seed=1) > 0.2).double(), torch.tensor([0, 4, 2, 1])
    assert torch.autograd.gradcheck(lambda x: fidelity_several(torch.softmax(x, 1), present), logits)
    assert torch.autograd.gradcheck(lambda x: fidelity_class(torch.softmax(x, 1), true), logits)


def test_ends_are_reached_with_finite_gradients():
    true = torch.tensor([1, 0])
    exact = torch.eye(3)[true]
    wrong = torch.eye(3)[[2, 2]]
    for q, one, several in ((exact, 0.0, 0.0), (wrong, 1.0, 2 / 3)):
        p = q.clone().requires_grad_()
        losses = fidelity_class(p, true), fidelity_several(p, exact)
        assert losses[0].item() == pytest.approx(one, abs=2e-4)
        assert losses[1].item() == pytest.approx(several, abs=2e-4)
        sum(losses).backward()
        assert torch.isfinite(p.grad).all()


def test_a_probability_rounded_past_one_is_one():
    p = torch.tensor([[1.0 + 2e-7, 0.0]])
    for present in (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])):
        assert torch.isfinite(fidelity_several(p, present))


@pytest.mark.parametrize("shape", [(3, 4), (0, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="two tables of one shape"):
        fidelity_several(torch.zeros(shape), torch.zeros(0, 5) if shape[0] == 0 else torch.zeros(3, 5))
    with pytest.raises(ValueError, match="one word a row"):
        fidelity_class(torch.zeros(shape), torch.zeros(shape[0] + (shape[0] > 0), dtype=torch.int64))
