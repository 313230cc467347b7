"""Flags that follow from the faces found: they speak of the main face, the first."""

from types import SimpleNamespace

import numpy as np
import pytest

import pqa
from pqa.runtime.predictor import SMALL_FACE, Predictor
from pqa.types import Face

LARGE, SMALL = (Face((0.0, 0.0, side, side), (), 1.0) for side in (SMALL_FACE, SMALL_FACE - 1.0))


@pytest.mark.parametrize(
    ("faces", "flags"),
    [
        ((), ("no_face",)),
        ((LARGE,), ()),
        ((SMALL,), ("small_face",)),
        ((LARGE, SMALL), ("many_faces",)),
        ((SMALL, LARGE), ("small_face", "many_faces")),
    ],
)
def test_flags_of_faces(tiny_model, faces, flags):
    predictor = Predictor(pqa.load(tiny_model).predictor.model, detector=SimpleNamespace(detect=lambda source: faces))
    assert predictor.prepare(np.zeros((200, 300, 3), np.uint8)).facts.flags == flags
