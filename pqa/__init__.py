"""Portrait quality assessment: which shot of a scene do people prefer, and why.

    >>> import pqa
    >>> ranking = pqa.load().rank(["a.jpg", "b.jpg"])
    >>> ranking.groups[0].order

Public names load on first use, so that tools which need one room of the house do not pay for all of them.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pqa.errors import PqaError
    from pqa.pixels.source import Limits
    from pqa.runtime.assess import Assessor, load
    from pqa.types import Face, Group, Image, RankedScore, Ranking, Score, Unscored

__all__ = [
    "Assessor",
    "Face",
    "Group",
    "Image",
    "Limits",
    "PqaError",
    "RankedScore",
    "Ranking",
    "Score",
    "Unscored",
    "load",
]

__version__ = "0.1.0"

_HOMES = {
    "Assessor": "pqa.runtime.assess",
    "Face": "pqa.types",
    "Group": "pqa.types",
    "Image": "pqa.types",
    "Limits": "pqa.pixels.source",
    "PqaError": "pqa.errors",
    "RankedScore": "pqa.types",
    "Ranking": "pqa.types",
    "Score": "pqa.types",
    "Unscored": "pqa.types",
    "load": "pqa.runtime.assess",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'pqa' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
