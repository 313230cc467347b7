"""What the detector finds, refuses and maps back, on the shipped portrait and pictures made from it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pqa.data import assets
from pqa.errors import ConfigurationError
from pqa.faces.attempts import Attempt, look, turned
from pqa.faces.cascade import FOLDER, Mtcnn
from pqa.faces.detectors import DETECTORS, load_detector
from pqa.faces.mtcnn import THRESHOLDS
from pqa.faces.suppression import overlap
from pqa.pixels.source import open_picture

HEAD = (178.0, 63.0, 268.0, 186.0)
"""Face of the astronaut, marked by eye: x1, y1, x2, y2."""


@pytest.fixture(scope="module")
def detector():
    return load_detector("mtcnn")


@pytest.fixture(scope="module")
def astronaut():
    return open_picture(assets.ASTRONAUT).region((0, 0, 512, 512))


def test_finds_the_portrait_with_landmarks_in_their_places(detector, astronaut):
    (face,) = detector.detect(open_picture(astronaut))
    assert overlap(face.box, HEAD) > 0.6
    assert face.confidence > 0.99
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("factor", [3, 5])
def test_coordinates_are_those_of_the_full_picture(detector, astronaut, factor):
    (small,) = detector.detect(open_picture(astronaut))
    large = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    (face,) = detector.detect(open_picture(large))
    assert overlap(tuple(value / factor for value in face.box), small.box) > 0.8


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_finds_sideways_pictures(detector, astronaut, quarter):
    (face,) = detector.detect(open_picture(np.ascontiguousarray(np.rot90(astronaut, quarter))))
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    for _ in range(quarter):
        x, y = 512 - y, x
    assert HEAD[0] < x < HEAD[2]
    assert HEAD[1] < y < HEAD[3]


def test_several_faces_largest_first(detector, astronaut):
    head = astronaut[20:260, 110:350]
    canvas = np.full((480, 900, 3), 128, np.uint8)
    for x, side in ((20, 120), (300, 200), (620, 160)):
        canvas[100 : 100 + side, x : x + side] = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
    faces = detector.detect(open_picture(canvas))
    assert [300 < face.box[0] < 500 for face in faces] == [True, False, False]
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_small_face_is_found_by_the_finer_look(detector, astronaut):
    canvas = np.full((1400, 1800, 3), 110, np.uint8)
    canvas[500:724, 900:1124] = cv2.resize(astronaut, (224, 224), interpolation=cv2.INTER_AREA)
    (sighting,) = detector.sightings(open_picture(canvas))
    assert sighting.attempt == "fine"
    assert overlap(sighting.face.box, tuple(np.array(HEAD) * 224 / 512 + [900, 500, 900, 500])) > 0.5


def test_a_face_in_red_light_is_found(detector, astronaut):
    red = (astronaut * np.array([0.5, 0.02, 0.02])).astype(np.uint8)
    faces = detector.detect(open_picture(red))
    assert faces
    assert overlap(faces[0].box, HEAD) > 0.5


@pytest.mark.parametrize("radius", [8, 9])
def test_a_face_far_out_of_focus_is_found_by_the_last_looks(detector, astronaut, radius):
    blurred = cv2.GaussianBlur(astronaut, (0, 0), radius)
    (sighting,) = detector.sightings(open_picture(blurred))
    assert sighting.attempt.endswith("sharpened")
    assert overlap(sighting.face.box, HEAD) > 0.5


@pytest.mark.parametrize("kind", ["black", "noise", "headless", "one pixel"])
def test_nothing_is_found_where_there_is_no_face(detector, astronaut, kind):
    random = np.random.default_rng(5)
    rgb = {
        "black": np.zeros((480, 640, 3), np.uint8),
        "noise": random.integers(0, 256, (480, 640, 3), dtype=np.uint8),
        "headless": astronaut[260:, :],
        "one pixel": np.full((1, 1, 3), 200, np.uint8),
    }[kind]
    assert detector.detect(open_picture(np.ascontiguousarray(rgb))) == ()


def test_same_pixels_give_the_same_faces_to_the_last_bit(detector, astronaut):
    sideways = np.ascontiguousarray(np.rot90(astronaut))
    assert detector.detect(open_picture(sideways)) == load_detector("mtcnn").detect(open_picture(sideways.copy()))


@pytest.mark.parametrize("angle", [15, -30, 90, 180, 270])
def test_turning_maps_back(angle):
    rgb = np.zeros((80, 120, 3), np.uint8)
    rgb[19:22, 69:72] = 255
    image, back = turned(rgb, angle)
    y, x = np.argwhere(image[..., 0] > 100).mean(axis=0)
    np.testing.assert_allclose(back[:, :2] @ [x, y] + back[:, 2], [70, 20], atol=0.5)
    if angle % 90 == 0:
        np.testing.assert_array_equal(image, np.rot90(rgb, angle // 90))


def test_a_turned_look_sees_the_same_face(astronaut):
    source, mtcnn = open_picture(astronaut), Mtcnn()
    plain = look(mtcnn, source, Attempt("plain"), THRESHOLDS)[0]
    tilted = look(mtcnn, source, Attempt("turned", angle=15), THRESHOLDS)[0]
    assert overlap(plain.box, tilted.box) > 0.6
    assert np.abs(np.array(plain.landmarks) - np.array(tilted.landmarks)).max() < 0.1 * plain.side


def test_every_row_names_files_that_ship():
    for row in DETECTORS.values():
        assert row.licence
        assert all((FOLDER.parent / file).is_file() for file in row.files)


def test_an_unknown_detector_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'mtcnn'"):
        load_detector("mtcn")
