"""How the proof's experiments are divided: what is reported on took no part in training."""

from pathlib import Path

import numpy as np
import pytest

from bench.generalisation import by_scene, table, warped, within_scenes
from pqa.data.rated import Rated
from training.gather import Gathered


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    rows = tuple(
        Rated(f"{s}-{n}", Path("none"), f"scene {s}", (float(rng.normal()),), (0.1,), device=f"camera {n % 8}")
        for s in range(20)
        for n in range(24)
    )
    return Gathered(("made",), ("overall",), rows, True, (-3.0, 3.0), ("none",), (), ())


def scenes(data, part):
    return {row.scene for row in data.rows if row.part == part}


def test_seventy_per_cent_of_the_scenes_train_and_choose(data):
    divided = by_scene(data, 0)
    assert [len(scenes(divided, part)) for part in ("train", "choose", "report")] == [12, 2, 6]
    assert not scenes(divided, "report") & (scenes(divided, "train") | scenes(divided, "choose"))
    assert scenes(by_scene(data, 1), "report") != scenes(divided, "report")
    assert by_scene(data, 0) == divided


def test_fewer_devices_leave_the_report_part_whole(data):
    few, all_ = by_scene(data, 0, devices=2), by_scene(data, 0)
    assert len({row.device for row in few.rows if row.part != "report"}) == 2
    assert few.part("report") == all_.part("report")


def test_known_scenes_are_divided_by_picture(data):
    divided = within_scenes(data, 0)
    assert len(divided.rows) == len(data.rows)
    assert scenes(divided, "report") <= scenes(divided, "train")
    assert 0.15 < len(divided.part("report")) / len(data.rows) < 0.25


def test_warping_moves_scenes_apart_and_keeps_their_order(data):
    moved = warped(data, 0)
    for scene in scenes(data, "train"):
        before = np.array([row.labels[0] for row in data.rows if row.scene == scene])
        after = np.array([row.labels[0] for row in moved.rows if row.scene == scene])
        gain, shift = np.polyfit(before, after, 1)
        assert gain > 0
        np.testing.assert_allclose(gain * before + shift, after, atol=1e-9)
    means = [np.mean([row.labels[0] for row in moved.rows if row.scene == scene]) for scene in scenes(data, "train")]
    assert np.std(means) > 1.0


def test_the_table_shows_mean_deviation_and_every_seed():
    text = table("question", [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}])
    assert text.splitlines()[-1] == "| a | 2.000 | 1.000 | 1.000 | 2.000 | 3.000 |"
