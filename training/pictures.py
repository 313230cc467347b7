"""Rated pictures as batches: views cut by the one pixel path, at random places in training, at fixed ones otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pqa.data.rated import Rated
from pqa.data.sets import LIMITS
from pqa.pixels.source import Source, open_picture
from pqa.pixels.views import normalise, view_row
from pqa.spec import ViewSpec
from pqa.types import Face
from training.facts import Facts
from training.recipe import Augment
from training.samplers import BatchSampler

__all__ = ["Draws", "Portraits"]

Item = dict[str, object]
Rng = np.random.Generator


class Draws:
    """A sampler's batches as (index, number of the draw) pairs, so that a draw depends on nothing but its number.

    Workers then need no state, a picture that a batch holds twice is drawn twice, and `skip` batches of the first epoch may be
    left out by a run that continues. The sampler of `replica` (of `replicas`) numbers its pictures as one process would.
    """

    def __init__(
        self, sampler: BatchSampler, *, epoch: int = 0, skip: int = 0, replica: int = 0, replicas: int = 1
    ) -> None:
        self._sampler, self.epoch, self.skip = sampler, epoch, skip
        self._replica, self._replicas = replica, replicas
        self.sampler = self  # where Lightning looks for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.skip = 0
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        self._sampler.set_epoch(self.epoch)
        for step, batch in enumerate(self._sampler):
            if step >= self.skip:
                first = (self.epoch << 32) + (step * self._replicas + self._replica) * len(batch)
                yield [(index, first + place) for place, index in enumerate(batch)]


class Portraits(Dataset[Item]):
    """Pictures with their labels. Keys of an item: `views` (tensors in the order of `views`), `label` (A,) float32 (NaN: not
    rated), `group` (number of the picture's scene, within which labels compare), `scene` (index of the model's scene, -1
    for one that it does not know), `row`.

    An index gives the views at fixed places; (index, number) draws by (seed, number) as `augment` says. Views without any
    draw are kept in memory once cut, up to `keep` bytes.
    """

    def __init__(
        self,
        rows: Sequence[Rated],
        facts: Sequence[Facts],
        views: Sequence[ViewSpec],
        groups: Sequence[int],
        scenes: Sequence[int],
        augment: Augment,
        *,
        seed: int = 0,
        keep: int = 2**30,
    ) -> None:
        self.rows, self._facts, self._views = rows, facts, views
        self._groups, self._scenes = groups, scenes
        self._augment, self._seed, self._room = augment, seed, keep
        self._kept: dict[int, list[np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        index, number = key if isinstance(key, tuple) else (key, None)
        draw = None if number is None else np.random.default_rng((self._seed, number))
        row = self.rows[index]
        return {
            "views": self._tensors(index, draw),
            "label": torch.tensor(row.labels, dtype=torch.float32),
            "group": self._groups[index],
            "scene": self._scenes[index],
            "row": index,
        }

    def _tensors(self, index: int, draw: Rng | None) -> list[Tensor]:
        moves = draw is not None and (self._augment.draw or self._augment.zoom < 1.0 or self._augment.turn > 0.0)
        cut = self._cut(index, draw) if moves else self._fixed(index)
        flips = self._flips(draw)
        tensors = []
        for view, made, flip in zip(self._views, cut, flips, strict=True):
            if not view_row(view).vector:
                made = normalise(made[..., ::-1, :] if flip else made, view.mean, view.std)
            tensors.append(torch.from_numpy(np.ascontiguousarray(made)))
        return tensors

    def _flips(self, draw: Rng | None) -> list[bool]:
        if draw is None or self._augment.mirror == "none":
            return [False] * len(self._views)
        drawn = draw.random(len(self._views)) < 0.5
        return [bool(drawn[0])] * len(self._views) if self._augment.mirror == "together" else drawn.tolist()

    def _fixed(self, index: int) -> list[np.ndarray]:
        if index not in self._kept:
            made = self._cut(index, None)
            needed = sum(view.nbytes for view in made)
            if needed > self._room:
                return made
            self._kept[index] = made
            self._room -= needed
        return self._kept[index]

    def _cut(self, index: int, draw: Rng | None) -> list[np.ndarray]:
        facts = self._facts[index]
        source, face = open_picture(self.rows[index].path, LIMITS), facts.face
        if draw is not None:
            source, face = _moved(source, face, self._augment, draw)
        places = draw if self._augment.draw else None
        return [
            facts.vectors[view.name] if view.name in facts.vectors else view_row(view).make(source, face, view, places)
            for view in self._views
        ]


def _moved(source: Source, face: Face | None, augment: Augment, draw: Rng) -> tuple[Source, Face | None]:
    """The picture turned and cropped at random, with the face's box carried along."""
    if augment.turn:
        source, face = _turned(source, face, float(draw.uniform(-augment.turn, augment.turn)))
    if augment.zoom < 1.0:
        source, face = _cropped(source, face, float(np.sqrt(draw.uniform(augment.zoom, 1.0))), draw)
    return source, face


def _turned(source: Source, face: Face | None, degrees: float) -> tuple[Source, Face | None]:
    """Turned about the centre, corners filled by mirroring; the face keeps its size and moves with its centre."""
    rgb = source.whole()
    centre = (rgb.shape[1] / 2, rgb.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(centre, degrees, 1.0)
    turned = cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    if face is not None:
        x1, y1, x2, y2 = face.box
        old = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        dx, dy = matrix @ np.append(old, 1.0) - old
        face = replace(face, box=(x1 + dx, y1 + dy, x2 + dx, y2 + dy))
    return open_picture(np.asarray(turned, np.uint8)), face


def _cropped(source: Source, face: Face | None, share: float, draw: Rng) -> tuple[Source, Face | None]:
    """A crop of `share` of both edges; a face whose centre is cut off is none."""
    width, height = source.size
    wide, high = max(1, round(width * share)), max(1, round(height * share))
    left, top = int(draw.integers(width - wide + 1)), int(draw.integers(height - high + 1))
    cropped = open_picture(source.region((left, top, left + wide, top + high)))
    if face is not None:
        x1, y1, x2, y2 = (edge - shift for edge, shift in zip(face.box, (left, top, left, top), strict=True))
        inside = 0 <= (x1 + x2) / 2 < wide and 0 <= (y1 + y2) / 2 < high
        box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(wide)), min(y2, float(high)))
        face = replace(face, box=box) if inside else None
    return cropped, face
