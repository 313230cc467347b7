"""Predictions of pictures seen before, by content."""

from __future__ import annotations

import threading
from collections import OrderedDict

from pqa.runtime.predictor import Prediction

__all__ = ["Key", "PredictionCache"]

Key = tuple[str, str]
"""sha256 of the model file, sha256 of the picture's file."""


class PredictionCache:
    """The `size` predictions used last. A prediction holds neither pixels nor names. Safe between threads."""

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
