"""Fidelity loss: Tsai et al., "FRank: a ranking method with fidelity loss" (SIGIR 2007); in quality assessment since
Zhang et al., "Uncertainty-aware blind image quality assessment" (UNIQUE, 2021)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["fidelity"]

EPSILON = 1e-8


def fidelity(difference: Float[Tensor, n], probability: Float[Tensor, n]) -> Float[Tensor, ""]:
    """Mean over pairs of 1 - sqrt(p p_hat + e) - sqrt((1 - p)(1 - p_hat) + e), p_hat = Phi(difference / sqrt 2), e = 1e-8.

    `difference`: predicted score of the first less that of the second; `probability`: how likely the first is the better
    (0, 1, or 1/2 for a tie). In [0, 1]; zero (to 1e-4) where p_hat = p; unchanged when both are mirrored (-d, 1 - p).
    The gradient vanishes where p_hat saturates on the wrong side: scale differences so that typical ones are near 1.
    """
    if difference.shape != probability.shape or difference.ndim != 1:
        raise ValueError(
            f"expected two vectors of one length, got {tuple(difference.shape)} and {tuple(probability.shape)}"
        )
    # Phi(d / sqrt 2) = erfc(-d / 2) / 2
    predicted = 0.5 * torch.erfc(-difference / 2.0)
    agree = torch.sqrt(probability * predicted + EPSILON)
    disagree = torch.sqrt((1.0 - probability) * (1.0 - predicted) + EPSILON)
    return (1.0 - agree - disagree).mean()
