"""How a difference of quality becomes a preference: Thurstone's Case V (1927) and Bradley and Terry (1952)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["LINKS", "Link"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Link:
    """A preference model: `unit` in JOD per link unit, log F, its derivative, and minus its second derivative."""

    unit: float
    log_probability: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    curvature: Callable[[Floats, Floats], Floats]


def _normal_slope(x: Floats) -> Floats:
    # phi(x) / Phi(x), written with the scaled complementary error function: no underflow on the far left.
    ratio: Floats = math.sqrt(2 / math.pi) / special.erfcx(-x / math.sqrt(2))
    return ratio


LINKS: dict[str, Link] = {
    "thurstone": Link(1 / float(special.ndtri(0.75)), special.log_ndtr, _normal_slope, lambda x, s: s * (x + s)),
    "bradley-terry": Link(1 / math.log(3), special.log_expit, lambda x: special.expit(-x), lambda x, s: s * (1 - s)),
}
