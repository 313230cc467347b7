"""The pictures on which an export proves itself: the shipped portrait under two dozen camera faults."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pqa import imaging
from pqa.data.assets import ASTRONAUT
from pqa.data.camera import variants
from pqa.runtime.detectors import load_detector
from pqa.spec import ViewSpec
from pqa.views import make_view

__all__ = ["proof_views"]


def proof_views(views: Sequence[ViewSpec]) -> list[npt.NDArray[np.float32]]:
    """One (24, ...) float32 array a view, cut by the one pixel path."""
    source = imaging.open(ASTRONAUT)
    main = load_detector("mtcnn").detect(source)[0]
    rgb = source.reduced(min(source.size))
    pictures = [imaging.open(shot) for seed in (0, 1) for _, shot in variants(rgb, seed=seed)]
    return [np.stack([make_view(picture, main, view) for picture in pictures]) for view in views]
