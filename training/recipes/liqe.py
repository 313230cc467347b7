"""`liqe` on its six named sets: ranking within each set, and the words for scene and distortion, from one distribution.

    pqa train --recipe liqe --out runs/liqe --data LIVE --data CSIQ --data BID --data CLIVE --data KONIQ --data KADID

where every folder holds its lists (docs/data.md, `liqe_lists`) and no other label files, or give `--kind liqe_lists` six times.

Published (Zhang et al., CVPR 2023; medians of ten divisions, as others quote the paper): SRCC 0.930 on KADID-10k, 0.919 on
KonIQ-10k, 0.904 (PLCC 0.910) on LIVE in the Wild. Its figures on the other three were not at hand, and are not guessed.

As in the authors' code: CLIP ViT-B/32, three random patches of a picture's lattice in training and 15 in test, mirrored in
half of the draws; AdamW 5e-6, decay 1e-3, 80 epochs, 48 pictures a step; all pairs of one set by the binary fidelity loss
with p = Phi(difference), which is `unit` 0.7071 of ours; the fidelity of scenes, and that of distortions over their number;
dynamic weight average of the three. Different here: random patches lie anywhere, not on the lattice; every picture comes
once an epoch (there 200 steps of 4 pictures from each small set and 16 from each large one); one cosine over the run in
place of one that falls and rises every five epochs; the best epoch is chosen by the challenge score.

Data that say neither content nor distortion (PIQ23) train the quality alone, with a warning.
"""

from training.recipe import Batches, Optimiser, Recipe, Term

__all__ = ["RECIPE"]

RECIPE = Recipe(
    model="liqe",
    terms=(Term("fidelity_all", options={"probability": "binary", "unit": 0.5**0.5}),),
    training={"crops": 3, "view": "patches"},
    batches=Batches("groups", size=48, scenes=6),
    optimiser=Optimiser("adamw", rate=5e-6, decay=1e-3),
    epochs=80,
    scene_by="content",
    scene_weight=1.0,
    distortion_weight=1 / 11,
    balance="dynamic",
)
