"""Scale-shift invariant loss: Ranftl et al., "Towards Robust Monocular Depth Estimation" (MiDaS, TPAMI 2022), section 5;
over the pictures of a scene in RQ-Net ("Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey")."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pqa.nn.losses.checks import check_vectors

__all__ = ["scale_shift_invariant"]

LEAST = 3
FLOOR = 1e-3


def scale_shift_invariant(
    prediction: Float[Tensor, n], label: Float[Tensor, n], scene: Int[Tensor, n]
) -> Float[Tensor, ""]:
    """Mean over scenes of mean|q^ - y^|; q^ = (q - t) / s with t the scene's median and s = mean|q - t|; y^ likewise.

    In [0, 2]. Unchanged when prediction or label of a scene is shifted or multiplied by a positive number, another in each
    scene. Of an even number the median is the lower of the two middles, as in RQ-Net's code. s of the predictions is
    held at 1e-3 or above: equal predictions cost 1 with gradients of 1e3 at most, and smaller spreads than that are not
    rescaled. Scenes of fewer than three pictures, or of equal labels, are left out; ValueError if none is left.
    """
    check_vectors(prediction, label)
    if scene.shape != label.shape:
        raise ValueError(f"expected one scene a picture, {len(label)}, got {tuple(scene.shape)}")
    losses = []
    for number in torch.unique(scene):
        q, y = prediction[scene == number], label[scene == number]
        if len(q) < LEAST or bool((y == y[0]).all()):
            continue
        q, y = q - q.median(), y - y.median()
        losses.append((q / q.abs().mean().clamp_min(FLOOR) - y / y.abs().mean()).abs().mean())
    if not losses:
        raise ValueError(f"expected a scene of {LEAST} pictures or more with unequal labels, got none")
    return torch.stack(losses).mean()
