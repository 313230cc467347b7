"""`monet` on PIQ23: regression and the scene's name.

    pqa train --recipe monet --data PIQ23 --split scene --out runs/monet

Published on the scene split: SRCC 0.760, PLCC 0.791, KRCC 0.580, challenge score 0.710 (NTIRE 2024 survey).

As there: squared error and cross-entropy (weight 1, not published), Adam 1e-5, decay 1e-5, cosine over 50 of 100 epochs, 11
pictures a step. After 50 epochs the rate rises again, as in the code of the same authors' PromptIQA.
"""

from training.recipe import Batches, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="monet",
    terms=(Term("mse"),),
    training={"crops": 1},
    batches=Batches("plain", size=11),
    optimiser=Optimiser("adam", rate=1e-5, decay=1e-5),
    schedule=Schedule("cosine", period=50),
    epochs=100,
    scene_weight=1.0,
)
