"""From the cache to batches: a picture with its rating, and versions of it with what is left of that rating."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pqa.data.parts import Part
from pqa.pixels.views import normalise, view_row
from pqa.spec import ViewSpec
from training.default.cache import Cache

__all__ = ["SOUND", "PlainDataset", "VersionDataset", "view_tensors"]

SOUND = ("sound", "bokeh")
"""Names of the versions that keep the rating."""

CONSTANT = 0.25
"""How often a sound version takes the place of a faulted one: it must score like the picture beside it."""

PORTRAITS = 2
"""How often a portrait comes in an epoch; other pictures come once."""


def view_tensors(cache: Cache, views: Sequence[ViewSpec], index: int, *, mirror: bool = False) -> list[Tensor]:
    """The inputs of the graph for one row of the cache, in the order of `views`, mirrored left to right if asked."""
    tensors = []
    for view in views:
        stored = np.array(cache.views[view.name][index])
        if not view_row(view).vector:
            stored = normalise(stored[..., ::-1, :] if mirror else stored, view.mean, view.std)
        tensors.append(torch.from_numpy(np.ascontiguousarray(stored)))
    return tensors


class PlainDataset(Dataset[tuple[list[Tensor], int]]):
    """Views and row number of chosen rows of the cache."""

    def __init__(self, cache: Cache, views: Sequence[ViewSpec], rows: Sequence[int]) -> None:
        self._cache, self._views, self._rows = cache, views, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        return view_tensors(self._cache, self._views, self._rows[index]), self._rows[index]


class VersionDataset(Dataset[dict[str, object]]):
    """A picture and `count` other versions of it, most of them faulted, drawn anew for each epoch by (seed, epoch, number).

    Keys: `views`, a list of (1 + count, ...) tensors, the untouched picture first; `mos`; `keep`
    (1 + count, 3), what is left of the rating; `prior` (1 + count,), what the statistics say (`training.default.examples`);
    `portrait`; `scene`, the index of the scene label (`training.default.conditions`).
    """

    def __init__(
        self,
        cache: Cache,
        views: Sequence[ViewSpec],
        part: Part,
        *,
        scenes: npt.NDArray[np.int64],
        prior: npt.NDArray[np.float32],
        count: int,
        seed: int,
    ) -> None:
        self._cache, self._views, self._count, self._seed = cache, views, count, seed
        self._scenes, self._prior = scenes, prior
        self.epoch = 0
        self._sound: dict[int, list[int]] = {}
        self._faulted: dict[int, list[int]] = {}
        for row, sample in enumerate(cache.samples):
            if sample.part == part:
                sound = row == sample.base or sample.version in SOUND
                (self._sound if sound else self._faulted).setdefault(sample.base, []).append(row)
        self.bases = [
            base for base in sorted(self._sound) for _ in range(PORTRAITS if cache.samples[base].portrait else 1)
        ]

    def __len__(self) -> int:
        return len(self.bases)

    def __getitem__(self, index: int) -> dict[str, object]:
        base = self.bases[index]
        rng = np.random.default_rng((self._seed, self.epoch, index))
        faulted = self._faulted.get(base, self._sound[base])
        rows = [base]
        for _ in range(self._count):
            rows.append(int(rng.choice(self._sound[base] if rng.random() < CONSTANT else faulted)))
        mirror = bool(rng.random() < 0.5)
        views = [view_tensors(self._cache, self._views, row, mirror=mirror) for row in rows]
        samples = [self._cache.samples[row] for row in rows]
        return {
            "views": [torch.stack(view) for view in zip(*views, strict=True)],
            "mos": np.float32(samples[0].mos),
            "keep": torch.tensor([sample.keep for sample in samples]),
            "prior": torch.from_numpy(self._prior[rows]),
            "portrait": np.float32(samples[0].portrait),
            "scene": int(self._scenes[base]),
        }
