"""Bradley-Terry with correlations as regularisers: Huawei Noah's entry in "NTIRE 2021 Challenge on Perceptual Image Quality
Assessment" (CVPR workshops 2021) and its later work."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.bradley_terry import bradley_terry
from pqa.nn.losses.checks import check_positive, check_vectors
from pqa.nn.losses.krcc import krcc
from pqa.nn.losses.plcc import plcc
from pqa.nn.losses.srcc import srcc

__all__ = ["combination"]

LEAST = 8


def combination(
    prediction: Float[Tensor, n], label: Float[Tensor, n], *, temperature: float = 0.1, weight: float = 1.0
) -> Float[Tensor, ""]:
    """`bradley_terry` + weight (`plcc` + `srcc` + `krcc`), one T for all that take one, weight 1 as published.

    From 0 up. Unchanged by a shift of either side. Equal predictions: log 2 + 3 weight with finite gradients. Needs eight
    pictures (ValueError; published: 64), T and weight above 0 (ConfigurationError).
    """
    check_vectors(prediction, label, LEAST)
    check_positive("weight", weight)
    regulariser = plcc(prediction, label)
    regulariser = regulariser + srcc(prediction, label, temperature=temperature)
    regulariser = regulariser + krcc(prediction, label, temperature=temperature)
    return bradley_terry(prediction, label, temperature=temperature) + weight * regulariser
