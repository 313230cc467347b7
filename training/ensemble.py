"""Several trained models of one shape as one: the mean of their scores, their disagreement in the spread.

RQ-Net's four (general and portrait pre-training, two subsets of the scenes; "Deep Portrait Quality Assessment. A NTIRE 2024
Challenge Survey"), bagging over scenes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pqa.errors import ConfigurationError

__all__ = ["Ensemble"]


class Ensemble(nn.Module):
    """`members` take the same views and know the same attributes; their scores are averaged. Outputs: `score` (N, A), and
    `std` (N, A): the root mean square of the members' own spreads where they have one, and of their scores about the mean.

    The mean is plain, as published. Members trained with a loss that leaves offset and scale open should agree on them, or the
    widest weighs most and `std` counts their offsets as disagreement.

    Raises ConfigurationError for members that differ in views or attributes.
    """

    outputs = ("score", "std")
    branch_names: tuple[str, ...] = ()

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        first = members[0]
        for member in members:
            if member.views != first.views or member.config.attributes != first.config.attributes:
                raise ConfigurationError("the members of an ensemble must take the same views and attributes")
        self.members = nn.ModuleList(members)
        self.config, self.views = first.config, first.views

    def forward(self, *views: Tensor) -> tuple[Tensor, Tensor]:
        found = [dict(zip(member.outputs, member(*views), strict=True)) for member in self.members]
        scores = torch.stack([each["score"] for each in found])
        score = scores.mean(dim=0)
        variance = ((scores - score) ** 2).mean(dim=0)
        own = [each["std"] ** 2 for each in found if "std" in each]
        if own:
            variance = variance + torch.stack(own).mean(dim=0)
        return score, torch.sqrt(variance + 1e-12)
