"""Errors picture by picture, for labels on one scale: absolute, squared, and Huber, "Robust Estimation of a Location
Parameter" (Annals of Mathematical Statistics 1964)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pqa.nn.losses.checks import check_positive, check_vectors

__all__ = ["huber", "l1", "mse"]


def huber(prediction: Float[Tensor, n], label: Float[Tensor, n], *, delta: float = 1.0) -> Float[Tensor, ""]:
    """Mean of e^2 / 2 where |e| <= delta, else of delta (|e| - delta / 2); e = prediction - label.

    From 0 up; gradients within delta / n. Smooth-L1 with beta is this with delta = beta, divided by beta. Needs one picture
    (ValueError) and a delta above 0 (ConfigurationError).
    """
    check_vectors(prediction, label)
    check_positive("delta", delta)
    return F.huber_loss(prediction, label, delta=delta)


def l1(prediction: Float[Tensor, n], label: Float[Tensor, n]) -> Float[Tensor, ""]:
    """Mean absolute error, from 0 up. Needs one picture (ValueError)."""
    check_vectors(prediction, label)
    return (prediction - label).abs().mean()


def mse(prediction: Float[Tensor, n], label: Float[Tensor, n]) -> Float[Tensor, ""]:
    """Mean squared error, from 0 up. Needs one picture (ValueError)."""
    check_vectors(prediction, label)
    return (prediction - label).square().mean()
