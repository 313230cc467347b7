"""PLCC loss: one minus Pearson's linear correlation coefficient; and MSE beside it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.checks import check_positive, check_vectors

__all__ = ["mse_plcc", "plcc"]

EPSILON = 1e-8


def plcc(prediction: Float[Tensor, n], label: Float[Tensor, n]) -> Float[Tensor, ""]:
    """1 - r, r = sum(p l) / sqrt(sum(p^2) sum(l^2) + e) over centred values, e = 1e-8. In [0, 2].

    Invariant to a positive scale and a shift of either side. Constant input: r = 0 with finite gradients. Needs two pairs
    at least (ValueError).
    """
    check_vectors(prediction, label, 2)
    p, y = prediction - prediction.mean(), label - label.mean()
    return 1.0 - (p * y).sum() / torch.sqrt((p * p).sum() * (y * y).sum() + EPSILON)


def mse_plcc(prediction: Float[Tensor, n], label: Float[Tensor, n], *, weight: float = 1.0) -> Float[Tensor, ""]:
    """Mean squared error + weight (1 - r): the blind noisy student of "NTIRE 2021 Challenge on Perceptual Image Quality
    Assessment" (CVPR workshops 2021).

    From 0 up, zero only where prediction and label agree; unchanged when both shift together, not when they scale. Constant
    input: r = 0 with finite gradients. Needs two pairs at least (ValueError) and a weight above 0 (ConfigurationError).
    """
    check_vectors(prediction, label, 2)
    check_positive("weight", weight)
    return (prediction - label).square().mean() + weight * plcc(prediction, label)
