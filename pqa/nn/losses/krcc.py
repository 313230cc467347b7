"""KRCC loss: a soft Kendall correlation; a regulariser of Huawei Noah's entry in "NTIRE 2021 Challenge on Perceptual Image
Quality Assessment" (CVPR workshops 2021) and of its later work."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.checks import all_pairs, check_positive, check_vectors

__all__ = ["krcc"]


def krcc(prediction: Float[Tensor, n], label: Float[Tensor, n], *, temperature: float = 0.1) -> Float[Tensor, ""]:
    """1 - 2 / (n (n - 1)) sum over i < j of tanh((y_i - y_j) / T) tanh((q_i - q_j) / T). In [0, 2].

    At T -> 0 one minus Kendall's tau-a (tau-b where nothing ties). Unchanged by a shift of either side; T as in `srcc`. Ties
    add nothing, so with tied labels the least is above 0; constant input gives 1 with finite gradients. Needs two pictures
    (ValueError) and T above 0 (ConfigurationError).
    """
    check_vectors(prediction, label, 2)
    check_positive("temperature", temperature)
    agreement = torch.tanh(all_pairs(label) / temperature) * torch.tanh(all_pairs(prediction) / temperature)
    return 1.0 - agreement.mean()
