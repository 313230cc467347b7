"""`pqe` on PIQ23: a fixed list of same-scene pairs and the fidelity loss.

    pqa train --recipe pqe --data PIQ23 --split scene --out runs/pqe

Published on the scene split: SRCC 0.864, PLCC 0.857, KRCC 0.690, challenge score 0.811 (NTIRE 2024 survey).

As in the authors' code: Adam 1e-5, decay 1e-7, rate times 0.9 every 2 epochs, 6 pairs a step, 10 epochs; every picture leads
two pairs, drawn once; random crops of 384 at a short side of 448, never mirrored. The paper has a binary label and
Phi(difference / sqrt 2), the code a soft label and Phi(difference) on both sides: the code's are taken, `unit` 0.7071 of
ours. The released list holds scores of Exposure; here the pairs have those of the attribute that is trained. The branches'
pre-training on LSVQ (picture) and GFIQA (face) is a run of its own, then --start.
"""

from training.recipe import Augment, Batches, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="pqe",
    terms=(Term("fidelity_pairs", options={"unit": 0.5**0.5}),),
    training={"crops": 1},
    batches=Batches("pairs", size=12, leads=2, fixed=True),
    augment=Augment(mirror="none"),
    optimiser=Optimiser("adam", rate=1e-5, decay=1e-7),
    schedule=Schedule("step", every=2, factor=0.9),
    epochs=10,
)
