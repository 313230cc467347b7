"""Tables of judgements and the command `pqa scale`: files in, numbers and named faults out."""

from __future__ import annotations

import argparse
import csv
import json

import numpy as np
import pytest

from pqa.cli import scale as command
from pqa.data.labels import read_labels
from pqa.errors import ConfigurationError, DataError
from pqa.judging.judgements import read_conditions, read_judgements
from pqa.judging.scaling import scale
from tests.judging.test_scaling import simulate

HEADER = "Observer,Session,Scene,Condition_1,Condition_2,Selection"


def write(path, *rows, header=HEADER):
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def study(path, scenes=("s1", "s2"), lefty=False):
    rows = []
    for number, scene in enumerate(scenes):
        _, judgements = simulate(seed=number)
        names = judgements.conditions
        for winner, loser, left, observer in zip(
            judgements.winner, judgements.loser, judgements.left, judgements.observer, strict=True
        ):
            first, second = (winner, loser) if left else (loser, winner)
            rows.append(f"o{observer},1,{scene},{names[first]},{names[second]},{1 if left else 2}")
        if lefty:
            rows += [f"lefty,1,{scene},{a},{b},1" for a in names for b in names if a < b]
    return write(path, *rows)


def run(*argv):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(part) for part in argv]))


def test_reads_pwcmp_tables_in_both_forms(tmp_path):
    # The four rows of pwcmp's documentation, and the same answers in the form of its later example files.
    rows = (
        "1,1,Window,TMO_Camera,Ferwerda96,1",
        "1,1,Exhibition,Ronan12,Irawan05,2",
        "1,1,Corridor,Irawan05,Ferwerda96,1",
        "2,2,Corridor,Ronan12,TMO_Camera,2",
    )
    old = read_judgements(write(tmp_path / "old.csv", *rows))
    assert list(old.scenes) == ["Window", "Exhibition", "Corridor"]
    corridor = old.scenes["Corridor"]
    chosen = [
        (corridor.conditions[w], corridor.conditions[b]) for w, b in zip(corridor.winner, corridor.loser, strict=True)
    ]
    assert chosen == [("Irawan05", "Ferwerda96"), ("TMO_Camera", "Ronan12")]
    assert corridor.left.tolist() == [True, False]
    assert corridor.observers == ("1", "2")
    later = [row[:-1] + ("0" if row.endswith("2") else "1") for row in rows]
    header = "observer,session_id,scene,condition_A,condition_B,is_A_selected"
    new = read_judgements(write(tmp_path / "new.csv", *later, header=header))
    assert new.scenes["Corridor"].winner.tolist() == corridor.winner.tolist()
    assert old.problems == new.problems == ()


def test_unusable_rows_are_counted_by_line_and_repeats_kept(tmp_path):
    path = write(
        tmp_path / "t.csv",
        "o1,1,s,a,b,1",
        "o1,1,s,a,b,1",
        "o1,1,s,b,a,1",
        "o1,1,s,b,a,2",
        "o2,1,s,a,NaN,1",
        "o2,1,s,a,a,1",
        "o2,1,s,a,b,3",
        "o2,1,s,a",
        ",1,s,a,b,2",
    )
    table = read_judgements(path)
    found = {(p.code, p.lines, p.used) for p in table.problems}
    assert found == {
        ("missing_value", (6,), False),
        ("missing_value", (9,), False),
        ("missing_value", (10,), False),
        ("same_condition", (7,), False),
        ("bad_answer", (8,), False),
        ("duplicate", (3,), True),
        ("contradiction", (4,), True),
        ("repeat", (5,), True),
    }
    assert table.rows == 9
    assert len(table.scenes["s"].winner) == 4
    assert any("condition2" in p.message for p in table.problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "missing columns: condition1 or conditiona"),
        ("Observer,Scene,Condition_1,Selection\n", "missing columns: condition2 or conditionb"),
        (HEADER + "\n", "no usable judgement among 0 rows: it has no rows"),
        (HEADER + "\no,1,s,a,b,7\n", "no usable judgement among 1 rows: 1 x selection is neither 1 nor 2"),
        ("Scene,scene,Condition_1,Condition_2,Selection\n", "more than once: scene"),
    ],
)
def test_tables_that_cannot_be_read_say_why(tmp_path, text, expected):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=expected):
        read_judgements(path)


