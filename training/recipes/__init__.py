"""Recipes: one file a system, with its command and the published result. Read `training.recipe` for what a recipe says."""

from __future__ import annotations

from dataclasses import replace

from training.recipe import Recipe
from training.recipes import bdvqa, fhiqa, hyperiqa, liqe, monet, pqe, rq_net, sar, scene_gate, sem_hyperiqa

__all__ = ["RECIPES", "smoke"]

RECIPES: dict[str, Recipe] = {
    "bdvqa": bdvqa.RECIPE,
    "fhiqa": fhiqa.RECIPE,
    "hyperiqa": hyperiqa.RECIPE,
    "liqe": liqe.RECIPE,
    "monet": monet.RECIPE,
    "pqe": pqe.RECIPE,
    "rq_net": rq_net.RECIPE,
    "sar": sar.RECIPE,
    "scene_gate": scene_gate.RECIPE,
    "sem_hyperiqa": sem_hyperiqa.RECIPE,
}


def smoke(recipe: Recipe) -> Recipe:
    """The same recipe to be run in seconds: tiny model, one epoch, small batches, full precision."""
    kinds = {"plain": 4, "pairs": 4, "groups": 8}
    training = {key: value for key, value in recipe.training.items() if key == "crops"}
    return replace(
        recipe,
        size="tiny",
        pretrained=False,
        changes={},
        training=training,
        batches=replace(recipe.batches, size=kinds[recipe.batches.kind], scenes=2),
        epochs=1,
        accumulate=1,
        precision="32-true",
        schedule=replace(recipe.schedule, warmup=0.0),
    )
