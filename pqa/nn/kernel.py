"""Kernel ridge regression as a module: a prediction by likeness to rated examples, and how far the nearest of them is.

Saunders, Gammerman and Vovk, "Ridge Regression Learning Algorithm in Dual Variables" (ICML 1998), with a Gaussian kernel
and a weight for each example. Fitted in closed form, so it does not depend on a seed; a few thousand examples suffice, and
are kept.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["KernelRegression", "dual"]


def dual(
    likeness: Float[Tensor, "m m"],
    ratings: Float[Tensor, " m"],
    importance: Float[Tensor, " m"],
    ridge: float,
) -> tuple[Float[Tensor, " m"], Float[Tensor, ""]]:
    """Ridge regression in its dual form: float64 weights of the examples, by whose likeness to others those are predicted, and
    the offset, the mean rating. `likeness` is float64; an example of importance w is regularised with `ridge` / w."""
    offset = (importance * ratings).sum() / importance.sum()
    return torch.linalg.solve(likeness + torch.diag(ridge / importance.double()), (ratings - offset).double()), offset


class KernelRegression(nn.Module):
    """`forward` takes vectors (N, D) to predictions (N,) and to distances (N,) from the nearest of `anchors` examples.

    Vectors are standardised by the examples and clipped at `clip` deviations. With d^2 the mean square difference of two
    vectors over their D values, the kernel is exp(-sharpness d^2) and the distance d. Nothing is predicted (zeros) before
    `fit`. All is buffers: gradients change nothing here.
    """

    mean: Tensor
    scale: Tensor
    anchors: Tensor
    weights: Tensor
    offset: Tensor

    def __init__(self, anchors: int, length: int, *, sharpness: float = 0.4, clip: float = 4.0) -> None:
        super().__init__()
        self.sharpness, self.clip = sharpness, clip
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("scale", torch.ones(length))
        self.register_buffer("anchors", torch.zeros(anchors, length))
        self.register_buffer("weights", torch.zeros(anchors))
        self.register_buffer("offset", torch.zeros(()))

    def _standard(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        return ((vectors - self.mean) * self.scale).clamp(-self.clip, self.clip)

    @staticmethod
    def _squares(left: Float[Tensor, "n d"], right: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """Mean square differences."""
        products = left @ right.T
        whole = (left**2).sum(dim=1)[:, None] + (right**2).sum(dim=1)[None] - 2.0 * products
        return whole.clamp(min=0.0) / left.shape[1]

    def forward(self, vectors: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        squares = self._squares(self._standard(vectors), self.anchors)
        # Thousands of weights of both signs nearly cancel: float32 would keep four digits of their sum.
        likeness = torch.exp(-self.sharpness * squares.double()) @ self.weights.double()
        return likeness.float() + self.offset, squares.amin(dim=1).sqrt()

    def fit(
        self,
        vectors: Float[Tensor, "m d"],
        ratings: Float[Tensor, " m"],
        importance: Float[Tensor, " m"],
        *,
        ridge: float = 0.3,
    ) -> None:
        """Remember `vectors` and their `ratings`; an example of importance w is regularised with `ridge` / w.

        Raises ValueError where their number is not that of the anchors.
        """
        if vectors.shape != self.anchors.shape:
            raise ValueError(f"expected vectors {tuple(self.anchors.shape)}, got {tuple(vectors.shape)}")
        self.mean.copy_(vectors.mean(dim=0))
        self.scale.copy_(1.0 / vectors.std(dim=0, correction=0).clamp(min=1e-3))
        self.anchors.copy_(self._standard(vectors))
        examples = self.anchors.double()
        kernel = torch.exp(-self.sharpness * self._squares(examples, examples))
        weights, offset = dual(kernel, ratings, importance, ridge)
        self.weights.copy_(weights)
        self.offset.copy_(offset)
