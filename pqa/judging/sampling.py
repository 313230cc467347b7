"""Which pairs to judge next: expected information gain, batched by minimum spanning trees.

The scale so far has an approximately normal posterior (mean: the fitted JOD, covariance: the inverse curvature). One
more judgement of a pair teaches, on average, the mutual information between its answer and the pair's difference. A
batch is the spanning tree of greatest total information: no pair twice, every condition at least once, and the
comparison graph connected. Further trees of the same batch count the pairs already chosen as if judged.

Sources: Li, Mantiuk, Wang, Ling and Le Callet 2018 (Hybrid-MST) for the tree and the quadrature; Mikhailiuk, Wilmot,
Perez-Ortiz, Yue and Mantiuk 2020 (ASAP) for the gain taken from the full posterior; Ye and Doermann 2014 for active
sampling of quality judgements. Difference: the posterior is Laplace's approximation, not message passing. Its prior is the
one on scores: that on distances says nothing while pairs have been judged once or not at all.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse, special
from scipy.sparse import csgraph

from pqa.errors import ConfigurationError
from pqa.judging.links import LINKS, Link
from pqa.judging.scaling import Judgements, fit, tally

__all__ = ["information_gain", "next_pairs"]

Floats = npt.NDArray[np.float64]

_NODES, _WEIGHTS = special.roots_hermitenorm(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def information_gain(jod: Floats, covariance: Floats, model: str = "thurstone") -> Floats:
    """Expected information of one judgement of each pair, (n, n) symmetric, in nats (at most log 2), diagonal 0.

    `jod` (n,) and `covariance` (n, n) describe the posterior; Gauss-Hermite quadrature with 15 nodes.
    """
    link = LINKS[model]
    i, j = np.triu_indices(len(jod), 1)
    variance = np.diag(covariance)
    spread = np.sqrt(np.maximum(variance[i] + variance[j] - 2 * covariance[i, j], 0))
    x = ((jod[i] - jod[j])[:, None] + spread[:, None] * _NODES) / link.unit
    log_p, log_q = link.log_probability(x), link.log_probability(-x)
    known = -(np.exp(log_p) * log_p + np.exp(log_q) * log_q) @ _WEIGHTS
    mean = np.exp(log_p) @ _WEIGHTS
    gain = np.zeros((len(jod), len(jod)))
    gain[i, j] = gain[j, i] = np.maximum(special.entr(mean) + special.entr(1 - mean) - known, 0)
    return gain


def next_pairs(
    judgements: Judgements, count: int, model: str = "thurstone", *, prior_std: float | None = None, seed: int = 0
) -> list[tuple[str, str]]:
    """The `count` most informative pairs, most informative of each tree first.

    Works from the first judgement on: a graph that is not yet connected is no fault here. Ties (all pairs, before
    the first judgement) are broken at random by `seed`. Raises ConfigurationError when count is not positive or there
    are fewer than two conditions.
    """
    n = len(judgements.conditions)
    if count < 1 or n < 2:
        raise ConfigurationError(f"expected a count of at least 1 and at least 2 conditions, got {count} and {n}")
    link, rng = LINKS[model], np.random.default_rng(seed)
    pairs = tally(judgements, by_observer=False)
    fitted = fit(pairs, *pairs.total(), link, "scores", prior_std)
    jod, precision = fitted.jod, fitted.curvature
    chosen: list[tuple[str, str]] = []
    while len(chosen) < count:
        gain = information_gain(jod, np.asarray(np.linalg.inv(precision), np.float64), model)
        tree = _tree(gain, rng)
        order = sorted(tree, key=lambda edge: -gain[edge])
        chosen += [(judgements.conditions[i], judgements.conditions[j]) for i, j in order]
        for i, j in tree:
            weight = _information(link, jod[i] - jod[j])
            precision[[i, j], [i, j]] += weight
            precision[[i, j], [j, i]] -= weight
    return chosen[:count]


def _tree(gain: Floats, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Edges of the spanning tree with the greatest total gain."""
    i, j = np.triu_indices(len(gain), 1)
    # csgraph reads zero as "no edge" and breaks ties by position: costs are kept above zero and jittered.
    cost = 1 + gain.max() - gain[i, j] + rng.uniform(0, 1e-9, len(i))
    graph = sparse.coo_array((cost, (i, j)), shape=gain.shape)
    tree = csgraph.minimum_spanning_tree(graph.tocsr()).tocoo()
    return list(zip(tree.row.tolist(), tree.col.tolist(), strict=True))


def _information(link: Link, difference: float) -> float:
    """Fisher information of one judgement about the pair's difference, JOD^-2."""
    x = np.array([difference / link.unit])
    up, down = link.slope(x), link.slope(-x)
    p = np.exp(link.log_probability(x))
    expected = p * link.curvature(x, up) + (1 - p) * link.curvature(-x, down)
    return float(expected[0]) / link.unit**2
