"""What a supervisor and its processes tell each other: numbers in shared memory, one for each place."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from multiprocessing.context import SpawnContext

__all__ = ["Board"]

Numbers = MutableSequence[int]


@dataclass(frozen=True, slots=True)
class Board:
    """`ready`: 1 while the process can score. The others are numbers of copies of the models (`service.copies`):

    `asked`: those that the process is to serve; `served`: those that it serves, 0 none yet; `refused`: the last ones that it
    could not load.
    """

    ready: Numbers
    asked: Numbers
    served: Numbers
    refused: Numbers

    @classmethod
    def of(cls, context: SpawnContext, places: int) -> Board:
        return cls(*(context.Array("q", places, lock=False) for _ in range(4)))

    def clear(self, number: int) -> None:
        """The process of this place is gone."""
        self.ready[number] = self.served[number] = self.refused[number] = 0
