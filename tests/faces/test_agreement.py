"""What several looks saw at one place, worked out by hand."""

import pytest

from pqa.faces.mtcnn import _agree
from pqa.types import Face


def face(left, confidence):
    return Face((left, 0.0, left + 10.0, 10.0), (), confidence)


def test_evidence_is_the_mean_over_all_looks_taken():
    looks = [("a", [face(0, 0.6)]), ("b", [face(1, 0.9), face(50, 0.8)]), ("c", [])]
    one, other = _agree(looks)
    assert (one.face, one.attempt) == (face(1, 0.9), "b")
    assert one.evidence == pytest.approx((0.6 + 0.9) / 3)
    assert other.evidence == pytest.approx(0.8 / 3)


def test_a_look_that_saw_a_place_twice_has_one_vote_its_surest():
    (one,) = _agree([("a", [face(0, 0.7), face(1, 0.9)]), ("b", [face(0, 0.8)])])
    assert one.evidence == pytest.approx((0.9 + 0.8) / 2)
