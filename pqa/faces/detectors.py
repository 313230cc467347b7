"""Face detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pqa.errors import unknown_key
from pqa.faces import dsfd
from pqa.faces.cascade import Mtcnn
from pqa.faces.mtcnn import MtcnnDetector
from pqa.types import Face

if TYPE_CHECKING:
    from pqa.pixels.source import Source

__all__ = ["DETECTORS", "Detector", "DetectorRow", "load_detector"]


class Detector(Protocol):
    """Finds the faces of a picture. Safe to share between threads; equal pixels give equal faces to the last bit."""

    def detect(self, source: Source) -> tuple[Face, ...]:
        """Faces in displayed full-resolution pixels, the main one first, none if none is trusted.

        Sure faces come first, largest area first, then the less sure ones, likewise. The box of a cut-off face may
        reach out of the picture.
        """
        ...


@dataclass(frozen=True, slots=True)
class DetectorRow:
    """One detector: `load` takes the number of threads; `files` lie in `pqa/artifacts` (none: brought by the user)."""

    load: Callable[[int], Detector]
    licence: str
    files: tuple[str, ...]


DETECTORS: dict[str, DetectorRow] = {
    "mtcnn": DetectorRow(
        lambda threads: MtcnnDetector(Mtcnn(threads=threads)),
        licence="MIT",
        files=("mtcnn/pnet.onnx", "mtcnn/rnet.onnx", "mtcnn/onet.onnx"),
    ),
    "light_dsfd": DetectorRow(dsfd.load, licence="not stated by its authors", files=()),
}


def load_detector(name: str, threads: int = 1) -> Detector:
    """Open a detector of `DETECTORS`. Raises ConfigurationError for an unknown name, ModelError for a damaged file,
    MissingWeights for a detector whose file does not ship and is not at hand."""
    if name not in DETECTORS:
        raise unknown_key(name, DETECTORS, "detector")
    return DETECTORS[name].load(threads)
