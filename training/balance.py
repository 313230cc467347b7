"""Weights of several losses by how fast each falls.

Dynamic weight average: Liu, Johns & Davison, "End-to-End Multi-Task Learning with Attention" (CVPR 2019), as LIQE uses it
(Zhang et al., CVPR 2023; `weight_methods.py` of zwx8981/LIQE).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

__all__ = ["Balance"]

TEMPERATURE = 2.0

Sums = dict[int, dict[str, tuple[float, int]]]


class Balance:
    """For K losses in epoch t: weight_k = K exp(r_k / T) / sum_i exp(r_i / T), r_k = L_k(t - 1) / L_k(t - 2), T = 2, L the
    mean over an epoch; 1 in the first two epochs. A loss that an epoch had nothing for keeps weight 1."""

    def __init__(self) -> None:
        self._sums: Sums = {}

    def weights(self, epoch: int) -> dict[str, float]:
        """By the name of the loss; a name that is missing has weight 1."""
        last, before = (self._means(each) for each in (epoch - 1, epoch - 2))
        found = {
            name: math.exp(last[name] / before[name] / TEMPERATURE) for name in last if before.get(name, 0.0) > 0.0
        }
        return {name: len(found) * value / sum(found.values()) for name, value in found.items()}

    def add(self, epoch: int, losses: Mapping[str, Tensor]) -> None:
        """Count the losses of one step, as they are before these weights."""
        self._sums = {each: sums for each, sums in self._sums.items() if each >= epoch - 2}
        sums = self._sums.setdefault(epoch, {})
        for name, value in losses.items():
            total, count = sums.get(name, (0.0, 0))
            sums[name] = (total + float(value.detach()), count + 1)

    def _means(self, epoch: int) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self._sums.get(epoch, {}).items()}

    def state(self) -> Sums:
        return self._sums

    def restore(self, state: Sums) -> None:
        self._sums = state
