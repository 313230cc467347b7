"""`sem_hyperiqa` on PIQ23: HyperIQA that also names the scene.

    pqa train --recipe sem_hyperiqa --data PIQ23 --split scene --out runs/sem_hyperiqa
    pqa train --recipe sem_hyperiqa --data PIQ23 --size full_so --set known_scene=true --out runs/scene_only
    pqa train --recipe sem_hyperiqa --data PIQ23 --size full_co --set known_scene=true --set scene_by=condition --out runs/co

Published on the scene split: SRCC 0.749, PLCC 0.752, KRCC 0.558, challenge score 0.690 (NTIRE 2024 survey).

All else as in the recipe `hyperiqa`, chosen there because nothing is published. The scene's cross-entropy has weight 1 (not
published).
"""

from dataclasses import replace

from training.recipes import hyperiqa

__all__ = ["RECIPE"]

RECIPE = replace(hyperiqa.RECIPE, model="sem_hyperiqa", scene_weight=1.0)
