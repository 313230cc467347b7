"""How fast pictures leave the pipeline, learnt from the last ones: large ones count for more, and so does a busy machine."""

from __future__ import annotations

import math
import threading

__all__ = ["Pace"]

LAST = 16
"""Pictures that the mean is of, roughly: later ones weigh more."""


class Pace:
    """Decode threads work side by side, the model alone; the slower of the two sets the pace. Safe between threads."""

    def __init__(self, decoders: int) -> None:
        self._decoders = decoders
        self._prepare = _Recent()
        self._infer = _Recent()

    def prepared(self, seconds: float) -> None:
        """A decode thread was busy with a picture for so long."""
        self._prepare.add(seconds)

    def stopped(self, seconds: float) -> None:
        """A decode thread was busy with a picture for so long and was then stopped: it would have taken at least that."""
        if seconds > self._prepare.mean:
            self._prepare.add(seconds)

    def inferred(self, seconds: float, pictures: int) -> None:
        """The model was busy with so many pictures for so long."""
        self._infer.add(seconds / pictures)

    def within(self, seconds: float) -> float:
        """Pictures that are done within `seconds`; infinite before any was."""
        each = self._each()
        return seconds / each if each else math.inf

    def seconds(self, pictures: float) -> float:
        """Time until so many pictures are done; 0 before any was."""
        return pictures * self._each()

    def _each(self) -> float:
        return max(self._prepare.mean / self._decoders, self._infer.mean)


class _Recent:
    """The mean of the last values, 0 before the first."""

    def __init__(self) -> None:
        self.mean = 0.0
        self._count = 0
        self._lock = threading.Lock()

    def add(self, value: float) -> None:
        with self._lock:
            self._count = min(self._count + 1, LAST)
            self.mean += (value - self.mean) / self._count
