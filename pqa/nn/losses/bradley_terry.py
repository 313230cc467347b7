"""Bradley-Terry over all pairs: Bradley and Terry, "Rank analysis of incomplete block designs" (Biometrika 1952); with Elo
as the target in Huawei Noah's entry in "NTIRE 2021 Challenge on Perceptual Image Quality Assessment" (CVPR workshops 2021).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pqa.nn.losses.checks import all_pairs, check_positive, check_vectors

__all__ = ["bradley_terry", "elo"]


def bradley_terry(
    prediction: Float[Tensor, n], label: Float[Tensor, n], *, temperature: float = 1.0
) -> Float[Tensor, ""]:
    """-mean over pairs i < j of log P_ij where y_i > y_j and of log(1 - P_ij) where y_i < y_j, P_ij = sigmoid((q_i - q_j) / T).

    From 0 up; log 2 for equal predictions. Depends on the labels by their order alone; unchanged by a shift of the
    predictions. Pairs of equal labels are left out: with no other pair the loss and its gradient are zero. The minus sign
    is missing in print. Needs two pictures (ValueError) and T above 0 (ConfigurationError).
    """
    check_vectors(prediction, label, 2)
    check_positive("temperature", temperature)
    better = torch.sign(all_pairs(label))
    cost = -F.logsigmoid(better * all_pairs(prediction) / temperature) * better.abs()
    return cost.sum() / better.abs().sum().clamp_min(1.0)


def elo(
    prediction: Float[Tensor, n], label: Float[Tensor, n], *, temperature: float = 1.0, points: float = 400.0
) -> Float[Tensor, ""]:
    """Mean over pairs i < j of (P_ij - E_ij)^2, P_ij = sigmoid((q_i - q_j) / T), E_ij = 1 / (1 + 10^(-(y_i - y_j) / points)).

    In [0, 1). Unchanged by a shift of either side; a tie wants P = 1/2. `points` is the difference of labels with odds of
    ten to one: 400 for the Elo ratings of PIPAL, about 2 for JOD (where 1 is preferred three times in four). Needs two
    pictures (ValueError), T and points above 0 (ConfigurationError).
    """
    check_vectors(prediction, label, 2)
    check_positive("temperature", temperature)
    check_positive("points", points)
    expected = torch.sigmoid(all_pairs(label) / points * math.log(10.0))
    return (torch.sigmoid(all_pairs(prediction) / temperature) - expected).square().mean()
