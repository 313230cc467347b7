"""Scores of small files of kinds that are met outside (tests/pixels/field/README.md), by the shipped model."""

from pathlib import Path

import pytest

import pqa

FIELD = Path(__file__).parents[1] / "pixels" / "field"


@pytest.fixture(scope="module")
def rows():
    assessor = pqa.load()
    paths = [path for path in sorted(FIELD.iterdir()) if path.suffix != ".md"]
    whole = (FIELD / "jpeg-last-2-bytes-missing.jpg").read_bytes() + b"\xff\xd9"
    scored = assessor.score([*paths, whole])
    return dict(zip([*(path.stem for path in paths), "whole"], scored, strict=True))


def test_a_jpeg_without_its_last_two_bytes_scores_like_the_whole_file(rows):
    cut, whole = rows["jpeg-last-2-bytes-missing"], rows["whole"]
    assert cut.score == whole.score
    assert (cut.flags, whole.flags) == (("truncated",), ())
    assert cut.measurements == {**whole.measurements, "rows_decoded": 1.0}


def test_both_sample_layouts_of_a_tiff_score_the_same(rows):
    assert rows["planar16"].score == rows["chunky16"].score


def test_grey_of_ten_bits_scores_as_that_of_eight(rows):
    assert len(rows["grey10"].faces) == len(rows["grey8"].faces) == 1
    assert abs(rows["grey10"].score - rows["grey8"].score) < 0.01


def test_hdr_scores_close_to_its_srgb_twin_and_has_no_fault_of_exposure(rows):
    assert abs(rows["hdr_pq"].score - rows["upright"].score) < 0.02
    assert not rows["hdr_pq"].reasons
    assert len(rows["hdr_pq"].faces) == 1
