"""Faces on their side and upside down: found, with boxes in displayed pixels, and named with the turn that mends it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import pqa
from pqa.data import assets
from pqa.faces.attempts import Attempt, look
from pqa.faces.cascade import Detections, Mtcnn
from pqa.faces.detectors import load_detector
from pqa.faces.mtcnn import THRESHOLDS
from pqa.faces.suppression import overlap
from pqa.pixels.measures import turn_upright
from pqa.pixels.source import open_picture
from pqa.simulator import camera
from pqa.types import Face


@pytest.fixture(scope="module")
def detector():
    return load_detector("mtcnn")


@pytest.fixture(scope="module")
def portrait():
    """Not square, so that swapped edges show."""
    return open_picture(assets.ASTRONAUT).whole()[:400, 60:380]


def lying(rgb, quarter):
    return open_picture(np.ascontiguousarray(np.rot90(rgb, quarter)))


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("fault", ["none", "haze", "under_exposure"])
def test_a_lying_face_is_the_upright_one_turned(detector, portrait, quarter, fault):
    rgb = portrait if fault == "none" else camera.apply(portrait, fault, 0.8, np.random.default_rng(0))
    upright = detector.detect(open_picture(rgb))[0]
    assert turn_upright(upright) == 0
    source = lying(rgb, quarter)
    face = detector.detect(source)[0]
    turn = turn_upright(face)
    assert turn == 360 - 90 * quarter
    mended = face.turned(turn, source.size)
    assert overlap(mended.box, upright.box) > 0.8
    assert np.abs(np.array(mended.landmarks) - np.array(upright.landmarks)).max() < 0.1 * upright.side


@pytest.mark.parametrize(("angle", "size"), [(0, (20, 30)), (15, (20, 30)), (90, (30, 20)), (-90, (30, 20))])
def test_the_edges_of_a_box_are_swapped_where_the_look_was_turned_on_its_side(angle, size):
    """One box of 20 x 30 pixels in the middle of the canvas, whatever is on it."""

    def middle(rgb, min_face, thresholds):
        x, y = (rgb.shape[1] - 1) / 2, (rgb.shape[0] - 1) / 2
        box = np.array([[x - 10, y - 15, x + 10, y + 15]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.full((1, 5, 2), [x, y], np.float32))

    source = open_picture(np.zeros((200, 300, 3), np.uint8))
    (face,) = look(SimpleNamespace(detect_array=middle), source, Attempt("any", angle=angle), THRESHOLDS)
    x1, y1, x2, y2 = face.box
    assert (x2 - x1, y2 - y1) == pytest.approx(size, abs=1e-3)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((149.5, 99.5), abs=0.01)


def test_a_face_turned_four_times_is_itself():
    face = Face((10.0, 20.0, 40.0, 60.0), ((15.0, 25.0),), 0.9)
    assert face.turned(90, (100, 80)) == Face((20.0, 60.0, 60.0, 90.0), ((25.0, 85.0),), 0.9)
    assert face.turned(270, (100, 80)).turned(90, (80, 100)) == face
    assert face.turned(180, (100, 80)).turned(180, (100, 80)) == face


def test_a_crop_tells_how_the_face_on_it_lies(detector, portrait):
    x1, y1, x2, y2 = (round(edge) for edge in detector.detect(open_picture(portrait))[0].box)
    crop = portrait[y1:y2, x1:x2]
    for quarter in range(4):
        assert int(Mtcnn().turns(np.rot90(crop, quarter)).argmax()) == -quarter % 4


def test_the_reason_names_the_turn_and_upright_takes_it(portrait):
    plain, mending = pqa.load(), pqa.load(upright=True)
    (straight,) = plain.score([portrait])
    (same,) = mending.score([portrait])
    assert same == straight
    on_its_side = np.ascontiguousarray(np.rot90(portrait))
    (as_is,), (mended,) = plain.score([on_its_side]), mending.score([on_its_side])
    for row in (as_is, mended):
        assert [(one.code, one.value, one.unit) for one in row.reasons if one.code in ("sideways", "tilted_face")] == [
            ("sideways", 270, "deg")
        ]
        assert row.faces[0].box == as_is.faces[0].box
        assert (row.width, row.height) == (400, 320)
    assert mended.score == pytest.approx(straight.score, abs=0.01)
    assert mended.score != as_is.score
    assert not [one for one in straight.reasons if one.code == "sideways"]
