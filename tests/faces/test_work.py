"""The detector's work is bounded by area, whatever the shape: counted in pixels that its networks are given, not in time."""

from __future__ import annotations

import numpy as np
import pytest

from pqa.data import assets
from pqa.faces import attempts, cascade
from pqa.faces.cascade import MOST, Mtcnn
from pqa.faces.mtcnn import MtcnnDetector
from pqa.pixels.source import open_picture


class Counted:
    """A network that counts the pixels and windows it is given."""

    def __init__(self, session):
        self._session = session
        self.pixels = self.windows = 0

    def run(self, names, feed):
        (image,) = feed.values()
        self.pixels += image.shape[0] * image.shape[2] * image.shape[3]
        self.windows += len(image)
        return self._session.run(names, feed)

    def get_outputs(self):
        return self._session.get_outputs()


def work(rgb, monkeypatch):
    """Pixels given to P-Net, the largest canvas, over all looks at a picture."""
    mtcnn, canvases = Mtcnn(), [0]
    mtcnn._pnet = Counted(mtcnn._pnet)
    real = cascade.AreaSampler

    def sampler(canvas):
        canvases.append(canvas.shape[0] * canvas.shape[1])
        return real(canvas)

    monkeypatch.setattr(cascade, "AreaSampler", sampler)
    MtcnnDetector(mtcnn).detect(open_picture(rgb))
    return mtcnn._pnet.pixels, max(canvases)


def noise(high, wide):
    return np.random.default_rng(0).integers(0, 256, (high, wide, 3), np.uint8)


@pytest.mark.parametrize(
    "size", [(4, 65_535), (30, 20_000), (100, 6000), (193, 9000), (3000, 200), (12_000, 400), (300, 901)]
)
def test_a_long_picture_is_no_more_work_than_an_ordinary_one(size, monkeypatch):
    pixels = max(size[0] * size[1], 480**2)
    ordinary = work(noise(round((pixels / 1.5) ** 0.5), round((pixels * 1.5) ** 0.5)), monkeypatch)
    got = work(noise(*size), monkeypatch)
    assert got[0] <= 2 * ordinary[0]
    assert got[1] <= 2 * ordinary[1]


@pytest.mark.parametrize("size", [(1, 65_535), (19, 5000), (65_535, 3), (1, 1)])
def test_where_no_face_has_room_none_is_looked_for(size, monkeypatch):
    assert work(noise(*size), monkeypatch) == (0, 0)


def test_the_windows_that_enter_suppression_are_bounded(monkeypatch):
    counts = []
    real = cascade.suppress

    def suppress(boxes, *rest, **options):
        counts.append(len(boxes))
        return real(boxes, *rest, **options)

    monkeypatch.setattr(cascade, "suppress", suppress)
    # Every window passes: no picture could give more.
    Mtcnn().detect_array(noise(300, 600), 20, (0.0, 0.999, 0.999))
    assert max(counts) == MOST


def test_faces_in_a_strip_of_photographs_are_found():
    portrait = open_picture(assets.ASTRONAUT).reduced(250)[:, 40:215]
    strip = np.concatenate([portrait] * 12)
    found = MtcnnDetector(Mtcnn()).detect(open_picture(strip))
    assert attempts.is_long(open_picture(strip))
    assert len(found) == 12
