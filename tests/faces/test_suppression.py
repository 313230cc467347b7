"""Non-maximum suppression and overlap, worked out by hand."""

import numpy as np
import pytest

from pqa.faces.suppression import overlap, suppress

WHOLE, QUARTER, HALF, APART = (0, 0, 10, 10), (0, 0, 5, 5), (0, 0, 10, 5), (20, 20, 30, 30)


def kept(boxes, scores, limit, **options):
    return suppress(np.array(boxes, np.float32), np.array(scores, np.float32), limit, **options).tolist()


def test_overlap_is_intersection_over_union():
    assert overlap(WHOLE, QUARTER) == overlap(QUARTER, WHOLE) == pytest.approx(0.25)
    assert overlap(WHOLE, APART) == 0
    assert overlap(WHOLE, WHOLE) == 1


def test_a_box_goes_when_it_overlaps_a_better_one_beyond_the_limit():
    assert kept([WHOLE, HALF, APART], [0.7, 0.9, 0.8], 0.49) == [1, 2]
    assert kept([WHOLE, HALF, APART], [0.7, 0.9, 0.8], 0.5) == [1, 2, 0]


def test_what_went_takes_nothing_along():
    shifted = [(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)]  # each overlaps its neighbours by 6 / 14
    assert kept(shifted, [0.9, 0.8, 0.7], 0.4) == [0, 2]


def test_inclusive_compares_with_the_smaller_box_and_counts_edges():
    assert kept([WHOLE, QUARTER], [0.9, 0.8], 0.5) == [0, 1]
    assert kept([WHOLE, QUARTER], [0.9, 0.8], 0.5, inclusive=True) == [0]
    # Two columns of eleven pixels are common: 22 of 121.
    assert kept([(0, 0, 10, 10), (9, 0, 19, 10)], [0.9, 0.8], 0.18, inclusive=True) == [0]
    assert kept([(0, 0, 10, 10), (9, 0, 19, 10)], [0.9, 0.8], 0.19, inclusive=True) == [0, 1]


def test_of_equal_scores_the_first_stays_or_the_last_if_inclusive():
    assert kept([WHOLE, WHOLE], [0.5, 0.5], 0.5) == [0]
    assert kept([WHOLE, WHOLE], [0.5, 0.5], 0.5, inclusive=True) == [1]
