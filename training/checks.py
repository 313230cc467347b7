"""What can be known of a run before its first step, so that it does not fail after hours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pqa.data.rated import Rated
from pqa.errors import ConfigurationError, DataError
from pqa.nn.losses import enough
from training.loading import divide, sampler_of
from training.recipe import Recipe

__all__ = ["LEAST", "check_rows"]

LEAST = 3
"""Pictures of the choose part: the proof of the exported model takes as many."""


def check_rows(recipe: Recipe, rows: Sequence[Rated], *, per_scene: bool) -> None:
    """Raise DataError or ConfigurationError where `rows` cannot be trained on, or chosen by, as `recipe` says.

    `per_scene`: their labels compare within a scene only.
    """
    train = [row for row in rows if row.part == "train"]
    choose = [row for row in rows if row.part == "choose"]
    if not train:
        raise DataError("no picture is left to train on")
    if len(choose) < LEAST or not _ordered(choose):
        scenes = len({row.scene for row in choose})
        raise DataError(
            f"the part to choose by has {len(choose)} pictures in {scenes} scenes: it needs {LEAST}, and two of "
            "unequal ratings in one scene; rate more pictures, or more scenes"
        )
    if recipe.batches.across_scenes and per_scene:
        raise ConfigurationError(
            "batches.across_scenes compares pictures of different scenes, but the labels compare within a scene only"
        )
    if recipe.scene_by == "condition" and not all(row.condition for row in train):
        raise DataError(
            "scene_by=condition needs the light condition of every picture; these data do not say it for all"
        )
    _check_terms(recipe, train)


def _ordered(rows: Sequence[Rated]) -> bool:
    found: dict[str, set[float]] = {}
    for row in rows:
        if not np.isnan(row.labels[0]):
            found.setdefault(row.scene, set()).add(row.labels[0])
    return any(len(values) > 1 for values in found.values())


def _check_terms(recipe: Recipe, train: Sequence[Rated]) -> None:
    """Every term of the loss must find something to learn from in some batch of the first epoch."""
    division = divide(train, (), (), recipe.scene_by)
    labels, groups = torch.tensor([row.labels for row in train]), torch.tensor(division.groups)
    waiting = {term.loss for term in recipe.terms}
    for batch in sampler_of(recipe.batches, division, recipe.seed):
        waiting -= {
            loss
            for loss in waiting
            for a in range(labels.shape[1])
            if enough(loss, labels[batch, a], groups[batch], across_scenes=recipe.batches.across_scenes)
        }
        if not waiting:
            return
    raise ConfigurationError(
        f"no batch has enough to compare for {', '.join(sorted(waiting))}: draw more pictures of a scene together "
        "(batches.kind=groups, fewer batches.scenes, larger batches.size)"
    )
