"""Three parts of every labelled set: train, choose (for every decision), report (read only by what prints the card)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

__all__ = ["Part", "parts"]

Part = Literal["train", "choose", "report"]

REPORT_SHARE = 0.20
CHOOSE_SHARE = 0.12


def parts(names: Sequence[str], groups: Sequence[int]) -> list[Part]:
    """The part of every picture. A group goes as one, by the hash of its alphabetically first name.

    So the division depends on nothing but the names, survives added pictures and needs no seed.
    """
    first: dict[int, str] = {}
    for name, group in zip(names, groups, strict=True):
        first[group] = min(name, first.get(group, name))
    return [_part(first[group]) for group in groups]


def _part(name: str) -> Part:
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    if share < REPORT_SHARE:
        return "report"
    return "choose" if share < REPORT_SHARE + CHOOSE_SHARE else "train"