def test_other_faults_of_files(tmp_path):
    with pytest.raises(DataError, match="CSV file in UTF-8"):
        read_judgements(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes(b"Scene,Condition_1\n\xe9,\xff\n")
    with pytest.raises(DataError, match="CSV file in UTF-8"):
        read_judgements(tmp_path / "latin.csv")


def test_scales_every_scene_into_columns_that_evaluation_reads(tmp_path, capsys):
    assert run(study(tmp_path / "j.csv"), "--out", tmp_path / "jod.csv") == 0
    with (tmp_path / "jod.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == ("image", "scene", "JOD", "JOD STD", "CI LOW", "CI HIGH", "TOTAL COMPARISONS")
    assert [row["scene"] for row in rows] == ["s1"] * 8 + ["s2"] * 8
    expected = scale(read_judgements(tmp_path / "j.csv").scenes["s2"])
    written = {row["image"]: row for row in rows if row["scene"] == "s2"}
    for k, condition in enumerate(expected.conditions):
        name = f"s2/{condition}"  # both scenes have a c0: a table of labels names a picture once
        assert float(written[name]["JOD"]) == pytest.approx(expected.jod[k], abs=1e-6)
        assert float(written[name]["CI LOW"]) == pytest.approx(expected.low[k], abs=1e-6)
        assert int(written[name]["TOTAL COMPARISONS"]) == expected.comparisons[k]
    labels = read_labels(tmp_path / "jod.csv")
    assert not labels.warnings
    assert labels.scene == ("s1",) * 8 + ("s2",) * 8
    assert labels.value[8:] == pytest.approx(expected.jod, abs=1e-6)
    assert labels.std[8:] == pytest.approx(expected.std, abs=1e-6)
    notes = capsys.readouterr().err
    assert "300 resamples of observers" in notes
    assert "scene s2: 8 conditions, 240 judgements, 12 observers, thurstone" in notes


def test_json_document_names_observers_and_resampling(tmp_path, capsys):
    path = study(tmp_path / "j.csv", lefty=True)
    assert run(path, "--json", "--screen", "--bootstrap", 0, "--model", "bradley-terry") == 0
    document = json.loads(capsys.readouterr().out)
    assert {scene["resampled"] for scene in document["scenes"]} == {"nothing"}
    assert document["scenes"][0]["conditions"][0]["jod_std"] is None
    flags = {row["observer"]: row["flags"] for row in document["observers"]}
    assert len(flags) == 13
    assert "always_left" in flags["lefty"]


def test_a_one_sided_observer_is_named_without_asking_and_left_out_on_request(tmp_path, capsys):
    path = study(tmp_path / "j.csv", lefty=True)
    assert run(path, "--bootstrap", 0) == 0
    with_lefty, notes = capsys.readouterr()
    assert "observer lefty: 56 judgements" in notes
    assert "observer o1:" not in notes
    assert run(path, "--bootstrap", 0, "--exclude", "lefty") == 0
    without, notes = capsys.readouterr()
    assert "excluded observers: lefty" in notes
    plain = study(tmp_path / "plain.csv")
    assert run(plain, "--bootstrap", 0) == 0
    assert capsys.readouterr().out == without != with_lefty


def test_the_prior_is_chosen_and_named(tmp_path, capsys):
    path = study(tmp_path / "j.csv", scenes=("s1",))
    assert run(path, "--bootstrap", 0) == 0
    default, notes = capsys.readouterr()
    assert "thurstone, prior on distances, " in notes
    assert run(path, "--bootstrap", 0, "--prior", "scores", "--prior-std", 2) == 0
    other, notes = capsys.readouterr()
    assert "thurstone, prior on scores 2.00 JOD, " in notes
    assert other != default
    assert run(path, "--bootstrap", 0, "--prior", "distances", "--json") == 0
    scene = json.loads(capsys.readouterr().out)["scenes"][0]
    assert (scene["prior"], scene["prior_std"]) == ("distances", None)
    with pytest.raises(ConfigurationError, match="width of the prior on scores"):
        run(path, "--prior-std", 2)


def test_table_without_observers_rests_on_judgements(tmp_path, capsys):
    rows = [f"a,b,{1 + k % 2}" for k in range(10)]
    path = write(tmp_path / "j.csv", *rows, header="Condition_1,Condition_2,Selection")
    assert run(path) == 0
    out, notes = capsys.readouterr()
    assert "resamples of judgements" in notes
    assert [line.split(",")[1] for line in out.splitlines()[1:]] == ["default"] * 2


def test_strict_and_disconnected_tables_are_refused(tmp_path):
    path = write(tmp_path / "j.csv", "o,1,s,a,b,1", "o,1,s,a,a,1")
    with pytest.raises(DataError, match=r"1 x a condition compared with itself \(line 3\)"):
        run(path, "--strict")
    assert run(path, "--bootstrap", 0) == 0
    path = write(tmp_path / "j.csv", "o,1,scene 7,a,b,1", "o,1,scene 7,c,d,1")
    with pytest.raises(DataError, match="scene 'scene 7': the comparisons form 2 separate components"):
        run(path)


def test_next_pairs_from_a_running_and_from_an_empty_study(tmp_path, capsys):
    assert run(study(tmp_path / "j.csv", scenes=("s1",)), "--next", 5) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Scene,Condition_1,Condition_2"
    assert len(lines) == 6
    empty = write(tmp_path / "empty.csv")
    names = write(tmp_path / "names.csv", "x,s", "y,s", "z,s", header="condition,scene")
    assert read_conditions(names) == {"s": ["x", "y", "z"]}
    assert run(empty, "--conditions", names, "--next", 2, "--json") == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    assert {pair[key] for pair in pairs for key in ("condition_1", "condition_2")} == {"x", "y", "z"}
    with pytest.raises(DataError, match="no judgements"):
        run(empty, "--conditions", names)


def test_a_study_begins_with_its_conditions_alone(tmp_path, capsys):
    names = write(tmp_path / "names.csv", "x,s", "y,s", "z,s", "x,t", "y,t", header="condition,scene")
    assert run("--conditions", names, "--next", 2) == 0
    header, *pairs = capsys.readouterr().out.splitlines()
    assert [pair[0] for pair in pairs] == ["s", "s", "t", "t"]
    # With an answer behind each they are the table.
    table = write(tmp_path / "j.csv", *(f"{pair},1" for pair in pairs), header=f"{header},Selection")
    assert run(table, "--bootstrap", 0) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    with pytest.raises(ConfigurationError, match="--next N prints the first pairs"):
        run("--conditions", names)
    with pytest.raises(ConfigurationError, match="pqa scale --conditions CSV --next N"):
        run()


def test_names_that_a_spreadsheet_would_run_come_back_from_the_scale(tmp_path):
    table = write(tmp_path / "j.csv", "o,1,@s,=a,-b,1", "o,1,@s,-b,=a,2", "o,1,@s,=a,-b,2")
    assert run(table, "--out", tmp_path / "jod.csv", "--bootstrap", 50) == 0
    content = (tmp_path / "jod.csv").read_bytes()
    assert content.startswith("\ufeffimage,".encode())
    assert b"\n'=a,'@s," in content
    labels = read_labels(tmp_path / "jod.csv")
    assert (labels.image, set(labels.scene)) == (("=a", "-b"), {"@s"})
    with pytest.raises(ConfigurationError, match="this is a folder"):
        run(table, "--out", tmp_path)


def test_judgements_survive_a_byte_order_mark_and_blank_lines(tmp_path):
    text = "﻿" + HEADER + "\n\no,1,s,a,b,1\n\no,1,s,b,a,2.0\n"
    (tmp_path / "bom.csv").write_text(text, encoding="utf-8")
    judgements = read_judgements(tmp_path / "bom.csv").scenes["s"]
    assert np.array_equal(judgements.winner, [0, 0])
