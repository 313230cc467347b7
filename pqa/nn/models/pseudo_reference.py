"""Set-aware head: the other pictures of a set serve as references for each one.

Origin: "Test your samples jointly: Pseudo-reference for image quality evaluation" (2023, arXiv:2304.03766). There, the
features of several registered pictures of one content are combined to a pseudo-reference that stands in for the pristine
picture, and every score is estimated from a picture's features and this reference. Own code, from the idea alone.

Differences from the paper:
- pictures of a set are of one scene but not registered, so one vector a picture is compared and no maps are;
- every picture has its own reference: the mean of the set, weighted by how alike two pictures are in content. The picture
  itself is in that mean, so that one which resembles no other is its own reference and keeps its score;
- what the reference adds is a correction of the score that the model gives to the picture alone. It is exactly zero for a
  set of one and before training.

Licence: Apache-2.0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PseudoReference"]


class PseudoReference(nn.Module):
    """Embeddings (M, E) and independent scores (M, A) of ONE set to joint scores (M, A), in the order they came.

    Equivariant to the order of the set; time and memory grow with M squared, through one (M, M) matrix alone.
    """

    def __init__(self, width: int, attributes: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, width)
        # Logarithm of how much more a picture of equal content weighs than one at right angles to it; 7.4 at first.
        self.sharpness = nn.Parameter(torch.tensor(2.0))
        # No biases: nothing is corrected where a picture does not differ from its reference.
        self.compare = nn.Linear(width + attributes, width, bias=False)
        self.correct = nn.Linear(width, attributes, bias=False)
        nn.init.zeros_(self.correct.weight)

    def forward(self, embedding: Float[Tensor, "m e"], score: Float[Tensor, "m a"]) -> Float[Tensor, "m a"]:
        content = F.normalize(self.content(embedding), dim=1)
        weight = (self.sharpness.exp() * (content @ content.T)).softmax(dim=1)
        known = torch.cat([embedding, score], dim=1)
        correction: Tensor = self.correct(F.gelu(self.compare(known - weight @ known)))
        return score + correction
