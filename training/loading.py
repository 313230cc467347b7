"""From a run's rows to the loaders of its trainer, for one process or for each of several replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightning
from torch.utils.data import DataLoader

from pqa.data.rated import Rated
from pqa.errors import ConfigurationError
from pqa.spec import ViewSpec
from training.facts import Facts
from training.pictures import Draws, Portraits
from training.recipe import Batches, Recipe
from training.samplers import BatchSampler, SceneGroups, ScenePairs, WeightedPictures, inverse_density

__all__ = ["Division", "Loading", "divide", "sampler_of"]


@dataclass(frozen=True, slots=True)
class Division:
    """Rows of one part: `groups` number their scenes, `scenes` are the model's (-1: unknown to it)."""

    rows: tuple[Rated, ...]
    facts: tuple[Facts, ...]
    groups: tuple[int, ...]
    scenes: tuple[int, ...]


def divide(rows: Sequence[Rated], facts: Sequence[Facts], names: Sequence[str], by: str) -> Division:
    """Number the scenes of `rows`; `names` are the model's scenes, compared with each row's `by` (scene or condition)."""
    order = {scene: number for number, scene in enumerate(sorted({row.scene for row in rows}))}
    place = {name: number for number, name in enumerate(names)}
    return Division(
        tuple(rows),
        tuple(facts),
        tuple(order[row.scene] for row in rows),
        tuple(place.get(getattr(row, by), -1) for row in rows),
    )


def sampler_of(batches: Batches, division: Division, seed: int, *, replica: int = 0, replicas: int = 1) -> BatchSampler:
    """The sampler that a recipe asks for. Raises ConfigurationError or DataError where the pictures do not suffice for it."""
    if batches.kind == "pairs":
        return ScenePairs(
            division.groups,
            batches.size // 2,
            seed=seed,
            leads=batches.leads,
            fixed=batches.fixed,
            across_scenes=batches.across_scenes,
            replica=replica,
            replicas=replicas,
        )
    if batches.balance > 0.0:
        weights = inverse_density([row.labels[0] for row in division.rows], power=batches.balance)
        return WeightedPictures(weights, batches.size, seed=seed, replica=replica, replicas=replicas)
    groups = batches.scenes if batches.kind == "groups" else 0
    return SceneGroups(division.groups, batches.size, groups, seed=seed, replica=replica, replicas=replicas)


class Loading(lightning.LightningDataModule):
    """Training pictures drawn at random with the training views, pictures to choose by at fixed places with the test views.

    `epoch` and `skip`: where a run that continues begins.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Division,
        train_views: Sequence[ViewSpec],
        choose: Division,
        test_views: Sequence[ViewSpec],
        *,
        workers: int,
        epoch: int = 0,
        skip: int = 0,
    ) -> None:
        super().__init__()
        self._recipe, self._train, self._choose = recipe, train, choose
        self._train_views, self._test_views = train_views, test_views
        self._workers, self._epoch, self._skip = workers, epoch, skip

    def train_dataloader(self) -> DataLoader[object]:
        trainer, recipe = self.trainer, self._recipe
        if trainer is None:
            raise ConfigurationError("the loaders are made for a trainer; hand this module to Trainer.fit")
        sampler = sampler_of(
            recipe.batches, self._train, recipe.seed, replica=trainer.global_rank, replicas=trainer.world_size
        )
        pictures = _portraits(self._train, self._train_views, recipe)
        return DataLoader(
            pictures,
            batch_sampler=Draws(sampler, epoch=self._epoch, skip=self._skip),
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
        )

    def val_dataloader(self) -> DataLoader[object]:
        pictures = _portraits(self._choose, self._test_views, self._recipe)
        return DataLoader(pictures, batch_size=8, num_workers=self._workers, persistent_workers=self._workers > 0)


def _portraits(division: Division, views: Sequence[ViewSpec], recipe: Recipe) -> Portraits:
    return Portraits(
        division.rows, division.facts, views, division.groups, division.scenes, recipe.augment, seed=recipe.seed
    )
