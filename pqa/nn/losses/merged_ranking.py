"""Merged ranking loss: BDVQA in "Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey" (CVPR workshops 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.checks import check_vectors

__all__ = ["merged_ranking"]

HIGHEST = 10.0


def merged_ranking(prediction: Float[Tensor, n], label: Float[Tensor, n]) -> Float[Tensor, ""]:
    """(2/N) sum over pairs (0, 1), (2, 3), ... of exp(min(q_w - q_b, 10)) + ((y_b - q_b)^2 + (y_w - q_w)^2) / 2, where b is
    the better of the pair and w the worse; a tie has no exponential.

    From 0 up. Unchanged when the members of a pair change places, when pairs do, and when both sides shift together. Above
    an exponent of 10 the squares alone pull. As printed, (y_i - q_i)^2 regresses only the first of a pair, and only ascending
    pairs are ranked; here each pair is oriented by its labels and both are regressed. An odd length raises ValueError.
    """
    check_vectors(prediction, label, 2)
    if len(prediction) % 2:
        raise ValueError(f"expected pairs, an even length, got {len(prediction)}")
    better = torch.sign(label[::2] - label[1::2])
    wrong = -better * (prediction[::2] - prediction[1::2])
    rank = torch.exp(wrong.clamp(max=HIGHEST)) * better.abs()
    return rank.mean() + (label - prediction).square().mean()
