"""The published tables hold together: arithmetic to rounding, sources named, two sources of one result agree."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from pqa.data import published
from pqa.errors import ConfigurationError, DataError

ROWS = [row for table in published.TABLES for row in published.read(table)]


def digits(text):
    return len(text.partition(".")[2])


def test_every_csv_is_a_table_and_every_row_is_sourced_and_unique():
    folder = Path(published.__file__).parent
    assert {path.stem for path in folder.glob("*.csv")} == set(published.TABLES)
    assert all(row.source and row.table and row.method and row.benchmark and row.part for row in ROWS)
    for table in published.TABLES:
        rows = published.read(table)
        assert len({(row.benchmark, row.part, row.attribute, row.method) for row in rows}) == len(rows)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.benchmark}-{row.part}-{row.attribute}-{row.method}")
def test_figures_are_in_range(row):
    found = [row.figure(name) for name in published.FIGURES]
    assert any(figure is not None for figure in found)
    for name in ("srcc", "plcc", "krcc", "score"):
        assert row.figure(name) is None or 0 < row.figure(name) < 1
    assert row.figure("main") is None or 0 < row.figure("main") < 2
    if row.figure("krcc") is not None:
        assert row.figure("krcc") < row.figure("srcc")


def test_main_is_srcc_plus_plcc_to_rounding():
    checked = 0
    for row in ROWS:
        if row.main and row.srcc and row.plcc:
            # Each of the three figures is off by at most half a unit of its last digit.
            slack = sum(0.5 * 10.0 ** -digits(text) for text in (row.main, row.srcc, row.plcc))
            assert abs(row.figure("main") - row.figure("srcc") - row.figure("plcc")) <= slack + 1e-9, row
            checked += 1
    assert checked == 8


def test_challenge_score_is_near_but_not_the_mean_of_the_medians():
    rows = published.read("portrait_challenge")
    gaps = [row.figure("score") - statistics.mean(row.figure(k) for k in ("srcc", "plcc", "krcc")) for row in rows]
    assert max(map(abs, gaps)) < 0.02
    assert max(map(abs, gaps)) > 0.0015


def test_the_survey_and_the_piq23_repository_agree_on_their_common_rows():
    benchmark = {
        row.method: row
        for row in published.read("piq23_benchmark")
        if (row.part, row.attribute) == ("scene split", "overall")
    }
    survey = {row.method: row for row in published.read("portrait_challenge") if row.part == "scene split"}
    common = benchmark.keys() & survey.keys()
    assert common == {"HyperIQA", "SEM-HyperIQA"}
    for method in common:
        for name in ("srcc", "plcc", "krcc"):
            assert getattr(benchmark[method], name) == getattr(survey[method], name)


def test_ranking_of_the_challenge_is_that_of_the_hidden_scores():
    hidden = {
        row.method: row.figure("score") for row in published.read("portrait_challenge") if row.part == "hidden test"
    }
    assert sorted(hidden, key=hidden.get, reverse=True)[0] == "RQ-Net"
    assert len(hidden) == 8


def test_markdown_shows_what_is_there_and_our_rows_in_bold():
    rows = [row for row in published.read("pipal") if row.part == "NTIRE 2022 full-reference test"]
    text = published.markdown(rows, extra=[("ours", {"main": 1.2, "plcc": 0.5})])
    lines = text.splitlines()
    assert lines[0] == "| method | SRCC | PLCC | main |"
    assert lines[2] == "| THU1919Group | 0.822 | 0.828 | 1.651 |"
    assert "| **ours** | - | **0.500** | **1.200** |" in lines
    assert lines[-1].startswith("Source: Conde")
    mixed = published.markdown(published.read("full_reference"))
    assert mixed.startswith("| benchmark | method | SRCC | PLCC | KRCC |")
    with pytest.raises(DataError, match="no rows"):
        published.markdown([])


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'pipal'"):
        published.read("pipall")
    with pytest.raises(ConfigurationError, match="figure"):
        ROWS[0].figure("srrc")
