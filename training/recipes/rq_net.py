"""`rq_net` on PIQ23: the scale-shift invariant loss over groups of one scene each.

    pqa train --recipe rq_net --data KONIQ --data SPAQ --data LIVEW --set batches.scenes=3 --set batches.size=96 \\
        --out runs/general
    pqa data faces PIQ23 PIQ23-FACE
    pqa train --recipe rq_net --data PIQ23-FACE --allow-missing --attribute overall --attribute detail --attribute exposure \\
        --out runs/portrait
    pqa train --recipe rq_net --data PIQ23 --bag 4 --start runs/general/rq_net.safetensors \\
        --start runs/portrait/rq_net.safetensors --out runs/rq_net

Published on the scene split (four models averaged): SRCC 0.820, PLCC 0.839, KRCC 0.621, challenge score 0.751 (NTIRE 2024
survey).

As there: Adam 1e-5, decay 1e-5, 128 pictures (4 scenes of 32), cosine, 3 epochs of warm-up, EMA 0.99; 50 epochs lie between
the 35 and 70 of the published checkpoints' names. Both views are mirrored by themselves. General pre-training takes each
set as a scene; the fourth of the authors, RBID, is not read here. The published ensemble of four is two subsets of scenes
from each of two pre-trainings; which subsets is unknown, random 90 % are taken.
"""

from training.recipe import Augment, Average, Batches, Optimiser, Recipe, Schedule, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="rq_net",
    terms=(Term("scale_shift_invariant"),),
    training={"crops": 1},
    batches=Batches("groups", size=128, scenes=4),
    augment=Augment(mirror="apart"),
    optimiser=Optimiser("adam", rate=1e-5, decay=1e-5),
    schedule=Schedule("cosine", warmup=3),
    average=Average("ema", decay=0.99),
    epochs=50,
)
