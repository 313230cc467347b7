"""The shipped networks and the cascade against facenet-pytorch 2.5.3, at the same pixels, sizes and thresholds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN

from export.mtcnn import NETWORKS, export_network
from pqa.data import assets
from pqa.errors import ConfigurationError
from pqa.faces.cascade import FOLDER, AreaSampler, Mtcnn
from pqa.faces.suppression import overlap
from pqa.pixels.source import open_picture
from pqa.session import open_session

SIDES = {"pnet": (61, 94), "rnet": (24, 24), "onet": (48, 48)}


@pytest.fixture(scope="module")
def mtcnn():
    return Mtcnn()


@pytest.fixture(scope="module")
def astronaut():
    return open_picture(assets.ASTRONAUT).region((0, 0, 512, 512))


def group(portrait, seed):
    """A picture with four copies of the portrait's head at several sizes, places and mirrorings."""
    random = np.random.default_rng(seed)
    canvas = cv2.resize(random.integers(0, 255, (12, 16, 3), dtype=np.uint8), (720, 560), interpolation=cv2.INTER_CUBIC)
    head = portrait[20:260, 110:350]
    for number, (x, y) in enumerate(((10, 10), (380, 20), (40, 300), (400, 290))):
        side = int(random.integers(70, 250))
        copy = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
        canvas[y : y + side, x : x + side] = copy[:, ::-1] if number % 2 else copy
    return canvas


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("batch", [1, 7])
def test_shipped_graph_equals_a_fresh_export_and_torch(name, batch):
    x = np.random.default_rng(batch).normal(size=(batch, 3, *SIDES[name])).astype(np.float32)
    shipped = open_session((FOLDER / f"{name}.onnx").read_bytes()).run(None, {"image": x})
    fresh = open_session(export_network(name)).run(None, {"image": x})
    with torch.no_grad():
        reference = NETWORKS[name].kind().eval()(torch.from_numpy(x))
    for ours, again, theirs in zip(shipped, fresh, reference, strict=True):
        np.testing.assert_allclose(ours, again, atol=1e-5)
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("size", [(24, 24), (7, 31), (48, 5), (120, 161)])
def test_area_sampler_is_adaptive_average_pooling(size):
    rgb = np.random.default_rng(3).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, size=size, mode="area").numpy()
    np.testing.assert_allclose(AreaSampler(rgb).resize(*size), expected, rtol=1e-6, atol=1e-4)
    boxes = np.array([[0, 0, 53, 37], [5, 2, 9, 30], [52, 36, 53, 37]])
    crops = AreaSampler(rgb).crops(boxes, 24)
    for crop, (x1, y1, x2, y2) in zip(crops, boxes, strict=True):
        window = torch.nn.functional.interpolate(tensor[:, :, y1:y2, x1:x2], size=(24, 24), mode="area")[0]
        np.testing.assert_allclose(crop, window.numpy(), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("picture", ["astronaut", 1, 2, 3])
@pytest.mark.parametrize("min_face", [20, 40])
def test_agrees_with_facenet_pytorch(mtcnn, astronaut, picture, min_face):
    rgb = astronaut if picture == "astronaut" else group(astronaut, picture)
    boxes, probabilities, landmarks = MTCNN(keep_all=True, min_face_size=min_face).detect(rgb, landmarks=True)
    found = mtcnn.detect_array(rgb, min_face)
    sure = [i for i, probability in enumerate(probabilities) if probability >= 0.9]
    assert len(sure) >= (1 if picture == "astronaut" else 3)
    for i in sure:
        best = max(range(len(found)), key=lambda j: overlap(tuple(boxes[i]), tuple(found.boxes[j])))
        side = max(boxes[i][2] - boxes[i][0], boxes[i][3] - boxes[i][1])
        assert overlap(tuple(boxes[i]), tuple(found.boxes[best])) >= 0.95
        assert np.abs(landmarks[i] - found.landmarks[best]).max() <= 0.01 * side
        assert found.probabilities[best] == pytest.approx(probabilities[i], abs=1e-4)


def test_lower_last_threshold_only_adds_faces(mtcnn, astronaut):
    rgb = group(astronaut, 1)
    low, high = mtcnn.detect_array(rgb, 20, (0.6, 0.7, 0.2)), mtcnn.detect_array(rgb, 20, (0.6, 0.7, 0.8))
    kept = low.probabilities > 0.8
    assert len(low) > len(high) > 0
    np.testing.assert_array_equal(low.boxes[kept], high.boxes)
    np.testing.assert_array_equal(low.landmarks[kept], high.landmarks)


@pytest.mark.parametrize("shape", [(1, 1), (12, 300), (300, 300)])
def test_empty_pictures_hold_no_face(mtcnn, shape):
    assert len(mtcnn.detect_array(np.zeros((*shape, 3), np.uint8), 20)) == 0


def test_same_pixels_give_same_bits(mtcnn, astronaut):
    first, second = mtcnn.detect_array(astronaut, 20), Mtcnn().detect_array(astronaut.copy(), 20)
    assert first.boxes.tobytes() == second.boxes.tobytes()
    assert first.landmarks.tobytes() == second.landmarks.tobytes()


def test_too_small_a_minimum_face_is_refused(mtcnn, astronaut):
    with pytest.raises(ConfigurationError, match="at least 12"):
        mtcnn.detect_array(astronaut, 11)
