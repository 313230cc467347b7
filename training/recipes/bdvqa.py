"""`bdvqa` on PIQ23: same-scene pairs and the merged ranking loss.

    pqa train --recipe bdvqa --data PIQ23 --split scene --out runs/bdvqa

Published on the scene split: SRCC 0.849, PLCC 0.866, KRCC 0.667, challenge score 0.779 (NTIRE 2024 survey).

As there: random-resized crops of 384, rotation, AdamW 2e-5. Not published, chosen: 32 pairs a step, a random square of 384 in
a crop of half to all of the picture's area, rotation up to 10 degrees, half of the draws mirrored, decay 1e-2, 30 epochs at a
constant rate.
"""

from training.recipe import Augment, Batches, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="bdvqa",
    terms=(Term("merged_ranking"),),
    training={"crops": 1, "short_side": 384},
    batches=Batches("pairs", size=64),
    augment=Augment(zoom=0.5, turn=10.0),
    optimiser=Optimiser("adamw", rate=2e-5, decay=1e-2),
    schedule=Schedule("constant"),
    epochs=30,
)
