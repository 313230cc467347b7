"""SRCC loss on soft ranks; a regulariser of Huawei Noah's entry in "NTIRE 2021 Challenge on Perceptual Image Quality
Assessment" (CVPR workshops 2021) and of its later work."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.checks import check_positive, check_vectors
from pqa.nn.losses.plcc import plcc

__all__ = ["soft_ranks", "srcc"]


def soft_ranks(values: Float[Tensor, n], temperature: float) -> Float[Tensor, n]:
    """Ascending: 1 + sum over j != i of sigmoid((v_i - v_j) / T), in [1, n]; at T -> 0 the ranks, ties sharing their mean.

    The sum of the ranks is n (n + 1) / 2 at every T.
    """
    # The sum over all j holds sigmoid(0) = 1/2 for j = i.
    return 0.5 + torch.sigmoid((values[:, None] - values[None, :]) / temperature).sum(dim=1)


def srcc(prediction: Float[Tensor, n], label: Float[Tensor, n], *, temperature: float = 0.1) -> Float[Tensor, ""]:
    """1 - Pearson's correlation of the soft ranks of predictions and labels. In [0, 2]; at T -> 0 one minus Spearman's.

    Unchanged by a shift of either side, and by any rising map while differences stay well above T. The gradient fades where
    they do: choose T near the spread of the scores (published: 0.01). Constant input: correlation 0 with finite gradients.
    Needs two pictures (ValueError) and T above 0 (ConfigurationError). The sigmoid's sign, printed with ascending ranks,
    does not matter when both sides share it.
    """
    check_vectors(prediction, label, 2)
    check_positive("temperature", temperature)
    return plcc(soft_ranks(prediction, temperature), soft_ranks(label, temperature))
