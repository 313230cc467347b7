"""The shipped detector: MTCNN, and how many looks at a picture it takes before it says that there is no face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pqa.faces.attempts import Attempt, look
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


class MtcnnDetector:
    """MTCNN with the looks of `FIRST`, `RETRIES` and `BLURRED`."""

    def __init__(self, mtcnn: Mtcnn) -> None:
        self._mtcnn = mtcnn

    def detect(self, source: Source) -> tuple[Face, ...]:
        return tuple(sighting.face for sighting in self.sightings(source))

    def sightings(self, source: Source) -> list[Sighting]:
        """The faces of `detect`, each with what speaks for it."""

        def taken(attempts: Sequence[Attempt]) -> list[tuple[str, list[Face]]]:
            return [(attempt.name, look(self._mtcnn, source, attempt, THRESHOLDS)) for attempt in attempts]

        looks = []
        for attempt, sure in FIRST:
            faces = look(self._mtcnn, source, attempt, THRESHOLDS)
            if any(face.confidence >= sure for face in faces):
                kept = [face for face in faces if face.confidence >= COMPANION]
                kept.sort(key=lambda face: (face.confidence < sure, -_area(face)))
                return [Sighting(face, attempt.name, face.confidence) for face in kept]
            looks.append((attempt.name, faces))
        return _first(CASCADE, _agree(looks + taken(RETRIES))) or _first(AGREED, _agree(taken(BLURRED)))
