"""From the cache to batches: an untouched picture and one faulted version of it, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pqa.data.parts import Part
from pqa.spec import ViewSpec
from pqa.views import normalise, view_row
from training.default.cache import Cache

__all__ = ["PairDataset", "PlainDataset", "view_tensors"]

KINDS = ("", "detail", "exposure", "both")


def view_tensors(cache: Cache, views: Sequence[ViewSpec], index: int, *, mirror: bool = False) -> list[Tensor]:
    """The inputs of the graph for one row of the cache, in the order of `views`, mirrored left to right if asked."""
    tensors = []
    for view in views:
        stored = np.asarray(cache.views[view.name][index])
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


class PairDataset(Dataset[dict[str, object]]):
    """A picture with its rating, and one of its faulted versions, drawn anew for each epoch by (seed, epoch, index).

    Keys: `clean` (the picture or a sound version of it) and `faulted` (where there is none: `clean` again), lists of view
    tensors; `mos`, `portrait`, `strength` (0 without a fault), `kind` (index into KINDS), `scene` (index of the scene
    label, see `training.default.conditions`).
    """

    def __init__(self, cache: Cache, views: Sequence[ViewSpec], part: Part, scenes: Sequence[int], seed: int) -> None:
        self._cache, self._views, self._scenes, self._seed = cache, views, scenes, seed
        self.epoch = 0
        self._sound: dict[int, list[int]] = {}
        self._faulted: dict[int, list[int]] = {}
        for row, sample in enumerate(cache.samples):
            if sample.part == part:
                (self._faulted if sample.fault else self._sound).setdefault(sample.base, []).append(row)
        self.bases = sorted(self._sound)

    def __len__(self) -> int:
        return len(self.bases)

    def __getitem__(self, index: int) -> dict[str, object]:
        base = self.bases[index]
        rng = np.random.default_rng((self._seed, self.epoch, base))
        clean = int(rng.choice(self._sound[base]))
        row = int(rng.choice(self._faulted.get(base, [clean])))
        mirror = bool(rng.random() < 0.5)
        sample = self._cache.samples[row]
        return {
            "clean": view_tensors(self._cache, self._views, clean, mirror=mirror),
            "faulted": view_tensors(self._cache, self._views, row, mirror=mirror),
            "mos": np.float32(sample.mos),
            "portrait": np.float32(sample.portrait),
            "strength": np.float32(sample.strength),
            "kind": KINDS.index(sample.kind),
            "scene": self._scenes[base],
        }
