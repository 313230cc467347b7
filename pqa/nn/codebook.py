"""A codebook of picture patches with moments up to the third, and a linear regression on them.

Xu, Ye, Li, Du, Liu and Doermann, "Blind Image Quality Assessment Based on High Order Statistics Aggregation" (IEEE TIP
2016): small patches are normalised, whitened and assigned to their five nearest words; of each word's patches the mean, the
variance and the skewness are compared with those that the word had when it was learned.

Differences from the paper: a fixed grid of patches; assignment weights are a Gaussian of the distance; the differences are
smoothed near zero and where a word has few patches, so that a change in the last bit of a pixel changes the features as little;
ridge regression in closed form instead of a support vector machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.nn.kernel import dual

__all__ = ["PATCH", "Codebook", "CodebookRegression"]

PATCH = 7
LUMA = (0.299, 0.587, 0.114)
NEAREST = 5
SHARPNESS = 0.05
"""Of the Gaussian by which a patch is shared among its nearest words, per squared distance."""
CONTRAST = 10.0
"""Added to the deviation that a patch is divided by, in grey levels of 255: flat patches stay small."""
POWER, SMOOTH = 0.2, 0.01
"""Features keep their sign and this power of their size; below `SMOOTH` they are linear."""


class Codebook(nn.Module):
    """Pixels (N, 3, H, W), normalised by a view of deviation `std`, to features (N, 3 x `words` x 49).

    Those of a moment have unit length; they mean nothing before `fill`. All is buffers: gradients change nothing here.
    """

    grey: Tensor
    centre: Tensor
    whitening: Tensor
    moments: Tensor

    def __init__(self, words: int, std: Sequence[float], *, stride: int = 5) -> None:
        super().__init__()
        self.stride, area = stride, PATCH * PATCH
        # Every pixel of a patch as a channel, in grey levels less the patch's mean, with which that of `ViewSpec` falls out.
        weights = 255.0 * torch.tensor(LUMA) * torch.tensor(tuple(std))
        pixels = (torch.eye(area) - 1.0 / area).reshape(area, 1, PATCH, PATCH)
        self.register_buffer("grey", pixels * weights[None, :, None, None], persistent=False)
        self.register_buffer("centre", torch.zeros(area))
        self.register_buffer("whitening", torch.eye(area))
        self.register_buffer("moments", torch.zeros(3, words, area))

    def patches(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n l 49"]:
        """Patches of the grid, each less its mean and over its deviation."""
        found = F.conv2d(pixels, self.grey, stride=self.stride).flatten(2).transpose(1, 2).contiguous()
        return found / ((found**2).mean(dim=2, keepdim=True).sqrt() + CONTRAST)

    def fill(self, centre: Tensor, whitening: Tensor, moments: Tensor) -> None:
        """Take over the mean (49,) and whitening (49, 49) of patches, and mean, variance, skewness (3, words, 49) by word."""
        self.centre.copy_(centre)
        self.whitening.copy_(whitening)
        self.moments.copy_(moments)

    def forward(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        patches = (self.patches(pixels) - self.centre) @ self.whitening
        words = self.moments[0]
        distance = (patches**2).sum(dim=2, keepdim=True) - 2.0 * patches @ words.T + (words**2).sum(dim=1)
        nearest = torch.topk(distance, NEAREST, dim=2, largest=False).values
        share = torch.exp(-SHARPNESS * (distance - nearest[..., :1])) * (distance <= nearest[..., -1:])
        share = (share / share.sum(dim=2, keepdim=True)).transpose(1, 2)  # (N, K, L)
        count = share.sum(dim=2, keepdim=True)
        first, second, third = (share @ patches**power / (count + 1e-3) for power in (1, 2, 3))
        variance = (second - first**2).clamp(min=1e-4)
        skewness = (third - 3.0 * first * second + 2.0 * first**3) / variance**1.5
        differences = torch.stack([first, variance, skewness], dim=1) - self.moments
        differences = (differences * (count / (count + 1.0))[:, None]).flatten(2)  # (N, 3, K x 49)
        powers = differences * (differences.abs() + SMOOTH) ** (POWER - 1.0)
        return F.normalize(powers, dim=2).flatten(1)


class CodebookRegression(nn.Module):
    """`forward` takes one picture view for each codebook, each (N, 3, H, W), to predictions (N,); zeros before `fit`."""

    weights: Tensor
    offset: Tensor

    def __init__(self, books: int, words: int, std: Sequence[float]) -> None:
        super().__init__()
        self.books = nn.ModuleList(Codebook(words, std) for _ in range(books))
        self.register_buffer("weights", torch.zeros(books * 3 * words * PATCH * PATCH))
        self.register_buffer("offset", torch.zeros(()))

    def features(self, views: Sequence[Tensor]) -> Float[Tensor, "n d"]:
        """What the regression is linear in: the features of all views, one after another."""
        return torch.cat([book(view) for book, view in zip(self.books, views, strict=True)], dim=1)

    def forward(self, views: Sequence[Tensor]) -> Float[Tensor, " n"]:
        return self.features(views) @ self.weights + self.offset

    def fit(
        self,
        features: Float[Tensor, "m d"],
        ratings: Float[Tensor, " m"],
        importance: Float[Tensor, " m"],
        *,
        ridge: float = 0.3,
    ) -> None:
        """Fit to `ratings` of examples by their `features`; an example of importance w is regularised with `ridge` / w,
        in units of the mean square length of the features about their mean."""
        mean = features.mean(dim=0)
        about = features - mean
        products = (about @ about.T).double()
        unit = products.diagonal().mean()
        weights, offset = dual(products / unit, ratings, importance, ridge)
        self.weights.copy_(about.T @ (weights / unit).float())
        self.offset.copy_(offset - mean @ self.weights)
