"""Losses of order: fidelity, merged ranking, Bradley-Terry, Elo, soft SRCC and KRCC, their combination, the ranker; against
plain double loops, and against scipy at the limit of temperature."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, norm, rankdata, spearmanr

from pqa.errors import ConfigurationError
from pqa.nn.losses import (
    bradley_terry,
    combination,
    elo,
    fidelity,
    fidelity_all,
    fidelity_pairs,
    krcc,
    merged_ranking,
    pair_probability,
    plcc,
    ranker,
    soft_ranks,
    srcc,
)
from pqa.nn.losses.ranker import LENGTH, Ranker, rank_error, train_ranker


def random(n, seed=0):
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tied(n, seed=0):
    """Random values of which many are equal."""
    return torch.round(2.0 * random(n, seed))


def loop(q, y, term):
    """Mean of term(q_i - q_j, y_i - y_j) over i < j; None leaves a pair out."""
    q, y = q.tolist(), y.tolist()
    found = [term(q[i] - q[j], y[i] - y[j]) for i in range(len(q)) for j in range(i + 1, len(q))]
    return np.mean([value for value in found if value is not None])


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def loop_fidelity(p, p_hat):
    return 1 - math.sqrt(p * p_hat + 1e-8) - math.sqrt((1 - p) * (1 - p_hat) + 1e-8)


def test_fidelity_gradient():
    probability = torch.sigmoid(random(8, 1))
    assert torch.autograd.gradcheck(lambda d: fidelity(d, probability), random(8).requires_grad_())


def test_fidelity_against_a_plain_loop():
    difference, probability = random(20), torch.sigmoid(random(20, 1))
    pairs = zip(difference.tolist(), probability.tolist(), strict=True)
    wanted = np.mean([loop_fidelity(p, norm.cdf(d / math.sqrt(2))) for d, p in pairs])
    assert fidelity(difference, probability).item() == pytest.approx(wanted, abs=1e-12)


def test_fidelity_is_mirrored_and_zero_at_the_truth():
    difference, probability = random(20), torch.sigmoid(random(20, 1))
    mirrored = fidelity(-difference, 1 - probability)
    torch.testing.assert_close(fidelity(difference, probability), mirrored)
    assert abs(fidelity(difference, pair_probability(difference)).item()) < 1e-4


def test_fidelity_survives_extremes():
    difference = torch.tensor([-1e3, 0.0, 1e3], requires_grad=True)
    fidelity(difference, torch.tensor([1.0, 0.5, 1.0])).backward()
    assert torch.isfinite(difference.grad).all()


def test_fidelity_wants_vectors_of_one_length():
    with pytest.raises(ValueError, match="two vectors of one length"):
        fidelity(torch.zeros(3), torch.zeros(4))


def test_pair_probability():
    difference = torch.tensor([-1.5, 0.0, 0.3])
    assert pair_probability(difference, "binary").tolist() == [0.0, 0.5, 1.0]
    np.testing.assert_allclose(pair_probability(difference), norm.cdf(difference.numpy() / math.sqrt(2)), rtol=1e-6)
    with pytest.raises(ConfigurationError, match="probability must be one of thurstone, binary, got 'soft'"):
        pair_probability(difference, "soft")


@pytest.mark.parametrize("probability", ["thurstone", "binary"])
def test_fidelity_over_scores_against_plain_loops(probability):
    q, y = random(10), tied(10, 1)

    def term(dq, dy):
        p = norm.cdf(dy / 2 / math.sqrt(2)) if probability == "thurstone" else (np.sign(dy) + 1) / 2
        return loop_fidelity(p, norm.cdf(dq / 2 / math.sqrt(2)))

    found = fidelity_all(q, y, probability=probability, unit=2.0)
    assert found.item() == pytest.approx(loop(q, y, term), abs=1e-9)
    wanted = np.mean([term((q[i] - q[i + 1]).item(), (y[i] - y[i + 1]).item()) for i in range(0, 10, 2)])
    assert fidelity_pairs(q, y, probability=probability, unit=2.0).item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("loss", [fidelity_pairs, merged_ranking])
def test_half_a_pair_raises(loss):
    with pytest.raises(ValueError, match="even length, got 5"):
        loss(torch.zeros(5), torch.zeros(5))


def test_merged_ranking_against_a_plain_loop():
    q, y = random(20), tied(20, 1)
    total = 0.0
    for a, b in zip(range(0, 20, 2), range(1, 20, 2), strict=True):
        better, worse = (a, b) if y[a] > y[b] else (b, a)
        total += math.exp(q[worse] - q[better]) if y[a] != y[b] else 0.0
        total += ((y[a] - q[a]) ** 2 + (y[b] - q[b]) ** 2).item() / 2
    assert any(y[::2] == y[1::2])
    assert merged_ranking(q, y).item() == pytest.approx(total * 2 / 20, abs=1e-12)


def test_merged_ranking_pulls_the_better_up_whichever_comes_first_and_is_held_at_ten():
    for y in (torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])):
        q = torch.full((2,), 0.5, requires_grad=True)
        merged_ranking(q, y).backward()
        assert q.grad[y.argmax()] < -1.0 < 1.0 < q.grad[y.argmin()]
    far = merged_ranking(torch.tensor([100.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert far.item() == pytest.approx(math.exp(10.0) + (100.0**2 + 1.0) / 2)


def test_bradley_terry_against_a_plain_double_loop():
    q, y = random(12), tied(12, 1)

    def term(dq, dy):
        return None if dy == 0 else -math.log(sigmoid(math.copysign(1, dy) * dq / 0.7))

    assert bradley_terry(q, y, temperature=0.7).item() == pytest.approx(loop(q, y, term), abs=1e-12)
    torch.testing.assert_close(bradley_terry(q, y**3), bradley_terry(q, y))
    assert bradley_terry(torch.zeros(9), torch.arange(9.0)).item() == pytest.approx(math.log(2))


def test_bradley_terry_of_ties_alone_is_zero():
    q = random(6).requires_grad_()
    loss = bradley_terry(q, torch.ones(6, dtype=torch.float64))
    loss.backward()
    assert loss.item() == 0.0
    assert q.grad.abs().max() == 0.0


def test_elo_against_a_plain_double_loop():
    q, y = random(12), 300.0 * tied(12, 1)
    found = elo(q, y, temperature=0.7)
    wanted = loop(q, y, lambda dq, dy: (sigmoid(dq / 0.7) - 1 / (1 + 10 ** (-dy / 400))) ** 2)
    assert found.item() == pytest.approx(wanted, abs=1e-12)
    assert elo(y * math.log(10) / 400, y).item() == pytest.approx(0.0, abs=1e-12)


def test_soft_ranks_become_ranks_and_ties_share_their_mean():
    values = tied(12)
    np.testing.assert_allclose(soft_ranks(values, 1e-3), rankdata(values.numpy()), atol=1e-9)
    for temperature in (0.01, 1.0, 100.0):
        assert soft_ranks(values, temperature).sum().item() == pytest.approx(12 * 13 / 2)


@pytest.mark.parametrize("draw", [random, tied])
def test_srcc_is_scipys_at_the_limit(draw):
    q, y = draw(25), draw(25, 1)
    assert srcc(q, y, temperature=1e-6).item() == pytest.approx(1 - spearmanr(q, y).statistic, abs=1e-6)
    assert abs(srcc(q, y, temperature=1.0).item() - (1 - spearmanr(q, y).statistic)) > 1e-3


def test_srcc_against_a_plain_double_loop():
    q, y = random(9), random(9, 1)

    def ranks(v):
        return [1 + sum(sigmoid((v[i] - v[j]) / 0.3) for j in range(9) if j != i) for i in range(9)]

    wanted = 1 - np.corrcoef(ranks(q.tolist()), ranks(y.tolist()))[0, 1]
    assert srcc(q, y, temperature=0.3).item() == pytest.approx(wanted, abs=1e-9)


def test_krcc_is_scipys_at_the_limit_and_a_plain_double_loop_anywhere():
    q, y = random(25), random(25, 1)
    assert krcc(q, y, temperature=1e-5).item() == pytest.approx(1 - kendalltau(q, y).statistic, abs=1e-6)
    q, y = tied(25), tied(25, 1)
    for temperature in (1e-3, 0.5):
        wanted = 1 - loop(q, y, lambda dq, dy, t=temperature: math.tanh(dq / t) * math.tanh(dy / t))
        assert krcc(q, y, temperature=temperature).item() == pytest.approx(wanted, abs=1e-12)
    assert abs(krcc(q, y, temperature=1e-5).item() - (1 - kendalltau(q, y).statistic)) > 1e-3  # tau-b counts ties


def test_combination_is_the_sum_of_its_parts():
    q, y = random(12), random(12, 1)
    parts = [plcc(q, y), srcc(q, y, temperature=0.2), krcc(q, y, temperature=0.2)]
    wanted = bradley_terry(q, y, temperature=0.2) + 0.5 * torch.stack(parts).sum()
    torch.testing.assert_close(combination(q, y, temperature=0.2, weight=0.5), wanted)
    equal = combination(torch.zeros(12), y.float(), weight=2.0)
    assert equal.item() == pytest.approx(math.log(2) + 6.0, abs=1e-5)


@pytest.fixture(scope="module")
def learnt():
    return train_ranker(steps=60)


def test_ranker_learns_and_is_frozen(learnt):
    torch.manual_seed(0)
    assert rank_error(learnt) < 0.5 * rank_error(Ranker().eval())
    assert not learnt.training
    assert not any(parameter.requires_grad for parameter in learnt.parameters())
    assert sum(parameter.numel() for parameter in learnt.parameters()) == 461_279


def test_ranker_training_is_a_function_of_its_seed_and_leaves_the_global_one():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        first, again, other = (train_ranker(seed, steps=4) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    values = random(LENGTH).float()[None]
    assert torch.equal(first(values), again(values))
    assert not torch.equal(first(values), other(values))


def test_ranker_loss_groups_by_sixteen_and_drops_the_rest():
    q, y = random(40).float(), random(40, 1).float()
    network = train_ranker(seed=1, steps=5)
    ranks = [[network(values[start : start + 16][None]) for start in (0, 16)] for values in (q, y)]
    wanted = np.mean([(a - b).square().mean().item() for a, b in zip(*ranks, strict=True)])
    assert ranker(q, y, seed=1, steps=5).item() == pytest.approx(wanted, rel=1e-5)
    q.requires_grad_()
    ranker(q, y, seed=1, steps=5).backward()
    assert (q.grad[:32] != 0).all()
    assert (q.grad[32:] == 0).all()


def test_ranker_may_be_called_first_without_gradients():
    q, y = random(16).requires_grad_(), random(16, 1)
    with torch.inference_mode():
        first = ranker(q, y, seed=9, steps=3)
    again = ranker(q, y, seed=9, steps=3)
    again.backward()
    assert first.item() == again.item()
    assert (q.grad != 0).all()


def test_steps_down_the_ranker_loss_improve_the_order(learnt):
    q = random(LENGTH).float().requires_grad_()
    y = 2.0 * random(LENGTH, 1).float()
    optimiser = torch.optim.Adam([q], lr=0.1)
    start = spearmanr(q.detach(), y).statistic
    for _ in range(60):
        optimiser.zero_grad()
        ((learnt(y[None]) - learnt(q[None])) ** 2).mean().backward()
        optimiser.step()
    assert spearmanr(q.detach(), y).statistic > start + 0.3


@pytest.mark.slow
def test_ranker_reaches_its_stated_error_in_a_minute():
    assert rank_error(train_ranker()) < 0.7
