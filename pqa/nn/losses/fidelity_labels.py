"""Fidelity loss of words instead of ranks: Zhang et al., "Blind Image Quality Assessment via Vision-Language
Correspondence: A Multitask Learning Perspective" (CVPR 2023); `MNL_Loss.py` of zwx8981/LIQE."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pqa.nn.losses.fidelity import EPSILON, fidelity_of

__all__ = ["fidelity_class", "fidelity_several"]


def fidelity_several(probability: Float[Tensor, "n c"], present: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
    """Mean over pictures and words of 1 - sqrt(p g + e) - sqrt((1 - p)(1 - g) + e), e = 1e-8: several words may be true.

    `probability`: p in [0, 1]; `present`: g, 1 for a word that is true, else 0. In [0, 1]; zero (to 1e-4) where p = g, which
    one distribution over all words reaches for pictures of one word only. Other shapes, or none, raise ValueError.
    """
    if probability.shape != present.shape or probability.ndim != 2 or not probability.numel():
        raise ValueError(f"expected two tables of one shape, got {tuple(probability.shape)} and {tuple(present.shape)}")
    # A sum of parts of one distribution may pass 1 by rounding, and the root would be of a negative number.
    return fidelity_of(probability.clamp(max=1.0), present)


def fidelity_class(probability: Float[Tensor, "n c"], true: Int[Tensor, n]) -> Float[Tensor, ""]:
    """Mean over pictures of 1 - sqrt(p + e), p the probability of the true word, e = 1e-8: one word is true.

    In [0, 1]. The authors' code divides it by the number of words; here that is the weight's part. Other shapes, or none,
    raise ValueError.
    """
    if probability.ndim != 2 or true.shape != probability.shape[:1] or not probability.numel():
        raise ValueError(f"expected one word a row, got {tuple(probability.shape)} and {tuple(true.shape)}")
    chosen = probability.gather(1, true[:, None])
    return (1.0 - torch.sqrt(chosen + EPSILON)).mean()
