"""`scene_gate` on human ratings of single photographs and simulated camera faults.

    pqa train --recipe default --data BIQ2021 --out runs/scene_gate

The result on the part of the data kept for reporting stands in the card beside the shipped file (`pqa models --card`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pqa.data.parts import Part
from training.default.cache import Item
from training.default.module import Objective

__all__ = ["RECIPE", "SceneGateRecipe"]


@dataclass(frozen=True)
class SceneGateRecipe:
    """`portrait_versions`, `other_versions`: how many versions a training picture gets, the first of them sound.

    `rate` and `decay` are AdamW's, on a one-cycle schedule. `seed` rules faults, weights and order.
    """

    model: str = "scene_gate"
    size: str = "small"
    epochs: int = 10
    batch: int = 32
    rate: float = 2e-3
    decay: float = 0.05
    seed: int = 0
    portrait_versions: int = 6
    other_versions: int = 2
    precision: str = "bf16-mixed"
    objective: Objective = field(default_factory=Objective)

    def versions(self, item: Item, part: Part) -> int:
        """Versions of one picture: none for the report part, which is read untouched."""
        if part == "report":
            return 0
        return self.portrait_versions if item.portrait else self.other_versions


RECIPE = SceneGateRecipe()
