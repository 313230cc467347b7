"""`sar` on PIQ23: one random patch of picture and face, three scenarios, regressors of the true scene.

    pqa train --recipe sar --data PIQ23 --split scene --out runs/sar

Published (on a 90/10 division of every scene, not on the scene split): SRCC 0.828, PLCC 0.855, KRCC 0.651, challenge score
0.777 (NTIRE 2024 survey).

As there: Huber with delta 0.2, scenarios global, local and joint with shares .3, .3 and .4, AdamW up to 1e-4 and by a cosine
to 0 within 30 of 80 epochs, decay 1e-5, 16 pictures a step, flips, blocks 1 to 6 frozen (by the model). Not published, chosen:
weight 1 for the scene's cross-entropy, 3 epochs of warm-up. The warm-up begins at 0, there at 1e-5. What
the rate does after the 30 epochs is not published: it rises and falls again, as torch's schedule of that name.
"""

from training.recipe import Batches, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="sar",
    terms=(Term("huber", options={"delta": 0.2}),),
    training={"crops": 1},
    batches=Batches("plain", size=16),
    optimiser=Optimiser("adamw", rate=1e-4, decay=1e-5),
    schedule=Schedule("cosine", warmup=3, period=30),
    epochs=80,
    scene_weight=1.0,
    known_scene=True,
    scenarios=True,
)
