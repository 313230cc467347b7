"""Slices and devices on data whose structure is built in."""

from __future__ import annotations

import numpy as np
import pytest

from pqa.errors import DataError
from pqa.evaluation.metrics import evaluate
from pqa.evaluation.slices import devices, slices


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=400)
    return y + 0.5 * rng.normal(size=400), y, np.repeat(np.arange(8), 50)


def test_a_slice_has_the_metrics_of_its_pictures() -> None:
    x, y, scenes = made()
    conditions = ["Night" if scene % 2 else "Indoor" for scene in scenes]
    night = next(s for s in slices(x, y, scenes, conditions, column="condition") if s.value == "Night")
    kept = np.array(conditions) == "Night"
    expected = evaluate(x[kept], y[kept], scenes[kept])
    assert (night.srcc, night.mae, night.score) == (expected.srcc, expected.mae, expected.score)
    assert (night.n, night.scenes, night.small) == (200, 4, 0)


def test_favour_shows_as_bias_and_scene_offsets_do_not() -> None:
    _, y, scenes = made()
    favoured = np.arange(400) % 2 == 0
    found = slices(100 * (y + favoured + scenes), y, scenes, [str(v) for v in favoured], column="brand")
    assert {s.value: s.bias for s in found} == pytest.approx({"False": -0.45, "True": 0.45}, abs=0.08)


def test_numbers_are_cut_at_quartiles_and_gaps_are_named() -> None:
    x, y, scenes = made()
    sizes = [str(v) for v in np.linspace(0.1, 0.9, 400)[np.random.default_rng(1).permutation(400)]]
    sizes[3] = ""
    found = slices(x, y, scenes, sizes, column="face_size")
    assert [s.value[:2] for s in found] == ["Q1", "Q2", "Q3", "Q4", "(n"]
    assert [s.n for s in found][-1] == 1
    assert sum(s.n for s in found) == 400
    assert max(s.n for s in found[:4]) - min(s.n for s in found[:4]) <= 1
    assert np.isnan(found[-1].srcc)
    assert found[-1].small == 1
    few = slices(x, y, scenes, [str(k % 11) for k in range(400)], column="faces")
    assert [s.value for s in few] == [str(k) for k in range(11)]
    measured = slices(x[:12], y[:12], ["s"] * 12, [str(20.5 + k / 7) for k in range(12)], column="face_size")
    assert [(s.value[:2], s.n) for s in measured] == [("Q1", 3), ("Q2", 3), ("Q3", 3), ("Q4", 3)]
    levels = slices(x, y, scenes, [str(k % 4 / 2) for k in range(400)], column="zoom")
    assert [s.value for s in levels] == ["0.0", "0.5", "1.0", "1.5"]


def test_devices_are_ranked_by_what_is_left_of_the_scene() -> None:
    """Every device has its own quality, every scene a large offset of its own."""
    rng = np.random.default_rng(2)
    quality = {"alpha": 1.0, "beta": 0.0, "gamma": -1.0, "delta": 0.5}
    rows = [(scene, name) for scene in range(10) for name in quality for _ in range(3)]
    scenes, names = [str(scene) for scene, _ in rows], [name for _, name in rows]
    y = np.array([quality[name] for name in names]) + 0.2 * rng.normal(size=len(rows))
    x = y + np.array([5.0 * scene for scene, _ in rows]) + 0.2 * rng.normal(size=len(rows))
    found = devices(x, y, scenes, names)
    assert [row.device for row in found.rows] == ["alpha", "delta", "beta", "gamma"]
    assert found.srcc == pytest.approx(1)
    assert found.plcc > 0.99
    assert found.rows[0].n == 30
    assert found.rows[0].scenes == 10
    assert found.rows[0].label_error == pytest.approx(0.2 / np.sqrt(30), rel=0.4)


def test_small_and_unnamed_devices_are_named() -> None:
    found = devices([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], ["s"] * 5, ["a", "a", "a", "b", ""])
    assert [row.device for row in found.rows] == ["a"]
    assert found.left_out == ("b",)
    assert found.unnamed == 1
    assert np.isnan(found.srcc)
    with pytest.raises(DataError, match="5 pictures"):
        devices([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], ["s"] * 5, ["a"])


def test_input_is_not_changed() -> None:
    x, y, scenes = made()
    before = x.copy(), y.copy()
    devices(x, y, scenes, ["d"] * 400)
    slices(x, y, scenes, ["v"] * 400, column="c")
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])
