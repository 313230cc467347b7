"""The set-aware head: a set has no order, a set of one changes nothing, and the formula written as loops."""

import pytest
import torch

from pqa.nn.models.pseudo_reference import PseudoReference

WIDTH, ATTRIBUTES = 8, 3


@pytest.fixture
def head():
    torch.manual_seed(0)
    built = PseudoReference(WIDTH, ATTRIBUTES)
    with torch.no_grad():
        torch.nn.init.normal_(built.correct.weight)
    return built


def pictures(count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, WIDTH, generator=generator), torch.randn(count, ATTRIBUTES, generator=generator)


def test_naive_reference(head):
    embedding, score = pictures(5)
    with torch.no_grad():
        got = head(embedding, score)
        content = [head.content(row) / head.content(row).norm() for row in embedding]
        for i in range(5):
            alike = torch.stack([torch.exp(head.sharpness.exp() * (content[i] @ other)) for other in content])
            weight = alike / alike.sum()
            reference = sum(weight[j] * torch.cat([embedding[j], score[j]]) for j in range(5))
            difference = torch.cat([embedding[i], score[i]]) - reference
            hidden = torch.nn.functional.gelu(head.compare.weight @ difference)
            torch.testing.assert_close(got[i], score[i] + head.correct.weight @ hidden)


def test_the_order_of_the_set_changes_nothing(head):
    embedding, score = pictures(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(head(embedding[order], score[order]), head(embedding, score)[order], rtol=0, atol=1e-5)


def test_a_set_of_one_keeps_its_score_to_the_last_bit(head):
    embedding, score = pictures(1)
    assert torch.equal(head(embedding, score), score)


def test_copies_of_one_picture_keep_their_score(head):
    embedding, score = pictures(1)
    torch.testing.assert_close(head(embedding.expand(4, -1), score.expand(4, -1)), score.expand(4, -1))


def test_an_untrained_head_changes_nothing():
    embedding, score = pictures(6)
    assert torch.equal(PseudoReference(WIDTH, ATTRIBUTES)(embedding, score), score)


def test_a_picture_unlike_all_others_keeps_its_score(head):
    """With sharp weights, content at right angles to the rest of the set counts for nothing."""
    embedding, score = pictures(4)
    with torch.no_grad():
        head.content.weight.copy_(torch.eye(WIDTH))
        head.content.bias.zero_()
        head.sharpness.fill_(4.0)
    embedding[0] = torch.eye(WIDTH)[0]
    embedding[1:, 0] = 0.0
    embedding[1:, 1] += 5.0
    joint = head(embedding, score)
    torch.testing.assert_close(joint[0], score[0])
    assert not torch.allclose(joint[1:], score[1:])


def test_the_company_matters(head):
    embedding, score = pictures(6)
    assert not torch.allclose(head(embedding, score)[:3], head(embedding[:3], score[:3]), atol=1e-3)


def test_gradients(head):
    embedding, score = (values.double().requires_grad_() for values in pictures(4))
    assert torch.autograd.gradcheck(head.double(), (embedding, score))


def toy_set(generator, count=12):
    """Pictures of one content, which outweighs their quality in the embedding; their own scores are noise."""
    content = 5.0 * torch.randn(WIDTH, generator=generator)
    quality = torch.randn(count, generator=generator)
    embedding = content + 0.2 * torch.randn(count, WIDTH, generator=generator)
    embedding[:, 3] += quality
    return embedding, 0.1 * torch.randn(count, ATTRIBUTES, generator=generator), quality


def test_it_learns_to_take_away_what_the_set_shares():
    """Trained on sets of some contents, it orders sets of others, where the embedding alone says little."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    built = PseudoReference(WIDTH, ATTRIBUTES)
    learner = torch.optim.Adam(built.parameters(), lr=1e-2)
    for _ in range(150):
        embedding, score, quality = toy_set(generator)
        loss = (built(embedding, score)[:, 0] - quality).square().mean()
        learner.zero_grad()
        loss.backward()
        learner.step()
    found = []
    with torch.no_grad():
        for _ in range(20):
            embedding, score, quality = toy_set(generator)
            before, after = (
                torch.corrcoef(torch.stack([column[:, 0], quality]))[0, 1]
                for column in (score, built(embedding, score))
            )
            found.append(torch.stack([before, after]))
    before, after = torch.stack(found).mean(dim=0)
    assert after > 0.9 > 0.5 > before
