"""Recipes: everything a training run is made of. Unknown keys raise; the resolved recipe is saved beside its result."""

from training.recipes.scene_gate import RECIPE as SCENE_GATE
from training.recipes.scene_gate import SceneGateRecipe

__all__ = ["RECIPES", "SceneGateRecipe"]

RECIPES = {"scene_gate": SCENE_GATE}
