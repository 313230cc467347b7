"""`sem_hyperiqa` on PIQ23: HyperIQA that also names the scene.

    pqa train --recipe sem_hyperiqa --data PIQ23 --split scene --out runs/sem_hyperiqa
    pqa train --recipe sem_hyperiqa --data PIQ23 --size full_so --set known_scene=true --out runs/scene_only
    pqa train --recipe sem_hyperiqa --data PIQ23 --size full_co --set known_scene=true --set scene_by=condition --out runs/co

Published on the scene split: SRCC 0.749, PLCC 0.752, KRCC 0.558, challenge score 0.690 (NTIRE 2024 survey).

Loss, rates, epochs and crops were never published for PIQ23; chosen here: Huber(1) on raw JOD, the rates of the 2020 paper
(Adam, trunk 2e-5, the rest ten times that, decay 5e-4, 16 epochs, a tenth every 6 epochs; there the trunk's rate stayed), one
random crop of 1344 px a draw, ImageNet weights in the trunk.
The scene's cross-entropy has weight 1 (not published).
"""

from training.recipe import Batches, Group, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="sem_hyperiqa",
    terms=(Term("huber"),),
    training={"crops": 1},
    batches=Batches("plain", size=8),
    accumulate=12,
    optimiser=Optimiser("adam", rate=2e-4, decay=5e-4, groups=(Group("core.trunk", rate=0.1),)),
    schedule=Schedule("step", every=6, factor=0.1),
    epochs=16,
    scene_weight=1.0,
)
