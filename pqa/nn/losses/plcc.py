"""PLCC loss: one minus Pearson's linear correlation coefficient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["plcc"]

EPSILON = 1e-8


def plcc(prediction: Float[Tensor, n], label: Float[Tensor, n]) -> Float[Tensor, ""]:
    """1 - r, r = sum(p l) / sqrt(sum(p^2) sum(l^2) + e) over centred values, e = 1e-8. In [0, 2].

    Invariant to a positive scale and a shift of either side. Constant input: r = 0 with finite gradients. Needs two pairs
    at least (ValueError).
    """
    if prediction.shape != label.shape or prediction.ndim != 1 or len(prediction) < 2:
        raise ValueError(
            f"expected two vectors of one length >= 2, got {tuple(prediction.shape)} and {tuple(label.shape)}"
        )
    p, y = prediction - prediction.mean(), label - label.mean()
    return 1.0 - (p * y).sum() / torch.sqrt((p * p).sum() * (y * y).sum() + EPSILON)
