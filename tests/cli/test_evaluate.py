"""`pqa evaluate` end to end on small tables: every form of the answer, bad input, and a page that needs nothing else."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pqa.cli import evaluate
from pqa.errors import ConfigurationError, DataError
from pqa.evaluation.metrics import METRICS
from pqa.evaluation.metrics import evaluate as evaluate_arrays

SCENES = ("day", "night", "dusk")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """labels.csv and three models' scores: three scenes of 12 pictures by three devices."""
    rng = np.random.default_rng(0)
    labels = ["image,scene,mos,std,device,face_size"]
    models: dict[str, list[str]] = {name: ["image,scene,score,score_std"] for name in ("good", "bad", "worse")}
    for scene in SCENES:
        for k, mos in enumerate(rng.normal(size=12)):
            name = f"{scene}/{k}.jpg"
            labels.append(f"{name},{scene},{mos},0.2,phone{k % 3},{50 + k}")
            for (model, rows), noise in zip(models.items(), (0.2, 2.0, 2.0), strict=True):
                std = "0.3" if model == "good" else ""
                rows.append(f"{name},{scene},{mos + noise * rng.normal()},{std}")
    (tmp_path / "labels.csv").write_text("\n".join(labels) + "\n")
    for model, rows in models.items():
        (tmp_path / f"{model}.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def run(folder: Path, *options: str, models: tuple[str, ...] = ("good",)) -> int:
    parser = argparse.ArgumentParser()
    evaluate.configure(parser)
    predictions = ["--predictions", *(str(folder / f"{m}.csv") for m in models)] if models else []
    found = ["--labels", str(folder / "labels.csv"), *predictions, "--resamples", "200", *options]
    return evaluate.run(parser.parse_args(found))


def columns(path: Path, *names: str) -> list[list[str]]:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return [[row[name] for row in rows] for name in names]


def test_json_holds_the_protocol(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tables, "--json", "--mapping", "cubic", models=("good", "bad", "worse")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"]["mapping"] == found["protocol"]["plcc_mae_rmse_after"] == "cubic"
    assert [model["name"] for model in found["models"]] == ["good", "bad", "worse"]
    (mos, scenes), (scores,) = columns(tables / "labels.csv", "mos", "scene"), columns(tables / "good.csv", "score")
    expected = evaluate_arrays(np.array(scores, float), np.array(mos, float), scenes, mapping="cubic")
    good = found["models"][0]
    for metric in METRICS:
        assert good["medians"][metric]["value"] == pytest.approx(getattr(expected, metric))
        assert good["medians"][metric]["low"] <= good["medians"][metric]["value"] <= good["medians"][metric]["high"]
    assert [scene["fit"]["name"] for scene in good["scenes"]] == ["cubic"] * 3
    assert good["win_probability_std"] == "predicted"
    assert found["models"][1]["win_probability_std"] > 0.5
    assert len(good["devices"]["rows"]) == 3
    assert {s["value"] for s in good["slices"]} == {str(50 + k) for k in range(12)}
    assert [c["scene"] for c in found["noise_ceiling"]] == list(SCENES)
    assert found["wins"][0][0] is None
    assert len(found["comparisons"]) == 3
    assert {t["test"] for t in found["p1401_tests"]} == {"rmse", "epsilon_rmse", "outlier_ratio"}


def test_text_names_mapping_medians_and_warnings(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "bad.csv").write_text((tables / "bad.csv").read_text() + "stranger.jpg,day,1,\n")
    assert run(tables, models=("good", "bad")) == 0
    out = capsys.readouterr().out
    assert "after mapping: raw" in out
    assert "noise ceiling" in out
    assert "good - bad" in out
    assert "1 of 37 scored pictures have no label here: stranger.jpg" in out


def test_csv_and_latex(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tables, "--csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["scene"] for row in rows] == [*SCENES, "median"]
    scores = [float(row["score"]) for row in rows[:3]]
    assert float(rows[3]["score"]) == pytest.approx(np.median(scores))
    assert all(float(row["score_low"]) <= float(row["score"]) <= float(row["score_high"]) for row in rows)
    (tables / "good.csv").rename(tables / "a_b%.csv")
    run(tables, "--latex", models=("a_b%",))
    out = capsys.readouterr().out
    assert r"a\_b\% & " in out
    assert out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") == 1
    assert "Mapping before PLCC, MAE and RMSE: raw" in out


def test_ceilings_without_predictions(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tables, models=()) == 0
    assert "reliability" in capsys.readouterr().out
    run(tables, "--json", models=())
    assert len(json.loads(capsys.readouterr().out)["noise_ceiling"]) == 3
    with pytest.raises(ConfigurationError, match="--report needs --predictions"):
        run(tables, "--report", str(tables / "x.html"), models=())
    (tables / "labels.csv").write_text("image,scene,mos\na,s,1\n")
    with pytest.raises(ConfigurationError, match=r"s\.d\. is needed"):
        run(tables, models=())


def test_every_form_tells_what_is_wrong(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the answer is a bare table, warnings go beside it; ceilings alone carry those of the labels."""
    text = (tables / "labels.csv").read_text() + "lost.jpg,day,nan,0.2,phone0,1\n"
    (tables / "labels.csv").write_text(text.replace("day/3.jpg,day", "day/3.jpg,"))
    for form in ("--csv", "--latex"):
        run(tables, form)
        captured = capsys.readouterr()
        assert "1 of 37 labels are not usable numbers: lost.jpg" in captured.err
        assert "1 of 36 pictures have no scene and count as one scene: day/3.jpg" in captured.err
        assert "warning" not in captured.out
    run(tables, "--json", models=())
    assert json.loads(capsys.readouterr().out)["warnings"][0]["code"] == "bad_label"


def test_parts_of_a_split_are_slices(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "Scene Split.csv").write_text("SCENE,SPLIT\nday,Train\nnight,Train\ndusk,Test\n")
    run(tables, "--json", "--split", "scene", "--part", "both")
    found = json.loads(capsys.readouterr().out)
    parts = {s["value"]: (s["n"], s["scenes"]) for s in found["models"][0]["slices"] if s["column"] == "split"}
    assert parts == {"test": (12, 1), "train": (24, 2)}
    assert found["labels"]["split"] == "scene split, both"


def test_columns_of_one_file_have_rows_of_their_own(tables: Path) -> None:
    board = tables / "board.csv"
    rows = (tables / "labels.csv").read_text().replace("mos", "score").replace("std", "detail")
    (tables / "both.csv").write_text(rows)
    for options in ((), ("--column", "detail"), ("--label-column", "std")):
        run(tables, "--leaderboard", str(board), *options, models=("both",))
    names, splits = columns(board, "model", "split")
    assert sorted(zip(names, splits, strict=True)) == [
        ("both", "all"),
        ("both", "all; ratings: std"),
        ("both:detail", "all"),
    ]


def test_leaderboard_accumulates_and_replaces(tables: Path) -> None:
    board = tables / "board.csv"
    run(tables, "--leaderboard", str(board), models=("bad",))
    run(tables, "--leaderboard", str(board), models=("good", "worse"))
    first = board.read_text()
    names, scores = columns(board, "model", "score")
    assert names[0] == "good"
    assert sorted(names) == ["bad", "good", "worse"]
    assert scores == sorted(scores, key=float, reverse=True)
    run(tables, "--leaderboard", str(board), models=("bad",))
    assert sorted(board.read_text().splitlines()) == sorted(first.splitlines())
    run(tables, "--leaderboard", str(board), "--mapping", "cubic", models=("bad",))
    assert len(columns(board, "model")[0]) == 4
    with pytest.raises(DataError, match="expected the columns labels, split"):
        run(tables, "--leaderboard", str(tables / "labels.csv"))


class Page(HTMLParser):
    """Tags, what they point at, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_is_one_page_with_everything_inside(tables: Path) -> None:
    pictures = tables / "photos"
    for k in range(12):
        (pictures / "day").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (320, 240), (20 * k, 90, 90)).save(pictures / "day" / f"{k}.jpg")
    (pictures / "day" / "0.jpg").write_bytes(b"no picture")
    report = tables / "out.html"
    run(tables, "--report", str(report), "--images", str(pictures), "--shared-scale", models=("good", "bad"))
    html = report.read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert page.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert not re.search(r"https?:|url\(|@import|<script|<link", html)
    for title in (
        "Agreement with ratings",
        "Scenes",
        "Comparison",
        "Scatter: bad",
        "Devices",
        "Slices",
        "Misjudged most",
    ):
        assert title in page.text
    assert "SRCC + PLCC" in page.text
    charts = re.findall(r"<svg.*?</svg>", html)
    assert len(charts) >= 1 + 2 * len(SCENES) + 1
    for chart in charts:
        ElementTree.fromstring(chart)
        assert "nan" not in chart


def test_names_from_files_are_text_and_never_markup(tables: Path) -> None:
    text = (tables / "labels.csv").read_text()
    (tables / "labels.csv").write_text(
        text.replace("day", "<script>alert(1)</script>").replace("phone0", "<b>phone</b>")
    )
    scores = (tables / "good.csv").read_text()
    (tables / "good.csv").write_text(scores.replace("day", "<script>alert(1)</script>"))
    report = tables / "out.html"
    run(tables, "--report", str(report))
    html = report.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<b>phone" not in html
    assert "&lt;script&gt;" in html


def test_bad_use_is_told(tables: Path) -> None:
    with pytest.raises(ConfigurationError, match="face_size"):
        run(tables, "--slice", "face_siz")
    with pytest.raises(ConfigurationError, match="give both"):
        run(tables, "--images", str(tables))
    with pytest.raises(DataError, match="Scene Split"):
        run(tables, "--split", "scene")
    with pytest.raises(DataError, match="no column for the score"):
        run(tables, "--column", "detail")


def test_constant_and_tiny_input_still_gives_a_full_answer(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Constant predictions, a scene of one and a scene of two: counted and named, in every form."""
    rows = ["a1,a", "b1,b", "b2,b", *(f"c{k},c" for k in range(6))]
    (tables / "labels.csv").write_text("image,scene,mos\n" + "".join(f"{row},{k}\n" for k, row in enumerate(rows)))
    (tables / "flat.csv").write_text("image,scene,score\n" + "".join(f"{row},3\n" for row in rows))
    for form in ("--json", "--csv", "--latex"):
        assert run(tables, form, "--report", str(tables / "flat.html"), models=("flat",)) == 0
        out = capsys.readouterr().out
        if form == "--json":
            found = json.loads(out)
    assert found["models"][0]["medians"]["score"]["value"] == 0
    assert found["models"][0]["calibration"] == []
    codes = [warning["code"] for warning in found["warnings"]]
    assert {"undefined_correlation", "small_scene", "no_label_std", "no_calibration"} <= set(codes)
