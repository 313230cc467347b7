"""`hyperiqa` on PIQ23: one random crop, regression on raw JOD.

    pqa train --recipe hyperiqa --data PIQ23 --split scene --out runs/hyperiqa

Published on the scene split: SRCC 0.740, PLCC 0.736, KRCC 0.550, challenge score 0.676 (NTIRE 2024 survey).

Loss, rates, epochs and crops were never published for PIQ23; chosen here: Huber(1) on raw JOD, the rates of the 2020 paper
(Adam, trunk 2e-5, the rest ten times that, decay 5e-4, 16 epochs, a tenth every 6 epochs; there the trunk's rate stayed), one
random crop of 1344 px a draw, ImageNet weights in the trunk.
"""

from training.recipe import Batches, Group, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="hyperiqa",
    terms=(Term("huber"),),
    training={"crops": 1},
    batches=Batches("plain", size=8),
    accumulate=12,
    optimiser=Optimiser("adam", rate=2e-4, decay=5e-4, groups=(Group("core.trunk", rate=0.1),)),
    schedule=Schedule("step", every=6, factor=0.1),
    epochs=16,
)
