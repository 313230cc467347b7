"""The shipped detector: MTCNN, and how many looks at a picture it takes before it says that there is no face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pqa.faces.attempts import Attempt, is_long, look
from pqa.faces.cascade import Mtcnn
from pqa.faces.suppression import overlap
from pqa.types import Face

if TYPE_CHECKING:
    from pqa.pixels.source import Source

__all__ = ["MtcnnDetector", "Sighting"]

FIRST = ((Attempt("plain"), 0.99), (Attempt("fine", short_side=720, min_face=24), 0.995))
"""Looks that settle the matter alone, in this order, each with the probability from which it does: the picture as it
is, then for faces from 3 % of its short side. Below these, textures pass for faces about as often as faces do."""

RETRIES = (
    Attempt("equalised", tone="equalised"),
    Attempt("grey", tone="grey"),
    Attempt("turned -30", angle=-30),
    Attempt("turned -15", angle=-15),
    Attempt("turned 15", angle=15),
    Attempt("turned 30", angle=30),
    Attempt("equalised, turned -20", angle=-20, tone="equalised"),
    Attempt("equalised, turned 20", angle=20, tone="equalised"),
    Attempt("sideways 90", angle=90),
    Attempt("upside down", angle=180),
    Attempt("sideways 270", angle=270),
    Attempt("fine, equalised", short_side=720, min_face=24, tone="equalised"),
)
"""Looks for heads in profile, bent down, lying or under coloured light. None of them is trusted alone."""

BLURRED = (
    Attempt("sharpened", short_side=240, min_face=20, tone="sharpened"),
    Attempt("small, sharpened", short_side=160, min_face=20, tone="sharpened"),
)
"""Last looks, for faces out of focus, whose picture is reduced until little of the blur is left and then sharpened."""

TURNS = (90, 180, 270)
"""Degrees counter-clockwise by which a picture is turned to find faces that lie or stand on their head. Turned so, the
first look is as rarely sure of a texture as it is upright."""

HINT = 0.9
"""Probability of the first look at a turned picture from which all others are taken of it, where upright none is found."""

THRESHOLDS = (0.6, 0.7, 0.2)
COMPANION = 0.8
"""Probability of further faces in a picture with a sure one."""

CASCADE = ((0.8, 0.95), (0.7, 0.95), (0.6, 0.95), (0.5, 0.97), (0.4, 0.99), (0.2, 0.99))
"""Levels tried from the top where no first look is sure: mean probability over all looks (0 where a look does not see
the face), and the probability that the best look must reach. The levels are those of SAR (in "Deep Portrait Quality
Assessment. A NTIRE 2024 Challenge Survey", 2024); there each is a threshold on one look."""

AGREED = ((0.7, 0.9),)
"""The same for `BLURRED`, both of which must see the face."""

SAME = 0.35
"""Intersection over union from which two looks see the same face."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face, the name of the look that saw it best, and its mean probability over all looks taken."""

    face: Face
    attempt: str
    evidence: float


def _area(face: Face) -> float:
    return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])


def _agree(looks: Sequence[tuple[str, list[Face]]]) -> list[Sighting]:
    """Join what several looks saw at one place; each place keeps its most probable face."""
    everything = sorted(((face, name) for name, faces in looks for face in faces), key=lambda seen: -seen[0].confidence)
    places: list[tuple[Face, dict[str, float]]] = []
    for face, name in everything:
        for best, votes in places:
            if overlap(best.box, face.box) > SAME:
                votes.setdefault(name, face.confidence)
                break
        else:
            places.append((face, {name: face.confidence}))
    return [Sighting(best, next(iter(votes)), sum(votes.values()) / len(looks)) for best, votes in places]


def _first(levels: Sequence[tuple[float, float]], seen: Sequence[Sighting]) -> list[Sighting]:
    """The sightings that reach the first of the levels that any reaches, largest first."""
    for evidence, best in levels:
        kept = [one for one in seen if one.evidence >= evidence and one.face.confidence >= best]
        if kept:
            return sorted(kept, key=lambda one: -_area(one.face))
    return []


def _best(seen: Sequence[Sighting]) -> float:
    return seen[0].face.confidence if seen else 0.0


def _in_frame(attempt: Attempt, turn: int) -> Attempt:
    """The look as it would be taken of the picture turned by `turn` degrees counter-clockwise."""
    return replace(attempt, name=f"{attempt.name}, lying {turn}", angle=attempt.angle + turn) if turn else attempt


