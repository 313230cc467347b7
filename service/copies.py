"""Copies of the model files, so that all processes of one port load the same bytes, whatever becomes of the files meanwhile.

The supervisor makes them once at the start and once for each SIGHUP; each time has a number, 1 the first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pqa.errors import ModelNotFound
from pqa.runtime.store import ModelStore
from service.settings import Settings

__all__ = ["Copies", "copied", "keep_only", "make_copies"]


@dataclass(frozen=True, slots=True)
class Copies:
    """The paths to load the models of the settings from, by their names there; of others, where the store has them."""

    number: int = 0
    paths: Mapping[str, Path] = field(default_factory=dict)


def make_copies(settings: Settings, folder: Path, number: int) -> None:
    """Copy every model of the settings to `folder`. Raises OSError where there is no room.

    A file that is not there, or cannot be read, has no copy: who loads it says what is wrong.
    """
    store = ModelStore(settings.folders)
    for index, name in enumerate(settings.models):
        place = folder / str(number) / str(index)
        place.mkdir(parents=True)
        try:
            path = store.find(name)
            data = path.read_bytes()
        except (ModelNotFound, OSError):
            continue
        (place / path.name).write_bytes(data)


def copied(settings: Settings, folder: Path, number: int) -> Copies:
    """What `make_copies` made under this number."""
    found = {name: list((folder / str(number) / str(index)).glob("*")) for index, name in enumerate(settings.models)}
    return Copies(number, {name: paths[0] for name, paths in found.items() if paths})


def keep_only(folder: Path, numbers: Iterable[int]) -> None:
    """Remove the copies of all other numbers."""
    for place in folder.iterdir():
        if int(place.name) not in set(numbers):
            shutil.rmtree(place)
