"""Predictions of pictures seen before, by content."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from pqa.runtime.predictor import Prediction

__all__ = ["Key", "PredictionCache", "Predictions"]

Key = tuple[str, str]
"""sha256 of the model file, sha256 of the picture's file."""


class Predictions(Protocol):
    """Where predictions are kept; a prediction holds neither pixels nor names. Safe between threads.

    What was put may be gone at the next `get`: the picture is then scored again.
    """

    def get(self, key: Key) -> Prediction | None: ...

    def put(self, key: Key, prediction: Prediction) -> None: ...


class PredictionCache:
    """`Predictions` in memory: the `size` ones used last."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: OrderedDict[Key, Prediction] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Prediction | None:
        with self._lock:
            if key not in self._rows:
                return None
            self._rows.move_to_end(key)
            return self._rows[key]

    def put(self, key: Key, prediction: Prediction) -> None:
        with self._lock:
            self._rows[key] = prediction
            self._rows.move_to_end(key)
            while len(self._rows) > self.size:
                self._rows.popitem(last=False)

    def __len__(self) -> int:
        return len(self._rows)
