"""Which pictures make a batch: scene groups, same-scene pairs, resampling against imbalance, SAR's scenarios.

Every sampler is a `batch_sampler` for a DataLoader: an iterable of lists of picture numbers. An epoch is a function of (seed,
epoch) alone. All batches of an epoch have one size; the last is filled up with groups of the same epoch. With `replicas` > 1
each process takes its share of whole groups from the same batch, so that the shares together are the batch of one process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pqa.errors import ConfigurationError, DataError

__all__ = [
    "SCENARIO_SHARES",
    "BatchSampler",
    "SceneGroups",
    "ScenePairs",
    "WeightedPictures",
    "inverse_density",
    "outside_band",
    "scenario",
]

SCENARIO_SHARES = {"global": 0.3, "local": 0.3, "joint": 0.4}
"""How often SAR trains each scenario ("Deep Portrait Quality Assessment. A NTIRE 2024 Challenge Survey")."""

Group = list[int]


class BatchSampler(ABC):
    """Batches of `per_batch` groups; a group (pictures that a loss compares) is never divided.

    Raises ConfigurationError where `per_batch` groups cannot be shared equally by the replicas.
    """

    def __init__(self, per_batch: int, count: int, *, seed: int, replica: int, replicas: int) -> None:
        if not 0 <= replica < replicas:
            raise ConfigurationError(f"replica must be 0 to {replicas - 1}, got {replica}")
        if per_batch < 1 or per_batch % replicas:
            raise ConfigurationError(
                f"a batch of {per_batch} groups (pictures, pairs or scenes) cannot be shared by {replicas} processes: "
                "choose a multiple of their number"
            )
        self.epoch = 0
        self._per_batch, self._count = per_batch, count
        self._seed, self._replica, self._replicas = seed, replica, replicas

    @abstractmethod
    def _groups(self, rng: np.random.Generator) -> list[Group]:
        """The `count` groups of an epoch, shuffled."""

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration gives, counted from zero."""
        self.epoch = epoch

    @property
    def sampler(self) -> BatchSampler:
        """Itself: Lightning calls `set_epoch` of a batch sampler's `sampler` before each epoch."""
        return self

    def __len__(self) -> int:
        return -(-self._count // self._per_batch)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        groups = self._groups(rng)
        missing = len(self) * self._per_batch - len(groups)
        # Not from the last batch itself, where there is another, so that none holds a group twice.
        others = groups[: len(groups) // self._per_batch * self._per_batch] or groups
        groups += [others[i] for i in rng.choice(len(others), missing, replace=missing > len(others))]
        share = self._per_batch // self._replicas
        for start in range(self._replica * share, len(groups), self._per_batch):
            yield [picture for group in groups[start : start + share] for picture in group]


class SceneGroups(BatchSampler):
    """S scenes times K pictures, as RQ-Net's code (ZachL1/SIND) forms them; S = 0 shuffles plainly.

    `scenes`: the scene of each picture. K = batch / S. Each scene is filled up to a multiple of K by drawing from itself
    again and cut into K-chunks at random; the chunks of all scenes are shuffled, and S consecutive ones form a batch. Two may
    be of one scene, which the losses then see as one of 2 K: averaged over processes the same only where scores are gathered
    first. Every picture comes at least once an epoch. Raises ConfigurationError where the batch is not divisible by S or S
    exceeds the number of scenes, DataError for no pictures.
    """

    def __init__(
        self, scenes: Sequence[Hashable], batch: int, groups: int, *, seed: int, replica: int = 0, replicas: int = 1
    ) -> None:
        self._scenes = _by_scene(scenes)
        if groups < 0 or groups > len(self._scenes):
            raise ConfigurationError(
                f"a batch of {groups} scenes needs as many in the data, which have {len(self._scenes)}; "
                "0 shuffles without regard to scenes"
            )
        if batch < 1 or (groups and batch % groups):
            raise ConfigurationError(
                f"a batch of {batch} pictures cannot be divided into {groups} scenes of equal size"
            )
        if groups:
            self._size = batch // groups
        else:
            self._size, self._scenes = 1, [np.arange(len(scenes))]
        count = sum(-(-len(pictures) // self._size) for pictures in self._scenes)
        super().__init__(groups or batch, count, seed=seed, replica=replica, replicas=replicas)

    def _groups(self, rng: np.random.Generator) -> list[Group]:
        chunks = []
        for pictures in self._scenes:
            missing = -len(pictures) % self._size
            again = rng.choice(pictures, missing, replace=missing > len(pictures))
            drawn = rng.permutation(np.concatenate([pictures, again]))
            chunks += drawn.reshape(-1, self._size).tolist()
        return [chunks[i] for i in rng.permutation(len(chunks))]


class ScenePairs(BatchSampler):
    """Pairs of one scene for siamese training: batches i0, j0, i1, j1, ... of `pairs` pairs.

    Every picture leads `leads` pairs an epoch, with different partners while its scene has them. `fixed` draws the pairs
    once for all epochs and shuffles their order only: with `leads` = 2 the list of PQE (sunwei925/DN-PIQA, 7,260 pairs of
    3,630 pictures). Pictures alone in their scene are left out; DataError where no pair is left. `across_scenes` pairs all
    pictures with all: only for labels on one scale.
    """

    def __init__(
        self,
        scenes: Sequence[Hashable],
        pairs: int,
        *,
        seed: int,
        leads: int = 1,
        fixed: bool = False,
        across_scenes: bool = False,
        replica: int = 0,
        replicas: int = 1,
    ) -> None:
        if leads < 1:
            raise ConfigurationError(f"every picture leads one pair or more, got leads = {leads}")
        found = [np.arange(len(scenes))] if across_scenes else _by_scene(scenes)
        self._scenes = [pictures for pictures in found if len(pictures) > 1]
        if not self._scenes:
            raise DataError(f"no two of {len(scenes)} pictures share a scene: there is no pair to compare")
        self._leads, self._fixed = leads, fixed
        count = leads * sum(len(pictures) for pictures in self._scenes)
        super().__init__(pairs, count, seed=seed, replica=replica, replicas=replicas)

    def _groups(self, rng: np.random.Generator) -> list[Group]:
        drawing = np.random.default_rng(self._seed) if self._fixed else rng
        pairs = []
        for pictures in self._scenes:
            others = len(pictures) - 1
            for place, leader in enumerate(pictures):
                # Steps around the scene's circle, from 1 to n - 1: never back to the leader.
                steps = 1 + drawing.choice(others, self._leads, replace=self._leads > others)
                pairs += [[int(leader), int(pictures[(place + step) % (others + 1)])] for step in steps]
        return [pairs[i] for i in rng.permutation(len(pairs))]


class WeightedPictures(BatchSampler):
    """As many pictures an epoch as there are, each in proportion to its weight, to the next whole number.

    A picture of weight w comes floor(n w / sum) or ceil(n w / sum) times. `weights` from `inverse_density` or `outside_band`;
    DataError unless all are finite, none is negative and one is above zero.
    """

    def __init__(
        self,
        weights: Sequence[float] | npt.NDArray[np.float64],
        batch: int,
        *,
        seed: int,
        replica: int = 0,
        replicas: int = 1,
    ) -> None:
        values = np.asarray(weights, np.float64)
        if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
            raise DataError("expected a weight for each picture, finite, none negative, one above zero")
        self._edges = np.cumsum(values) / values.sum() * len(values)
        super().__init__(batch, len(values), seed=seed, replica=replica, replicas=replicas)

    def _groups(self, rng: np.random.Generator) -> list[Group]:
        # Systematic sampling: equally spaced points with one random start.
        drawn = np.searchsorted(self._edges, rng.random() + np.arange(len(self._edges)), side="right")
        return [[int(i)] for i in rng.permutation(np.minimum(drawn, len(self._edges) - 1))]


def inverse_density(labels: npt.ArrayLike, *, bins: int = 10, power: float = 1.0) -> npt.NDArray[np.float64]:
    """(N,) weights of mean 1: (pictures in the label's bin)^-power, over `bins` equal bins from the least label up.

    Power 1 draws every occupied bin alike, 0 every picture. DataError for labels that are not finite, ConfigurationError for
    fewer than one bin.
    """
    values = _finite(labels)
    if bins < 1:
        raise ConfigurationError(f"expected one bin or more, got {bins}")
    counts, edges = np.histogram(values, bins)
    weights = counts[np.searchsorted(edges[1:-1], values, side="right")] ** -float(power)
    return np.asarray(weights / weights.mean(), np.float64)


def outside_band(labels: npt.ArrayLike, low: float, high: float, *, times: float = 2.0) -> npt.NDArray[np.float64]:
    """(N,) weights of mean 1: labels below `low` or above `high` count `times` as much as those between.

    "NTIRE 2021 Challenge on Perceptual Image Quality Assessment": SI Analytics oversamples outside [.4, .8] of its labels,
    IQMA below an MOS of 1300 (`high` infinite). How often is not published: 2 is a choice. DataError for labels that are not
    finite, ConfigurationError for an empty band or `times` not above 0.
    """
    values = _finite(labels)
    if not low <= high or not times > 0:
        raise ConfigurationError(f"expected low <= high and times above 0, got {low}, {high} and {times}")
    weights = np.where((values < low) | (values > high), times, 1.0)
    return np.asarray(weights / weights.mean(), np.float64)


def scenario(seed: int, epoch: int, step: int) -> str:
    """The scenario of SAR for one batch, by SCENARIO_SHARES: the same in every process."""
    names = list(SCENARIO_SHARES)
    # A word of its own, so that the draw does not repeat those of a sampler with the same seed.
    return names[np.random.default_rng((seed, epoch, step, 3)).choice(len(names), p=list(SCENARIO_SHARES.values()))]


def _finite(labels: npt.ArrayLike) -> npt.NDArray[np.float64]:
    values = np.asarray(labels, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DataError("expected a label for each picture, all finite; leave pictures without one out beforehand")
    return values


def _by_scene(scenes: Sequence[Hashable]) -> list[npt.NDArray[np.int64]]:
    """The picture numbers of each scene, scenes in the order in which they come first."""
    found: dict[Hashable, list[int]] = {}
    for picture, scene in enumerate(scenes):
        found.setdefault(scene, []).append(picture)
    if not found:
        raise DataError("expected pictures, got none")
    return [np.array(pictures, np.int64) for pictures in found.values()]
