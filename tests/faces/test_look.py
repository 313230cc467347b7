"""One look: what a detector found in a turned picture, in displayed coordinates, worked out by hand."""

import numpy as np
import pytest

from pqa.faces.attempts import Attempt, look
from pqa.faces.cascade import Detections
from pqa.pixels.source import open_picture


class Found:
    """A detector that finds one face of 40 x 60 pixels in whatever it is shown."""

    def detect_array(self, rgb, min_face, thresholds):
        self.shown = rgb.shape
        landmarks = np.array([[[30, 50], [50, 50], [40, 60], [32, 75], [48, 75]]], np.float32)
        return Detections(np.array([[20, 30, 60, 90]], np.float32), np.array([0.9], np.float32), landmarks)


@pytest.mark.parametrize(
    ("angle", "shown", "box", "left_eye"),
    [
        (0, (200, 100, 3), (20, 30, 60, 90), (30, 50)),
        # Turned counter-clockwise, the picture's (x, y) lies at (y, 99 - x): 60 wide and 40 high as displayed.
        (90, (100, 200, 3), (9, 20, 69, 60), (49, 30)),
        # Turned clockwise, at (199 - y, x).
        (-90, (100, 200, 3), (30, 139, 90, 179), (50, 169)),
    ],
)
def test_boxes_and_landmarks_lead_back_to_the_picture(angle, shown, box, left_eye):
    detector = Found()
    source = open_picture(np.zeros((200, 100, 3), np.uint8))
    (face,) = look(detector, source, Attempt("turned", short_side=100, angle=angle), (0.6, 0.7, 0.7))
    assert detector.shown == shown
    assert face.box == pytest.approx(box)
    assert face.landmarks[0] == pytest.approx(left_eye)


def test_a_reduced_look_is_scaled_back():
    source = open_picture(np.zeros((400, 200, 3), np.uint8))
    (face,) = look(Found(), source, Attempt("small", short_side=100), (0.6, 0.7, 0.7))
    assert face.box == pytest.approx((40, 60, 120, 180))
