"""Fidelity loss: Tsai et al., "FRank: a ranking method with fidelity loss" (SIGIR 2007); in quality assessment since
Zhang et al., "Uncertainty-aware blind image quality assessment" (UNIQUE, 2021).

The defaults here are Thurstone's case V on both sides: p = Phi(label difference / sqrt 2), p_hat = Phi(difference /
sqrt 2). Others differ. LIQE's code (zwx8981/LIQE `MNL_Loss.py`, `loss_m3` and `loss_m4`) has binary labels and p_hat =
Phi(difference): `probability="binary", unit=0.5**0.5`, as in the recipe `liqe`. UNIQUE divides both differences by
spreads, the predicted one by the spreads that its network predicts for the two pictures (zwx8981/UNIQUE
`TrainModel.py`), which `fidelity_of` can be given; with unit spreads fixed at sqrt 1/2 and binary labels it is LIQE's
form. DN-PIQA's code has soft labels and Phi(difference) on both sides: `unit=0.5**0.5`, as in the recipe `pqe`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pqa.nn.losses.checks import all_pairs, check_choice, check_positive, check_vectors

__all__ = ["fidelity", "fidelity_all", "fidelity_of", "fidelity_pairs", "pair_probability"]

EPSILON = 1e-8


def fidelity(difference: Float[Tensor, n], probability: Float[Tensor, n]) -> Float[Tensor, ""]:
    """Mean over pairs of 1 - sqrt(p p_hat + e) - sqrt((1 - p)(1 - p_hat) + e), p_hat = Phi(difference / sqrt 2), e = 1e-8.

    `difference`: predicted score of the first less that of the second; `probability`: how likely the first is the better
    (0, 1, or 1/2 for a tie). In [0, 1]; zero (to 1e-4) where p_hat = p; unchanged when both are mirrored (-d, 1 - p).
    The gradient vanishes where p_hat saturates on the wrong side: scale differences so that typical ones are near 1.
    """
    check_vectors(difference, probability)
    # Phi(d / sqrt 2) = erfc(-d / 2) / 2
    return fidelity_of(0.5 * torch.erfc(-difference / 2.0), probability)


def fidelity_of(predicted: Tensor, probability: Tensor) -> Float[Tensor, ""]:
    """Mean of 1 - sqrt(p p_hat + e) - sqrt((1 - p)(1 - p_hat) + e) over two tensors of one shape, both in [0, 1]."""
    agree = torch.sqrt(probability * predicted + EPSILON)
    disagree = torch.sqrt((1.0 - probability) * (1.0 - predicted) + EPSILON)
    return (1.0 - agree - disagree).mean()


def pair_probability(difference: Float[Tensor, n], probability: str = "thurstone") -> Float[Tensor, n]:
    """How likely the first of a pair is the better, of the difference of their labels; 1/2 for a tie.

    `thurstone`: Phi(difference / sqrt 2), both labels of unit variance (Thurstone's case V); `binary`: 1 where positive, 0
    where negative. Another word raises ConfigurationError.
    """
    check_choice("probability", probability, ("thurstone", "binary"))
    if probability == "binary":
        return 0.5 + 0.5 * torch.sign(difference)
    return 0.5 * torch.erfc(-difference / 2.0)


def fidelity_pairs(
    prediction: Float[Tensor, n], label: Float[Tensor, n], *, probability: str = "thurstone", unit: float = 1.0
) -> Float[Tensor, ""]:
    """`fidelity` of consecutive pairs (0, 1), (2, 3), ...; Sun et al., "Dual-Branch Network for Portrait Image Quality
    Assessment" (2024).

    `unit`: the difference of scores, and of labels, that counts as one. Invariant to a shift of either side. An odd length
    raises ValueError, a unit that is not above 0 ConfigurationError.
    """
    check_vectors(prediction, label, 2)
    check_positive("unit", unit)
    if len(prediction) % 2:
        raise ValueError(f"expected pairs, an even length, got {len(prediction)}")
    q, y = ((values[::2] - values[1::2]) / unit for values in (prediction, label))
    return fidelity(q, pair_probability(y, probability))


def fidelity_all(
    prediction: Float[Tensor, n], label: Float[Tensor, n], *, probability: str = "thurstone", unit: float = 1.0
) -> Float[Tensor, ""]:
    """`fidelity` of all pairs i < j, as LIQE trains within a data set; options as in `fidelity_pairs`, LIQE's in the module.

    The order of the pictures never matters. Needs two (ValueError).
    """
    check_vectors(prediction, label, 2)
    check_positive("unit", unit)
    return fidelity(all_pairs(prediction) / unit, pair_probability(all_pairs(label) / unit, probability))
