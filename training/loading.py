"""From a run's rows to the loaders of its trainer, for one process or for each of several replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightning
import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Subset

from pqa.data.rated import Rated
from pqa.errors import ConfigurationError
from pqa.spec import ViewSpec
from training.facts import Facts
from training.pictures import Draws, Portraits
from training.recipe import Batches, Recipe
from training.samplers import BatchSampler, SceneGroups, ScenePairs, WeightedPictures, inverse_density

__all__ = ["Division", "Loading", "divide", "drawn", "sampler_of"]

KEEP = 2**30
"""Bytes of cut views that the loaders of one part may keep in memory, all workers together."""


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
        weights = _balanced([row.labels[0] for row in division.rows], batches.balance)
        return WeightedPictures(weights, batches.size, seed=seed, replica=replica, replicas=replicas)
    groups = batches.scenes if batches.kind == "groups" else 0
    return SceneGroups(division.groups, batches.size, groups, seed=seed, replica=replica, replicas=replicas)


def _balanced(labels: Sequence[float], power: float) -> npt.NDArray[np.float64]:
    """Pictures without the first attribute's label count as often as one on average."""
    values = np.array(labels)
    rated = ~np.isnan(values)
    weights = np.ones(len(values))
    weights[rated] = inverse_density(values[rated], power=power)
    return weights


def drawn(
    recipe: Recipe,
    division: Division,
    views: Sequence[ViewSpec],
    *,
    workers: int,
    epoch: int = 0,
    skip: int = 0,
    replica: int = 0,
    replicas: int = 1,
    pinned: bool = False,
) -> DataLoader[object]:
    """Batches of training pictures as the recipe draws them, from `skip` batches into `epoch` on."""
    sampler = sampler_of(recipe.batches, division, recipe.seed, replica=replica, replicas=replicas)
    return DataLoader(
        _portraits(recipe, division, views, workers),
        batch_sampler=Draws(sampler, epoch=epoch, skip=skip, replica=replica, replicas=replicas),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pinned,
    )


def _portraits(recipe: Recipe, division: Division, views: Sequence[ViewSpec], workers: int) -> Portraits:
    return Portraits(
        division.rows,
        division.facts,
        views,
        division.groups,
        division.scenes,
        recipe.augment,
        seed=recipe.seed,
        keep=KEEP // max(1, workers),
    )


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
        trainer = self._attached()
        return drawn(
            self._recipe,
            self._train,
            self._train_views,
            workers=self._workers,
            epoch=self._epoch,
            skip=self._skip,
            replica=trainer.global_rank,
            replicas=trainer.world_size,
            pinned=_pinned(trainer),
        )

    def val_dataloader(self) -> DataLoader[object]:
        trainer = self._attached()
        pictures = _portraits(self._recipe, self._choose, self._test_views, self._workers)
        share = range(trainer.global_rank, len(pictures), trainer.world_size)
        return DataLoader(
            Subset(pictures, share),
            batch_size=8,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            pin_memory=_pinned(trainer),
        )

    def _attached(self) -> lightning.Trainer:
        if self.trainer is None:
            raise ConfigurationError("the loaders are made for a trainer; hand this module to Trainer.fit")
        return self.trainer


def _pinned(trainer: lightning.Trainer) -> bool:
    return trainer.strategy.root_device.type == "cuda"
