"""`scene_gate` on human ratings of single photographs and simulated camera faults.

    pqa train --recipe default --data BIQ2021 --out runs/scene_gate

The result on the part of the data kept for reporting stands in the card beside the shipped file (`pqa models --card`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pqa.data.parts import Part
from training.default.cache import Item
from training.default.module import Objective
from training.default.versions import Plan

__all__ = ["BFLOAT16", "RECIPE", "SceneGateRecipe"]

BFLOAT16 = "bf16-mixed"
"""Half the time on processors that compute in bfloat16; others are five times as fast in float32, which they then train in."""

PORTRAIT = Plan(sound=3, ladders=4, rungs=3, mixed=2)
OTHER = Plan(sound=1, ladders=1, rungs=2, mixed=1)


@dataclass(frozen=True)
class SceneGateRecipe:
    """`portrait`, `other`: versions that a training picture gets, cut once; `versions`: how many of them stand beside a
    picture in a batch.

    `rate` and `decay` are AdamW's, on a one-cycle schedule. `seed` rules faults, weights and order.
    """

    model: str = "scene_gate"
    size: str = "small"
    epochs: int = 10
    batch: int = 32
    rate: float = 2e-3
    decay: float = 0.05
    seed: int = 0
    portrait: Plan = PORTRAIT
    other: Plan = OTHER
    versions: int = 1
    precision: str = BFLOAT16
    objective: Objective = field(default_factory=Objective)

    def plan(self, item: Item, part: Part) -> Plan:
        """Versions of one picture: none for the report part, which is read untouched."""
        if part == "report":
            return Plan()
        return self.portrait if item.portrait else self.other


RECIPE = SceneGateRecipe()
