"""bench.yardsticks and bench.tables on made-up pictures: the measures see what they are named after."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from bench import tables, yardsticks
from pqa.data.predictions import read_predictions


def picture(seed=0, blur=0.0, gain=1.0, grey=False):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    if grey:
        pixels[:] = pixels[:, :, :1]
    if blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    return (pixels * gain).astype(np.uint8)


def value(name, pixels):
    return yardsticks.YARDSTICKS[name][1](pixels)


def test_each_yardstick_rises_with_its_own_property():
    assert value("sharpness", picture()) > value("sharpness", picture(blur=1)) > value("sharpness", picture(blur=3))
    assert value("luminance", picture()) == pytest.approx(2 * value("luminance", picture(gain=0.5)), rel=0.01)
    assert value("contrast", picture()) == pytest.approx(2 * value("contrast", picture(gain=0.5)), rel=0.01)
    assert value("colourfulness", picture(grey=True)) == 0
    assert value("colourfulness", picture()) > 50
    flat = np.full((8, 8, 3), 77, np.uint8)
    assert [value(name, flat) for name in yardsticks.YARDSTICKS] == [0, 77, 0, 0]


def folder(tmp_path):
    rows = [("image", "scene", "mos")]
    for scene in ("a", "b"):
        (tmp_path / scene).mkdir()
        for k in range(4):
            cv2.imwrite(str(tmp_path / scene / f"{scene}{k}.png"), picture(seed=k, blur=4 - k))
            rows.append((f"{scene}{k}.png", scene, k / 4))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "labels.csv"


def test_table_over_a_labelled_folder_and_predictions_that_evaluation_reads(tmp_path, capsys):
    labels = folder(tmp_path)
    (tmp_path / "a" / "a3.png").write_bytes(b"no picture")
    argv = ["--labels", str(labels), "--images", str(tmp_path), "--out", str(tmp_path / "out")]
    assert yardsticks.main(argv) == 0
    out, err = capsys.readouterr()
    assert "1 of 8 pictures not read, first: a3.png" in err
    # Labels rise as blur falls, so sharpness orders each scene perfectly.
    sharpness = next(line for line in out.splitlines() if line.startswith("| sharpness"))
    assert sharpness.split(" | ")[2] == "1.000"
    assert sharpness.endswith("| 2 | 7 |")
    assert len(read_predictions(tmp_path / "out" / "sharpness.csv").image) == 7


def test_a_folder_without_the_pictures_is_named(tmp_path, capsys):
    labels = folder(tmp_path)
    (tmp_path / "empty").mkdir()
    assert yardsticks.main(["--labels", str(labels), "--images", str(tmp_path / "empty")]) == 2
    assert "none of 8 labelled pictures" in capsys.readouterr().err


def test_published_tables_print(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["tables", "piq23_benchmark", "--part", "scene split", "--attribute", "overall"])
    tables.main()
    out = capsys.readouterr().out
    assert "| SEM-HyperIQA | 0.749 | 0.752 | 0.558 | 1.033 |" in out
    assert out.count("\n| ") == 6
