"""Relative distance loss: Yahaha in "NTIRE 2021 Challenge on Perceptual Image Quality Assessment" (CVPR workshops 2021)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.checks import all_pairs, check_vectors

__all__ = ["relative_distance"]


def relative_distance(prediction: Float[Tensor, n], label: Float[Tensor, n]) -> Float[Tensor, ""]:
    """Mean over pairs i < j of |(y_i - y_j) - (q_i - q_j)|; printed as a sum, which would grow with the batch.

    From 0 up; zero where prediction and label differ by a shift. Unchanged by a shift of either side; multiplied with both.
    A tie wants equal predictions. Needs two pictures (ValueError).
    """
    check_vectors(prediction, label, 2)
    return all_pairs(label - prediction).abs().mean()
