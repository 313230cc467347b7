"""Gradient-boosted regression trees as a module, in tensor operations that every runtime has.

Every inner node is asked at once; a leaf is reached where all nodes above it answered its way, which a product with the
trees' path matrices counts (the matrix form of Nakandala et al., "A Tensor Compiler for Unified Machine Learning Prediction
Serving", OSDI 2020, section 4.1). Trees are grown elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Leaf", "Node", "Trees"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a tree adds to the prediction."""

    value: float


@dataclass(frozen=True, slots=True)
class Node:
    """`left` is taken where value number `feature` is at most `threshold`."""

    feature: int
    threshold: float
    left: Node | Leaf
    right: Node | Leaf


class Trees(nn.Module):
    """`forward` takes vectors (N, D) to the sum of `count` trees of at most `leaves` leaves each (N,); zeros before `fill`.

    All is buffers: gradients change nothing here.
    """

    feature: Tensor
    threshold: Tensor
    path: Tensor
    lefts: Tensor
    value: Tensor

    def __init__(self, count: int, leaves: int) -> None:
        super().__init__()
        nodes = leaves - 1
        self.register_buffer("feature", torch.zeros(count, nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(count, nodes))
        # +1 where a leaf lies to the left of a node, -1 to the right, 0 where the node is not above it.
        self.register_buffer("path", torch.zeros(count, nodes, leaves))
        # More than any path has: no leaf is reached.
        self.register_buffer("lefts", torch.full((count, leaves), float(leaves)))
        self.register_buffer("value", torch.zeros(count, leaves))

    def forward(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        asked = vectors[:, self.feature.flatten()].reshape(-1, *self.feature.shape)
        answers = (asked <= self.threshold).float()
        agreed = torch.matmul(answers[:, :, None, :], self.path)[:, :, 0]  # (N, T, L)
        return ((agreed == self.lefts).float() * self.value).sum(dim=(1, 2))

    def fill(self, trees: Sequence[Node | Leaf]) -> None:
        """Take over `trees`. Raises ValueError for another number of them or one with too many leaves."""
        if len(trees) != len(self.value):
            raise ValueError(f"expected {len(self.value)} trees, got {len(trees)}")
        for number, tree in enumerate(trees):
            self._fill(number, tree)

    def _fill(self, number: int, tree: Node | Leaf) -> None:
        nodes, leaves = 0, 0
        most = self.value.shape[1]
        waiting: list[tuple[Node | Leaf, tuple[tuple[int, float], ...]]] = [(tree, ())]
        while waiting:
            at, way = waiting.pop()
            if isinstance(at, Node):
                if nodes == most - 1:
                    raise ValueError(f"tree {number} has more than {most} leaves")
                self.feature[number, nodes] = at.feature
                self.threshold[number, nodes] = float(_not_above(at.threshold))
                waiting += [(at.left, (*way, (nodes, 1.0))), (at.right, (*way, (nodes, -1.0)))]
                nodes += 1
            else:
                for node, side in way:
                    self.path[number, node, leaves] = side
                self.lefts[number, leaves] = sum(side > 0 for _, side in way)
                self.value[number, leaves] = at.value
                leaves += 1


def _not_above(value: float) -> npt.NDArray[np.float32]:
    """The largest float32 that is not above `value`: float32 inputs then take the same way as with the float64 threshold."""
    near = np.float32(value)
    return np.asarray(near if float(near) <= value else np.nextafter(near, np.float32(-np.inf)), np.float32)
