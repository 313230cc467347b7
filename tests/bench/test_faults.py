"""The benchmark of graded faults: its unseen kinds, its verdicts and tables, what it changes in a portrait."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import invariance, unseen
from bench.faults import STRENGTHS, fault_set, judge, score_sets, table, well_liked
from bench.gallery import Shots, page
from bench.invariance import Judged, bands, changed
from pqa.data.assets import ASTRONAUT
from pqa.data.rated import Rated
from pqa.errors import ConfigurationError
from pqa.pixels.source import open_picture
from pqa.simulator import camera
from pqa.types import Face

ROOT = Path(__file__).parents[2]
FACE = Face((92.0, 34.0, 132.0, 86.0), (), 1.0)
"""Of the shipped portrait at 256 pixels."""


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return open_picture(ASTRONAUT).reduced(256)


def distance(a, b) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())


def fault(rgb, name, strength, seed=7):
    return camera.apply(rgb, name, strength, np.random.default_rng(seed), unseen.UNSEEN)


@pytest.mark.parametrize("name", unseen.UNSEEN)
def test_strength_zero_is_the_picture_itself_and_a_copy(portrait, name):
    same = fault(portrait, name, 0.0)
    np.testing.assert_array_equal(same, portrait)
    assert not np.shares_memory(same, portrait)
    assert distance(fault(portrait, name, 1e-3), portrait) < 1.0


@pytest.mark.parametrize("name", unseen.UNSEEN)
@pytest.mark.parametrize("seed", range(3))
def test_severity_rises_with_strength(portrait, name, seed):
    series = [distance(fault(portrait, name, strength, seed), portrait) for strength in STRENGTHS]
    assert series == sorted(series), [round(value, 2) for value in series]
    assert series[-1] > 3


@pytest.mark.parametrize("name", unseen.UNSEEN)
def test_same_seed_same_bits_and_the_input_is_left_alone(portrait, name):
    kept = portrait.copy()
    first, second = (fault(portrait, name, 0.6) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(portrait, kept)
    assert (first.shape, first.dtype) == (portrait.shape, np.uint8)


@pytest.mark.parametrize("name", unseen.UNSEEN)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 5)])
def test_tiny_pictures_keep_their_shape(name, shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for strength in (0.1, 1.0):
        assert fault(rgb, name, strength).shape == rgb.shape


@pytest.mark.parametrize("name", set(unseen.UNSEEN) - {"row_noise"})
def test_a_large_and_a_small_picture_suffer_alike(portrait, name):
    """Rows of noise average out where a picture is reduced, as those of a sensor do."""
    large = cv2.resize(portrait, (512, 512), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(fault(large, name, 0.7), (256, 256), interpolation=cv2.INTER_AREA)
    assert distance(small, portrait) == pytest.approx(distance(fault(portrait, name, 0.7), portrait), rel=0.4)


def test_unknown_kind_and_wrong_strength_are_refused(portrait):
    with pytest.raises(ConfigurationError, match="did you mean 'zoom_blur'"):
        fault(portrait, "zoom_blurr", 0.5)
    with pytest.raises(ConfigurationError, match="expected 0 to 1"):
        fault(portrait, "comb", 1.5)


def test_no_training_knows_the_unseen_kinds():
    assert not set(unseen.UNSEEN) & set(camera.FAULTS)
    known = re.compile(r"^\s*(from|import) bench\b", re.MULTILINE)
    assert known.search((ROOT / "bench" / "faults.py").read_text())
    files = [path for folder in ("pqa", "training", "export") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    assert [path for path in files if known.search(path.read_text())] == []


def test_verdict_on_a_set():
    falling = judge(np.arange(8)[::-1])
    assert (falling.srcc, falling.first) == (pytest.approx(1.0), True)
    assert judge(np.arange(8)).srcc == pytest.approx(-1.0)
    assert judge([1.0] * 8).srcc == 0.0
    assert not judge([1.0] * 8).first
    swapped = judge([6, 7, 5, 4, 3, 2, 1, 0])
    assert swapped.srcc == pytest.approx(1 - 6 * 2 / (8 * 63))
    assert not swapped.first


def test_table_has_a_row_for_each_kind_and_group():
    scores = {"defocus": np.array([np.arange(8.0)[::-1]] * 2), "comb": np.array([np.arange(8.0), np.arange(8.0)[::-1]])}
    groups = {"named": ("defocus", "motion"), "unseen": ("comb",), "other": ("haze",)}
    assert table(scores, groups).splitlines()[2:] == [
        "| defocus | 2 | 1.000 | 1.00 | 1.00 | 7.000 |",
        "| **named** | 2 | 1.000 | 1.00 | 1.00 | 7.000 |",
        "| comb | 2 | 0.000 | -1.00 | 0.50 | 0.000 |",
        "| **unseen** | 2 | 0.000 | -1.00 | 0.50 | 0.000 |",
    ]


def test_sets_are_scored_untouched_first(portrait):
    small = cv2.resize(portrait, (48, 48), interpolation=cv2.INTER_AREA)
    pictures = [small, small[:, ::-1].copy()]

    def darkness(shots):
        return [-float(shot.mean()) for shot in shots]

    done = []
    found = score_sets(darkness, pictures, ["over_exposure", "shadow"], lambda: done.append(1))
    assert len(done) == 4
    for kind, sign in (("over_exposure", -1.0), ("shadow", 1.0)):
        assert found[kind].shape == (2, 8)
        assert found[kind][:, 0].tolist() == darkness(pictures)
        assert (sign * np.diff(found[kind], axis=1) > 0).all()
    shots = fault_set(small, "over_exposure", 0)
    np.testing.assert_array_equal(shots[0], small)
    assert found["over_exposure"][0].tolist() == darkness(shots)


def rated(name: str, scene: str, rating: float) -> Rated:
    return Rated(name, Path(name), scene, (rating,), (0.1,), condition="portrait")


def test_well_liked_are_of_the_upper_half_of_their_subset():
    rows = [rated(f"{scene}-{n}", scene, base + n / 10) for scene, base in (("a", 0.0), ("b", 0.5)) for n in range(5)]
    names = {row.image for row in well_liked(rows, 99)}
    assert names == {"a-2", "a-3", "a-4", "b-2", "b-3", "b-4"}
    assert well_liked(rows, 4)[:2] == well_liked(rows, 2)


def test_a_tie_band_is_where_one_beats_the_other_with_three_quarters():
    shot, other = Judged(np.array([0.6]), np.array([0.3])), Judged(np.array([0.5]), np.array([0.4]))
    assert bands(shot, other)[0] == pytest.approx(0.1 / (0.6744898 * 0.5))


def test_a_pair_changes_order_when_its_sign_turns_outside_a_tie():
    before = np.array([2.0, 2.0, 0.5, 0.5, -3.0, 0.0])
    after = np.array([0.1, -0.1, -0.5, -1.5, 2.0, 2.0])
    assert changed(before, after).tolist() == [False, True, False, True, True, False]


def test_background_or_face_alone_are_blurred(portrait):
    flat = np.zeros((256, 256, 3), np.uint8)
    flat[:, ::2] = 255
    middle, corner = np.s_[40:80, 96:128], np.s_[0:40, 200:256]
    behind = invariance.blurred_behind(flat, FACE, 0.03)
    np.testing.assert_array_equal(behind[middle], flat[middle])
    assert behind[corner].std() < 30
    front = invariance.blurred_face(flat, FACE, 0.03)
    np.testing.assert_array_equal(front[corner], flat[corner])
    assert front[50:70, 104:120].std() < 30


def test_a_bright_person_does_not_shine_into_the_blurred_background():
    rgb = np.full((256, 256, 3), 40, np.uint8)
    rgb[invariance.person(rgb.shape, FACE) > 0.01] = 250
    behind = invariance.blurred_behind(rgb, FACE, 0.03)
    assert behind[invariance.person(rgb.shape, FACE) == 0].max() < 45


def test_skin_alone_is_shifted(portrait):
    darker = invariance.shifted_skin(portrait, FACE, -15.0)
    assert invariance.luminance(darker, FACE) == pytest.approx(invariance.luminance(portrait, FACE) - 15.0, abs=1.5)
    np.testing.assert_array_equal(darker[150:], portrait[150:])
    assert invariance.shifted_skin(portrait, FACE, -60.0) is None


def test_grey_all_over_is_no_skin():
    assert invariance.shifted_skin(np.full((256, 256, 3), 128, np.uint8), FACE, 5.0) is None


def brightness(shots) -> Judged:
    return Judged(np.array([float(shot.mean()) for shot in shots]), np.full(len(shots), 1000.0))


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_skin_table_counts_the_portraits_that_take_a_shift(portrait, monkeypatch):
    monkeypatch.setattr(invariance, "SHIFTS", (-10.0, 60.0))
    darker, lighter = cells(invariance.skin_table(brightness, [(portrait, FACE)] * 3, 2))
    assert darker[:2] == ["-10", "2"]
    assert float(darker[2]) < 0 < float(darker[3])
    assert lighter == ["+60", "0", "–", "–", "–"]


def test_focus_table_tells_changes_in_tie_bands(portrait):
    def face_detail(shots):
        return Judged(np.array([float(shot[40:80, 96:128].std()) for shot in shots]), np.full(len(shots), 0.1))

    rows = cells(invariance.focus_table(face_detail, [(portrait, FACE)]))
    assert [(row[0], row[5], row[6]) for row in rows] == [("background", "1.00", "0.00")] * 2 + [
        ("face", "0.00", "1.00")
    ] * 2
    assert float(rows[3][4]) < float(rows[2][4]) < -1


def test_sharpness_wants_face_and_background(portrait):
    whole = invariance.sharpness(portrait, FACE)
    assert invariance.sharpness(invariance.blurred_behind(portrait, FACE, 0.03), FACE) < 0.5 * whole
    assert invariance.sharpness(invariance.blurred_face(portrait, FACE, 0.03), FACE) < 0.5 * whole
    assert invariance.sharpness(portrait, Face((0.0, 0.0, 256.0, 256.0), (), 1.0)) == 0.0


def test_residuals_by_luminance():
    judged = Judged(np.array([0.5, 0.6, 0.7, 0.8]), np.full(4, 0.1))
    lines = invariance.residual_table(judged, [0.5, 0.5, 0.5, 0.5], [10, 40, 20, 30], slices=2).splitlines()
    assert lines[2:] == ["| 10 to 20 | 2 | 0.500 | +0.100 | 0.100 |", "| 30 to 40 | 2 | 0.500 | +0.200 | 0.100 |"]


def test_reduction_counts_pairs_whose_order_turns(portrait):
    small = cv2.resize(portrait, (64, 64), interpolation=cv2.INTER_AREA)

    def upside_down(shots):
        order = np.arange(float(len(shots)))
        return Judged(order if min(shots[0].shape[:2]) == 64 else -order, np.full(len(shots), 1e-6))

    def steady(shots):
        return Judged(np.arange(float(len(shots))), np.full(len(shots), 1.0))

    lines = invariance.reduction_table(upside_down, [small]).splitlines()
    turned, gains = lines[2:6], lines[9:]
    assert [line.split("|")[3:5] for line in turned[2:]] == [[" 66 ", " 1.000 "]] * 2
    assert turned[0].split("|")[3] == " 132 "
    assert gains[0] == "| sharp | +0.000 | +0.000 |"
    assert [line.split("|")[2] for line in gains] == [f" {-2.0 * place + 0.0:+.3f} " for place in range(12)]
    lines = invariance.reduction_table(steady, [small]).splitlines()
    assert [line.split("|")[4] for line in lines[2:6]] == [" 0.000 "] * 4
    assert all(line.endswith("| +0.000 | +0.000 |") for line in lines[9:])


def test_page_shows_the_model_order_and_needs_no_other_file(tmp_path, portrait):
    cv2.imwrite(str(tmp_path / "a<b.png"), portrait[..., ::-1])
    rows = [Rated("images/a<b.png", tmp_path / "a<b.png", "ss01", (0.5,), (0.1,)), rated("gone.png", "ss02", 0.9)]
    shots = Shots("defocus, portrait 0", [portrait, portrait[:64]], [0.25, 0.75])
    html = page("title & more", rows, [0.8, 0.2], [shots])
    assert html.index("step 1, 0.750") < html.index("step 0, 0.250")
    assert "a&lt;b.png, ss01: score 0.80, rated 0.50, +0.30" in html
    assert html.index("gone.png", html.index("Largest")) < html.index("a&lt;b", html.index("Largest"))
    assert "title &amp; more" in html
    assert not re.search(r'(src|href)="(?!data:|")', html)
