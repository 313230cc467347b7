"""True quality and simulated observers."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pqa.judging.scaling import components, scale
from pqa.simulator.capture import Facts
from pqa.simulator.psychometrics import ATTRIBUTES, GAIN, LAPSES, LOSSES, compare, losses, true_quality

FLAWLESS = Facts(
    face_blur=0.0,
    frame_blur=0.0,
    face_noise=0.0,
    frame_noise=0.0,
    smear=0.0,
    face_stops=0.0,
    clipped=0.0,
    blocked=0.0,
    cast=0.0,
    glare=0.0,
    sharpening=0.0,
    contrast=0.12,
    saturation=1.06,
    jpeg=100.0,
    seconds=0.01,
)

SEVERITY = {
    "face_blur": ("Details", (0.05, 0.2, 0.8)),
    "frame_blur": ("Details", (0.05, 0.2, 0.8)),
    "face_noise": ("Details", (1.0, 4.0, 12.0)),
    "frame_noise": ("Details", (1.0, 4.0, 12.0)),
    "smear": ("Details", (2.0, 6.0, 15.0)),
    "sharpening": ("Details", (0.9, 1.4, 2.2)),
    "jpeg": ("Details", (90.0, 75.0, 55.0)),
    "face_stops": ("Exposure", (-0.3, -0.8, -2.0)),
    "clipped": ("Exposure", (0.02, 0.1, 0.3)),
    "blocked": ("Exposure", (0.02, 0.1, 0.3)),
    "cast": ("Exposure", (0.05, 0.2, 0.5)),
    "glare": ("Exposure", (0.01, 0.05, 0.15)),
    "contrast": ("Exposure", (0.2, 0.35, 0.55)),
    "saturation": ("Exposure", (1.15, 1.3, 1.45)),
}


def quality(facts: Facts) -> dict[str, float]:
    return true_quality(losses(facts))


def rank_agreement(observers: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    truth = rng.normal(0.0, 1.4, 12)
    judgements = compare(truth, tuple("abcdefghijkl"), observers, 1, rng)
    return float(stats.spearmanr(truth, scale(judgements, bootstrap=0).jod)[0])


def test_a_flawless_picture_loses_nothing():
    assert quality(FLAWLESS) == dict.fromkeys(ATTRIBUTES, 0.0)


@pytest.mark.parametrize("field", SEVERITY)
def test_severity_costs_and_touches_its_own_attribute_only(field):
    attribute, values = SEVERITY[field]
    series = [quality(FLAWLESS)] + [quality(replace(FLAWLESS, **{field: value})) for value in values]
    for touched in ("Overall", attribute):
        falling = [each[touched] for each in series]
        assert all(later < earlier for earlier, later in itertools.pairwise(falling)), falling
    (other,) = set(ATTRIBUTES) - {"Overall", attribute}
    assert {each[other] for each in series} == {0.0}


def test_every_fault_is_tried_here():
    fault = {name for field, (_, values) in SEVERITY.items() for name in _costs(field, values[-1])}
    assert fault == set(LOSSES)


def _costs(field: str, value: float) -> list[str]:
    return [name for name, loss in losses(replace(FLAWLESS, **{field: value})).items() if loss > 0]


def test_a_fault_on_the_face_costs_more_than_the_same_on_the_frame():
    assert quality(replace(FLAWLESS, face_blur=0.3))["Overall"] < quality(replace(FLAWLESS, frame_blur=0.3))["Overall"]
    over, under = (quality(replace(FLAWLESS, face_stops=stops))["Exposure"] for stops in (0.7, -0.7))
    assert over < under


def test_losses_add_to_more_than_the_largest_and_less_than_their_sum():
    facts = replace(FLAWLESS, face_blur=0.4, jpeg=60.0, face_stops=1.0)
    lost = losses(facts)
    total = -true_quality(lost)["Overall"] / GAIN["Overall"]
    assert max(lost.values()) < total < sum(lost.values())
    assert total > -quality(replace(facts, jpeg=100.0))["Overall"] / GAIN["Overall"]


def test_one_jod_is_three_in_four():
    """Of 6,000 observers; lapses and their different noise cost a little."""
    judgements = compare(np.array([0.5, -0.5]), ("a", "b"), 6000, 1, np.random.default_rng(0))
    share = float(np.mean(judgements.winner == 0))
    assert share == pytest.approx(0.75 * (1 - LAPSES) + 0.5 * LAPSES, abs=0.02)


def test_every_observer_sees_every_picture_equally_often():
    judgements = compare(np.zeros(9), tuple("abcdefghi"), 5, 2, np.random.default_rng(1))
    assert len(judgements.winner) == 5 * 2 * 9
    assert set(np.bincount(np.concatenate([judgements.winner, judgements.loser]))) == {5 * 2 * 2}
    assert len(components(judgements)) == 1
    assert judgements.left.mean() == pytest.approx(0.5, abs=0.15)


def test_more_observers_come_nearer_to_the_truth():
    few, some, many = (np.mean([rank_agreement(count, seed) for seed in range(8)]) for count in (2, 8, 60))
    assert few < some < many
    assert many > 0.95


def test_taste_lasts():
    """An observer asked twice agrees with himself more than two observers with each other."""
    judgements = compare(np.zeros(2), ("a", "b"), 4000, 2, np.random.default_rng(2))
    answers = (judgements.winner == 0).reshape(4000, 2)
    again = float(np.mean(answers[:, 0] == answers[:, 1]))
    others = float(np.mean(answers[:-1, 0] == answers[1:, 0]))
    assert again > others + 0.05
    assert math.isclose(others, 0.5, abs_tol=0.03)
