"""Data sets to the rows of one run: sets joined as scenes, parts for cross-validation and bagging, a smoke run's few."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pqa.data.parts import Part
from pqa.data.rated import Rated, RatedSet
from pqa.errors import ConfigurationError, DataError
from pqa.types import Warn

__all__ = ["Gathered", "bagged", "few", "fold", "gather"]

BAG_SHARE = 0.9
"""Scenes that a member of an ensemble sees, as the two halves of RQ-Net's ensemble do."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """All rows of a run; the rest as in `RatedSet`."""

    names: tuple[str, ...]
    attributes: tuple[str, ...]
    rows: tuple[Rated, ...]
    per_scene: bool
    range: tuple[float, float]
    licences: tuple[str, ...]
    files: tuple[Path, ...]
    warnings: tuple[Warn, ...]

    def part(self, part: Part) -> list[Rated]:
        return [row for row in self.rows if row.part == part]


def gather(sets: Sequence[RatedSet]) -> Gathered:
    """One run's rows. Of several sets each keeps its own scenes under its name, and labels compare within a scene only.

    Two sets of one kind are told apart by number (own, own#2). Raises DataError where the sets' attributes differ, or
    nothing is left to train on.
    """
    first = sets[0]
    names = _distinct([each.name for each in sets])
    for each in sets:
        if each.attributes != first.attributes:
            raise DataError(f"{each.name} has the attributes {each.attributes}, {first.name} has {first.attributes}")
    several = len(sets) > 1
    rows = tuple(
        replace(row, scene=f"{name}/{row.scene}", image=f"{name}/{row.image}") if several else row
        for name, each in zip(names, sets, strict=True)
        for row in each.rows
    )
    gathered = Gathered(
        names,
        first.attributes,
        rows,
        several or first.per_scene,
        (min(each.range[0] for each in sets), max(each.range[1] for each in sets)),
        tuple(dict.fromkeys(each.licence for each in sets)),
        tuple(path for each in sets for path in each.files),
        tuple(warning for each in sets for warning in each.warnings),
    )
    for part in ("train", "choose"):
        if not gathered.part(part):
            raise DataError(f"{', '.join(gathered.names)}: no picture is left in the part {part!r}")
    return gathered


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Two folders of one kind are two sets: own, own#2."""
    return tuple(
        name if names.index(name) == place else f"{name}#{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    )


def _hashed(text: str) -> float:
    """A number in [0, 1) that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _divided(gathered: Gathered, part: Callable[[Rated], Part | None]) -> Gathered:
    rows = [(row, part(row)) for row in gathered.rows]
    return replace(gathered, rows=tuple(replace(row, part=to) for row, to in rows if to is not None))


def fold(gathered: Gathered, number: int, folds: int) -> Gathered:
    """Cross-validation over scenes: fold `number` of `folds` becomes the report part, the next one the choose part.

    The set's own report part is left out. Raises ConfigurationError for more folds than scenes.
    """
    scenes = sorted({row.scene for row in gathered.rows if row.part != "report"}, key=_hashed)
    if not 3 <= folds <= len(scenes):
        raise ConfigurationError(f"folds must be 3 to {len(scenes)} (the scenes outside the report part), got {folds}")
    place = {scene: index % folds for index, scene in enumerate(scenes)}

    def part(row: Rated) -> Part | None:
        if row.part == "report":
            return None
        at = (place[row.scene] - number) % folds
        return "report" if at == 0 else "choose" if at == 1 else "train"

    return _divided(gathered, part)


def bagged(gathered: Gathered, member: int) -> Gathered:
    """A member's training part: a random 90 % of its scenes (of its pictures where there are few scenes)."""
    scenes = sorted({row.scene for row in gathered.part("train")})
    by_picture = len(scenes) < 1 / (1 - BAG_SHARE)

    def part(row: Rated) -> Part | None:
        key = row.image if by_picture else row.scene
        return None if row.part == "train" and _hashed(f"{member}:{key}") >= BAG_SHARE else row.part

    return _divided(gathered, part)


def few(gathered: Gathered, scenes: int = 3, pictures: int = 12) -> Gathered:
    """A smoke run's rows: the first pictures of the first scenes of each part (half as many outside training)."""
    kept: list[Rated] = []
    for part in ("train", "choose", "report"):
        by_scene: dict[str, list[Rated]] = {}
        for row in gathered.part(part):
            by_scene.setdefault(row.scene, []).append(row)
        share = 1 if part == "train" else 2
        largest = sorted(by_scene.values(), key=len, reverse=True)[: max(1, scenes // share)]
        kept += [row for rows in largest for row in rows[: pictures // share]]
    return replace(gathered, rows=tuple(kept))
