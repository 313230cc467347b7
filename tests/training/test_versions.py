"""Versions of a rated picture: as many as planned, labels that say what was done, the same ones every time."""

import numpy as np
import pytest

from pqa.types import Face
from training.default.versions import FALLS, Plan, versions

FACE = Face(box=(20.0, 16.0, 44.0, 46.0), landmarks=((28.0, 26.0), (37.0, 26.0)), confidence=1.0)
PLAN = Plan(sound=4, ladders=6, rungs=3, mixed=5)


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (96, 72, 3), np.uint8)


def made(rgb, faces=(FACE,), seed=0):
    return list(versions(rgb, faces, PLAN, np.random.default_rng(seed)))


def test_as_many_as_planned_and_the_same_again(rgb):
    first, second = made(rgb), made(rgb)
    assert len(first) == PLAN.count == 27
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.name, one.strength, one.keep) == (other.name, other.strength, other.keep)


def test_sound_versions_keep_the_rating_and_faults_take_of_it(rgb):
    for version in made(rgb):
        faults = [name for name in version.name.split("+") if name in FALLS]
        assert bool(faults) == (min(version.keep) < 1.0)
        if not faults:
            assert version.name in ("sound", "bokeh")
            assert version.keep == (1.0, 1.0, 1.0)
        if len(faults) == 1:
            assert version.keep[0] == pytest.approx(1.0 - FALLS[faults[0]] * version.strength)
        assert version.keep[0] <= min(version.keep[1:]) + 1e-9


def test_a_ladder_is_one_fault_that_rises_on_one_start(rgb):
    ladders = {}
    for version in made(rgb):
        if version.ladder >= 0:
            ladders.setdefault(version.ladder, []).append(version)
    assert len(ladders) == PLAN.ladders
    for rungs in ladders.values():
        assert len({rung.name for rung in rungs}) == len({rung.pixels.shape for rung in rungs}) == 1
        strengths = [rung.strength for rung in rungs]
        assert strengths == sorted(strengths)
        assert [rung.keep[0] for rung in rungs] == sorted((rung.keep[0] for rung in rungs), reverse=True)


def test_a_reduced_version_takes_its_faces_along(rgb):
    for version in made(rgb):
        factor = version.pixels.shape[1] / rgb.shape[1]
        (face,) = version.faces
        assert face.box == pytest.approx(tuple(factor * edge for edge in FACE.box), rel=0.05)


def test_without_a_face_nothing_is_done_to_a_person(rgb):
    names = {name for seed in range(4) for each in made(rgb, (), seed) for name in each.name.split("+")}
    assert names.isdisjoint({"bokeh", "missed_focus", "back_light"})
    with_face = {name for seed in range(4) for each in made(rgb, (FACE,), seed) for name in each.name.split("+")}
    assert {"bokeh", "missed_focus", "back_light"} <= with_face