class _Looks:
    """The looks at one picture, each taken once."""

    def __init__(self, mtcnn: Mtcnn, source: Source) -> None:
        self._mtcnn, self._source = mtcnn, source
        self._taken: dict[tuple[int, int, int, str], list[Face]] = {}
        # A canvas that holds a long picture turned obliquely is as large as its long side squared.
        self._oblique = not is_long(source)

    def __call__(self, attempt: Attempt) -> list[Face]:
        key = (attempt.short_side, attempt.min_face, attempt.angle, attempt.tone)
        if key not in self._taken:
            self._taken[key] = look(self._mtcnn, self._source, attempt, THRESHOLDS)
        return self._taken[key]

    def sure(self, firsts: Sequence[tuple[Attempt, float]], turn: int) -> list[Sighting]:
        """The faces of the first of these looks that is sure of one, the sure ones first, largest first."""
        for attempt, sure in firsts:
            attempt = _in_frame(attempt, turn)
            faces = self(attempt)
            if any(face.confidence >= sure for face in faces):
                kept = [face for face in faces if face.confidence >= COMPANION]
                kept.sort(key=lambda face: (face.confidence < sure, -_area(face)))
                return [Sighting(face, attempt.name, face.confidence) for face in kept]
        return []

    def voted(self, turn: int) -> list[Sighting]:
        """The faces on which all looks of `FIRST` and `RETRIES` agree enough."""
        attempts = [_in_frame(attempt, turn) for attempt in (*(first for first, _ in FIRST), *RETRIES)]
        attempts = [attempt for attempt in attempts if self._oblique or attempt.angle % 90 == 0]
        looks: list[tuple[str, list[Face]]] = []
        for attempt in attempts:
            # What all but the last and dearest look have seen too little of, it cannot save.
            if attempt is attempts[-1] and not self._within_reach(looks):
                return []
            looks.append((attempt.name, self(attempt)))
        return _first(CASCADE, _agree(looks))

    def _within_reach(self, looks: Sequence[tuple[str, list[Face]]]) -> bool:
        needed = CASCADE[-1][0] * (len(looks) + 1) - 1.0
        return any(one.evidence * len(looks) >= needed for one in _agree(looks))

    def blurred(self) -> list[Sighting]:
        """The faces on which the looks of `BLURRED` agree."""
        return _first(AGREED, _agree([(attempt.name, self(attempt)) for attempt in BLURRED]))


class MtcnnDetector:
    """MTCNN with the looks of `FIRST`, `RETRIES` and `BLURRED`, at the picture as it is and turned by `TURNS`."""

    def __init__(self, mtcnn: Mtcnn) -> None:
        self._mtcnn = mtcnn

    def detect(self, source: Source) -> tuple[Face, ...]:
        return tuple(sighting.face for sighting in self.sightings(source))

    def sightings(self, source: Source) -> list[Sighting]:
        """The faces of `detect`, each with what speaks for it."""
        looks = _Looks(self._mtcnn, source)
        upright = looks.sure(FIRST, 0)
        if upright and not self._may_lie(source, upright[0].face):
            return upright
        lying = [looks.sure(FIRST[:1], turn) for turn in TURNS]
        found = max([upright, *lying], key=_best)
        if found:
            return found
        hints = {turn: max((f.confidence for f in looks(_in_frame(FIRST[0][0], turn))), default=0.0) for turn in TURNS}
        likely = max(hints, key=lambda turn: hints[turn])
        return looks.voted(0) or (looks.voted(likely) if hints[likely] >= HINT else []) or looks.blurred()

    def _may_lie(self, source: Source, face: Face) -> bool:
        """Whether a face that an upright look is sure of looks more like one when it is turned.

        A look sees a lying face now and then, with landmarks that are wrong.
        """
        rgb = source.reduced(FIRST[0][0].short_side)
        ratio = rgb.shape[1] / source.size[0]
        x1, y1, x2, y2 = (edge * ratio for edge in face.box)
        x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) / 2
        high, wide = rgb.shape[:2]
        left, top = int(np.clip(x - half, 0, wide - 1)), int(np.clip(y - half, 0, high - 1))
        right, bottom = int(np.clip(x + half, left + 1, wide)), int(np.clip(y + half, top + 1, high))
        upright, *turned = self._mtcnn.turns(rgb[top:bottom, left:right])
        return bool(max(turned) > upright)
