"""bench.mutants: its rows fit the tree, and it tells a fault that is noticed from one that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import mutants
from bench.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("row", MUTANTS, ids=lambda row: f"{row.file}:{row.text.strip()[:40]}")
def test_rows_fit_the_tree(row: Mutant) -> None:
    assert (mutants.ROOT / row.file).read_text().count(row.text) == 1
    assert row.fault != row.text
    file, _, test = row.test.partition("::")
    assert re.search(rf"^(async )?def {re.escape(test)}\(", (mutants.ROOT / file).read_text(), re.M)


def test_no_row_stands_twice_and_every_room_has_some() -> None:
    assert len({(row.file, row.text) for row in MUTANTS}) == len(MUTANTS) >= 40
    rooms = {"/".join(row.file.split("/")[:-1]) for row in MUTANTS}
    assert rooms >= {"pqa/pixels", "pqa/faces", "pqa/runtime", "pqa/evaluation", "pqa/judging", "pqa/data", "pqa/cli"}
    assert rooms >= {"pqa", "pqa/nn/losses", "training", "export", "service"}


def test_caught_survived_and_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sums.py").write_text("def double(x): return x + x\ndef half(x): return x / 2\n")
    (tmp_path / "test_sums.py").write_text("import sums\n\ndef test_double(): assert sums.double(3) == 6\n")
    test = "test_sums.py::test_double"
    caught = Mutant("sums.py", "x + x", "x * x", test)
    assert mutants.report(tmp_path, [caught]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 faults caught\n")
    others = [
        Mutant("sums.py", "x / 2", "x / 3", test),
        Mutant("sums.py", "x - x", "x", test),
        Mutant("sums.py", "return", "give", test),
    ]
    assert mutants.report(tmp_path, [caught, *others]) == 3
    fates = [line.split(" sums.py")[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert fates[:4] == ["caught", "survived", "the text stands there 0 times", "the text stands there 2 times"]
    assert mutants.tried(tmp_path, Mutant("sums.py", "x + x", "x", "test_sums.py::test_gone")) == "the test did not run"
    assert (tmp_path / "sums.py").read_text().count("x + x") == 1


def test_tests_that_fail_without_a_fault_prove_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_wrong.py").write_text("def test_wrong(): assert False\n")
    assert mutants.report(tmp_path, [Mutant("test_wrong.py", "False", "0", "test_wrong.py::test_wrong")]) == 1
    assert "without any fault" in capsys.readouterr().out
