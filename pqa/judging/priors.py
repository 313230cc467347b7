"""What is held about a scale before its judgements: a prior on the distances of compared pairs, or one on every score.

`distances` is the prior of Perez-Ortiz and Mantiuk 2017 (arXiv 1712.03686) as their code computes it (mantiuk/pwcmp,
`pw_scale.m`, prior `gaussian`, the default there). Every compared pair c, with k answers of n for its first condition,
makes a distribution over the compared pairs r, in both orders, of the present scale,

    w_c(r) = p_r^k (1 - p_r)^(n - k) / sum over r' of the same,

with p_r the probability that the first of r is preferred, and k moved by one towards the middle where the answers are
unanimous. The prior of the scale is the product over the compared pairs of (sum over c of w_c(r)) + 0.1: distances are
likely where other pairs show them. It judges no distance by itself: with one pair compared, or with one judgement a pair,
it is the same for every scale.

Differences from the code: sums are taken in logarithms (a later release adds 1e-8 to each power, which turns the prior
off from some thirty judgements a pair), each pair is counted once (there twice, likelihood and prior alike), and a normal
prior of 10 JOD on every score keeps finite what judgements and distances leave open (there the optimiser stops somewhere:
a unanimous pair has no finite distance).

`scores` is a normal prior of one width on every score; `pqa.judging.scaling.fit` estimates the width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from pqa.judging.links import Link

__all__ = ["OPEN", "PRIORS", "Normal", "distances"]

Floats = npt.NDArray[np.float64]

PRIORS = ("distances", "scores")
OPEN = 10.0
"""JOD: the width on every score below the prior on distances."""

_FLOOR = 0.1


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal prior of a scale q, up to a factor: exp(pull . q - q . precision q / 2); (n,) JOD^-1 and (n, n) JOD^-2."""

    pull: Floats
    precision: Floats

    @classmethod
    def of_scores(cls, count: int, std: float) -> Normal:
        """Every one of `count` scores N(0, std^2)."""
        return cls(np.zeros(count), np.eye(count) / std**2)


def distances(x: Floats, first: Floats, second: Floats, link: Link) -> tuple[float, Floats, Floats]:
    """Logarithm of the prior on distances, its slope and minus its curvature (at least 0) along each pair, (P,) each.

    `x` (P,) are the differences of the compared pairs in units of `link`, `first` and `second` (P,) the answers for
    either condition. The curvature leaves out how pairs bear on each other.
    """
    n = first + second
    k = np.where(first == 0, 1, np.where(second == 0, n - 1, first))
    # Pairs stand in both orders below, so it does not matter which of its own a pair's answers are counted in.
    kinds, times = np.unique(np.stack([np.minimum(k, n - k), np.maximum(k, n - k)]), axis=1, return_counts=True)
    both = np.concatenate([x, -x])[:, None]
    up, down = link.slope(both), link.slope(-both)
    power = kinds[0] * link.log_probability(both) + kinds[1] * link.log_probability(-both)
    share = times * special.softmax(power, axis=0)
    steep = kinds[0] * up - kinds[1] * down
    bent = kinds[0] * link.curvature(both, up) + kinds[1] * link.curvature(-both, down)

    def folded(rows: Floats, sign: float) -> Floats:
        # A pair in the other order is the same pair with its answers exchanged.
        total: Floats = rows[: len(x)] + sign * rows[len(x) :]
        return total

    density = folded(share.sum(axis=1), 1) + _FLOOR
    weight = 1 / np.tile(density, 2)[:, None]
    # Shares of a kind add up to a constant: what one pair gains the others lose.
    gain = share * (weight - (share * weight).sum(axis=0) / times)
    slope = folded((gain * steep).sum(axis=1), -1)
    own = folded((share * steep).sum(axis=1), -1) / density
    curvature = own**2 - folded((gain * (steep**2 - bent)).sum(axis=1), 1)
    return float(np.log(density).sum()), slope, np.maximum(curvature, 0)
