"""True quality of a simulated picture, and observers who compare such pictures two at a time.

Quality is lost, in JOD, by each fault f with physical magnitude m_f: loss_f = weight_f * ln(1 + (m_f / scale_f)^2), flat
below the threshold and logarithmic far above it (Weber and Fechner). The losses of one picture add by a Minkowski sum (de
Ridder 1992, SPIE 1666, for impairments by coding) whose exponent grows with the largest of them, 1 + 2 tanh(max / 16.9), so
that a bad fault hides small ones: the multivariate formalism of Keelan, Handbook of Image Quality, 2002, whose JND is the
75 % of a forced choice, as a JOD is (the book was not at hand; its exponent is given from memory). `Details` sums what touches
fine detail, `Exposure` light and colour, `Overall` everything. Where a fault differs between the face and the frame, the face
counts `FACE` and the frame the rest. Scales and weights were set by eye on contact sheets, so that a fault at its scale is
just plain to see, and by the spread of PIQ23's scenes (1.35 to 1.45 JOD); they were fitted to no ratings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pqa.judging.links import LINKS
from pqa.judging.scaling import Judgements
from pqa.simulator.capture import Facts

__all__ = ["ATTRIBUTES", "FACE", "GAIN", "LOSSES", "Loss", "compare", "losses", "true_quality"]

Floats = npt.NDArray[np.float64]
Rng = np.random.Generator

FACE = 0.7
ATTRIBUTES = ("Overall", "Details", "Exposure")

GAIN = {"Overall": 1.28, "Details": 1.95, "Exposure": 1.8}
"""PIQ23's three scales spread alike, although each of two sees but a part: who attends to it alone tells it apart better."""

UNLIKE = 0.2
"""Deviation of an observer's own noise about the model's, in its logarithm."""
TASTE = 0.6
"""Deviation in JOD of an observer's lasting liking of a picture; part of the model's variance, not on top of it."""
LAPSES = 0.02
"""Share of the judgements that an observer gives without looking."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One fault: magnitude on the face and over the frame in units of its scale, and what it costs."""

    attribute: str
    weight: float
    magnitude: Callable[[Facts], tuple[float, float]]


def _both(value: float) -> tuple[float, float]:
    return value, value


def _acutance(facts: Facts) -> float:
    """Sharpening makes blur look this much smaller."""
    return 1.0 / (1.0 + 0.35 * min(facts.sharpening, 1.0))


LOSSES: dict[str, Loss] = {
    "blur": Loss("Details", 1.5, lambda f: (f.face_blur * _acutance(f) / 0.13, f.frame_blur * _acutance(f) / 0.17)),
    "noise": Loss("Details", 0.8, lambda f: (f.face_noise / 1.5, f.frame_noise / 2.0)),
    "smear": Loss("Details", 0.6, lambda f: _both(f.smear / 4.0)),
    "halo": Loss("Details", 0.7, lambda f: _both(max(f.sharpening - 0.7, 0.0) / 0.5)),
    "jpeg": Loss("Details", 0.8, lambda f: _both((100.0 - f.jpeg) / 25.0)),
    "stops": Loss("Exposure", 1.2, lambda f: _both(f.face_stops / (0.4 if f.face_stops > 0 else 0.5))),
    "clipped": Loss("Exposure", 0.8, lambda f: _both(f.clipped / 0.05)),
    "blocked": Loss("Exposure", 0.6, lambda f: _both(f.blocked / 0.1)),
    "cast": Loss("Exposure", 0.8, lambda f: _both(f.cast / 0.18)),
    "glare": Loss("Exposure", 0.7, lambda f: _both(f.glare / 0.05)),
    "contrast": Loss("Exposure", 0.7, lambda f: _both((f.contrast - 0.12) / 0.2)),
    "saturation": Loss("Exposure", 0.7, lambda f: _both((f.saturation - 1.06) / 0.2)),
}


def losses(facts: Facts) -> dict[str, float]:
    """What each fault costs alone, in JOD, at least 0."""
    found = {}
    for name, row in LOSSES.items():
        face, frame = (row.weight * math.log1p(magnitude**2) for magnitude in row.magnitude(facts))
        found[name] = FACE * face + (1.0 - FACE) * frame
    return found


def true_quality(lost: dict[str, float]) -> dict[str, float]:
    """Overall, Details and Exposure in JOD, at most 0, of the losses of one picture."""
    quality = {}
    for attribute in ATTRIBUTES:
        counted = [loss for name, loss in lost.items() if attribute in ("Overall", LOSSES[name].attribute)]
        quality[attribute] = -GAIN[attribute] * _sum(counted)
    return quality


def _sum(values: list[float]) -> float:
    largest = max(values)
    if largest == 0.0:
        return 0.0
    exponent = 1.0 + 2.0 * math.tanh(largest / 16.9)
    shares = math.fsum(math.pow(value / largest, exponent) for value in values)
    return largest * math.pow(shares, 1.0 / exponent)


def compare(quality: Floats, conditions: tuple[str, ...], observers: int, rounds: int, rng: Rng) -> Judgements:
    """Judgements of pictures of true quality (n,) in JOD.

    Every observer goes `rounds` times once around all pictures in an order of his own and compares neighbours, so each
    picture is seen 2 * rounds times and the comparisons connect all. He prefers i to j with probability
    Phi((q_i - q_j) / 1.4826), Thurstone's Case V. Part of that variance is his lasting taste (`TASTE`), the rest is drawn
    anew with every judgement, larger for some observers than for others (`UNLIKE`); some judgements are given without
    looking (`LAPSES`).
    """
    n = len(quality)
    unit = LINKS["thurstone"].unit
    winners, losers, lefts, who = [], [], [], []
    for observer in range(observers):
        own = math.sqrt(unit**2 - 2.0 * TASTE**2) * math.exp(UNLIKE * rng.standard_normal())
        liked = quality + TASTE * rng.standard_normal(n)
        for _ in range(rounds):
            order = rng.permutation(n)
            first, second = order, np.roll(order, -1)
            if n == 2:
                first, second = first[:1], second[:1]
            wins = liked[first] - liked[second] + own * rng.standard_normal(len(first)) > 0
            lapse = rng.uniform(size=len(first)) < LAPSES
            wins = np.where(lapse, rng.uniform(size=len(first)) < 0.5, wins)
            winners.append(np.where(wins, first, second))
            losers.append(np.where(wins, second, first))
            lefts.append(wins)
            who.append(np.full(len(first), observer))
    return Judgements(
        conditions,
        np.concatenate(winners).astype(np.int64),
        np.concatenate(losers).astype(np.int64),
        np.concatenate(lefts),
        np.concatenate(who).astype(np.int64),
        tuple(f"observer_{k}" for k in range(observers)),
    )
