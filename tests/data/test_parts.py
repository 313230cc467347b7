"""Three parts and near-duplicate groups: nothing of one group on two sides."""

import cv2
import numpy as np
import pytest

from pqa.data.duplicates import duplicate_groups, thumbnail
from pqa.data.parts import parts
from pqa.pixels.source import open_picture


def test_a_group_stays_on_one_side():
    names = [f"{i}.jpg" for i in range(3000)]
    groups = [i // 3 for i in range(3000)]
    division = parts(names, groups)
    assert all(len({division[i] for i in range(start, start + 3)}) == 1 for start in range(0, 3000, 3))
    assert division.count("report") / 3000 == pytest.approx(0.20, abs=0.04)
    assert division.count("choose") / 3000 == pytest.approx(0.12, abs=0.04)


def test_the_division_depends_on_nothing_but_names():
    names = [f"{i}.jpg" for i in range(200)]
    forward = dict(zip(names, parts(names, range(200)), strict=True))
    backward = dict(zip(names[::-1], parts(names[::-1], range(200)), strict=True))
    assert forward == backward
    assert dict(zip(names[:50], parts(names[:50], range(50)), strict=True)) == {n: forward[n] for n in names[:50]}


def test_a_group_follows_its_first_name_in_whatever_order_it_comes():
    names = [f"{i:03}.jpg" for i in range(300)]
    groups = [i // 3 for i in range(300)]
    forward = parts(names, groups)
    assert parts(names[::-1], groups[::-1]) == forward[::-1]
    assert forward[::3] == parts(names[::3], range(100))


def test_versions_of_one_picture_are_one_group():
    rng = np.random.default_rng(0)
    scenes = [cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (96, 128)) for _ in range(4)]
    pictures = []
    for scene in scenes:
        darker = (scene * 0.6).astype(np.uint8)
        blurred = cv2.GaussianBlur(scene, (0, 0), 3)
        pictures += [scene, darker, blurred, scene[2:, 2:]]
    groups = duplicate_groups([thumbnail(open_picture(picture)) for picture in pictures])
    assert groups == [i // 4 for i in range(16)]


def test_flat_pictures_resemble_nothing():
    flat = [thumbnail(open_picture(np.full((40, 40, 3), value, np.uint8))) for value in (0, 128, 128)]
    assert duplicate_groups(flat) == [0, 1, 2]
