"""`fhiqa` on PIQ23: FULL-HyperIQA, rescaling over all scenes.

    pqa train --recipe fhiqa --data PIQ23 --split scene --out runs/fhiqa

Published on the scene split: SRCC 0.778, PLCC 0.784, KRCC 0.586, challenge score 0.711 (NTIRE 2024 survey).

All else as in the recipe `hyperiqa`, chosen there because nothing is published. The scene's cross-entropy has weight 1 (not
published).
"""

from dataclasses import replace

from training.recipes import hyperiqa

__all__ = ["RECIPE"]

RECIPE = replace(hyperiqa.RECIPE, model="fhiqa", scene_weight=1.0)
