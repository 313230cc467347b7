"""Person and background apart: identity at zero, who suffers, light that stays where it was."""

import numpy as np
import pytest

from pqa.simulator import subject
from pqa.types import Face

HEIGHT, WIDTH = 160, 120
FACE = Face(box=(45.0, 30.0, 75.0, 70.0), landmarks=(), confidence=1.0)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def zones():
    """Masks of what is certainly person and certainly background."""
    mask = subject.person([FACE], HEIGHT, WIDTH)
    return mask > 0.999, mask < 0.001


def test_the_person_is_the_face_and_what_is_below_it(zones):
    person, background = zones
    assert person[50, 60]
    assert person[130, 60]
    assert background[5, 5]
    assert background[60, 5]
    assert not person[:10].any()
    assert subject.person([], HEIGHT, WIDTH).max() == 0


@pytest.mark.parametrize("change", [subject.missed_focus, subject.back_light, subject.bokeh])
def test_strength_zero_is_the_picture_itself(noise, change):
    np.testing.assert_array_equal(change(noise, [FACE], 0.0), noise)


def detail(rgb, mask):
    return np.abs(np.diff(rgb.astype(float), axis=1))[mask[:, 1:]].mean()


def test_missed_focus_blurs_the_person_and_bokeh_what_is_behind(noise, zones):
    person, background = zones
    missed, blurred = (change(noise, [FACE], 1.0) for change in (subject.missed_focus, subject.bokeh))
    assert detail(missed, person) < 0.5 * detail(noise, person)
    np.testing.assert_allclose(missed[background].astype(int), noise[background].astype(int), atol=1)
    assert detail(blurred, background) < 0.5 * detail(noise, background)
    np.testing.assert_allclose(blurred[person].astype(int), noise[person].astype(int), atol=1)


def test_nothing_of_the_person_bleeds_into_the_background(zones):
    _, background = zones
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[subject.person([FACE], HEIGHT, WIDTH) > 0.5] = 255
    assert subject.bokeh(rgb, [FACE], 1.0)[background].max() < 60


def test_against_the_light_the_person_is_dark_and_the_rest_is_bright(zones):
    person, background = zones
    series = [subject.back_light(np.full((HEIGHT, WIDTH, 3), 120, np.uint8), [FACE], s) for s in (0.2, 0.6, 1.0)]
    dark, light = ([float(each[zone].mean()) for each in series] for zone in (person, background))
    assert 120 > dark[0] > dark[1] > dark[2]
    assert 120 < light[0] < light[1] < light[2]
